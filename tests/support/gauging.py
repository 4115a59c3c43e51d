"""A small fleet whose journal is told to series: what a day of it says, as gauges. Minutes are from noon."""

from typing import Any

from builders import (
    AT_SEA,
    IN_LOS_ANGELES,
    MINUTE_MS,
    NOON_MS,
    Device,
    ManualClock,
    book_document,
    position,
    temperature,
)

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.series.gather import Gathering
from pledgewatch_cloud.series.series import Bookmark, Gauge, Told
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.reading import Cell, Clock

NOWHERE = Bookmark(0, {}, {}, 0, 0, {})
STRICT = {"id": "strict", "covenants": {"warning_bp": 100, "call_bp": 200, "default_bp": 19_000, "cure_s": 3_600}}
ALERT_RULES = [
    {"id": "silent", "on": "source_silent", "group_by": "device", "severity": "warning"},
    {"id": "warm", "on": "condition_breached", "group_by": "lot"},
]


class Fleet:
    """Two cooled containers on one book with an overdue patience; the second never says anything. Minutes from noon."""

    def __init__(self, **changes: Any) -> None:
        self.devices = Device("container-1"), Device("container-2", seed=2)
        self.store, self.clock = MemoryStore("journal"), ManualClock(NOON_MS)
        self.spine = Spine(self.store, self.clock)
        document = book_document(*self.devices, alert_rules=ALERT_RULES, **changes)
        for one in document["installations"]:
            one["overdue_after_s"] = 1_800
        self.document = document
        self.amend(document)

    def amend(self, document: dict[str, Any]) -> None:
        """The book changes."""
        assert self.spine.commit(drafts.amend, document) is not None

    def say(self, minute: float, *cells: Cell, measured: float | None = None, clock: Clock = Clock.GPS) -> None:
        """A reading of the first container arrives, measured then or earlier."""
        self.clock.at_ms = max(self.clock.at_ms, NOON_MS + round(minute * MINUTE_MS))
        at_ms = NOON_MS + round((minute if measured is None else measured) * MINUTE_MS)
        reading = self.devices[0].measure(at_ms, *cells, clock=clock)
        self.spine.take([self.devices[0].arrival([reading], received_at_ms=self.clock.at_ms)])

    def tick(self, minute: float, **heard: int) -> None:
        """Time comes this far."""
        self.clock.at_ms = max(self.clock.at_ms, NOON_MS + round(minute * MINUTE_MS))
        self.spine.tick(**heard)

    def told(self, bookmark: Bookmark = NOWHERE) -> Told:
        """What the journal tells a series that stands at a bookmark."""
        gathering = Gathering(bookmark)
        for written in self.store.entries(bookmark.entry):
            gathering.add(form.read_entry(written), self.store.events_of(written.number))
        return gathering.told()

    def gauges(self, kind: str, subject: str) -> list[Gauge]:
        """Gauges about one subject."""
        return [one for one in self.told().gauges if (one.kind, one.subject) == (kind, subject)]

    def column(self, kind: str, subject: str, *names: str) -> list[tuple[Any, ...]]:
        """Values by minute."""
        return [
            ((one.at_ms - NOON_MS) // MINUTE_MS, *(one.values.get(name) for name in names))
            for one in self.gauges(kind, subject)
        ]


def cold(value_mc: int = 5_000) -> tuple[Cell, ...]:
    """Cells of a place at sea and a temperature."""
    return (*position(AT_SEA), temperature(value_mc))


def eventful() -> Fleet:
    """A breach, a silence, a clock that is not set, a margin call, a theft of the key, and time passing."""
    policies = [
        {"id": "strict", "covenants": {"warning_bp": 100, "call_bp": 200, "default_bp": 19_000, "cure_s": 3_600}}
    ]
    fleet = Fleet(policies=policies)
    fleet.say(0, *cold())
    fleet.amend({"facilities": [{**fleet.document["facilities"][0], "policy": "strict"}]})
    fleet.say(2, *cold(9_000))
    fleet.say(20, *cold(9_000))
    fleet.tick(21)
    fleet.say(22, *cold(), clock=Clock.UNSET)
    fleet.say(23, *position(IN_LOS_ANGELES), temperature(5_000))
    fleet.tick(120)
    fleet.say(121, *cold(), measured=30)
    fleet.tick(140)
    for one in [*fleet.spine.state.alerts.values()]:
        fleet.spine.commit(drafts.acknowledge, one.id, "somebody")
    forged = Device("container-1", seed=1)
    forged.measure(NOON_MS, *cold(1_000))
    fleet.spine.take([forged.arrival(received_at_ms=fleet.clock.at_ms)])
    fleet.tick(160)
    return fleet
