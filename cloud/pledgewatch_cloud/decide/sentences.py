"""Sentences that remember of what they were made, so that who speaks another language can say them anew.

Whatever is told of a ground or of what is missing is a sentence in English, for cores, logs and files. It is made by a
code and by what stands in its places; both go with it, and a page says it in its own words (console/words_grounds.js).
What stands in a place is a name, a number, a moment (its place ends in `_ms`), a name that can be looked up, another
sentence, or several of these: a place `{cases| }` has a space between them.

A sentence is text: who reads it as such need know nothing of this.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Union

from pledgewatch_cloud.decide.moments import iso

_PLACE = re.compile(r"\{(\w+)(?:\|([^}]*))?\}")


class Ref(NamedTuple):
    """A thing that can be looked up by its name. `noun` says where: events, receipts, cases, prices, rates, assets,
    fences."""

    noun: str
    id: str


Given = Union[str, int, Ref, "Sentence", tuple["Given", ...]]
Part = str | Ref

SENTENCES: Mapping[str, str] = {
    # What takes goods from a base (collateral/grounds.py).
    "no_price": "there is no price of {sku} on or before {day}",
    "no_rate": "{currency}: there is no exchange rate on or before {day}",
    "rate_withdrawn": "{currency}: withdrawn since {day}",
    "too_much": "its value is more than an amount may be",
    "quoted": "quote of {series} of {day}",
    "rated": "{currency} for 1 EUR of {day}",
    "not_appraised": "none of {sku}",
    "appraisal_over": "of {sku}, ended {at_ms}",
    "no_receipt": "none",
    "receipt_is": "{receipt} is {state}",
    "receipt_over": "{receipt} ended {at_ms}",
    "not_pledged_here": "{receipt} is not pledged to this facility",
    "counted": "{counted} of {quantity} counted {at_ms}",
    "last_counted": "stock system or counter last heard of {at_ms}",
    "nobody_counts": "neither stock system nor counter was heard",
    "not_counted": "no count",
    "missing_by_case": "{missing} of {quantity} missing by case {cases| }",
    "missing_of_receipt": "{missing} of {quantity} missing of what {receipt} covers",
    "no_fix": "no good fix of {asset}",
    "no_fix_and_value": "no good fix and no good value of {asset}",
    "fix": "good fix of {at_ms}",
    "reading": "{device} {epoch} {sequence} of {at_ms}",
    "in_fence": "in {fence}",
    "in_fence_by": "in {fence} {events| }",
    "in_none": "in none of {fences|, }",
    "in_none_by": "in none of {fences|, } {events| }",
    "country": "country {country}",
    "country_unknown": "country not known",
    "nothing_lent": "nothing is lent on {class}",
    "by_events": "event {events| }",
    "by_none": "{cause} {limit| } since {at_ms}, of which no event stands",
    "by_none_of_all": "{cause} since {at_ms}, of which no event stands",
    "doubts_forgotten": "doubts since {at_ms}, of which there were too many to keep",
    "temperatures_up_to": "temperatures up to {reading}",
    "temperatures_none": "no temperature of {asset} since {at_ms}, which counts at its worst",
    "paper_missing": "{paper} is missing",
    "paper_over": "{paper} {id} ended {at_ms}",
    "received_at": "received {at_ms}",
    "received_unknown": "nobody knows when it was received",
    "expires_at": "expires {at_ms}",
    "sold": "{many} sold a day",
    "turned": "priced in {currency}, lent in {other}",
    "swings": "swings of {of}, by the policy",
    "of_the_lot": "{haircut_bp} basis points, by the book",
    "shared_by": "{name}",
    "not_shown": "of what is not shown here",
    "several": "{some|; }",
    # What a milestone lacks (milestones/).
    "not_in_book": "what it is about is not in the book any more",
    "never_received": "{lot} has no received_at",
    "counted_few": "{lot}: {counted} of {quantity} are counted",
    "count_unknown": "{lot}: no count is known",
    "are_missing": "{lot}: {missing} of {quantity} are missing",
    "are_missing_by_case": "{lot}: {missing} of {quantity} are missing, by case {cases| }",
    "receipt_of_lot_is": "{receipt} of {lot} is {state}",
    "no_valid_receipt": "{lot} has no receipt that is valid",
    "pledged_to": "{lot} is pledged to {facility}",
    "ltv_unknown": "the loan to value of {facility} is not known",
    "ltv_not_below": "the loan to value is {ltv_bp} bp, not below {below_bp}",
    "milestone_not_released": "milestone {milestone} is {milestone_state}, not released",
    "milestone_is": "milestone {milestone} is {milestone_state}",
    "not_come": "{at_ms} has not come yet",
    "no_mkt_limit": "{lot} has no limit of its mean kinetic temperature",
    "mkt_not_below": "{lot}: the mean kinetic temperature is not known to be below its limit",
    "against": "{lot}: {why|, }",
    "cause_since": "{cause} since {at_ms}",
    "limits_unknown": "{lot}: not known by each of its limits",
    "no_reading": "{lot}: no {grade} reading stands for it",
    "reading_old": "{lot}: its newest reading is of {at_ms}, and older than {age_s} s",
    "reading_old_of_grade": "{lot}: its newest {grade} reading is of {at_ms}, and older than {age_s} s",
    "not_entered": "{asset} has not been seen by a {grade} fix to have entered {fence}",
    "not_stayed": "{asset} has not been seen by a {grade} fix to have entered {fence} and stayed {dwell_s} s",
    "not_left": "{asset} has not been seen to have left {fence}",
    "not_inside": "{asset} was not seen inside {fence}",
    "no_notice": "no notice counts that says {kind}",
    "no_notice_for": "no notice counts that says {kind}: {why|; }",
    "nothing_of": "nothing of {references| or }",
    "notice_so": "{notice} {why}",
    "and_more": "and {many} more",
    "was_undone": "was {fate} by {notice}",
    "is_only": "is {classifier} only",
    "no_word_here": "is of {sender}, whose word does not count for {facility}",
    "of_other_sender": "is of {sender}, and {asked} is asked for",
    "at_other_place": "is at {place}, and {asked} is asked for",
    "sender_unknown": "is of {sender}, who is not among the book's senders",
    "sender_grade": "is of grade {grade}, and {asked_grade} is asked for",
    "names_no_place": "names no place, and {asked} is asked for",
    "was_ended": "was ended by {notice}, {kind} at {at_ms}",
    "of_moment_only": "is of {at_ms} only",
    "ended_at": "ended at {at_ms}",
    "of_moment_old": "is of {at_ms}, and older than {age_s} s then",
    "not_known_not": "it is not known not to be so",
    "is_so": "it is so",
    "is_so_by": "it is so, by {proofs|, }",
    "is_so_since": "it is so since {at_ms}",
    "is_so_since_by": "it is so since {at_ms}, by {proofs|, }",
    "was_so": "it was so until {until_ms}",
    "was_so_since": "it was so since {at_ms} until {until_ms}",
    "is_so_since_only": "it is so since {at_ms} only",
    "is_not_known": "it is not known",
    # What would be if a fact of a milestone fell away.
    "met_all_the_same": "it would be met all the same",
    "not_met": "it would not be met",
    "waived_already": "nothing: it was waived by {user}",
    "nothing_more": "nothing more: it is {milestone_state} already",
    "would_hold": "the release would be held, for the core has not booked it yet",
    "would_retract": "the release would be retracted, for the core has not booked it yet",
    "would_question": "the release would be in question, for the core has booked it",
}
"""By code, in English."""


class Sentence(str):
    """A sentence with its code and what stands in its places."""

    __slots__ = ("code", "given")
    code: str
    given: Mapping[str, Given]


def say(sentence: str, /, **given: Given) -> Sentence:
    """The sentence of a code. Raises KeyError where there is none, or a place that nothing is given for."""
    made = Sentence("".join(one if isinstance(one, str) else one.id for one in _parts(sentence, given)))
    made.code, made.given = sentence, given
    return made


def parts_of(one: str) -> tuple[Part, ...]:
    """A sentence as words and names that can be looked up, in order."""
    found: list[Part] = []
    for part in _parts(one.code, one.given) if isinstance(one, Sentence) else [one]:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part:
            found.append(part)
    return tuple(found)


def together(some: list[str]) -> str:
    """Several sentences behind each other, each once; empty where there is none."""
    each = tuple(dict.fromkeys(one for one in some if one))
    return (each[0] if len(each) == 1 else say("several", some=each)) if each else ""


def as_told(one: str) -> dict[str, Any] | None:
    """A sentence as a JSON object: its code and what stands in its places. None where nothing is said."""
    if not isinstance(one, Sentence):
        return {"code": "text", "given": {"text": one}} if one else None
    return {"code": one.code, "given": {name: _plain(value) for name, value in one.given.items()}}


def _plain(value: Given) -> Any:
    if isinstance(value, Sentence):
        return as_told(value)
    if isinstance(value, Ref):
        return value._asdict()
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _parts(code: str, given: Mapping[str, Given]) -> Iterator[Part]:
    text, end = SENTENCES[code], 0
    for place in _PLACE.finditer(text):
        if place.start() > end:
            yield text[end : place.start()]
        yield from _in_place(place[1], given[place[1]], place[2] or " ")
        end = place.end()
    if end < len(text):
        yield text[end:]


def _in_place(name: str, value: Given, between: str) -> Iterator[Part]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Sentence):
        yield from _parts(value.code, value.given)
    elif isinstance(value, tuple):
        for number, each in enumerate(value):
            yield from ([between] if number else [])
            yield from _in_place(name, each, between)
    else:
        yield iso(value) if name.endswith("_ms") and isinstance(value, int) else str(value)
