"""Real temperature series with labelled failures: what limits that an engineer would set find of them.

Precision is the share of the breaches told that lie in a labelled stretch, recall the share of the labelled stretches
in which one was told. The plain rule beside it has the same bounds and tells of every value outside that follows one
inside.
"""

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import NamedTuple

from folding import fold
from needed import DATA

from pledgewatch_cloud.decide.events import EventType
from pledgewatch_wire.reading import Cell, Channel

MOTES = ("indoor_moteid3", "indoor_moteid4", "outdoor_moteid1", "outdoor_moteid2")
Rows = Sequence[tuple[int, float]]
Span = tuple[int, int]


class Found(NamedTuple):
    """The breaches told, those of the plain rule (Unix milliseconds), and the labelled stretches, both ends in them."""

    breaches: list[int]
    plain: list[int]
    labelled: list[Span]

    def precision(self, told: Sequence[int]) -> float | None:
        """None where nothing was told."""
        return (
            sum(any(since <= one <= until for since, until in self.labelled) for one in told) / len(told)
            if told
            else None
        )

    def recall(self, told: Sequence[int]) -> float | None:
        """None where nothing is labelled."""
        caught = sum(any(since <= one <= until for one in told) for since, until in self.labelled)
        return caught / len(self.labelled) if self.labelled else None


def machine() -> Found:
    """A machine that fails (temp-nab): four standard deviations around its first week, out for an hour."""
    folder = DATA / "temp-nab"
    with (folder / "machine_temperature_system_failure.csv").open() as file:
        rows = [(clock(row["timestamp"]), (float(row["value"]) - 32) / 1.8) for row in csv.DictReader(file)]
    week = [value for at_ms, value in rows if at_ms < rows[0][0] + 7 * 86_400_000]
    mean = sum(week) / len(week)
    spread = (sum((one - mean) ** 2 for one in week) / len(week)) ** 0.5
    ((_, spans),) = json.loads((folder / "labels.json").read_text())["windows"].items()
    labelled = [(clock(since), clock(until)) for since, until in spans]
    return _found(rows, mean - 4 * spread, mean + 4 * spread, 3_600, labelled)


def mote(name: str) -> Found:
    """A sensor that is steamed (temp-wsn-labeled, a value each 5 s): four degrees above the mean of its first ten
    minutes, out for fifteen seconds."""
    lines = (DATA / "temp-wsn-labeled" / f"multihop_{name}_data.txt").read_text().split("\n")[1:]
    told = [line.split() for line in lines if len(line.split()) == 5]
    rows = [(1_767_225_600_000 + 5_000 * number, float(one[3])) for number, one in enumerate(told)]
    labels = [(at_ms, int(one[4])) for (at_ms, _), one in zip(rows, told, strict=True)]
    labelled = []
    for label, some in groupby(labels, key=lambda one: one[1]):
        if label:
            moments = [at_ms for at_ms, _ in some]
            labelled.append((moments[0], moments[-1]))
    start = sum(value for _, value in rows[:120]) / 120
    return _found(rows, 0, start + 4, 15, labelled)


def clock(text: str) -> int:
    """Unix milliseconds of ISO 8601 in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def _found(rows: Rows, low: float, high: float, grace_s: int, labelled: list[Span]) -> Found:
    bounds = {"low": round(low * 1_000), "high": round(high * 1_000)}
    limit = {"channel": "temperature_mc", **bounds, "grace_s": grace_s}
    values = [(at_ms, round(value * 1_000)) for at_ms, value in rows]
    events = fold([(at_ms, (Cell(Channel.TEMPERATURE_MC, value),)) for at_ms, value in values], limits=[limit])
    breaches = [one.at_ms for one in events if one.type is EventType.CONDITION_BREACHED]
    is_out = [not bounds["low"] <= value <= bounds["high"] for _, value in values]
    plain = [values[place + 1][0] for place, (before, after) in enumerate(pairwise(is_out)) if after and not before]
    return Found(breaches, plain, labelled)
