"""Alerts: what a person must see, as one state machine.

    pending ──lasted──► open ──acknowledged──► acknowledged
                        │  ▲ ◄──worse─────────────│
              worse, or │  │ better               │
              unheeded  ▼  │                      │
                       escalated ──acknowledged──►│
    open, acknowledged, escalated ──ended──► cleared ──runs after all──► open
    any of them ──retracted──► gone: it is withdrawn, as if it had never been

A rule says which causes make an alert; causes that share what the rule groups by share one alert, so a gateway that is
down is one alert and not four hundred. Causes about goods share one only where the goods are pledged alike, and causes
about none only where they are in the same hands: so no bank's alert rests on the goods of another, and no operator's on
the devices of another. What has come to others is another alert, of which nobody has done anything.

What alerts there should be follows from the causes that stand, by the times at which they began and ended: those that
have lasted long enough make *episodes*, one after the other, apart by the cool-down (`_episodes`). The newest episode
is the alert; what the core is told is the difference between what it was told and that. So it is level-triggered: a
restart or a replay raises nothing twice, a backlog leads to the same alerts as if it had been heard at once, whatever
its order, and everything clears by itself. An episode that began and ended before anyone was told is raised and cleared
in one breath. Of a cause that has no end yet nobody can say how long it lasted; it counts from when it was said.

The core is told of every move but the first; an alert keeps its id through late news that changes what it rests on.
Only what persons do and do not do (acknowledged, unheeded, repeated) goes by the clock on the wall. What they say of an
alert, and for whom it is silenced, goes with it and moves nothing (alert_notes.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from pledgewatch_cloud.decide import alert_notes
from pledgewatch_cloud.decide.alert_notes import Comment, Silence
from pledgewatch_cloud.decide.causes import Spell
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.items.alert_rules import AlertRule
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.stretches import NEVER

MAX_CAUSES_PER_ALERT = 256
MAX_EARLIER = 1_024

DEFAULT_RULES: tuple[AlertRule, ...] = (
    AlertRule("condition-breached", "condition_breached", "critical", (), "lot", 0, 0, 0, 0),
    AlertRule("tamper-suspected", "tamper_suspected", "critical", (), "device", 0, 0, 0, 0),
    AlertRule("source-silent", "source_silent", "warning", (), "gateway", 0, 0, 0, 0),
    AlertRule("goods-left", "goods_left", "critical", (), "lot", 0, 0, 0, 0),
    AlertRule("stock-short", "stock_short", "critical", (), "lot", 0, 0, 0, 0),
)
"""In force where the book has no rules of its own."""


class AlertState(StrEnum):
    """States of an alert."""

    PENDING = "pending"
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    ESCALATED = "escalated"
    CLEARED = "cleared"


class Alert(NamedTuple):
    """One alert. `id` is that of the cause that raised it; times in Unix milliseconds, NEVER where it has not happened.

    `causes` are the ids of the events that it rests on, `earlier` those of the alerts of its group before it; `assets`
    and `lots` are what those are or were about, `pledge` how those lots are pledged, and `hands` who can mend what is
    about no lots (see alert_half.py).
    `severity` is the worst of the causes that run, of an alert that has cleared the worst of all. `told_ms`: when it
    was raised. `next_ms`: when time alone may move it.
    """

    id: str
    rule: str
    group: str
    state: AlertState
    severity: str
    causes: tuple[str, ...]
    since_ms: int
    opened_ms: int = NEVER
    cleared_ms: int = NEVER
    told_ms: int = NEVER
    acknowledged_by: str = ""
    acknowledged_severity: str = ""
    unheeded: bool = False
    repeated_ms: int = NEVER
    earlier: tuple[str, ...] = ()
    next_ms: int = NEVER
    comments: tuple[Comment, ...] = ()
    silences: tuple[Silence, ...] = ()
    pledge: str = ""
    lots: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    hands: tuple[str, ...] = ()


class Move(NamedTuple):
    """A move of an alert, to be said and sent."""

    alert: Alert
    event_type: EventType
    message_type: MessageType
    at_ms: int


SEVERITIES = {"": 0, "warning": 1, "critical": 2}
LIVE = frozenset({AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.ESCALATED})


class _Episode(NamedTuple):
    """Causes that ran together or one into the other. `cleared_ms` NEVER: one of them still runs."""

    spells: list[Spell]
    opened_ms: int
    cleared_ms: int


def judge(
    rule: AlertRule, group: str, spells: Sequence[Spell], before: Alert | None, now_ms: int
) -> tuple[Alert | None, list[Move]]:
    """What an alert is now, from the causes of its group that stand, and the moves that lead there."""
    episodes, waiting_ms = _episodes(rule, spells, now_ms)
    told = before if before is not None and before.state is not AlertState.PENDING else None
    known = {*told.causes} if told else set()
    old = {*told.earlier} if told else set()
    own = next((one for one in reversed(episodes) if any(spell.id in known for spell in one.spells)), None)
    if own is None and told is not None and told.state in LIVE and episodes and episodes[-1].cleared_ms == NEVER:
        own = episodes[-1]  # what it rested on was replaced
    moves: list[Move] = []
    if told is not None and own is None:
        moves.append(Move(told, EventType.ALERT_WITHDRAWN, MessageType.WITHDRAW_ALERT, now_ms))
    alert: Alert | None = None
    for one in episodes:
        if told is not None and one is own:
            alert = _carried_on(rule, told, one, now_ms, moves)
        elif any(spell.id in old or spell.id in known for spell in one.spells):
            alert = _quiet(rule, group, one)
        else:
            alert = _raised(rule, group, one, now_ms, moves)
    if alert is None:
        return (None if waiting_ms == NEVER else _pending(rule, group, spells, waiting_ms)), moves
    current = {*alert.causes}
    earlier = [spell.id for one in episodes for spell in one.spells if spell.id not in current]
    alert = alert._replace(earlier=tuple(earlier[-MAX_EARLIER:]))
    return alert._replace(next_ms=min(_next_ms(rule, alert, now_ms), waiting_ms)), moves


def acknowledge(alert: Alert, by: str, now_ms: int) -> tuple[Alert, list[Move]]:
    """The alert once somebody has taken it on; nothing where there is nothing to take on."""
    if alert.state not in (AlertState.OPEN, AlertState.ESCALATED):
        return alert, []
    after = alert._replace(
        state=AlertState.ACKNOWLEDGED, acknowledged_by=by, acknowledged_severity=alert.severity, next_ms=NEVER
    )
    return after, [Move(after, EventType.ALERT_ACKNOWLEDGED, MessageType.ACKNOWLEDGE_ALERT, now_ms)]


def comment(alert: Alert, said: Comment) -> Alert:
    """The alert with what somebody says of it; itself where nobody was told of it yet."""
    if alert.state is AlertState.PENDING:
        return alert
    return alert._replace(comments=alert_notes.with_comment(alert.comments, said))


def silence(alert: Alert, asked: Silence) -> Alert:
    """The alert once it is silenced for a party, or not any more; itself where that changes nothing."""
    known = alert_notes.silence_of(alert.silences, asked.party, asked.at_ms)
    if alert.state not in LIVE or (known is None and asked.until_ms == alert_notes.LIFTED):
        return alert
    return alert._replace(silences=alert_notes.with_silence(alert.silences, asked))


def _episodes(rule: AlertRule, spells: Iterable[Spell], now_ms: int) -> tuple[list[_Episode], int]:
    """The episodes in order of time, and the next moment at which time alone adds a cause to them."""
    found: list[_Episode] = []
    waiting_ms = NEVER
    for one in sorted(spells, key=lambda one: (one.cause.at_ms, one.id)):
        start_ms = one.cause.at_ms + rule.persist_s * 1_000
        opened_ms, goes_on = start_ms, bool(found) and start_ms <= found[-1].cleared_ms
        if found and not goes_on:
            opened_ms = max(start_ms, found[-1].cleared_ms + rule.cool_down_s * 1_000)
        since_ms = max(one.cause.at_ms, one.cause.said_ms)
        reached_ms = one.cause.at_ms + now_ms - since_ms if one.ended_ms is None else one.ended_ms
        if reached_ms < (start_ms if goes_on else opened_ms):
            if one.ended_ms is None:
                waiting_ms = min(waiting_ms, opened_ms - one.cause.at_ms + since_ms)
            continue
        ended_ms = NEVER if one.ended_ms is None else one.ended_ms
        if goes_on:
            found[-1].spells.append(one)
            found[-1] = found[-1]._replace(cleared_ms=max(found[-1].cleared_ms, ended_ms))
        else:
            found.append(_Episode([one], opened_ms, ended_ms))
    return found, waiting_ms


def _lowest(rule: AlertRule, one: _Episode) -> int:
    """The rank of the least severity that an episode has come down to, or begun with."""
    persist_ms = rule.persist_s * 1_000
    changes = [(max(spell.cause.at_ms + persist_ms, one.opened_ms), 1, _rank(rule, spell)) for spell in one.spells]
    changes += [(spell.ended_ms, 0, _rank(rule, spell)) for spell in one.spells if spell.ended_ms is not None]
    running = dict.fromkeys(SEVERITIES.values(), 0)
    lowest = max(SEVERITIES.values())
    changes.sort()
    for place, (at_ms, begins, rank) in enumerate(changes):
        running[rank] += 1 if begins else -1
        is_last = place + 1 == len(changes) or changes[place + 1][0] != at_ms
        if is_last and any(running.values()):
            lowest = min(lowest, max(rank for rank, count in running.items() if count > 0))
    return lowest


def _rank(rule: AlertRule, one: Spell) -> int:
    return SEVERITIES[one.cause.severity or rule.severity]


def _quiet(rule: AlertRule, group: str, one: _Episode) -> Alert:
    """The alert of an episode, as it is where nobody has done anything about it."""
    running = [spell for spell in one.spells if spell.ended_ms is None]
    worst = max(_rank(rule, spell) for spell in running or one.spells)
    state = AlertState.CLEARED if not running else AlertState.OPEN
    if running and worst > _lowest(rule, one):
        state = AlertState.ESCALATED
    first = one.spells[0]
    severity = next(name for name, rank in SEVERITIES.items() if rank == worst)
    ids = _ids(one.spells)
    return Alert(first.id, rule.id, group, state, severity, ids, first.cause.at_ms, one.opened_ms, one.cleared_ms)


def _raised(rule: AlertRule, group: str, one: _Episode, now_ms: int, moves: list[Move]) -> Alert:
    """The alert of an episode that nobody was told of."""
    alert = _quiet(rule, group, one)._replace(told_ms=now_ms, repeated_ms=now_ms)
    is_live = alert.state in LIVE
    opened = alert if is_live else alert._replace(state=AlertState.OPEN, cleared_ms=NEVER)
    moves.append(Move(opened, EventType.ALERT_OPENED, MessageType.RAISE_ALERT, alert.opened_ms))
    if not is_live:
        moves.append(Move(alert, EventType.ALERT_CLEARED, MessageType.CLEAR_ALERT, alert.cleared_ms))
    return alert


def _carried_on(rule: AlertRule, told: Alert, one: _Episode, now_ms: int, moves: list[Move]) -> Alert:
    """The alert that was told of, as its episode is now."""
    after = _quiet(rule, told.group, one)._replace(
        id=told.id, told_ms=told.told_ms, repeated_ms=told.repeated_ms, comments=told.comments
    )
    if after.state not in LIVE:
        if told.state in LIVE:
            moves.append(Move(after, EventType.ALERT_CLEARED, MessageType.CLEAR_ALERT, after.cleared_ms))
        return after
    if told.state not in LIVE:
        after = after._replace(told_ms=now_ms, repeated_ms=now_ms)
        moves.append(Move(after, EventType.ALERT_OPENED, MessageType.RAISE_ALERT, now_ms))
        return after
    after = after._replace(silences=told.silences)
    worse = SEVERITIES[after.severity] - SEVERITIES[told.severity]
    if told.acknowledged_by and SEVERITIES[after.severity] <= SEVERITIES[told.acknowledged_severity]:
        after = after._replace(
            state=AlertState.ACKNOWLEDGED,
            acknowledged_by=told.acknowledged_by,
            acknowledged_severity=told.acknowledged_severity,
        )
    elif told.unheeded or _is_unheeded(rule, after, now_ms):
        after = after._replace(state=AlertState.ESCALATED, unheeded=True)
    if not {*told.causes} <= {spell.id for spell in one.spells}:
        moves.append(Move(after, EventType.ALERT_AMENDED, MessageType.AMEND_ALERT, now_ms))
    if worse > 0 or (after.unheeded and not told.unheeded):
        after = after._replace(silences=())
        moves.append(Move(after, EventType.ALERT_ESCALATED, MessageType.ESCALATE_ALERT, now_ms))
    elif worse < 0:
        moves.append(Move(after, EventType.ALERT_DE_ESCALATED, MessageType.DE_ESCALATE_ALERT, now_ms))
    if _is_to_repeat(rule, after, now_ms):
        after = after._replace(repeated_ms=now_ms)
        moves.append(Move(after, EventType.ALERT_REPEATED, MessageType.REPEAT_ALERT, now_ms))
    return after


def _is_unheeded(rule: AlertRule, alert: Alert, now_ms: int) -> bool:
    return (
        rule.escalate_after_s > 0
        and alert.state is AlertState.OPEN
        and now_ms - alert.told_ms >= rule.escalate_after_s * 1_000
    )


def _is_to_repeat(rule: AlertRule, alert: Alert, now_ms: int) -> bool:
    return (
        rule.repeat_s > 0
        and alert.state in (AlertState.OPEN, AlertState.ESCALATED)
        and now_ms - alert.repeated_ms >= rule.repeat_s * 1_000
    )


def _pending(rule: AlertRule, group: str, spells: Sequence[Spell], waiting_ms: int) -> Alert:
    """An alert whose causes have not lasted long enough."""
    running = [one for one in spells if one.ended_ms is None]
    first = min(running, key=lambda one: (one.cause.at_ms, one.id))
    state = AlertState.PENDING
    return Alert(first.id, rule.id, group, state, rule.severity, (), first.cause.at_ms, next_ms=waiting_ms)


def _next_ms(rule: AlertRule, alert: Alert, now_ms: int) -> int:
    """When nobody's doing anything moves an alert."""
    due = []
    if alert.state is AlertState.OPEN and rule.escalate_after_s:
        due.append(alert.told_ms + rule.escalate_after_s * 1_000)
    if alert.state in (AlertState.OPEN, AlertState.ESCALATED) and rule.repeat_s:
        due.append(alert.repeated_ms + rule.repeat_s * 1_000)
    return min((moment for moment in due if moment > now_ms), default=NEVER)


def _ids(some: Iterable[Spell]) -> tuple[str, ...]:
    """Ids of causes; of very many the first and the newest."""
    ids = [one.id for one in some]
    return tuple(ids if len(ids) <= MAX_CAUSES_PER_ALERT else ids[:1] + ids[1 - MAX_CAUSES_PER_ALERT :])


def rules_in_force(declared: Mapping[str, AlertRule]) -> tuple[AlertRule, ...]:
    """The book's rules, or the usual ones where it has none."""
    return tuple(rule for _, rule in sorted(declared.items())) if declared else DEFAULT_RULES
