"""Alerts: the life of one breached condition, as the bank sees it.

    absent ─► open ─► cleared
       ▲       │ ▲       │
       └───────┘ └───────┘      withdrawn is absent again: the breach was retracted

What an alert's state should be follows from the breaches and restorations that stand (not retracted) now; the moves
below say what the core is told when that differs from what it was told last. A breach that was found and restored
before anyone was told (a backlog) is raised and cleared, for the bank must know of it.
"""

from enum import StrEnum

from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.messages import MessageType


class AlertState(StrEnum):
    """States of an alert."""

    ABSENT = "absent"
    OPEN = "open"
    CLEARED = "cleared"


_OPENED = (EventType.ALERT_OPENED, MessageType.RAISE_ALERT)
_CLEARED = (EventType.ALERT_CLEARED, MessageType.CLEAR_ALERT)
_WITHDRAWN = (EventType.ALERT_WITHDRAWN, MessageType.WITHDRAW_ALERT)

MOVES: dict[tuple[AlertState, AlertState], tuple[tuple[EventType, MessageType], ...]] = {
    (AlertState.ABSENT, AlertState.OPEN): (_OPENED,),
    (AlertState.ABSENT, AlertState.CLEARED): (_OPENED, _CLEARED),
    (AlertState.OPEN, AlertState.CLEARED): (_CLEARED,),
    (AlertState.CLEARED, AlertState.OPEN): (_OPENED,),
    (AlertState.OPEN, AlertState.ABSENT): (_WITHDRAWN,),
    (AlertState.CLEARED, AlertState.ABSENT): (_WITHDRAWN,),
}
