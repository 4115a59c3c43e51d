"""The facility half: what stands of an asset's events, the book and the market, turned into borrowing bases, covenants
and milestones.

It never looks at a reading. After each entry, what should be true of a facility is worked out and compared with what
was last announced; only differences are said.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import milestones
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.book_items import Lot, Milestone
from pledgewatch_cloud.decide.causes import DOUBTS, Arrival, AssetFacts, Spell, spells
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral import covenants as covenants_module
from pledgewatch_cloud.decide.collateral import desk as desk_module
from pledgewatch_cloud.decide.collateral.covenants import Covenant, Cover
from pledgewatch_cloud.decide.collateral.desk import Stages
from pledgewatch_cloud.decide.collateral.result import Base
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.grade import GRADE_NAMES
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.milestones import MilestoneState
from pledgewatch_cloud.decide.voyage import NEVER, Leg, in_force


class FacilityState(NamedTuple):
    """What the core was last told of one facility; `milestone_states` by id.

    Milestones that have left the book are among them: what is put back must not release money again.
    """

    messages_sent: int = 0
    base: Base | None = None
    covenant: Covenant = Covenant()
    milestone_states: Mapping[str, str] = {}


class Finding(NamedTuple):
    """A facility event and the message that carries it to the core."""

    event: Event
    message_type: MessageType
    subject: str
    data: dict[str, Any]


class Valued(NamedTuple):
    """The sheet before an entry, and the stages of the entry, the last of them as it is now."""

    before: Sheet
    now: Sheet
    stages: Stages


def judge(
    book: Book,
    facility: str,
    facts: Mapping[str, AssetFacts],
    states: Mapping[str, FacilityState],
    valued: Valued,
    now_ms: int,
) -> tuple[FacilityState, list[Finding]]:
    """What must be said of a facility now, and the state once it is said (but for the messages sent).

    `states` are those of all facilities: a milestone may have been another's.
    """
    before = states.get(facility, FacilityState())
    milestone_states, findings = _judge_milestones(book, facility, facts, states, now_ms)
    base = bases.base_of(valued.now, facility)
    currency = book.facilities[facility].currency
    if base != before.base:
        changes = desk_module.changes(valued.before, valued.stages, facility)
        findings.append(_recomputed(facility, currency, base, changes, now_ms))
    covenant, more = _judge_covenants(book, facility, valued.now, before.covenant, base, now_ms)
    return FacilityState(before.messages_sent, base, covenant, milestone_states), findings + more


def covenants_due(states: Mapping[str, FacilityState], now_ms: int) -> list[str]:
    """The facilities whose margin call has not been answered in time."""
    return [
        facility
        for facility, one in states.items()
        if one.covenant.cover is Cover.CALLED and one.covenant.cure_by_ms <= now_ms
    ]


def _recomputed(facility: str, currency: str, base: Base, changes: Mapping[str, int], now_ms: int) -> Finding:
    """The base as it is now, and why it is another one than before."""
    facts: dict[str, int | str] = {name: value for name, value in base._asdict().items() if isinstance(value, int)}
    facts |= {f"ineligible_{name}": amount for name, amount in base.ineligible.items()}
    facts |= {f"change_{reason}": amount for reason, amount in changes.items()}
    data = {**base._asdict(), "changes": dict(changes), "currency": currency}
    found = event(EventType.BASE_RECOMPUTED, now_ms, facility, **facts)
    return Finding(found, MessageType.RECORD_BASE, facility, data)


def _judge_covenants(
    book: Book, facility: str, sheet: Sheet, before: Covenant, base: Base, now_ms: int
) -> tuple[Covenant, list[Finding]]:
    policy = book.policy_of(facility)
    terms = policy.covenants
    short = any(bases.eligible_units(sheet, facility, sku) < least for sku, least in terms.minimum)
    after, moves = covenants_module.judge(before, base, terms, now_ms, short=short)
    findings = []
    for one in moves:
        about: dict[str, int | str] = {
            "cover": one.covenant.cover.name.lower(),
            "ltv_bp": base.ltv_bp,
            "headroom_minor": base.headroom_minor,
        }
        data: dict[str, Any] = {**about, "currency": book.facilities[facility].currency}
        if one.event_type is EventType.MARGIN_CALLED:
            about["call_minor"] = data["call_minor"] = one.covenant.call_minor
            if one.covenant.cure_by_ms != NEVER:
                about["cure_by_ms"] = data["cure_by_ms"] = one.covenant.cure_by_ms
            lines = bases.lines_of(sheet, facility)
            data["choices"] = [choice._asdict() for choice in covenants_module.choices(lines, policy)]
        findings.append(Finding(event(one.event_type, now_ms, facility, **about), one.message_type, facility, data))
    return after, findings


def _judge_milestones(
    book: Book, facility: str, facts: Mapping[str, AssetFacts], states: Mapping[str, FacilityState], now_ms: int
) -> tuple[dict[str, str], list[Finding]]:
    """Every milestone of a facility, after what is known now."""
    before = states.get(facility, FacilityState())
    after, findings = dict(before.milestone_states), list[Finding]()
    for milestone in book.milestones_of_facility(facility):
        state = _last_state(milestone.id, before, states)
        state, found = _judge_milestone(milestone, facts, book, state, now_ms)
        after[milestone.id] = state.value
        findings += found
    return after, findings


def _last_state(milestone: str, own: FacilityState, states: Mapping[str, FacilityState]) -> MilestoneState:
    """Where a milestone stands, in its facility or in one that it belonged to before."""
    for one in (own, *states.values()):
        told = one.milestone_states.get(milestone, MilestoneState.WAITING)
        if told != MilestoneState.WAITING:
            return MilestoneState(told)
    return MilestoneState.WAITING


def _judge_milestone(
    milestone: Milestone, facts: Mapping[str, AssetFacts], book: Book, state: MilestoneState, now_ms: int
) -> tuple[MilestoneState, list[Finding]]:
    lot = book.lots[milestone.lot]
    ground = _ground(milestone, lot, book.legs_of(lot.asset), facts.get(lot.asset, AssetFacts()))
    move = milestones.MOVES.get((state, ground is not None))
    if move is None:
        return state, []
    after, event_type, message_type = move
    about: dict[str, int | str] = {"milestone": milestone.id, "lot": lot.id, "amount_minor": milestone.amount_minor}
    if ground:
        about["arrival"] = ground.id
    data = {**about, "payee": milestone.payee, "currency": book.facilities[milestone.facility].currency}
    at_ms = ground.at_ms if ground else now_ms
    finding = Finding(event(event_type, at_ms, milestone.facility, **about), message_type, milestone.id, data)
    return after, [finding]


def _ground(milestone: Milestone, lot: Lot, legs: tuple[Leg, ...], facts: AssetFacts) -> Arrival | None:
    """The arrival that the milestone rests on, if its condition holds: unknown is not fine, nor never known."""
    asked = GRADE_NAMES[milestone.grade]
    arrivals = [one for one in facts.arrivals.get(milestone.destination, ()) if GRADE_NAMES[one.grade] >= asked]
    if not arrivals:
        return None
    at_ms = arrivals[0].at_ms
    if facts.forgotten.get(lot.id, NEVER) <= at_ms or any(
        one.cause.lot == lot.id and _is_doubt(one, at_ms) for one in spells(facts)
    ):
        return None
    known = {limit for lot_id, limit, since_ms in facts.known.values() if lot_id == lot.id and since_ms <= at_ms}
    # A limit of a later leg has not been judged yet, and need not be known.
    needed = {
        one.id
        for one in lot.limits
        if any(since_ms < at_ms for since_ms, _ in in_force(legs, one.legs, without=one.ignore))
    }
    return arrivals[0] if known >= needed | ({""} if lot.kinetic else set()) else None


def _is_doubt(one: Spell, at_ms: int) -> bool:
    """Whether a spell speaks against a lot's condition up to a moment. What was uncertain of the mean kinetic
    temperature is settled by values; what was unknown of a limit stays unknown."""
    if one.cause.kind not in DOUBTS or one.cause.at_ms > at_ms:
        return False
    return one.cause.kind != "mkt_uncertain" or one.ended_ms is None or one.ended_ms > at_ms
