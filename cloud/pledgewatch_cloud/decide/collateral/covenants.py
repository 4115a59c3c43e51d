"""Covenants: how near a facility is to lending more than its goods bear, and what follows.

    clear ──► warned ──► called ──► default
      ▲          │          │          │
      └──────────┴──────────┴──────────┘   cover is restored

A level is reached when the loan to value is at or above it, and left only below the level less `clear_bp`
(hysteresis), so that a price that wavers raises no alarm each day. A margin is called too where the loan exceeds the
base or the limit, and is over only where they exceed the loan by `clear_bp`, whatever the ratio: also where nothing is
eligible and there is no ratio, as when goods are not heard of, which is no default by itself. Who has not answered a
call `cure_s` after it was made is in default. Too little of a SKU warns; whoever is warned, for whatever reason, is
clear again only with `clear_bp` more of it than is asked.

What is reached is not left by the same base, so to judge it again says nothing; and no call is of nothing, for what is
reached or held is owed beyond what would end it (tests/test_covenant_laws.py).
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral.result import STEPS, TESTS, Base, LotLine
from pledgewatch_cloud.decide.collateral.terms import CLASSES, Covenants, Policy
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.stretches import NEVER

CHOICES_MAX = 10


class Cover(IntEnum):
    """How a facility stands to its covenants, from well to worst."""

    CLEAR = 0
    WARNED = 1
    CALLED = 2
    DEFAULT = 3


class Covenant(NamedTuple):
    """Where a facility stands. `call_minor` is the cash that was called when so much was outstanding, `cure_by_ms` when
    it must have come."""

    cover: Cover = Cover.CLEAR
    call_minor: int = 0
    outstanding_minor: int = 0
    cure_by_ms: int = NEVER


class Move(NamedTuple):
    """What happened, and how the core is told."""

    event_type: EventType
    message_type: MessageType
    covenant: Covenant


_BREACH = EventType.COVENANT_BREACHED, MessageType.RECORD_BREACH
_CALL = EventType.MARGIN_CALLED, MessageType.CALL_MARGIN
_RESTORED = EventType.COVER_RESTORED, MessageType.RECORD_COVER
MOVES: dict[tuple[Cover, Cover], tuple[tuple[EventType, MessageType], ...]] = {
    (Cover.CLEAR, Cover.WARNED): (_BREACH,),
    (Cover.CLEAR, Cover.CALLED): (_BREACH, _CALL),
    (Cover.CLEAR, Cover.DEFAULT): (_BREACH, _CALL),
    (Cover.WARNED, Cover.CALLED): (_BREACH, _CALL),
    (Cover.WARNED, Cover.DEFAULT): (_BREACH, _CALL),
    (Cover.CALLED, Cover.DEFAULT): (_BREACH,),
    (Cover.WARNED, Cover.CLEAR): (_RESTORED,),
    (Cover.CALLED, Cover.CLEAR): (_RESTORED,),
    (Cover.CALLED, Cover.WARNED): (_RESTORED,),
    (Cover.DEFAULT, Cover.CLEAR): (_RESTORED,),
    (Cover.DEFAULT, Cover.WARNED): (_RESTORED,),
}
"""What each change of cover is told as. From default nobody goes back to called: only cover ends it."""


def judge(
    before: Covenant, base: Base, terms: Covenants, now_ms: int, stock: Mapping[str, int]
) -> tuple[Covenant, list[Move]]:
    """Where a facility stands with a base, and what has happened. `stock`: how many units of each SKU that the terms
    ask for are eligible."""
    cover = _reached(before.cover, base, terms)
    if cover is Cover.CLEAR and _is_short(before.cover, terms, stock):
        cover = Cover.WARNED
    if before.cover is Cover.CALLED and cover is Cover.CALLED and now_ms >= before.cure_by_ms:
        cover = Cover.DEFAULT
    if before.cover is Cover.DEFAULT and cover is Cover.CALLED:
        cover = Cover.DEFAULT
    if cover < Cover.CALLED:
        after = Covenant(cover)
    elif before.cover < Cover.CALLED:
        cure_by_ms = now_ms + 1_000 * terms.cure_s if terms.cure_s else NEVER
        after = Covenant(cover, call_minor(base, terms), base.outstanding_minor, cure_by_ms)
    else:
        after = before._replace(cover=cover)
    told = MOVES.get((before.cover, cover), ())
    if before.cover >= Cover.CALLED and cover >= Cover.CALLED:
        needed_minor = call_minor(base, terms)
        if needed_minor > _unpaid_minor(before, base):
            after = after._replace(call_minor=needed_minor, outstanding_minor=base.outstanding_minor)
            told = (*told, _CALL)
    return after, [Move(event_type, message_type, after) for event_type, message_type in told]


def _unpaid_minor(called: Covenant, base: Base) -> int:
    """What is still to be paid of what was called."""
    return max(0, called.call_minor - max(0, called.outstanding_minor - base.outstanding_minor))


def is_called(base: Base, terms: Covenants) -> bool:
    """Whether a margin would be called on a base that nothing was said of before."""
    return _reached(Cover.CLEAR, base, terms) >= Cover.CALLED


def call_minor(base: Base, terms: Covenants) -> int:
    """The cash that ends a call: it brings the loan under the base and the limit with `clear_bp` to spare, and the
    ratio below its level less `clear_bp`: to a basis point less, for ratios are rounded up to whole ones."""
    most = _lendable_minor(base) * money.BASIS_POINTS // (money.BASIS_POINTS + terms.clear_bp)
    level_bp = terms.call_bp or terms.default_bp
    if level_bp:
        most = min(most, base.eligible_minor * max(0, level_bp - terms.clear_bp - 1) // money.BASIS_POINTS)
    return max(0, base.outstanding_minor - most)


class Choice(NamedTuple):
    """What may be mended instead of paying: the lot, the ineligible, and the advance that comes back at most. Later
    steps may take of it again."""

    lot: str
    ineligible: str
    at_most_minor: int


MENDABLE = frozenset(TESTS) - {"condition", "age", "slow"} | {"evidence_ageing"}
"""What somebody can do something about: bring evidence, quotes, papers, a receipt, a count, or move the goods."""


def choices(lines: Sequence[LotLine], policy: Policy) -> list[Choice]:
    """The ineligibles that would bring back most, each by itself; at most CHOICES_MAX. Goods that are where they may
    not be, or where nothing is lent on them, may be moved to where most is lent. None: only cash ends the call."""
    advance_bp = dict(zip(CLASSES, policy.advance_bp, strict=True))
    moved_bp = max(policy.advance_bp)
    found = [
        Choice(one.id, name, amount * (moved_bp if name == "place" else advance_bp[one.in_class]) // money.BASIS_POINTS)
        for one in lines
        for name, amount in one.ineligible.items()
        if name in MENDABLE
    ]
    order = {name: place for place, name in enumerate(STEPS)}
    found.sort(key=lambda one: (-one.at_most_minor, one.lot, order[one.ineligible]))
    return [one for one in found[:CHOICES_MAX] if one.at_most_minor]


def _lendable_minor(base: Base) -> int:
    return min(base.base_minor, base.limit_minor) if base.limit_minor else base.base_minor


def _reached(before: Cover, base: Base, terms: Covenants) -> Cover:
    """How far it has come by the loan alone."""
    levels = ((Cover.DEFAULT, terms.default_bp), (Cover.CALLED, terms.call_bp), (Cover.WARNED, terms.warning_bp))
    for cover, level_bp in levels:
        spare_bp = terms.clear_bp if before >= cover else 0
        if level_bp and base.outstanding_minor and base.ltv_bp >= level_bp - spare_bp:
            return cover
        if cover is Cover.CALLED and base.headroom_minor * money.BASIS_POINTS < spare_bp * base.outstanding_minor:
            return cover
    return Cover.CLEAR


def _is_short(before: Cover, terms: Covenants, stock: Mapping[str, int]) -> bool:
    """Whether less of a SKU is there than is asked."""
    spare_bp = terms.clear_bp if before >= Cover.WARNED else 0
    asked = ((sku, least * (money.BASIS_POINTS + spare_bp)) for sku, least in terms.minimum)
    return any(stock[sku] * money.BASIS_POINTS < least for sku, least in asked)
