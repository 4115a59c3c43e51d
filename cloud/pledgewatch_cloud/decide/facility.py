"""The facility half: what stands of an asset's events, the book and the market, turned into borrowing bases and
covenants. Milestones have a half of their own (milestones/half).

It never looks at a reading. After each entry, what should be true of a facility is worked out and compared with what
was last announced; only differences are said. Where a facility goes to another lender or borrower, its base is said
anew: who has it from then on was told of none.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral import covenants as covenants_module
from pledgewatch_cloud.decide.collateral import desk as desk_module
from pledgewatch_cloud.decide.collateral.covenants import Covenant, Cover
from pledgewatch_cloud.decide.collateral.desk import Stages
from pledgewatch_cloud.decide.collateral.loan import outstanding_minor
from pledgewatch_cloud.decide.collateral.result import NO_BASE, Base
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.stretches import NEVER


class FacilityState(NamedTuple):
    """What the core was last told of one facility."""

    messages_sent: int = 0
    base: Base | None = None
    covenant: Covenant = Covenant()


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
    before: FacilityState,
    valued: Valued,
    now_ms: int,
    *,
    is_taken_over: bool,
) -> tuple[FacilityState, list[Finding]]:
    """What must be said of a facility now, and the state once it is said (but for the messages sent). `is_taken_over`:
    it has just gone to another lender or borrower."""
    findings = []
    base = bases.base_of(valued.now, facility)
    currency = book.facilities[facility].currency
    if base != before.base or is_taken_over:
        changes = desk_module.changes(valued.before, valued.stages, facility)
        findings.append(_recomputed(facility, currency, base, changes, now_ms))
    covenant, more = _judge_covenants(book, facility, valued.now, before.covenant, base, now_ms)
    return FacilityState(before.messages_sent, base, covenant), findings + more


def check_amended(before: Book, after: Book, states: Mapping[str, FacilityState], now_ms: int) -> None:
    """Raises BookError where an amendment takes away a facility on which anything is owed or called, or turns what is
    owed into another currency: the claim would be gone, or be another one, and nobody would have been told."""
    errors = []
    for identity, was in before.facilities.items():
        now = after.facilities.get(identity)
        if now is not None and now.currency == was.currency:
            continue
        owed_minor = outstanding_minor(was, now_ms)
        is_called = states.get(identity, FacilityState()).covenant.cover >= Cover.CALLED
        if not owed_minor and not is_called:
            continue
        place = f"remove.facilities: {identity}" if now is None else f"facilities {identity}.currency: {identity}"
        owes = f"owes {owed_minor} minor units of {was.currency}" if owed_minor else "is called"
        cure = "tell its repayment as a movement first" if owed_minor else "let the repayment be judged by a tick first"
        other = "" if now is None else ", or give the line in another currency an id of its own"
        errors.append(f"{place} {owes}; {cure}{other}")
    if errors:
        raise BookError(errors)


def closed(facility: str, currency: str, before: FacilityState, valued: Valued, now_ms: int) -> list[Finding]:
    """What must be said of a facility that has left the book, on which nothing is owed: there is no base any more, so
    that what was said of it before adds up to nothing, and no covenant that could be broken."""
    if before.base is None:
        return []
    findings = []
    if before.base != NO_BASE:
        changes = desk_module.changes(valued.before, valued.stages, facility)
        findings.append(_recomputed(facility, currency, NO_BASE, changes, now_ms))
    if before.covenant.cover is not Cover.CLEAR:
        about: dict[str, int | str] = {"cover": Cover.CLEAR.name.lower(), "ltv_bp": -1, "headroom_minor": 0}
        found = event(EventType.COVER_RESTORED, now_ms, facility, **about)
        findings.append(Finding(found, MessageType.RECORD_COVER, facility, {**about, "currency": currency}))
    return findings


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
    stock = {sku: bases.eligible_units(sheet, facility, sku) for sku, _ in terms.minimum}
    after, moves = covenants_module.judge(before, base, terms, now_ms, stock)
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
