"""The facility half: events of the asset half, the book and prices turned into alerts, values and milestones.

It never looks at a reading. For every asset it keeps which breaches, restorations and arrivals stand, each by the id
of the event that said it, so that a retraction takes out exactly what it names. After each entry, what should be true
of a facility is worked out from those facts and compared with what was last announced; only differences are said.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import alerts, milestones
from pledgewatch_cloud.decide.alerts import AlertState
from pledgewatch_cloud.decide.book import Book, Lot, Milestone
from pledgewatch_cloud.decide.events import Event, EventType, SaidEvent, event
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.milestones import MilestoneState
from pledgewatch_cloud.decide.valuation import FacilityValue, facility_value

MAX_ARRIVALS_PER_FENCE = 64  # the earliest are kept: they are what milestones rest on
MAX_BREACHES_PER_ASSET = 256  # the first and the newest are kept


class Turn(NamedTuple):
    """A breach of a lot's condition, or its end."""

    lot: str
    channel: str
    at_ms: int


class Breach(NamedTuple):
    """A breach that stands, and when it ended, if it has."""

    turn: Turn
    ended_ms: int | None


class AssetFacts(NamedTuple):
    """What stands for one asset.

    `arrivals`: fence → ((event id, at_ms), …). `silences`: silent device → (event id, last_ms) of its newest silence.
    The others by event id.
    """

    arrivals: Mapping[str, tuple[tuple[str, int], ...]] = {}
    breaches: Mapping[str, Turn] = {}
    restorations: Mapping[str, Turn] = {}
    silences: Mapping[str, tuple[str, int]] = {}


class FacilityState(NamedTuple):
    """What the core was last told of one facility. `alert_states` by the id of the breach, `milestone_states` by id."""

    messages_sent: int = 0
    value: FacilityValue | None = None
    alert_states: Mapping[str, str] = {}
    milestone_states: Mapping[str, str] = {}


class Finding(NamedTuple):
    """A facility event and the message that carries it to the core."""

    event: Event
    message_type: MessageType
    subject: str
    data: dict[str, Any]


def absorb(facts: AssetFacts, said: SaidEvent) -> AssetFacts:  # noqa: PLR0911 - one for each kind of event
    """The facts after one more event of the asset."""
    one = said.event
    match one.type:
        case EventType.FENCE_ENTERED:
            fence = str(one.fact("fence"))
            arrivals = sorted((*facts.arrivals.get(fence, ()), (said.id, one.at_ms)), key=_by_time)
            return facts._replace(arrivals={**facts.arrivals, fence: tuple(arrivals[:MAX_ARRIVALS_PER_FENCE])})
        case EventType.CONDITION_BREACHED:
            return facts._replace(breaches=_kept({**facts.breaches, said.id: _turn(one)}))
        case EventType.CONDITION_RESTORED:
            return facts._replace(restorations=_kept({**facts.restorations, said.id: _turn(one)}))
        case EventType.DEVICE_FELL_SILENT:
            return facts._replace(silences=_newest_silence(facts.silences, said))
        case EventType.DEVICE_REPORTED_AGAIN:
            device, since_ms = one.fact("device"), one.fact("since_ms")
            left = {key: known for key, known in facts.silences.items() if key != device or known[1] != since_ms}
            return facts._replace(silences=left)
        case EventType.EVENT_RETRACTED:
            return _without(facts, str(one.fact("retracted")))
        case _:
            return facts


def judge(
    book: Book, facility: str, facts: Mapping[str, AssetFacts], before: FacilityState, now_ms: int
) -> tuple[FacilityState, list[Finding]]:
    """What must be said of a facility now, and the state after it is said."""
    lots = book.lots_of_facility(facility)
    alert_states, findings = _judge_alerts(facility, lots, facts, before.alert_states, now_ms)
    milestone_states = {}
    for milestone in book.milestones_of_facility(facility):
        state = MilestoneState(before.milestone_states.get(milestone.id, MilestoneState.WAITING))
        state, found = _judge_milestone(milestone, facts, book, state, now_ms)
        milestone_states[milestone.id] = state.value
        findings += found
    value = facility_value(book, facility)
    if value != before.value:
        found_value = event(EventType.FACILITY_VALUED, now_ms, facility, **value._asdict())
        data = {**value._asdict(), "currency": book.facilities[facility].currency}
        findings.append(Finding(found_value, MessageType.RECORD_VALUE, facility, data))
    return FacilityState(before.messages_sent + len(findings), value, alert_states, milestone_states), findings


def _judge_alerts(
    facility: str, lots: Iterable[Lot], facts: Mapping[str, AssetFacts], told: Mapping[str, str], now_ms: int
) -> tuple[dict[str, str], list[Finding]]:
    standing: dict[str, Breach] = {}
    for lot, asset_facts in _facts_of(lots, facts):
        for breach_id, turn in asset_facts.breaches.items():
            if turn.lot == lot.id:
                standing[breach_id] = Breach(turn, _ended_at(turn, asset_facts.restorations.values()))
    findings = []
    for breach_id in [*told, *(one for one in standing if one not in told)]:
        breach = standing.get(breach_id)
        was = AlertState(told.get(breach_id, AlertState.ABSENT))
        for event_type, message_type in alerts.MOVES.get((was, _alert_state(breach)), ()):
            about: dict[str, int | str] = {"alert": breach_id}
            if breach is not None:
                about |= {"lot": breach.turn.lot, "channel": breach.turn.channel}
            said = event(event_type, _moved_at(message_type, breach, now_ms), facility, **about)
            findings.append(Finding(said, message_type, breach_id, {**about, "kind": "condition_breached"}))
    states = {one: _alert_state(breach).value for one, breach in standing.items()}
    return states, findings


def _alert_state(breach: Breach | None) -> AlertState:
    if breach is None:
        return AlertState.ABSENT
    return AlertState.OPEN if breach.ended_ms is None else AlertState.CLEARED


def _moved_at(message_type: MessageType, breach: Breach | None, now_ms: int) -> int:
    """When the thing happened that the message tells of; a withdrawal happens when it is decided."""
    if breach is None:
        return now_ms
    if message_type is MessageType.RAISE_ALERT or breach.ended_ms is None:
        return breach.turn.at_ms
    return breach.ended_ms


def _judge_milestone(
    milestone: Milestone, facts: Mapping[str, AssetFacts], book: Book, state: MilestoneState, now_ms: int
) -> tuple[MilestoneState, list[Finding]]:
    lot = book.lots[milestone.lot]
    asset_facts = facts.get(lot.asset, AssetFacts())
    ground = _ground(milestone, asset_facts)
    move = milestones.MOVES.get((state, ground is not None))
    if move is None:
        return state, []
    after, event_type, message_type = move
    at_ms = ground[1] if ground else now_ms
    about: dict[str, int | str] = {"milestone": milestone.id, "lot": lot.id, "amount_minor": milestone.amount_minor}
    if ground:
        about["arrival"] = ground[0]
    data = {**about, "payee": milestone.payee, "currency": book.facilities[milestone.facility].currency}
    finding = Finding(event(event_type, at_ms, milestone.facility, **about), message_type, milestone.id, data)
    return after, [finding]


def _ground(milestone: Milestone, facts: AssetFacts) -> tuple[str, int] | None:
    """The arrival (event id, at_ms) that the milestone rests on, if its condition holds."""
    arrivals = facts.arrivals.get(milestone.destination, ())
    if not arrivals:
        return None
    broken = any(one.lot == milestone.lot and one.at_ms <= arrivals[0][1] for one in facts.breaches.values())
    return None if broken else arrivals[0]


def _facts_of(lots: Iterable[Lot], facts: Mapping[str, AssetFacts]) -> Iterator[tuple[Lot, AssetFacts]]:
    for lot in lots:
        if lot.asset in facts:
            yield lot, facts[lot.asset]


def _ended_at(breach: Turn, restorations: Iterable[Turn]) -> int | None:
    """When the breach ended: the first restoration of its lot and channel that is not before it."""
    ends = [
        one.at_ms
        for one in restorations
        if (one.lot, one.channel) == (breach.lot, breach.channel) and one.at_ms >= breach.at_ms
    ]
    return min(ends, default=None)


def _turn(one: Event) -> Turn:
    return Turn(str(one.fact("lot")), str(one.fact("channel")), one.at_ms)


def _by_time(arrival: tuple[str, int]) -> tuple[int, str]:
    return arrival[1], arrival[0]


def _kept(turns: dict[str, Turn]) -> dict[str, Turn]:
    if len(turns) > MAX_BREACHES_PER_ASSET:
        del turns[sorted(turns, key=lambda one: (turns[one].at_ms, one))[1]]
    return turns


def _newest_silence(silences: Mapping[str, tuple[str, int]], said: SaidEvent) -> dict[str, tuple[str, int]]:
    """The silences after one more was said: a late story of an older one does not hide the one that lasts."""
    device, last_ms = str(said.event.fact("device")), int(said.event.fact("last_ms"))
    known = silences.get(device)
    if known is not None and known[1] > last_ms:
        return dict(silences)
    return {**silences, device: (said.id, last_ms)}


def _without(facts: AssetFacts, event_id: str) -> AssetFacts:
    arrivals = {fence: tuple(one for one in ids if one[0] != event_id) for fence, ids in facts.arrivals.items() if ids}
    return AssetFacts(
        {fence: ids for fence, ids in arrivals.items() if ids},
        {one: turn for one, turn in facts.breaches.items() if one != event_id},
        {one: turn for one, turn in facts.restorations.items() if one != event_id},
        {device: known for device, known in facts.silences.items() if known[0] != event_id},
    )
