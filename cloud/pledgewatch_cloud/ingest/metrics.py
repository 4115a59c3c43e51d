"""What has gone through the ingestor since it started: plain counters and histograms, read by the API. And what devices
last said of themselves, which the store keeps (decision 0032)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple, Self

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


class Heard(NamedTuple):
    """What devices have said of themselves in a batch: by device the last of it, and how far the epochs went of those
    that began another; which devices are forgotten for it; and what is to be kept, of those who said something new."""

    last: dict[str, Status]
    ends: dict[str, dict[int, Status]]
    forgotten: list[str]
    kept: Said


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

    def hear(self, statuses: Iterable[DeviceStatus]) -> Heard:
        """What devices say of themselves, to be noted once what came with it is on disk: who says that all has been
        sent says so of readings that are committed then."""
        last: dict[str, Status] = {}
        ends: dict[str, dict[int, Status]] = {}
        news = set()
        for one in statuses:
            before = last.pop(one.device, None) or self.said.get(one.device)
            status = last[one.device] = _of_now(one.status, before)
            if before is None or before._replace(online=status.online) != status:
                news.add(one.device)
            if before is not None and (before.epoch != status.epoch or before.head_sequence > status.head_sequence):
                epochs = ends.get(one.device)
                ends[one.device] = _with_end(self.ends.get(one.device, {}) if epochs is None else epochs, before)
        forgotten = self._forgotten(last)
        words = {one: [last[one], *_in_order(ends.get(one, self.ends.get(one, {})))] for one in news}
        return Heard(last, ends, forgotten, dict(sorted((words | {one: [] for one in forgotten}).items())))

    def _forgotten(self, last: dict[str, Status]) -> list[str]:
        """Who makes room for those that are heard: who was heard longest ago."""
        surplus = len(self.said.keys() | last.keys()) - DEVICES_MAX if len(self.said) + len(last) > DEVICES_MAX else 0
        every = chain((one for one in self.said if one not in last), last)
        return [device for device, _ in zip(every, range(surplus), strict=False)]

    def note(self, heard: Heard) -> None:
        """Note what was heard."""
        for device, status in heard.last.items():
            self.said.pop(device, None)
            self.said[device] = status
        self.ends |= heard.ends
        for device in heard.forgotten:
            del self.said[device]
            self.ends.pop(device, None)

    def since_start(self) -> dict[str, int | dict[str, int]]:
        """The plain counters by name."""
        names = ("messages", "readings_committed", "payloads_known", "payloads_refused", "payloads_unreadable")
        return {name: getattr(self, name) for name in (*names, "commits", "refused_for", "unreadable_for")}


def _of_now(status: Status, before: Status | None) -> Status:
    """What a device says by a status. A last will is of when the connection was made: where the device has said more
    since, it tells that the device has gone, and nothing else."""
    is_older = before is not None and before.epoch == status.epoch and before.head_sequence > status.head_sequence
    return before._replace(online=False) if before is not None and is_older and not status.online else status


def _with_end(epochs: dict[int, Status], status: Status) -> dict[int, Status]:
    """How far epochs went, and that of the last that was said of one, where no other counted farther."""
    known = epochs.get(status.epoch)
    if known is None or known.head_sequence <= status.head_sequence:
        epochs = {**epochs, status.epoch: status._replace(agent_version="")}  # which is asked of the last alone
    return epochs if len(epochs) <= ENDS_MAX else {key: one for key, one in epochs.items() if key != min(epochs)}


def _in_order(ends: dict[int, Status]) -> list[Status]:
    return [ends[epoch] for epoch in sorted(ends)]
