"""What was handed in since the service started, notices and reports of stock each; read by the API."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Submissions:
    """Counters since start, by what became of it: `taken`, `known`, or the reason for which it was set aside."""

    counts: dict[str, int] = field(default_factory=dict)

    def became(self, what: str) -> None:
        """Count one."""
        self.counts[what] = self.counts.get(what, 0) + 1
