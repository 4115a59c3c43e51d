"""What has gone to an endpoint since the service started; read by the API."""

from dataclasses import dataclass, field

from pledgewatch_cloud.histogram import Histogram
from pledgewatch_cloud.outbox.endpoint import Answer, Attempt

_ANSWER_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class EndpointMetrics:
    """Counters since start. `answer_s`: how long attempts took, whatever came of them."""

    attempts: int = 0
    taken: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    buried: int = 0
    answer_s: Histogram = field(default_factory=lambda: Histogram(_ANSWER_S))

    def tried(self, attempt: Attempt, took_s: float) -> None:
        """One attempt came to its end; it was none where nothing was handed over."""
        if attempt.answer is Answer.WITHDRAWN:
            return
        self.attempts += 1
        self.answer_s.add(took_s)
        if attempt.answer is Answer.TAKEN:
            self.taken += 1
        else:
            self.failures[attempt.failure] = self.failures.get(attempt.failure, 0) + 1
