"""What has gone through the ingestor since it started: plain counters, read by the API."""

from dataclasses import dataclass

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

    def took(self, admission: Admission, decoded: Decoded) -> None:
        """Count a batch that is on disk."""
        self.readings_committed += len(admission.readings)
        self.payloads_known += len(admission.known)
        self.payloads_refused += len(admission.refused)
        self.payloads_unreadable += len(decoded.unreadable)
        self.commits += 1
