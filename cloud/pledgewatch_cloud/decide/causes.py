"""Causes: what stands of the events about an asset, as spells that began, and ended or not.

Each event that begins something is a cause by its own id; each that ends something is kept too, and which of them ends
which follows from their times. So a retraction takes out exactly the event it names, and late news needs no history.

All is bounded, each kind for itself and of each lot, so that what goods of one bank suffer drives out nothing of
another's beside them: of very many the earliest and the newest are kept, for milestones rest on the former and alerts
on the latter. What has ended goes first, and no end goes without what it ended: else that would seem
to go on. What is forgotten of a lot's doubts is remembered as a moment: from then on the lot's condition cannot be
shown to have been kept.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from pledgewatch_cloud.decide.events import EventType, SaidEvent
from pledgewatch_cloud.decide.stretches import NEVER, Stretches

MAX_ARRIVALS_PER_FENCE = 64  # the earliest are kept: they are what milestones rest on
MAX_PER_KIND = 256  # of one asset's causes, and of its ends; of those about lots, of each lot's


class Arrival(NamedTuple):
    """An entry into a fence, or its confirmation by a better fix. `id` is the event's."""

    id: str
    at_ms: int
    grade: str


class Cause(NamedTuple):
    """Something that began. `kind` is one of alert_rules.CAUSES; `about` tells it from others of its kind; `said_ms` is
    when it was said."""

    kind: str
    about: str
    at_ms: int
    severity: str = ""
    lot: str = ""
    device: str = ""
    fence: str = ""
    said_ms: int = 0


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

    `known`: since when the condition is known, as (lot, limit, at_ms) by the id of the event; the limit is empty for
    the mean kinetic temperature. `forgotten`: by lot, the earliest of the doubts that there was no room for.
    """

    arrivals: Mapping[str, tuple[Arrival, ...]] = {}
    causes: Mapping[str, Cause] = {}
    ends: Mapping[str, End] = {}
    known: Mapping[str, tuple[str, str, int]] = {}
    forgotten: Mapping[str, int] = {}


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
    EventType.GOODS_LEFT: "goods_left",
    EventType.SHORTFALL_FOUND: "stock_short",
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
    EventType.GOODS_ACCOUNTED_FOR: ("goods_left",),
    EventType.SHORTFALL_ENDED: ("stock_short",),
}
DOUBTS = frozenset({"condition_breached", "condition_unknown", "mkt_exceeded", "mkt_uncertain"})
"""What stands against a lot's condition."""
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
    "goods": ("lot", "receipt", "line"),
    "shortfall": ("lot",),
    "stock": ("lot",),
}


def named_by(cause: Cause) -> dict[str, str]:
    """What a cause is about, by the names that its event had for it; `total` is of a lasting breach."""
    kind = cause.kind.partition("_")[0]
    names = (*_ABOUT.get(kind, ()), *(("total",) if kind == "condition" else ()))
    return {name: word for name, word in zip(names, cause.about.split("|"), strict=False) if word}


def absorb(facts: AssetFacts, said: SaidEvent, now_ms: int) -> AssetFacts:
    """What stands after one more event of the asset, which is said at `now_ms`."""
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
    if one.type in (EventType.CONDITION_KNOWN, EventType.MKT_KNOWN):
        since = (str(known["lot"]), str(known.get("limit", "")), one.at_ms)
        return facts._replace(known={**facts.known, said.id: since})
    if one.type in _ENDS:
        facts = facts._replace(ends={**facts.ends, said.id: End(_ENDS[one.type], about, one.at_ms)})
        facts = _with_room_for_ends(facts, _ENDS[one.type], _lot_of(_ENDS[one.type][0], about))
    if one.type in _BEGINS:
        lasting = f"|{known['kind']}" if known.get("kind") in _LASTING else ""
        severity, lot, device, fence = (str(known.get(name, "")) for name in ("severity", "lot", "device", "fence"))
        cause = Cause(_BEGINS[one.type], about + lasting, one.at_ms, severity, lot, device, fence, now_ms)
        facts = _with_room_for_causes(facts._replace(causes={**facts.causes, said.id: cause}), cause)
    return facts


def spells(facts: AssetFacts) -> Iterator[Spell]:
    """Every cause in order of time, with its end: the first end about the same thing that is not before it."""
    return _spells(facts.causes, facts.ends.values())


def spells_of_kinds(facts: AssetFacts, kinds: AbstractSet[str]) -> Iterator[Spell]:
    """Those of `spells` whose causes are of some kinds, without a look at the others."""
    causes = {key: one for key, one in facts.causes.items() if one.kind in kinds}
    return _spells(causes, (one for one in facts.ends.values() if not kinds.isdisjoint(one.kinds)))


def _spells(causes: Mapping[str, Cause], some_ends: Iterable[End]) -> Iterator[Spell]:
    """The spells of some causes. The ends of other things may be left out."""
    if not causes:
        return
    ends: dict[tuple[str, str], list[int]] = {}
    for one in sorted(some_ends, key=lambda end: end.at_ms):
        for kind in one.kinds:
            ends.setdefault((kind, one.about), []).append(one.at_ms)
    for identity, cause in sorted(causes.items(), key=lambda one: (one[1].at_ms, one[0])):
        moments = ends.get((cause.kind, cause.about), [])
        place = bisect_left(moments, cause.at_ms)
        yield Spell(identity, cause, moments[place] if place < len(moments) else None)


def in_stay(one: Spell, there: Stretches) -> Spell:
    """A spell that is about a lot which is in the asset at times.

    Whatever goes on in an asset is over for a lot that leaves it. What was reached once, a total or a mean kinetic
    temperature, is not.
    """
    cause = one.cause
    left_ms = min((until_ms for _, until_ms in there if until_ms >= cause.at_ms), default=NEVER)
    if left_ms == NEVER or not cause.kind.startswith("condition_") or cause.about.count("|") > 1:
        return one
    return one._replace(ended_ms=left_ms if one.ended_ms is None else min(one.ended_ms, left_ms))


def _without(facts: AssetFacts, event_id: str) -> AssetFacts:
    arrivals = {fence: tuple(one for one in some if one.id != event_id) for fence, some in facts.arrivals.items()}
    return AssetFacts(
        {fence: some for fence, some in arrivals.items() if some},
        {key: one for key, one in facts.causes.items() if key != event_id},
        {key: one for key, one in facts.ends.items() if key != event_id},
        {key: one for key, one in facts.known.items() if key != event_id},
        facts.forgotten,
    )


def _by_time(arrival: Arrival) -> tuple[int, str]:
    return arrival.at_ms, arrival.id


def _lot_of(kind: str, about: str) -> str:
    """The lot that causes of a kind are about; empty where they are about none."""
    return about.partition("|")[0] if _ABOUT[kind.partition("_")[0]][0] == "lot" else ""


def _with_room_for_causes(facts: AssetFacts, like: Cause) -> AssetFacts:
    """Where there are too many causes of a kind, without the middle one of those that have ended, or else of all."""
    wanted = like.kind, like.lot
    own = {key: one for key, one in facts.causes.items() if (one.kind, one.lot) == wanted}
    if len(own) <= MAX_PER_KIND:
        return facts
    of_kind = list(_spells(own, (one for one in facts.ends.values() if like.kind in one.kinds)))
    ended = [spell for spell in of_kind if spell.ended_ms is not None] or of_kind
    return _forgetting(facts, [ended[len(ended) // 2]])


def _with_room_for_ends(facts: AssetFacts, kinds: tuple[str, ...], lot: str) -> AssetFacts:
    """Where there are too many ends of some kinds, without one of them and what it ended.

    One from the middle after which the same has ended again: whatever is said late of the time before ends there.
    """
    own = {key: one for key, one in facts.ends.items() if one.kinds == kinds and _lot_of(kinds[0], one.about) == lot}
    if len(own) <= MAX_PER_KIND:
        return facts
    of_kinds = sorted((one.at_ms, key) for key, one in own.items())
    newest = {facts.ends[key].about: key for _, key in of_kinds}
    older = [key for _, key in of_kinds if newest[facts.ends[key].about] != key]
    key = older[len(older) // 2] if older else of_kinds[0][1]
    gone = facts.ends[key]
    same = {key: one for key, one in facts.causes.items() if one.kind in kinds and one.about == gone.about}
    about_it = (one for one in facts.ends.values() if one.about == gone.about)
    ended = [spell for spell in _spells(same, about_it) if spell.ended_ms == gone.at_ms]
    facts = facts._replace(ends={one: end for one, end in facts.ends.items() if one != key})
    return _forgetting(facts, ended)


def _forgetting(facts: AssetFacts, some: list[Spell]) -> AssetFacts:
    """The facts without the causes of some spells; how far back a lot's doubts are forgotten is remembered."""
    gone = {spell.id for spell in some}
    forgotten = dict(facts.forgotten)
    for _, cause, _ in some:
        if cause.kind in DOUBTS:
            forgotten[cause.lot] = min(cause.at_ms, forgotten.get(cause.lot, cause.at_ms))
    return facts._replace(
        causes={key: one for key, one in facts.causes.items() if key not in gone}, forgotten=forgotten
    )
