"""What is found out: events, and the alerts that they come to."""

from typing import NotRequired, TypedDict


class Comment(TypedDict):
    """What somebody said of an alert."""

    at_ms: int
    by: str
    party: str
    text: str


class Silence(TypedDict):
    """That an alert is put aside for a party, until when and why."""

    party: str
    by: str
    why: str
    at_ms: int
    until_ms: int


class Cause(TypedDict):
    """What was found of an alert, and how much it is by now."""

    event: str
    kind: str
    asset: str
    at_ms: int
    ended_ms: int | None
    lot: NotRequired[str]
    limit: NotRequired[str]
    device: NotRequired[str]
    channel: NotRequired[str]
    low: NotRequired[int | None]
    high: NotRequired[int | None]
    value: NotRequired[int]
    outside_ms: NotRequired[int]
    heard_ms: NotRequired[int]
    missing: NotRequired[int]
    quantity: NotRequired[int]
    receipt: NotRequired[str]
    cases: NotRequired[list[str]]


class Alert(TypedDict):
    """An alert as it stands."""

    id: str
    rule: str
    group: str
    state: str
    severity: str
    causes: list[str]
    since_ms: int
    opened_ms: int | None
    cleared_ms: int | None
    told_ms: int | None
    acknowledged_by: str
    acknowledged_severity: str
    unheeded: bool
    repeated_ms: int | None
    earlier: list[str]
    next_ms: int | None
    comments: list[Comment]
    silence: Silence | None
    hands: list[str]
    is_own: bool
    pledge: str
    assets: list[str]
    lots: list[str]
    receipts: list[str]
    facilities: list[str]
    told: list[Cause]


class Event(TypedDict):
    """An event as it was committed; `replaces` and `because` where something else is taken back by it."""

    id: str
    type: str
    at_ms: int
    subject: str
    facts: dict[str, int | str]
    replaces: NotRequired[str]
    because: NotRequired[str]


class Events(TypedDict):
    """A page of events."""

    events: list[Event]
    next_after_entry: int


class Payload(TypedDict):
    """What brought the reading that an event names."""

    device: str
    epoch: int
    sequence: int
    measured_ms: int
    received_ms: int
    recorded_ms: int
    entry: int
    first_sequence: int
    last_sequence: int


class EventWithSource(Event):
    """An event, with what said it and whether it stands."""

    entry: int
    recorded_ms: int
    said_by: Payload | None
    stands: bool | None
