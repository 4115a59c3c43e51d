"""The life of a milestone, as a table.

    waiting ⇄ pending ──holds──► met ──booked──► released ──falls──► in question
       │         │              ▲ │  ▲               ▲  ◄──holds──────────┘
       └─expires─┴─► expired ───┘ │  └──holds── held, retracted ──booked──► in question
                                  └──────falls────────┘

What it asks for has not come (waiting), or some of it has (pending). Once its clause holds it is met: its release is on
its way to the financing core. Until the core says that it has booked it, lost ground takes the release back: held where
the ground is only unknown now, retracted where it is refuted. Once it is booked the money may have moved, and lost
ground puts the release in question instead. Whatever happens, one release has one id, one amount and one payee, and the
first message of it is sent once: what holds again is resumed or reaffirmed. A book that says another amount or payee,
another account of the payee or other goods while the money has not moved, or nothing of the milestone any more, takes
ground away like any other news. A person may waive what a milestone asks for; what was waived is not judged by its
clause any more, and where it was taken back for its terms alone, it comes back waived. What has expired may still turn
out to have been met in time.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.stretches import NEVER


class MilestoneState(StrEnum):
    """States of a milestone."""

    WAITING = "waiting"
    PENDING = "pending"
    MET = "met"
    RELEASED = "released"
    HELD = "held"
    RETRACTED = "retracted"
    IN_QUESTION = "in_question"
    EXPIRED = "expired"
    WAIVED = "waived"


class News(StrEnum):
    """What can happen to a milestone: how its clause stands now, or what somebody has said."""

    NOTHING_IN = "nothing_in"
    SOME_IN = "some_in"
    HOLDS = "holds"
    UNKNOWN = "unknown"
    REFUTED = "refuted"
    EXPIRED = "expired"
    BOOKED = "booked"
    UNBOOKED = "unbooked"
    WAIVED = "waived"


class Move(NamedTuple):
    """Where news leads, what is said of it, and what the core is told, if anything."""

    state: MilestoneState
    event: EventType | None = None
    message: MessageType | None = None


_S, _N, _E, _M = MilestoneState, News, EventType, MessageType

MOVES: Mapping[tuple[MilestoneState, News], Move] = {
    (_S.WAITING, _N.SOME_IN): Move(_S.PENDING),
    (_S.PENDING, _N.NOTHING_IN): Move(_S.WAITING),
    (_S.WAITING, _N.HOLDS): Move(_S.MET, _E.MILESTONE_MET, _M.RELEASE_DISBURSEMENT),
    (_S.PENDING, _N.HOLDS): Move(_S.MET, _E.MILESTONE_MET, _M.RELEASE_DISBURSEMENT),
    (_S.EXPIRED, _N.HOLDS): Move(_S.MET, _E.MILESTONE_MET, _M.RELEASE_DISBURSEMENT),
    (_S.WAITING, _N.EXPIRED): Move(_S.EXPIRED, _E.MILESTONE_EXPIRED, _M.RECORD_EXPIRY),
    (_S.PENDING, _N.EXPIRED): Move(_S.EXPIRED, _E.MILESTONE_EXPIRED, _M.RECORD_EXPIRY),
    # An amendment may put the end off.
    (_S.EXPIRED, _N.NOTHING_IN): Move(_S.WAITING),
    (_S.EXPIRED, _N.SOME_IN): Move(_S.PENDING),
    (_S.MET, _N.UNKNOWN): Move(_S.HELD, _E.MILESTONE_HELD, _M.HOLD_RELEASE),
    (_S.MET, _N.REFUTED): Move(_S.RETRACTED, _E.MILESTONE_RETRACTED, _M.RETRACT_RELEASE),
    (_S.HELD, _N.REFUTED): Move(_S.RETRACTED, _E.MILESTONE_RETRACTED, _M.RETRACT_RELEASE),
    (_S.HELD, _N.HOLDS): Move(_S.MET, _E.MILESTONE_RESUMED, _M.RESUME_RELEASE),
    (_S.RETRACTED, _N.HOLDS): Move(_S.MET, _E.MILESTONE_RESUMED, _M.RESUME_RELEASE),
    (_S.MET, _N.BOOKED): Move(_S.RELEASED, _E.MILESTONE_RELEASED),
    (_S.WAIVED, _N.BOOKED): Move(_S.RELEASED, _E.MILESTONE_RELEASED),
    # Somebody has to see to it, or it waits for ever.
    (_S.MET, _N.UNBOOKED): Move(_S.MET, _E.MILESTONE_UNBOOKED),
    (_S.WAIVED, _N.UNBOOKED): Move(_S.WAIVED, _E.MILESTONE_UNBOOKED),
    (_S.HELD, _N.UNBOOKED): Move(_S.HELD, _E.MILESTONE_UNBOOKED),
    (_S.RETRACTED, _N.UNBOOKED): Move(_S.RETRACTED, _E.MILESTONE_UNBOOKED),
    # What was waived falls with the terms of its release alone.
    (_S.WAIVED, _N.REFUTED): Move(_S.RETRACTED, _E.MILESTONE_RETRACTED, _M.RETRACT_RELEASE),
    # Its message was on its way already when it was taken back.
    (_S.HELD, _N.BOOKED): Move(_S.IN_QUESTION, _E.MILESTONE_QUESTIONED, _M.QUESTION_RELEASE),
    (_S.RETRACTED, _N.BOOKED): Move(_S.IN_QUESTION, _E.MILESTONE_QUESTIONED, _M.QUESTION_RELEASE),
    (_S.RELEASED, _N.UNKNOWN): Move(_S.IN_QUESTION, _E.MILESTONE_QUESTIONED, _M.QUESTION_RELEASE),
    (_S.RELEASED, _N.REFUTED): Move(_S.IN_QUESTION, _E.MILESTONE_QUESTIONED, _M.QUESTION_RELEASE),
    (_S.IN_QUESTION, _N.HOLDS): Move(_S.RELEASED, _E.MILESTONE_REAFFIRMED, _M.REAFFIRM_RELEASE),
    (_S.WAITING, _N.WAIVED): Move(_S.WAIVED, _E.MILESTONE_WAIVED, _M.RELEASE_DISBURSEMENT),
    (_S.PENDING, _N.WAIVED): Move(_S.WAIVED, _E.MILESTONE_WAIVED, _M.RELEASE_DISBURSEMENT),
    (_S.EXPIRED, _N.WAIVED): Move(_S.WAIVED, _E.MILESTONE_WAIVED, _M.RELEASE_DISBURSEMENT),
    (_S.HELD, _N.WAIVED): Move(_S.WAIVED, _E.MILESTONE_WAIVED, _M.RESUME_RELEASE),
    (_S.RETRACTED, _N.WAIVED): Move(_S.WAIVED, _E.MILESTONE_WAIVED, _M.RESUME_RELEASE),
    (_S.IN_QUESTION, _N.WAIVED): Move(_S.RELEASED, _E.MILESTONE_WAIVED, _M.REAFFIRM_RELEASE),
}
"""Every move there is; any other news changes nothing."""

UNMET = frozenset({_S.WAITING, _S.PENDING, _S.EXPIRED})
"""States in which no money has been asked to move."""
TAKEN_BACK = frozenset({_M.HOLD_RELEASE, _M.RETRACT_RELEASE})
"""Messages that withdraw a release that has not been delivered."""
RELEASING = frozenset({_M.RELEASE_DISBURSEMENT, _M.RESUME_RELEASE})
"""Messages that make money move: whoever books one has booked the release."""
ON_ITS_WAY = frozenset({_S.MET, _S.WAIVED})
"""States in which the newest message that makes money move may still be undelivered."""


class Sight(NamedTuple):
    """What a milestone saw of something that has no history elsewhere: `key` says of what; it held from `since_ms`,
    and holds still (NEVER), or did when the milestone was met and no more from `until_ms`."""

    key: str
    since_ms: int
    until_ms: int = NEVER


ANOTHER_ACCOUNT = "another account"
"""In a state as somebody may see it: the payee has another account than a release was sent to. Neither is for them."""


class Memo(NamedTuple):
    """What is remembered of a milestone for ever, also where it has left the book: money must not move twice.

    `met_ms`: since when its clause holds, by all that is known, or held when it was last known to. `amount_minor`,
    `currency`, `terms`, `account` and `goods` as they were first sent (see terms), `shares` what it is a share of, in
    basis points; `releases`: (id, sequence) of each message that would make it move, the newest last. `waived_by` and
    `waived_why`: who waived it, and why. `released_ms`: when the core first said that it had booked it, `payer` the
    endpoint that did (empty: a person said so for it), `is_disputed` that the book had other terms by then.
    `turns_ms`: when time alone may make it stand otherwise. `sights`: what it has seen, by key, at most one that
    holds and one that held when it was met of each. `unbooked`: the message of `releases` of which it was last said
    that it is not booked.
    """

    facility: str
    state: MilestoneState = MilestoneState.WAITING
    met_ms: int = NEVER
    amount_minor: int = 0
    currency: str = ""
    terms: str = ""
    releases: tuple[tuple[str, int], ...] = ()
    waived_by: str = ""
    waived_why: str = ""
    released_ms: int = NEVER
    turns_ms: int = NEVER
    sights: tuple[Sight, ...] = ()
    account: str = ""
    goods: str = ""
    payer: str = ""
    is_disputed: bool = False
    shares: tuple[tuple[str, int], ...] = ()
    unbooked: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether its release was taken back, and whoever pays has said since that its money has not moved."""
        return self.state in (MilestoneState.HELD, MilestoneState.RETRACTED) and self.unbooked == self.releases[-1][0]

    @property
    def is_unbooked(self) -> bool:
        """Whether its release was sent, stands, and is not booked by all that was said: nothing more comes of it."""
        return self.state in ON_ITS_WAY and self.unbooked == self.releases[-1][0]


def obstacle(name: str, memo: Memo | None, message: str) -> str:
    """What stands against paying now what a message asks for, in words; empty where nothing does: the milestone is met
    or waived, and no newer message makes its money move."""
    if memo is None or not memo.releases:
        return f"milestone {name} has released nothing"
    if memo.state not in ON_ITS_WAY:
        return f"milestone {name} is {memo.state}"
    newest = memo.releases[-1][0]
    return "" if newest == message else f"milestone {name} is released by {newest}"
