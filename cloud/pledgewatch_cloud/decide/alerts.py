"""Alerts: what a person must see, as one state machine.

    pending ──lasted──► open ──acknowledged──► acknowledged
                        │  ▲ ◄──worse─────────────│
              worse, or │  │ better               │
              unheeded  ▼  │                      │
                       escalated ──acknowledged──►│
    open, acknowledged, escalated ──ended──► cleared ──(cool-down over, cause again)──► pending
    any of them ──retracted──► gone: it is withdrawn, as if it had never been

A rule says which causes make an alert; causes that share what the rule groups by share one alert, so a gateway that is
down is one alert and not four hundred. What an alert should be follows from the causes that stand (`spells`) and from
how far time has come: it is level-triggered, so a restart, a replay or a restored backlog raises nothing twice and
everything clears by itself. A cause that began and ended before anyone was told is raised and cleared in one breath.

The core is told of every move but the first; an alert keeps its id through late news that changes what it rests on.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from pledgewatch_cloud.decide.book_items import AlertRule
from pledgewatch_cloud.decide.causes import Spell
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.voyage import NEVER

MAX_CAUSES_PER_ALERT = 256

DEFAULT_RULES: tuple[AlertRule, ...] = (
    AlertRule("condition-breached", "condition_breached", "critical", (), "lot", 0, 0, 0, 0),
    AlertRule("tamper-suspected", "tamper_suspected", "critical", (), "device", 0, 0, 0, 0),
    AlertRule("source-silent", "source_silent", "warning", (), "gateway", 0, 0, 0, 0),
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

    `causes` are the ids of the events that it rests on, `told` those among them that have ended and been told of.
    `severity` is the worst of the open causes. `next_ms`: when time alone may move it.
    """

    id: str
    rule: str
    group: str
    state: AlertState
    severity: str
    causes: tuple[str, ...]
    since_ms: int
    opened_ms: int = NEVER
    acknowledged_by: str = ""
    escalated_ms: int = NEVER
    repeated_ms: int = NEVER
    cleared_ms: int = NEVER
    next_ms: int = NEVER


class Move(NamedTuple):
    """A move of an alert, to be said and sent."""

    alert: Alert
    event_type: EventType
    message_type: MessageType
    at_ms: int


_RANK = {"": 0, "warning": 1, "critical": 2}
_LIVE = frozenset({AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.ESCALATED})


def judge(
    rule: AlertRule, group: str, spells: Iterable[Spell], before: Alert | None, now_ms: int
) -> tuple[Alert | None, list[Move]]:
    """What an alert is now, from the causes of its group that stand, and the moves that lead there."""
    lasted = sorted(
        (one for one in spells if _lasted_ms(one, now_ms) >= rule.persist_s * 1_000 and _lasted_ms(one, now_ms) >= 0),
        key=lambda one: (one.cause.at_ms, one.id),
    )
    waiting = [one for one in spells if one.ended_ms is None and one not in lasted]
    running = [one for one in lasted if one.ended_ms is None]
    moves: list[Move] = []
    alert = None if before is not None and before.state is AlertState.PENDING else before
    if alert is not None and alert.state in _LIVE:
        alert = _live(rule, alert, lasted, running, now_ms, moves)
    elif alert is not None and alert.state is AlertState.CLEARED and not {one.id for one in lasted} & {*alert.causes}:
        moves.append(Move(alert, EventType.ALERT_WITHDRAWN, MessageType.WITHDRAW_ALERT, now_ms))
        alert = None
    if alert is None or alert.state not in _LIVE:
        alert = _raised(rule, group, lasted, running, alert, now_ms, moves)
    return _scheduled(rule, group, alert, waiting, now_ms), moves


def acknowledge(alert: Alert, by: str, now_ms: int) -> tuple[Alert, list[Move]]:
    """The alert once somebody has taken it on; nothing where there is nothing to take on."""
    if alert.state not in (AlertState.OPEN, AlertState.ESCALATED):
        return alert, []
    after = alert._replace(state=AlertState.ACKNOWLEDGED, acknowledged_by=by, next_ms=NEVER)
    return after, [Move(after, EventType.ALERT_ACKNOWLEDGED, MessageType.ACKNOWLEDGE_ALERT, now_ms)]


def _lasted_ms(one: Spell, now_ms: int) -> int:
    return (now_ms if one.ended_ms is None else one.ended_ms) - one.cause.at_ms


def _worst(rule: AlertRule, some: Iterable[Spell]) -> str:
    return max((one.cause.severity or rule.severity for one in some), key=_RANK.__getitem__, default=rule.severity)


def _live(
    rule: AlertRule, alert: Alert, lasted: list[Spell], running: list[Spell], now_ms: int, moves: list[Move]
) -> Alert | None:
    """An alert that is open, one way or another."""
    known = {one.id for one in lasted}
    if not lasted or not (running or known & {*alert.causes}):
        moves.append(Move(alert, EventType.ALERT_WITHDRAWN, MessageType.WITHDRAW_ALERT, now_ms))
        return None
    if not running:
        ended_ms = max(one.ended_ms or 0 for one in lasted if one.id in alert.causes)
        cleared = alert._replace(state=AlertState.CLEARED, cleared_ms=ended_ms, causes=_ids(lasted))
        moves.append(Move(cleared, EventType.ALERT_CLEARED, MessageType.CLEAR_ALERT, ended_ms))
        return cleared
    severity = _worst(rule, running)
    amended = not known >= {*alert.causes}
    after = alert._replace(causes=_ids(lasted), severity=severity)
    if amended:
        after = after._replace(since_ms=min(alert.since_ms, running[0].cause.at_ms))
        moves.append(Move(after, EventType.ALERT_AMENDED, MessageType.AMEND_ALERT, now_ms))
    if _RANK[severity] > _RANK[alert.severity]:
        after = after._replace(state=AlertState.ESCALATED, escalated_ms=now_ms, acknowledged_by="")
        moves.append(Move(after, EventType.ALERT_ESCALATED, MessageType.ESCALATE_ALERT, now_ms))
    elif _RANK[severity] < _RANK[alert.severity]:
        state = AlertState.OPEN if alert.state is AlertState.ESCALATED else alert.state
        after = after._replace(state=state)
        moves.append(Move(after, EventType.ALERT_DE_ESCALATED, MessageType.DE_ESCALATE_ALERT, now_ms))
    elif _is_unheeded(rule, after, now_ms):
        after = after._replace(state=AlertState.ESCALATED, escalated_ms=now_ms)
        moves.append(Move(after, EventType.ALERT_ESCALATED, MessageType.ESCALATE_ALERT, now_ms))
    if _is_to_repeat(rule, after, now_ms):
        after = after._replace(repeated_ms=now_ms)
        moves.append(Move(after, EventType.ALERT_REPEATED, MessageType.REPEAT_ALERT, now_ms))
    return after


def _raised(
    rule: AlertRule,
    group: str,
    lasted: list[Spell],
    running: list[Spell],
    before: Alert | None,
    now_ms: int,
    moves: list[Move],
) -> Alert | None:
    """The alert that causes raise which no alert has told of yet; one that has ended clears it at once."""
    told = {*before.causes} if before else set()
    fresh = [one for one in lasted if one.id not in told and (before is None or _is_news(one, before))]
    if not fresh or (before is not None and now_ms < before.cleared_ms + rule.cool_down_s * 1_000):
        return before
    first = fresh[0]
    alert = Alert(
        first.id,
        rule.id,
        group,
        AlertState.OPEN,
        _worst(rule, running or fresh),
        _ids(fresh),
        first.cause.at_ms,
        first.cause.at_ms + rule.persist_s * 1_000,
        repeated_ms=now_ms,
    )
    moves.append(Move(alert, EventType.ALERT_OPENED, MessageType.RAISE_ALERT, alert.opened_ms))
    if running:
        return alert
    ended_ms = max(one.ended_ms or 0 for one in fresh)
    cleared = alert._replace(state=AlertState.CLEARED, cleared_ms=ended_ms, causes=_ids(lasted))
    moves.append(Move(cleared, EventType.ALERT_CLEARED, MessageType.CLEAR_ALERT, ended_ms))
    return cleared


def _is_news(one: Spell, before: Alert) -> bool:
    """Whether a cause is another one than what the cleared alert before told of."""
    return one.ended_ms is None or one.cause.at_ms > before.cleared_ms or one.cause.at_ms < before.since_ms


def _is_unheeded(rule: AlertRule, alert: Alert, now_ms: int) -> bool:
    return (
        rule.escalate_after_s > 0
        and alert.state is AlertState.OPEN
        and now_ms - alert.opened_ms >= rule.escalate_after_s * 1_000
    )


def _is_to_repeat(rule: AlertRule, alert: Alert, now_ms: int) -> bool:
    return (
        rule.repeat_s > 0
        and alert.state in (AlertState.OPEN, AlertState.ESCALATED)
        and now_ms - alert.repeated_ms >= rule.repeat_s * 1_000
    )


def _scheduled(rule: AlertRule, group: str, alert: Alert | None, waiting: list[Spell], now_ms: int) -> Alert | None:
    """The alert with the next moment at which time alone may move it; a pending one where causes only wait."""
    due = [one.cause.at_ms + rule.persist_s * 1_000 for one in waiting]
    if alert is None:
        if not waiting:
            return None
        first = min(waiting, key=lambda one: (one.cause.at_ms, one.id))
        return Alert(
            first.id, rule.id, group, AlertState.PENDING, rule.severity, (), first.cause.at_ms, next_ms=min(due)
        )
    if alert.state is AlertState.CLEARED:
        due.append(alert.cleared_ms + rule.cool_down_s * 1_000 if rule.cool_down_s else NEVER)
    if alert.state is AlertState.OPEN and rule.escalate_after_s:
        due.append(alert.opened_ms + rule.escalate_after_s * 1_000)
    if alert.state in (AlertState.OPEN, AlertState.ESCALATED) and rule.repeat_s:
        due.append(alert.repeated_ms + rule.repeat_s * 1_000)
    later = [moment for moment in due if moment > now_ms]
    return alert._replace(next_ms=min(later, default=NEVER))


def _ids(some: Iterable[Spell]) -> tuple[str, ...]:
    """Ids of causes; of very many the first and the newest."""
    ids = [one.id for one in some]
    return tuple(ids if len(ids) <= MAX_CAUSES_PER_ALERT else ids[:1] + ids[1 - MAX_CAUSES_PER_ALERT :])


def rules_in_force(declared: Mapping[str, AlertRule]) -> tuple[AlertRule, ...]:
    """The book's rules, or the usual ones where it has none."""
    return tuple(rule for _, rule in sorted(declared.items())) if declared else DEFAULT_RULES
