"""What persons say of an alert that stands: comments, and silences.

A comment is a sentence with who said it and when. A silence puts an alert aside for one party, for a reason and until a
moment: that party's inbox shows it among the silenced ones. That is all it does:

- It is of one alert. What begins after the alert has cleared is another, which nobody has silenced.
- It ends at its moment, SILENCE_MAX_MS ahead at most, or when it is lifted; and as soon as the alert is escalated, be
  it that it became worse or that nobody has heeded it: what was put aside was something smaller.
- It changes nothing of the alert: state, severity, what the core is told and what other parties see go on as if nobody
  had said anything. So it can hide nothing from anybody but from who asked for that.

Both are of the party of who says them: nobody else is told of them, but keepers. Of each alert the newest COMMENTS_MAX
comments and one silence of each party are kept in the state, so what one party says drives out nothing of another's;
all of them stay in the journal.
"""

from typing import NamedTuple

COMMENTS_MAX = 100
SILENCES_MAX = 32
SILENCE_MAX_MS = 30 * 86_400_000
TEXT_MAX = 2_000
LIFTED = 0
"""The end of a silence that is none any more."""


class Comment(NamedTuple):
    """What somebody of a party has said."""

    at_ms: int
    by: str
    party: str
    text: str


class Silence(NamedTuple):
    """An alert put aside for a party from one moment until another, and why."""

    at_ms: int
    by: str
    party: str
    why: str
    until_ms: int


def with_comment(comments: tuple[Comment, ...], one: Comment) -> tuple[Comment, ...]:
    """Comments with another one, without the oldest of its party where that has too many."""
    own = [each for each in comments if each.party == one.party]
    gone = own[0] if len(own) >= COMMENTS_MAX else None
    return (*(each for each in comments if each is not gone), one)


def with_silence(silences: tuple[Silence, ...], one: Silence) -> tuple[Silence, ...]:
    """Silences with another one, in the stead of that of its party; one that is lifted is not there any more. What has
    ended is let go first."""
    others = tuple(each for each in silences if each.party != one.party and each.until_ms > one.at_ms)
    return others if one.until_ms == LIFTED else (*others, one)[-SILENCES_MAX:]


def silence_of(silences: tuple[Silence, ...], party: str, now_ms: int) -> Silence | None:
    """The silence that an alert has for a party at a moment."""
    return next((one for one in silences if one.party == party and one.until_ms > now_ms), None)
