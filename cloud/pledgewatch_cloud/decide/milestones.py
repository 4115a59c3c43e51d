"""Milestones: the life of one condition that lets money move.

    waiting ──holds──► released ──fails──► in question
                           ▲                    │
                           └───────holds────────┘

The condition: the lot's asset entered the destination, shown by a fix of the grade that the milestone asks for, and up
to that moment the lot's condition was known by each of its limits, and neither breached nor unknown again, by all that
stands. One release is ever sent for a milestone; when the ground it stood on is retracted the core is asked to hold it
in question, and told when it holds again.
"""

from enum import StrEnum

from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.messages import MessageType


class MilestoneState(StrEnum):
    """States of a milestone."""

    WAITING = "waiting"
    RELEASED = "released"
    IN_QUESTION = "in_question"


MOVES: dict[tuple[MilestoneState, bool], tuple[MilestoneState, EventType, MessageType]] = {
    (MilestoneState.WAITING, True): (
        MilestoneState.RELEASED,
        EventType.MILESTONE_MET,
        MessageType.RELEASE_DISBURSEMENT,
    ),
    (MilestoneState.RELEASED, False): (
        MilestoneState.IN_QUESTION,
        EventType.MILESTONE_QUESTIONED,
        MessageType.QUESTION_RELEASE,
    ),
    (MilestoneState.IN_QUESTION, True): (
        MilestoneState.RELEASED,
        EventType.MILESTONE_REAFFIRMED,
        MessageType.REAFFIRM_RELEASE,
    ),
}
