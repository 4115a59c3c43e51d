"""How many values lie at or below each of some bounds, as Prometheus wants it."""

from collections.abc import Sequence

import numpy as np


class Histogram:
    """How many values lie at or below each bound, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascend; what is above the last is counted too."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One value."""
        self.add_all(np.array([value]))

    def add_all(self, values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> None:
        """Many values."""
        for place, count in enumerate(np.bincount(np.searchsorted(self.bounds, values), minlength=len(self.counts))):
            self.counts[place] += int(count)
        self.total += float(values.sum())
