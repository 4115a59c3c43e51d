"""Events: what `step` found, in the past tense.

An event's content depends on readings, the book and the passing of time alone, never on when or in which order they
arrived. So two folds of the same readings give equal events, and the difference between what had been said and what is
true now is a difference of sets.

Its id says where it was said: `<entry>.<place in the entry>`.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

Fact = tuple[str, int | str]


class EventType(StrEnum):
    """Every kind of event there is. The asset half says the first group, the facility half the second."""

    FENCE_ENTERED = "fence_entered"
    FENCE_LEFT = "fence_left"
    CONDITION_BREACHED = "condition_breached"
    CONDITION_RESTORED = "condition_restored"
    DEVICE_FELL_SILENT = "device_fell_silent"
    DEVICE_REPORTED_AGAIN = "device_reported_again"
    EVENT_RETRACTED = "event_retracted"
    TAMPER_SUSPECTED = "tamper_suspected"

    ALERT_OPENED = "alert_opened"
    ALERT_CLEARED = "alert_cleared"
    ALERT_WITHDRAWN = "alert_withdrawn"
    FACILITY_VALUED = "facility_valued"
    MILESTONE_MET = "milestone_met"
    MILESTONE_QUESTIONED = "milestone_questioned"
    MILESTONE_REAFFIRMED = "milestone_reaffirmed"


class Event(NamedTuple):
    """One event. `subject` is the asset or the facility that it is about; `facts` ascend by name."""

    type: EventType
    at_ms: int
    subject: str
    facts: tuple[Fact, ...]

    def fact(self, name: str) -> int | str:
        """The value of a fact. Raises KeyError where the event has none of that name."""
        return dict(self.facts)[name]

    def as_json(self) -> dict[str, Any]:
        """The event as a JSON object."""
        return {"type": self.type, "at_ms": self.at_ms, "subject": self.subject, "facts": dict(self.facts)}


class SaidEvent(NamedTuple):
    """An event with its id, as it stands in the journal."""

    id: str
    event: Event


def event(event_type: EventType, at_ms: int, subject: str, **facts: int | str) -> Event:
    """An event with its facts in order."""
    return Event(event_type, at_ms, subject, tuple(sorted(facts.items())))


def from_json(value: dict[str, Any]) -> Event:
    """The inverse of Event.as_json."""
    return event(EventType(value["type"]), value["at_ms"], value["subject"], **value["facts"])


def retraction(said_id: str, said: Event) -> Event:
    """The event that takes back what was said."""
    facts = {"retracted": said_id, "retracted_type": said.type.value}
    return event(EventType.EVENT_RETRACTED, said.at_ms, said.subject, **facts)


def difference(said: Iterable[SaidEvent], found: Iterable[Event]) -> tuple[list[SaidEvent], list[Event]]:
    """What must be retracted of what was said, and what is new in what is found; both in their given order."""
    found = list(found)
    true_now = set(found)
    said = list(said)
    said_before = {one.event for one in said}
    return [one for one in said if one.event not in true_now], [one for one in found if one not in said_before]
