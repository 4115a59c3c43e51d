"""Causes: what stands of the events about an asset, as spells that began, and ended or not.

Each event that begins something is a cause by its own id; each that ends something is kept too, and which of them ends
which follows from their times. So a retraction takes out exactly the event it names, and late news needs no history.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.events import EventType, SaidEvent

MAX_ARRIVALS_PER_FENCE = 64  # the earliest are kept: they are what milestones rest on
MAX_CAUSES_PER_ASSET = 512  # the first and the newest are kept


class Arrival(NamedTuple):
    """An entry into a fence, or its confirmation by a better fix. `id` is the event's."""

    id: str
    at_ms: int
    grade: str


class Cause(NamedTuple):
    """Something that began. `kind` is one of book_items.CAUSES; `about` tells it from others of its kind."""

    kind: str
    about: str
    at_ms: int
    severity: str = ""
    lot: str = ""
    device: str = ""
    fence: str = ""


class End(NamedTuple):
    """What ends causes of some kinds about the same thing."""

    kinds: tuple[str, ...]
    about: str
    at_ms: int


class Spell(NamedTuple):
    """A cause with the id of the event that said it, and when it ended, if it has."""

    id: str
    cause: Cause
    ended_ms: int | None


class AssetFacts(NamedTuple):
    """What stands for one asset: arrivals by fence, causes and ends by the id of their event.

    `known`: since when the condition is known, as (lot, limit, at_ms) by the id of the event.
    """

    arrivals: Mapping[str, tuple[Arrival, ...]] = {}
    causes: Mapping[str, Cause] = {}
    ends: Mapping[str, End] = {}
    known: Mapping[str, tuple[str, str, int]] = {}


_BEGINS = {
    EventType.CONDITION_BREACHED: "condition_breached",
    EventType.CONDITION_UNKNOWN: "condition_unknown",
    EventType.MKT_EXCEEDED: "mkt_exceeded",
    EventType.MKT_UNCERTAIN: "mkt_uncertain",
    EventType.SOURCE_FELL_SILENT: "source_silent",
    EventType.SOURCE_OVERDUE: "source_overdue",
    EventType.EVIDENCE_DOUBTED: "evidence_doubted",
    EventType.FENCE_ENTERED: "fence_entered",
    EventType.FENCE_LEFT: "fence_left",
    EventType.TAMPER_SUSPECTED: "tamper_suspected",
    EventType.CLOCK_DOUBTED: "clock_doubted",
}
_ENDS: dict[EventType, tuple[str, ...]] = {
    EventType.CONDITION_RESTORED: ("condition_breached",),
    EventType.CONDITION_KNOWN_AGAIN: ("condition_unknown",),
    EventType.MKT_RESTORED: ("mkt_exceeded", "mkt_uncertain"),
    EventType.MKT_EXCEEDED: ("mkt_uncertain",),
    EventType.MKT_UNCERTAIN: ("mkt_exceeded",),
    EventType.SOURCE_REPORTED_AGAIN: ("source_silent", "source_overdue"),
    EventType.EVIDENCE_RESTORED: ("evidence_doubted",),
    EventType.FENCE_LEFT: ("fence_entered",),
    EventType.FENCE_ENTERED: ("fence_left",),
}
# What a breach of a total is about no value restores.
_LASTING = ("cumulative", "budget")
_ABOUT = {
    "condition": ("lot", "limit"),
    "mkt": ("lot",),
    "source": ("device", "channel"),
    "evidence": ("device", "channel", "doubt"),
    "fence": ("fence",),
    "tamper": ("device", "epoch", "sequence"),
    "clock": ("device", "doubt"),
}


def absorb(facts: AssetFacts, said: SaidEvent) -> AssetFacts:
    """What stands after one more event of the asset."""
    one = said.event
    if one.type is EventType.EVENT_RETRACTED:
        return _without(facts, str(one.fact("retracted")))
    known = dict(one.facts)
    names = _ABOUT.get(one.type.partition("_")[0], ())
    about = "|".join(str(known.get(name, "")) for name in names)
    if one.type in (EventType.FENCE_ENTERED, EventType.FENCE_CONFIRMED):
        arrival = Arrival(said.id, one.at_ms, str(known["grade"]))
        arrivals = sorted((*facts.arrivals.get(str(known["fence"]), ()), arrival), key=_by_time)
        kept = tuple(arrivals[:MAX_ARRIVALS_PER_FENCE])
        facts = facts._replace(arrivals={**facts.arrivals, str(known["fence"]): kept})
    if one.type is EventType.CONDITION_KNOWN:
        since = (str(known["lot"]), str(known["limit"]), one.at_ms)
        return facts._replace(known={**facts.known, said.id: since})
    if one.type in _ENDS:
        facts = facts._replace(ends=_bounded({**facts.ends, said.id: End(_ENDS[one.type], about, one.at_ms)}))
    if one.type in _BEGINS:
        lasting = f"|{known['kind']}" if known.get("kind") in _LASTING else ""
        cause = Cause(
            _BEGINS[one.type],
            about + lasting,
            one.at_ms,
            *(str(known.get(name, "")) for name in ("severity", "lot", "device", "fence")),
        )
        facts = facts._replace(causes=_bounded({**facts.causes, said.id: cause}))
    return facts


def spells(facts: AssetFacts) -> Iterator[Spell]:
    """Every cause in order of time, with its end: the first end about the same thing that is not before it."""
    for identity, cause in sorted(facts.causes.items(), key=lambda one: (one[1].at_ms, one[0])):
        yield Spell(identity, cause, _ended_ms(cause, facts.ends.values()))


def _ended_ms(cause: Cause, ends: Iterable[End]) -> int | None:
    found = [
        one.at_ms for one in ends if one.about == cause.about and cause.kind in one.kinds and one.at_ms >= cause.at_ms
    ]
    return min(found, default=None)


def _without(facts: AssetFacts, event_id: str) -> AssetFacts:
    arrivals = {fence: tuple(one for one in some if one.id != event_id) for fence, some in facts.arrivals.items()}
    return AssetFacts(
        {fence: some for fence, some in arrivals.items() if some},
        {key: one for key, one in facts.causes.items() if key != event_id},
        {key: one for key, one in facts.ends.items() if key != event_id},
        {key: one for key, one in facts.known.items() if key != event_id},
    )


def _by_time(arrival: Arrival) -> tuple[int, str]:
    return arrival.at_ms, arrival.id


def _bounded(some: dict[str, Any]) -> dict[str, Any]:
    if len(some) > MAX_CAUSES_PER_ASSET:
        del some[sorted(some, key=lambda one: (some[one].at_ms, one))[1]]
    return some
