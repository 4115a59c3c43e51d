"""What has gone through the ingestor since it started: plain counters and histograms, read by the API. And what devices
last said of themselves, which the store keeps (decision 0032)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from pledgewatch_cloud.decide.admission import Admission
from pledgewatch_cloud.histogram import Histogram
from pledgewatch_cloud.ingest.decode import Decoded, DeviceStatus
from pledgewatch_cloud.journal.store import Said
from pledgewatch_wire.codec import Status

DEVICES_MAX = 1_000_000  # whose last status is remembered; the oldest is forgotten
ENDS_MAX = 16
"""Epochs of a device of which is remembered how far they went; the first is forgotten."""

_SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LONG_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0, 2_592_000.0)
_MESSAGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


@dataclass(slots=True)
class Metrics:
    """Counters since start. A payload that was known holds nothing new; one that is left with its device comes again.

    `commit_s`: how long a batch took from decoded to on disk; `waited_s`: from when the first of its messages came
    from the broker; `measured_s`: from when the newest reading of each payload was measured. `said`: each device's last
    status, which is in no entry and moves nothing; `ends`: by device, of each epoch before that of the last status,
    the status that had counted farthest.
    """

    messages: int = 0
    readings_committed: int = 0
    payloads_known: int = 0
    payloads_refused: int = 0
    payloads_unreadable: int = 0
    commits: int = 0
    refused_for: dict[str, int] = field(default_factory=dict)
    unreadable_for: dict[str, int] = field(default_factory=dict)
    batch_messages: Histogram = field(default_factory=lambda: Histogram(_MESSAGES))
    commit_s: Histogram = field(default_factory=lambda: Histogram(_SHORT_S))
    waited_s: Histogram = field(default_factory=lambda: Histogram(_SHORT_S))
    measured_s: Histogram = field(default_factory=lambda: Histogram(_LONG_S))
    said: dict[str, Status] = field(default_factory=dict)
    ends: dict[str, dict[int, Status]] = field(default_factory=dict)

    @classmethod
    def of(cls, kept: Said) -> Self:
        """As it starts with what the store has kept; who was connected then is not taken to be so."""
        return cls(
            said={device: words[0]._replace(online=False) for device, words in kept.items()},
            ends={device: {one.epoch: one for one in words[1:]} for device, words in kept.items() if words[1:]},
        )

    def took(self, admission: Admission, decoded: Decoded, now_ms: int) -> None:
        """Count a batch that is on disk."""
        self.readings_committed += len(admission.readings)
        self.payloads_known += len(admission.known)
        self.payloads_refused += len(admission.refused)
        for one in admission.refused:
            self.refused_for[one.reason] = self.refused_for.get(one.reason, 0) + 1
        self.payloads_unreadable += len(decoded.unreadable)
        for aside in decoded.unreadable:
            self.unreadable_for[aside.reason] = self.unreadable_for.get(aside.reason, 0) + 1
        self.commits += 1
        self.batch_messages.add(decoded.messages)
        if admission.accepted:
            until_ms = np.array([one.until_ms for one in admission.accepted], dtype=np.float64)
            self.measured_s.add_all((now_ms - until_ms) / 1_000)

    def heard(self, statuses: Iterable[DeviceStatus]) -> dict[str, list[Status]]:
        """Note what devices say of themselves; what is to be kept of those who said something new."""
        news = set()
        for one in statuses:
            before = self.said.pop(one.device, None)
            self.said[one.device] = one.status
            if before is None or before._replace(online=one.status.online) != one.status:
                news.add(one.device)
            if before is not None and (
                before.epoch != one.status.epoch or before.head_sequence > one.status.head_sequence
            ):  # a last will is of when it was made
                self._keep_end(one.device, before)
            if len(self.said) > DEVICES_MAX:
                oldest = next(iter(self.said))
                del self.said[oldest]
                self.ends.pop(oldest, None)
                news.add(oldest)
        return {device: self._words(device) for device in sorted(news)}

    def _words(self, device: str) -> list[Status]:
        last, ends = self.said.get(device), self.ends.get(device, {})
        return [] if last is None else [last, *(ends[epoch] for epoch in sorted(ends))]

    def _keep_end(self, device: str, status: Status) -> None:
        epochs = self.ends.setdefault(device, {})
        known = epochs.get(status.epoch)
        if known is None or known.head_sequence <= status.head_sequence:
            epochs[status.epoch] = status._replace(agent_version="")  # which is asked of the last alone
        if len(epochs) > ENDS_MAX:
            del epochs[min(epochs)]

    def since_start(self) -> dict[str, int | dict[str, int]]:
        """The plain counters by name."""
        names = ("messages", "readings_committed", "payloads_known", "payloads_refused", "payloads_unreadable")
        return {name: getattr(self, name) for name in (*names, "commits", "refused_for", "unreadable_for")}
