"""Clauses of milestones: how they are read, what is refused and where, and when they hold."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from builders import NOON_MS
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_cloud.decide.grade import GRADE_NAMES
from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.milestones.clauses import (
    DAY_MS,
    FACT_PARAMETERS,
    LONGEST_S,
    MOST_DAYS,
    MOST_FACTS,
    MOST_LEVELS,
    MOST_LTV_BP,
    AllOf,
    AnyOf,
    AtLeast,
    By,
    Clause,
    Fact,
    Held,
    Not,
    Upon,
    Within,
    as_document,
    evaluate,
    facts,
    milestones_named,
    parts_of,
    read,
    with_denials,
)
from pledgewatch_cloud.decide.moments import ID, iso
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, NONE, Stretches, joined
from pledgewatch_cloud.decide.trade.vocabulary import FACT_KINDS

NOON = iso(NOON_MS)
CLEARED = {"fact": "customs_cleared"}
ARRIVED = {"fact": "arrived"}
BOUND = {"fact": "insurance_bound"}


def nested(levels: int) -> dict[str, Any]:
    """A clause of so many levels."""
    return CLEARED if levels == 1 else {"not": nested(levels - 1)}


# Reading

READ: list[tuple[str, dict[str, Any], Clause]] = [
    # what, document, clause
    ("a bare fact", CLEARED, Fact("customs_cleared")),
    (
        "a gate-in that lasted, by good fixes",
        {"fact": "gated_in", "fence": "la-dc", "dwell_s": 3600, "grade": "good", "max_age_s": 60, "lot": "sofas"},
        Fact("gated_in", fence="la-dc", dwell_s=3600, grade="good", max_age_s=60, lot="sofas"),
    ),
    (
        "what a carrier said of a place",
        {"fact": "discharged", "sender": "ocean-line", "place": "USLAX", "grade": "fair", "lot": "sofas"},
        Fact("discharged", sender="ocean-line", place="USLAX", grade="fair", lot="sofas"),
    ),
    ("a date", {"fact": "date_reached", "at": NOON}, Fact("date_reached", at_ms=NOON_MS)),
    ("a ratio", {"fact": "ltv_below", "ltv_bp": 6000}, Fact("ltv_below", ltv_bp=6000)),
    (
        "another milestone",
        {"fact": "milestone_released", "milestone": "first"},
        Fact("milestone_released", milestone="first"),
    ),
    ("one limit", {"fact": "condition_kept", "limit": "humidity"}, Fact("condition_kept", limit="humidity")),
    ("all", {"all": [CLEARED, ARRIVED]}, AllOf((Fact("customs_cleared"), Fact("arrived")))),
    ("any", {"any": [CLEARED, ARRIVED]}, AnyOf((Fact("customs_cleared"), Fact("arrived")))),
    (
        "two of three",
        {"at_least": 2, "of": [CLEARED, ARRIVED, BOUND]},
        AtLeast(2, (Fact("customs_cleared"), Fact("arrived"), Fact("insurance_bound"))),
    ),
    ("not", {"not": {"fact": "on_hold", "sender": "port"}}, Not(Fact("on_hold", sender="port"))),
    ("by a date", {"by": NOON, "that": CLEARED}, By(NOON_MS, Fact("customs_cleared"))),
    (
        "within days",
        {"within_days": 5, "after": ARRIVED, "that": CLEARED},
        Within(5, Fact("arrived"), Fact("customs_cleared")),
    ),
    (
        "gated in with customs cleared already",
        {"upon": {"fact": "gated_in", "fence": "la-dc"}, "that": CLEARED},
        Upon(Fact("gated_in", fence="la-dc"), Fact("customs_cleared")),
    ),
    ("as deep as may be", {"any": [nested(MOST_LEVELS - 1)]}, AnyOf((read(Item("x", nested(MOST_LEVELS - 1))),))),
]


@pytest.mark.parametrize(("document", "clause"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_a_document_is_read_as_its_clause_and_written_as_it_was(document: dict[str, Any], clause: Clause) -> None:
    assert read(Item("when", document)) == clause
    assert as_document(clause) == document


NOTICE = "sender, place, grade, max_age_s"
FORMS = "when: a clause has one of all, any, at_least, not, by, within_days, upon, fact; this"
REFUSED: list[tuple[str, object, list[str]]] = [
    # what, document, every fault with its place
    ("no object", "customs_cleared", ["when: an object is needed, not str"]),
    ("no object below", {"not": [CLEARED]}, ["when.not: an object is needed, not list"]),
    ("no object in a list", {"all": [CLEARED, 7]}, ["when.all[1]: an object is needed, not int"]),
    ("nothing", {}, [f"{FORMS} has none"]),
    ("a word that nobody knows", {"every": [CLEARED]}, [f"{FORMS} has none"]),
    ("two forms", {"all": [CLEARED], "any": [ARRIVED]}, [f"{FORMS} has all and any"]),
    ("a fact and a form", {"fact": "arrived", "not": CLEARED}, [f"{FORMS} has not and fact"]),
    ("a word too many", {"all": [CLEARED], "why": "so"}, ["when.why: no such key"]),
    ("`of` without a number", {"all": [CLEARED], "of": [ARRIVED]}, ["when.of: no such key"]),
    (
        "an unknown fact",
        {"not": {"fact": "goods_gone"}},
        [f"when.not.fact: 'goods_gone' is none of {', '.join(FACT_PARAMETERS)}"],
    ),
    ("no fact at all", {"fact": None}, [f"when.fact: None is none of {', '.join(FACT_PARAMETERS)}"]),
    ("no fence", {"fact": "gated_in"}, ["when.fence: is missing"]),
    ("no ratio", {"fact": "ltv_below"}, ["when.ltv_bp: is missing"]),
    ("no date", {"fact": "date_reached"}, ["when.at: is missing"]),
    ("no milestone", {"fact": "milestone_released"}, ["when.milestone: is missing"]),
    (
        "an invoice that anybody may confirm",
        {"fact": "invoice_confirmed"},
        ["when.sender: is missing: name who must have said so"],
    ),
    *(
        (
            f"{kind}: a grade of readings of any age",
            {"fact": kind, "grade": "fair"},
            [f"when.grade: is that of the newest reading, which {kind} asks for only with max_age_s: say that as well"],
        )
        for kind in ("condition_kept", "no_open_breach", "mkt_below")
    ),
    (
        "a grade of what the book says",
        {"fact": "receipt_valid", "grade": "fair"},
        ["when.grade: receipt_valid takes no grade; it takes lot, max_age_s"],
    ),
    (
        "an age of what is worked out now",
        {"fact": "ltv_below", "ltv_bp": 5_000, "max_age_s": 60},
        ["when.max_age_s: ltv_below takes no max_age_s; it takes ltv_bp"],
    ),
    (
        "a fence for a paper",
        {"fact": "customs_cleared", "fence": "la"},
        [f"when.fence: customs_cleared takes no fence; it takes {NOTICE}"],
    ),
    (
        "a lot for a paper",
        {"fact": "invoice_confirmed", "lot": "sofas", "sender": "buyer"},
        [f"when.lot: invoice_confirmed takes no lot; it takes {NOTICE}"],
    ),
    (
        "how long, for what has no length",
        {"fact": "arrived", "dwell_s": 60},
        [f"when.dwell_s: arrived takes no dwell_s; it takes lot, {NOTICE}"],
    ),
    ("a word that no fact knows", {"fact": "arrived", "port": "la"}, ["when.port: no such key"]),
    (
        "no ISO time",
        {"by": "tomorrow", "that": CLEARED},
        ["when.by: 'tomorrow' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z"],
    ),
    ("no grade", {"fact": "arrived", "grade": "best"}, ["when.grade: 'best' is none of poor, fair, good"]),
    (
        "no place",
        {"fact": "arrived", "place": "Los Angeles"},
        ["when.place: 'Los Angeles' does not match [A-Z]{2}[A-Z2-9]{3}"],
    ),
    (
        "a place in no country",
        {"fact": "arrived", "place": "ZZLAX"},
        ["when.place: 'ZZLAX': ZZ is no country of ISO 3166-1"],
    ),
    (
        "no ratio that can be",
        {"fact": "ltv_below", "ltv_bp": 0},
        [f"when.ltv_bp: 0 is not a whole number from 1 to {MOST_LTV_BP}"],
    ),
    (
        "an age below nothing",
        {"fact": "arrived", "max_age_s": -1},
        [f"when.max_age_s: -1 is not a whole number from 0 to {LONGEST_S}"],
    ),
    (
        "an age of nothing, which one may take for any age",
        {"fact": "arrived", "max_age_s": 0},
        ["when.max_age_s: 0 is no age: leave it out where evidence need not be fresh"],
    ),
    ("none of two", {"at_least": 0, "of": [CLEARED, ARRIVED]}, ["when.at_least: 0 is not a whole number from 1 to 2"]),
    ("three of two", {"at_least": 3, "of": [CLEARED, ARRIVED]}, ["when.at_least: 3 is not a whole number from 1 to 2"]),
    (
        "a number that is none",
        {"at_least": True, "of": [CLEARED]},
        ["when.at_least: True is not a whole number from 1 to 1"],
    ),
    ("of what", {"at_least": 1}, ["when.of: a list of 1 to 64 clauses is needed, not of 0"]),
    (
        "one counted twice",
        {"at_least": 2, "of": [CLEARED, ARRIVED, CLEARED]},
        ["when.of[2]: says the same as of[0], and would count twice"],
    ),
    ("all of nothing", {"all": []}, ["when.all: a list of 1 to 64 clauses is needed, not of 0"]),
    ("no list", {"any": CLEARED}, ["when.any: a list is needed"]),
    ("by when, but what", {"by": NOON}, ["when.that: is missing"]),
    ("upon what", {"that": CLEARED, "upon": None}, ["when.upon: an object is needed, not NoneType"]),
    ("upon that, but what", {"upon": ARRIVED}, ["when.that: is missing"]),
    ("upon and by at once", {"upon": ARRIVED, "by": NOON, "that": CLEARED}, [f"{FORMS} has by and upon"]),
    ("after what", {"within_days": 5, "that": CLEARED}, ["when.after: is missing"]),
    (
        "no days",
        {"within_days": 0, "after": ARRIVED, "that": CLEARED},
        [f"when.within_days: 0 is not a whole number from 1 to {MOST_DAYS}"],
    ),
    (
        "too deep",
        nested(MOST_LEVELS + 1),
        [f"when{'.not' * MOST_LEVELS}: lies deeper than 8 levels; say it with fewer"],
    ),
    (
        "too many in one list",
        {"any": [CLEARED] * (MOST_FACTS + 1)},
        ["when.any: a list of 1 to 64 clauses is needed, not of 65"],
    ),
    (
        "too many in all",
        {"all": [{"any": [CLEARED] * 33}, {"any": [ARRIVED] * 32}]},
        ["when: asks for 65 facts; a clause holds at most 64"],
    ),
    (
        "several faults at once, each with its place",
        {
            "all": [
                {"fact": "gated_in", "sender": "line", "dwell_s": -1},
                CLEARED,
                {"within_days": 3, "after": {"fact": "lost"}, "that": {"at_least": 2, "of": [BOUND]}},
            ]
        },
        [
            "when.all[0].fence: is missing",
            "when.all[0].sender: gated_in takes no sender; it takes fence, lot, dwell_s, grade, max_age_s",
            f"when.all[0].dwell_s: -1 is not a whole number from 0 to {LONGEST_S}",
            f"when.all[2].after.fact: 'lost' is none of {', '.join(FACT_PARAMETERS)}",
            "when.all[2].that.at_least: 2 is not a whole number from 1 to 1",
        ],
    ),
]


@pytest.mark.parametrize(("document", "faults"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_bad_clause_is_refused_with_every_fault_at_its_place(document: object, faults: list[str]) -> None:
    with pytest.raises(BookError) as caught:
        read(Item("when", document))
    assert list(caught.value.errors) == faults


def test_a_clause_may_be_as_deep_and_as_full_as_said() -> None:
    full = {"all": [{"any": [CLEARED] * 32}, {"any": [ARRIVED] * 32}]}
    assert len(list(facts(read(Item("when", full))))) == MOST_FACTS
    assert as_document(read(Item("when", nested(MOST_LEVELS)))) == nested(MOST_LEVELS)


def test_every_kind_of_notice_is_a_fact_and_only_what_happens_to_a_box_is_told_of_a_lot() -> None:
    assert set(FACT_KINDS) | {"on_hold"} <= set(FACT_PARAMETERS)
    of_lots = {kind for kind in (*FACT_KINDS, "on_hold") if "lot" in FACT_PARAMETERS[kind].taken}
    assert {"empty_out", "departed", "discharged", "hold_placed", "on_hold"} <= of_lots
    assert not of_lots & {"bill_of_lading_issued", "customs_cleared", "receipt_issued", "goods_counted"}
    assert "other" not in FACT_PARAMETERS


def test_all_of_some_clauses_is_not_any_of_them() -> None:
    parts: tuple[Clause, ...] = (Fact("arrived"), Fact("customs_cleared"))
    different = {AllOf(parts), AnyOf(parts), AtLeast(1, parts), AtLeast(2, parts), Not(AllOf(parts)), Not(AnyOf(parts))}
    assert len(different) == 6
    assert len({By(5, parts[0]), By(6, parts[0]), Within(5, *parts), Within(5, *reversed(parts))}) == 4
    assert len({Upon(*parts), Upon(*reversed(parts)), Within(5, *parts)}) == 3


def test_the_facts_and_milestones_of_a_clause_come_in_order() -> None:
    clause = Within(
        3,
        AtLeast(1, (Fact("milestone_released", milestone="second"), Not(Fact("arrived")))),
        AllOf((By(5, Fact("milestone_released", milestone="first")), Fact("milestone_released", milestone="second"))),
    )
    assert [one.milestone or one.kind for one in facts(clause)] == ["second", "arrived", "first", "second"]
    assert milestones_named(clause) == ("first", "second")
    assert milestones_named(Fact("arrived")) == ()
    assert parts_of(clause) == (clause.after, clause.that)
    upon = Upon(Fact("arrived"), Fact("milestone_released", milestone="third"))
    assert parts_of(upon) == (upon.at, upon.that)
    assert milestones_named(upon) == ("third",)


def test_what_stands_under_an_odd_number_of_nots_is_denied() -> None:
    clause = Upon(Not(AllOf((X, Not(Y)))), Within(2, By(5, Not(Z)), AtLeast(1, (X, AnyOf((Y,))))))
    marked = with_denials(clause)
    assert [one.is_denied for one in facts(marked)] == [True, False, True, False, False]
    assert [one._replace(is_denied=False) for one in facts(marked)] == [*facts(clause)]
    assert as_document(marked) == as_document(clause)
    assert marked == with_denials(marked)
    assert [one.is_denied for one in facts(with_denials(AllOf((X, Y))))] == [False, False]


IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,8}", fullmatch=True).filter(lambda one: bool(ID.fullmatch(one)))
PARAMETERS: Mapping[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("fence", "lot", "sender", "milestone", "limit"), IDS),
    "place": st.from_regex(r"(US|CN|DE|XZ)[A-Z2-9]{3}", fullmatch=True),
    "grade": st.sampled_from(sorted(GRADE_NAMES)),
    "dwell_s": st.integers(1, LONGEST_S),
    "max_age_s": st.integers(1, LONGEST_S),
    "at": st.integers(0, 4 * 10**12).map(iso),
    "ltv_bp": st.integers(1, MOST_LTV_BP),
}


def _documents_of_facts(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    needed, taken = FACT_PARAMETERS[kind]
    documents = st.fixed_dictionaries(
        {"fact": st.just(kind), **{name: PARAMETERS[name] for name in needed}},
        optional={name: PARAMETERS[name] for name in taken},
    )
    of_the_newest = kind in ("condition_kept", "no_open_breach", "mkt_below")
    return documents.filter(lambda one: not of_the_newest or "grade" not in one or "max_age_s" in one)


def _documents_of_clauses(below: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(below, min_size=1, max_size=3)
    apart = st.lists(below, min_size=1, max_size=3, unique_by=str).filter(_are_apart)
    return st.one_of(
        st.builds(lambda parts: {"all": parts}, several),
        st.builds(lambda parts: {"any": parts}, several),
        apart.flatmap(lambda parts: st.builds(lambda k: {"at_least": k, "of": parts}, st.integers(1, len(parts)))),
        st.builds(lambda that: {"not": that}, below),
        st.builds(lambda at, that: {"by": at, "that": that}, PARAMETERS["at"], below),
        st.builds(
            lambda days, after, that: {"within_days": days, "after": after, "that": that},
            st.integers(1, MOST_DAYS),
            below,
            below,
        ),
        st.builds(lambda at, that: {"upon": at, "that": that}, below, below),
    )


def _are_apart(documents: list[dict[str, Any]]) -> bool:
    return all(one not in documents[:place] for place, one in enumerate(documents))


documents = st.recursive(
    st.sampled_from(sorted(FACT_PARAMETERS)).flatmap(_documents_of_facts), _documents_of_clauses, max_leaves=6
)


def _levels(clause: Clause) -> int:
    return 1 + max((_levels(one) for one in parts_of(clause)), default=0)


@given(documents.filter(lambda document: str(document).count("{") <= MOST_LEVELS))
def test_reading_and_writing_undo_each_other(document: dict[str, Any]) -> None:
    clause = read(Item("when", document))
    assert as_document(clause) == document
    assert read(Item("when", as_document(clause))) == clause
    assert _levels(clause) <= MOST_LEVELS
    assert str(document).count("'fact'") == len(list(facts(clause)))


# Holding, by hand. Times are days; a fact is "x": from its day on for ever, where nothing else is said.

DAY = DAY_MS


def days(*some: tuple[float, float]) -> Stretches:
    return tuple((round(since * DAY), NEVER if until == EVER else round(until * DAY)) for since, until in some)


EVER = 10**6
X, Y, Z = Fact("customs_cleared"), Fact("arrived"), Fact("insurance_bound")


def known(*some: tuple[float, float]) -> Held:
    return Held(days(*some), days(*some))


NOTHING = Held(NONE, NONE)
UNKNOWN = Held(NONE, ALWAYS)
BEFORE_1 = (-NEVER, DAY)
HOLDING: list[tuple[str, Clause, dict[Fact, Held], Held]] = [
    # what, clause, when its facts hold, when it holds
    ("a fact", X, {X: known((1, EVER))}, known((1, EVER))),
    ("both", AllOf((X, Y)), {X: known((1, 9)), Y: known((3, EVER))}, known((3, 9))),
    ("both, but never at once", AllOf((X, Y)), {X: known((1, 3)), Y: known((3, EVER))}, NOTHING),
    ("both, one unknown", AllOf((X, Y)), {X: known((1, 9)), Y: UNKNOWN}, Held(NONE, days((1, 9)))),
    ("both, one refuted", AllOf((X, Y)), {X: UNKNOWN, Y: NOTHING}, NOTHING),
    ("either", AnyOf((X, Y)), {X: known((1, 3)), Y: known((5, 7))}, known((1, 3), (5, 7))),
    ("either, one unknown", AnyOf((X, Y)), {X: known((1, EVER)), Y: UNKNOWN}, Held(days((1, EVER)), ALWAYS)),
    (
        "two of three",
        AtLeast(2, (X, Y, Z)),
        {X: known((1, 5)), Y: known((3, 7)), Z: known((6, EVER))},
        known((3, 5), (6, 7)),
    ),
    (
        "two of three, of which one is unknown",
        AtLeast(2, (X, Y, Z)),
        {X: known((1, 5)), Y: known((3, 7)), Z: UNKNOWN},
        Held(days((3, 5)), days((1, 7))),
    ),
    ("not", Not(X), {X: known((1, EVER))}, Held((BEFORE_1,), (BEFORE_1,))),
    ("not what is unknown is unknown", Not(X), {X: UNKNOWN}, UNKNOWN),
    ("not what never was", Not(X), {X: NOTHING}, Held(ALWAYS, ALWAYS)),
    (
        "not what may have been since the first day and surely was since the second",
        Not(X),
        {X: Held(days((2, EVER)), days((1, EVER)))},
        Held((BEFORE_1,), ((-NEVER, 2 * DAY),)),
    ),
    ("arrived, and not on hold", AllOf((Y, Not(X))), {Y: known((1, EVER)), X: known((2, 4))}, known((1, 2), (4, EVER))),
    ("in time, and for as long as it holds", By(5 * DAY, X), {X: known((4, 9))}, known((4, 9))),
    ("on the day is too late", By(5 * DAY, X), {X: known((5, 9))}, NOTHING),
    ("late the second time only", By(5 * DAY, X), {X: known((1, 2), (7, 9))}, known((1, 2))),
    (
        "in time perhaps, late surely",
        By(5 * DAY, X),
        {X: Held(days((6, 9)), days((4, 9)))},
        Held(NONE, days((4, 9))),
    ),
    ("three days after", Within(5, Y, X), {Y: known((1, EVER)), X: known((4, EVER))}, known((4, EVER))),
    ("on the last day", Within(5, Y, X), {Y: known((1, EVER)), X: known((6, EVER))}, known((6, EVER))),
    ("a moment later", Within(5, Y, X), {Y: known((1, EVER)), X: Held(*[((6 * DAY + 1, NEVER),)] * 2)}, NOTHING),
    ("long before, and still", Within(5, Y, X), {Y: known((9, EVER)), X: known((1, EVER))}, known((9, EVER))),
    ("long before, and no more", Within(5, Y, X), {Y: known((9, EVER)), X: known((1, 9))}, NOTHING),
    (
        "the first began it, though it is over",
        Within(5, Y, X),
        {Y: known((1, 2), (8, 9)), X: known((4, EVER))},
        known((4, EVER)),
    ),
    ("a second beginning gives no new time", Within(5, Y, X), {Y: known((1, 2), (8, 9)), X: known((9, EVER))}, NOTHING),
    ("after what never was", Within(5, Y, X), {Y: NOTHING, X: known((4, EVER))}, NOTHING),
    (
        "after what is unknown",
        Within(5, Y, X),
        {Y: Held(NONE, days((3, 8))), X: known((4, EVER))},
        Held(NONE, days((4, EVER))),
    ),
    (
        # it may have begun as late as the end of day 8, and then up to day 13 is in time
        "after what is unknown, in time only if that was late",
        Within(5, Y, X),
        {Y: Held(NONE, days((3, 8))), X: known((12.5, EVER))},
        Held(NONE, days((12.5, EVER))),
    ),
    (
        "after what is unknown, too late by any",
        Within(5, Y, X),
        {Y: Held(NONE, days((3, 8))), X: known((13, EVER))},
        NOTHING,
    ),
    (
        # from day 1 the time is up on day 6, from day 3 on day 8
        "in time by the later beginning only",
        Within(5, Y, X),
        {Y: Held(days((3, EVER)), days((1, EVER))), X: known((7, EVER))},
        Held(NONE, days((7, EVER))),
    ),
    (
        "in time by either, and so surely, but not before the later",
        Within(5, Y, X),
        {Y: Held(days((3, EVER)), days((1, EVER))), X: known((2, EVER))},
        Held(days((3, EVER)), days((2, EVER))),
    ),
    ("at that moment it holds", Upon(Y, X), {Y: known((3, 9)), X: known((1, 4))}, known((3, 9))),
    ("from that very moment", Upon(Y, X), {Y: known((3, 9)), X: known((3, 4))}, known((3, 9))),
    ("over at that moment", Upon(Y, X), {Y: known((3, 9)), X: known((1, 3))}, NOTHING),
    ("only later", Upon(Y, X), {Y: known((3, 9)), X: known((4, EVER))}, NOTHING),
    ("the second time only", Upon(Y, X), {Y: known((1, 2), (4, 5), (7, 8)), X: known((4, 7))}, known((4, 5))),
    ("at what is unknown", Upon(Y, X), {Y: known((3, 9)), X: UNKNOWN}, Held(NONE, days((3, 9)))),
    ("upon what never was", Upon(Y, X), {Y: NOTHING, X: known((1, EVER))}, NOTHING),
    (
        "upon what may never have been",
        Upon(Y, X),
        {Y: Held(NONE, days((3, 9))), X: known((5, 6))},
        Held(NONE, days((5, 9))),
    ),
    (
        "upon what began somewhere between, all through which it holds",
        Upon(Y, X),
        {Y: Held(days((5, 9)), days((3, 9))), X: known((3, 6))},
        Held(days((5, 9)), days((3, 9))),
    ),
    (
        "upon what began somewhere between, at the end of which it holds",
        Upon(Y, X),
        {Y: Held(days((5, 9)), days((3, 9))), X: known((4, 6))},
        Held(NONE, days((4, 9))),
    ),
    (
        # it is sure from 3 to 4 and from 6 on; in between it may have ended, and begun again when the other held
        "upon what may have begun twice",
        Upon(Y, X),
        {Y: Held(days((3, 4), (6, 9)), days((3, 9))), X: known((5, 6))},
        Held(NONE, days((5, 9))),
    ),
    (
        "a whole deal",
        AllOf((AtLeast(1, (Z, X)), Within(10, Y, By(20 * DAY, X)), Not(Z))),
        {X: known((8, EVER)), Y: known((2, EVER)), Z: known((9, 12))},
        known((8, 9), (12, EVER)),
    ),
]


@pytest.mark.parametrize(("clause", "world", "expected"), [row[1:] for row in HOLDING], ids=[row[0] for row in HOLDING])
def test_when_a_clause_holds(clause: Clause, world: dict[Fact, Held], expected: Held) -> None:
    assert evaluate(clause, world.__getitem__) == expected


# Holding, by laws. Time is cut into cells of half a day, the first and the last of which reach to for ever.

EDGES = (-NEVER, *(place * DAY // 2 for place in range(12)), NEVER)
CELLS = range(len(EDGES) - 1)
FACTS = tuple(Fact(kind) for kind in ("arrived", "customs_cleared", "insurance_bound", "on_hold"))

Cells = frozenset[int]
Truth = dict[Fact, tuple[Cells, Cells, Cells]]
some_cells = st.frozensets(st.sampled_from(CELLS))
# Of each fact what is true, what of it is known, and what may be besides.
truths = st.fixed_dictionaries(
    dict.fromkeys(
        FACTS,
        st.builds(lambda true, known, more: (true, true & known, true | more), some_cells, some_cells, some_cells),
    )
)


def written(cells: Cells) -> Stretches:
    return joined((EDGES[cell], EDGES[cell + 1]) for cell in cells)


def _below(below: st.SearchStrategy[Clause], *, with_not: bool) -> st.SearchStrategy[Clause]:
    parts = st.lists(below, min_size=1, max_size=4).map(tuple)
    moments = st.sampled_from(EDGES[1:-1])
    found: list[st.SearchStrategy[Clause]] = [
        st.builds(AllOf, parts),
        st.builds(AnyOf, parts),
        parts.flatmap(lambda some: st.builds(AtLeast, st.integers(1, len(some)), st.just(some))),
        st.builds(By, moments, below),
        st.builds(Within, st.integers(1, 4), below, below),
        st.builds(Upon, below, below),
    ]
    return st.one_of(*found, st.builds(Not, below)) if with_not else st.one_of(*found)


leaves = st.sampled_from(FACTS)
clauses: st.SearchStrategy[Clause] = st.recursive(leaves, lambda below: _below(below, with_not=True), max_leaves=8)
clauses_without_not: st.SearchStrategy[Clause] = st.recursive(
    leaves, lambda below: _below(below, with_not=False), max_leaves=8
)
several_clauses = st.lists(clauses, min_size=1, max_size=4)


def found_in(truth: Truth) -> Callable[[Fact], Held]:
    return lambda fact: Held(written(truth[fact][1]), written(truth[fact][2]))


def cells_of(some: Stretches) -> Cells:
    return frozenset(
        cell for cell in CELLS for since, until in some if since <= EDGES[cell] and EDGES[cell + 1] <= until
    )


def _began_ms(cells: Cells, cell: int) -> int:
    return EDGES[_first_of(cells, cell)]


def plainly(clause: Clause, truth: dict[Fact, Cells]) -> Cells:
    """When a clause is true where everything is known: the meaning of each form, cell by cell."""
    below = [plainly(one, truth) for one in parts_of(clause)]
    match clause:
        case Fact():
            found = truth[clause]
        case AllOf():
            found = frozenset(cell for cell in CELLS if all(cell in one for one in below))
        case AnyOf():
            found = frozenset(cell for cell in CELLS if any(cell in one for one in below))
        case AtLeast():
            found = frozenset(cell for cell in CELLS if sum(cell in one for one in below) >= clause.count)
        case Not():
            found = frozenset(CELLS) - below[0]
        case By():
            found = frozenset(cell for cell in below[0] if _began_ms(below[0], cell) < clause.at_ms)
        case Within():
            found = _in_the_days_after(clause.days, *below)
        case Upon():
            found = frozenset(cell for cell in below[0] if _first_of(below[0], cell) in below[1])
    return found


def _first_of(cells: Cells, cell: int) -> int:
    while cell - 1 in cells:
        cell -= 1
    return cell


def _in_the_days_after(some_days: int, after: Cells, that: Cells) -> Cells:
    if not after:
        return frozenset()
    since_ms = EDGES[min(after)]
    last_ms = since_ms + some_days * DAY
    return frozenset(cell for cell in that if EDGES[cell] >= since_ms and _began_ms(that, cell) <= last_ms)


@given(clauses, truths)
def test_where_everything_is_known_a_clause_means_what_it_says(clause: Clause, truth: Truth) -> None:
    whole = {fact: true for fact, (true, _, _) in truth.items()}
    expected = written(plainly(clause, whole))
    assert evaluate(clause, lambda fact: Held(*[written(whole[fact])] * 2)) == Held(expected, expected)


@given(clauses, truths)
def test_whatever_is_true_in_the_end_lies_between_surely_and_maybe(clause: Clause, truth: Truth) -> None:
    surely, maybe = (cells_of(some) for some in evaluate(clause, found_in(truth)))
    assert surely <= maybe
    assert surely <= plainly(clause, {fact: true for fact, (true, _, _) in truth.items()}) <= maybe


@given(clauses, truths, st.sampled_from(FACTS), some_cells)
def test_to_know_more_never_unsettles_what_was_known(clause: Clause, truth: Truth, fact: Fact, learnt: Cells) -> None:
    true, surely, maybe = truth[fact]
    closer = truth | {fact: (true, surely | (true & learnt), maybe - (learnt - true))}
    before, after = evaluate(clause, found_in(truth)), evaluate(clause, found_in(closer))
    assert cells_of(before.surely) <= cells_of(after.surely) <= cells_of(after.maybe) <= cells_of(before.maybe)


@given(clauses_without_not, truths, st.sampled_from(FACTS), some_cells)
def test_more_that_surely_holds_never_takes_anything_away_where_nothing_is_denied(
    clause: Clause, truth: Truth, fact: Fact, more: Cells
) -> None:
    true, surely, maybe = truth[fact]
    fuller = truth | {fact: (true, surely | (maybe & more), maybe)}
    before, after = evaluate(clause, found_in(truth)), evaluate(clause, found_in(fuller))
    assert cells_of(before.surely) <= cells_of(after.surely)


@given(several_clauses, st.randoms(use_true_random=False), truths, st.data())
def test_the_order_of_the_parts_never_matters(
    parts: list[Clause], chance: Any, truth: Truth, data: st.DataObject
) -> None:
    held = found_in(truth)
    mixed = list(parts)
    chance.shuffle(mixed)
    count = data.draw(st.integers(1, len(parts)))
    for form in (AllOf, AnyOf, lambda some: AtLeast(count, some)):
        assert evaluate(form(tuple(parts)), held) == evaluate(form(tuple(mixed)), held)


@given(several_clauses, truths)
def test_the_laws_of_all_any_and_not(parts: list[Clause], truth: Truth) -> None:
    held, some = found_in(truth), tuple(parts)
    every, one = evaluate(AllOf(some), held), evaluate(AnyOf(some), held)
    denied = tuple(Not(part) for part in some)
    assert evaluate(Not(Not(some[0])), held) == evaluate(some[0], held)
    assert evaluate(Not(AllOf(some)), held) == evaluate(AnyOf(denied), held)
    assert evaluate(Not(AnyOf(some)), held) == evaluate(AllOf(denied), held)
    assert evaluate(AtLeast(1, some), held) == one
    assert evaluate(AtLeast(len(some), some), held) == every
    chosen = [evaluate(AtLeast(count, some), held) for count in range(1, len(some) + 1)]
    for fewer, more in pairwise(chosen):
        assert cells_of(more.surely) <= cells_of(fewer.surely)
