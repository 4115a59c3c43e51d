"""What has gone through the ingestor since it started: plain counters, read by the API."""

from dataclasses import dataclass, field

from pledgewatch_cloud.decide.admission import Admission
from pledgewatch_cloud.ingest.decode import Decoded


@dataclass(slots=True)
class Metrics:
    """Counters since start. A payload that was known holds nothing new; a deferred one is left with its device."""

    messages: int = 0
    readings_committed: int = 0
    payloads_known: int = 0
    payloads_refused: int = 0
    payloads_unreadable: int = 0
    commits: int = 0
    refused_for: dict[str, int] = field(default_factory=dict)

    def took(self, admission: Admission, decoded: Decoded) -> None:
        """Count a batch that is on disk."""
        self.readings_committed += len(admission.readings)
        self.payloads_known += len(admission.known)
        self.payloads_refused += len(admission.refused)
        for one in admission.refused:
            self.refused_for[one.reason] = self.refused_for.get(one.reason, 0) + 1
        self.payloads_unreadable += len(decoded.unreadable)
        self.commits += 1
