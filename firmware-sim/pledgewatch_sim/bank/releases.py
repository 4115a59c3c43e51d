"""What is paid: a release is a payment with an id of its own, and messages are words about it.

The newest word, by its sequence and not by its arrival, says how a release stands:

    release_disbursement, resume_release, reaffirm_release   pay it, unless it is paid
    hold_release, retract_release, record_expiry             do not pay it
    question_release                                         it is paid and in question; do not pay it if it is not

So a hold that arrives before what it holds back is heeded, and one that a later message has lifted stops nothing. Money
that has moved stays moved: a word that comes too late changes how a release is shown, never that it was paid. What is
paid is by the newest word that says amount and payee, among those that nobody has withdrawn.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

# How a release stands by its newest word; of those that ask for payment it is "released" only once it is paid.
STANDING: Mapping[str, str] = {
    "release_disbursement": "released",
    "resume_release": "released",
    "reaffirm_release": "released",
    "hold_release": "held",
    "retract_release": "retracted",
    "record_expiry": "expired",
    "question_release": "in question",
}
ABOUT_A_RELEASE = frozenset(STANDING)
ASKING = frozenset(name for name, standing in STANDING.items() if standing == "released")
WITH_ALL_DATA = frozenset({"release_disbursement", "resume_release"})


class Word(NamedTuple):
    """A message about a release: its id, its type, where it is in its facility's order, and what it says."""

    message: str
    name: str
    sequence: int
    data: dict[str, Any]


def newest(words: Iterable[Word]) -> Word:
    """The last word of some about one release. Raises ValueError where there are none."""
    return max(words, key=lambda word: (word.sequence, word.message))


def standing(words: Iterable[Word], *, is_paid: bool) -> str:
    """How a release stands: one of the values of STANDING, or "waiting" where payment is asked for and not made."""
    found = STANDING[newest(words).name]
    return "waiting" if found == "released" and not is_paid else found


def payment(words: Collection[Word], withdrawn: Collection[str]) -> Word | None:
    """The word by which a release that is not paid is to be paid now; None where it must not be."""
    if newest(words).name not in ASKING:
        return None
    told = [word for word in words if word.name in ASKING and "amount_minor" in word.data]
    return newest(still) if (still := [word for word in told if word.message not in withdrawn]) else None
