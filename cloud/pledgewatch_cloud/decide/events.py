"""Events: what `step` found, in the past tense.

An event's content depends on readings, the book and the passing of time alone, never on when or in which order they
arrived. So two folds of the same readings give equal events, and the difference between what had been said and what is
true now is a difference of sets.

Its id says where it was said: `<entry>.<place in the entry>`. When later news shows that it was wrong, a retraction
names it, and the event that stands in its stead, if there is one, says what it replaces. What follows from late
readings or from an amendment of the book is marked so.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

Fact = tuple[str, int | str]


class EventType(StrEnum):
    """Every kind of event there is: those of the asset half, then of the alert half and the facility half, of what
    others say of the trade, and of what warehouses keep."""

    FENCE_ENTERED = "fence_entered"
    FENCE_LEFT = "fence_left"
    FENCE_CONFIRMED = "fence_confirmed"
    CONDITION_KNOWN = "condition_known"
    CONDITION_BREACHED = "condition_breached"
    CONDITION_RESTORED = "condition_restored"
    CONDITION_UNKNOWN = "condition_unknown"
    CONDITION_KNOWN_AGAIN = "condition_known_again"
    MKT_KNOWN = "mkt_known"
    MKT_EXCEEDED = "mkt_exceeded"
    MKT_UNCERTAIN = "mkt_uncertain"
    MKT_RESTORED = "mkt_restored"
    SOURCE_OVERDUE = "source_overdue"
    SOURCE_FELL_SILENT = "source_fell_silent"
    SOURCE_REPORTED_AGAIN = "source_reported_again"
    EVIDENCE_DOUBTED = "evidence_doubted"
    EVIDENCE_RESTORED = "evidence_restored"
    EVENT_RETRACTED = "event_retracted"
    TAMPER_SUSPECTED = "tamper_suspected"
    CLOCK_DOUBTED = "clock_doubted"

    ALERT_OPENED = "alert_opened"
    ALERT_ACKNOWLEDGED = "alert_acknowledged"
    ALERT_ESCALATED = "alert_escalated"
    ALERT_DE_ESCALATED = "alert_de_escalated"
    ALERT_REPEATED = "alert_repeated"
    ALERT_AMENDED = "alert_amended"
    ALERT_CLEARED = "alert_cleared"
    ALERT_WITHDRAWN = "alert_withdrawn"
    ALERT_COMMENTED = "alert_commented"
    ALERT_SILENCED = "alert_silenced"
    ALERT_SILENCE_LIFTED = "alert_silence_lifted"
    BASE_RECOMPUTED = "base_recomputed"
    COVENANT_BREACHED = "covenant_breached"
    MARGIN_CALLED = "margin_called"
    COVER_RESTORED = "cover_restored"
    MILESTONE_MET = "milestone_met"
    MILESTONE_RELEASED = "milestone_released"
    MILESTONE_HELD = "milestone_held"
    MILESTONE_RETRACTED = "milestone_retracted"
    MILESTONE_RESUMED = "milestone_resumed"
    MILESTONE_QUESTIONED = "milestone_questioned"
    MILESTONE_REAFFIRMED = "milestone_reaffirmed"
    MILESTONE_EXPIRED = "milestone_expired"
    MILESTONE_WAIVED = "milestone_waived"
    MILESTONE_UNBOOKED = "milestone_unbooked"
    NOTICE_TAKEN = "notice_taken"
    NOTICE_WITHDRAWN = "notice_withdrawn"
    STOCK_REPORTED = "stock_reported"
    RECEIPT_CHANGED = "receipt_changed"
    GOODS_LEFT = "goods_left"
    GOODS_ACCOUNTED_FOR = "goods_accounted_for"
    SHORTFALL_FOUND = "shortfall_found"
    SHORTFALL_ENDED = "shortfall_ended"
    CASE_OPENED = "case_opened"
    CASE_AMENDED = "case_amended"
    CASE_CLOSED = "case_closed"
    COUNT_TAKEN = "count_taken"


class Event(NamedTuple):
    """One event. `subject` is what it is about: an asset, an alert's group, a facility; `facts` ascend by name."""

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


class Found(NamedTuple):
    """An event as a fold finds it. `told_ms`: the first moment of the fold's own time at which it is found."""

    event: Event
    told_ms: int


class Because(StrEnum):
    """Why an event was said, where it was not simply found when its time had come."""

    LATE_READING = "late_reading"
    AMENDED_BOOK = "amended_book"


class SaidEvent(NamedTuple):
    """An event with its id, as it stands in the journal. `replaces` is the id of the event in whose stead it stands,
    `because` a Because or empty."""

    id: str
    event: Event
    told_ms: int = 0
    replaces: str = ""
    because: str = ""


# What a fold of an asset finds, and so finds again.
FOLDED_TYPES = frozenset(
    {
        EventType.FENCE_ENTERED,
        EventType.FENCE_LEFT,
        EventType.FENCE_CONFIRMED,
        EventType.CONDITION_KNOWN,
        EventType.CONDITION_BREACHED,
        EventType.CONDITION_RESTORED,
        EventType.CONDITION_UNKNOWN,
        EventType.CONDITION_KNOWN_AGAIN,
        EventType.MKT_KNOWN,
        EventType.MKT_EXCEEDED,
        EventType.MKT_UNCERTAIN,
        EventType.MKT_RESTORED,
        EventType.SOURCE_OVERDUE,
        EventType.SOURCE_FELL_SILENT,
        EventType.SOURCE_REPORTED_AGAIN,
        EventType.EVIDENCE_DOUBTED,
        EventType.EVIDENCE_RESTORED,
    }
)
# What makes two events of one type tell of the same thing at different moments.
_ABOUT = ("fence", "lot", "limit", "device", "channel", "doubt", "kind")


def event(event_type: EventType, at_ms: int, subject: str, **facts: int | str) -> Event:
    """An event with its facts in order."""
    return Event(event_type, at_ms, subject, tuple(sorted(facts.items())))


def from_json(value: dict[str, Any]) -> Event:
    """The inverse of Event.as_json."""
    return event(EventType(value["type"]), value["at_ms"], value["subject"], **value["facts"])


def retraction(said_id: str, said: Event) -> Event:
    """The event that takes back what was said. It names the lot, where there is one, so that it is told to who was
    told of that, and to nobody else."""
    facts: dict[str, int | str] = {"retracted": said_id, "retracted_type": said.type.value}
    facts |= {name: value for name, value in said.facts if name == "lot"}
    return event(EventType.EVENT_RETRACTED, said.at_ms, said.subject, **facts)


class Amended(NamedTuple):
    """What later news makes of what had been said: what is taken back, and what is new with what it replaces."""

    retracted: list[SaidEvent]
    news: list[tuple[Found, str]]


def difference(said: Iterable[SaidEvent], found: Iterable[Found]) -> Amended:
    """What must be retracted of what was said, and what is new in what is found; both in their given order.

    A new event replaces a retracted one of its type that tells of the same thing, the first of them first.
    """
    said, found = list(said), list(found)
    true_now = {one.event for one in found}
    said_before = {one.event for one in said}
    retracted = [one for one in said if one.event not in true_now]
    replaceable: dict[tuple[object, ...], list[str]] = {}
    for one in reversed(retracted):
        replaceable.setdefault(_about(one.event), []).append(one.id)
    news = []
    for one_found in found:
        if one_found.event not in said_before:
            before = replaceable.get(_about(one_found.event))
            news.append((one_found, before.pop() if before else ""))
    return Amended(retracted, news)


def _about(one: Event) -> tuple[object, ...]:
    facts = dict(one.facts)
    return (one.type, one.subject, *(facts.get(name) for name in _ABOUT))
