"""Milestones as tables that a banker can read: what is asked, what devices showed and others said, and how it ends.

Minutes count from noon. `met@30` is met since half past twelve; what happens is of both containers of the shipment
where neither is named. What notices, the book and the value of goods say has tables of its own (test_milestone_papers).
"""

from typing import Any

import pytest
from builders import Device, book_document
from milestoning import (
    COLD,
    FIRST,
    ORIGIN,
    PORT,
    PORT_FAIR,
    SEA,
    SEA_FAIR,
    SECOND,
    WARM,
    Happened,
    Row,
    Trade,
    When,
    amend_lots,
    assert_ends,
    both,
    fact,
    fix,
    milestone,
    moment,
    of,
    rows_of,
    say,
    tick,
)

from pledgewatch_cloud.decide import causes

IN_LA = fact("gated_in", fence="los-angeles")
STAYS = fact("gated_in", fence="los-angeles", dwell_s=3_600)
CLEARED = fact("customs_cleared")
INSURED = fact("insurance_bound")
LADEN = fact("bill_of_lading_issued")
ARRIVED = fact("arrived")
KEPT = fact("condition_kept")
RECEIPT = {"receipt": {"id": "wr-1", "state": "valid"}}
DAY = 1_440

WHERE: list[Row] = [
    # what the milestone asks, what happened, how it ends
    ("nothing has happened", IN_LA, [], "waiting"),
    ("both containers have entered", IN_LA, [both(0, *SEA), both(10, *PORT)], "met@10"),
    ("only one of both has", IN_LA, [both(0, *SEA), fix(10, *PORT)], "waiting"),
    ("the later of both counts", IN_LA, [both(0, *SEA), fix(10, *PORT), fix(20, *PORT, name=SECOND)], "met@20"),
    (
        "one lot is enough where it alone is asked",
        IN_LA | {"lot": f"lot-{FIRST}"},
        [both(0, *SEA), fix(10, *PORT)],
        "met@10",
    ),
    ("what was there from the first has not entered", IN_LA, [both(0, *PORT), both(10, *PORT)], "waiting"),
    ("left again, it has entered all the same", IN_LA, [both(0, *SEA), both(10, *PORT), both(20, *SEA)], "met@10"),
    ("not for an hour yet", STAYS, [both(0, *SEA), both(10, *PORT), both(69, *PORT)], "waiting"),
    (
        "for an hour, as the next fix shows",
        STAYS,
        [both(0, *SEA), both(10, *PORT), both(75, *PORT), tick(76)],
        "met@70",
    ),
    ("for an hour, but nothing shows it", STAYS, [both(0, *SEA), both(10, *PORT), tick(90)], "waiting"),
    (
        "for an hour, by fixes that are only fair",
        STAYS,
        [both(0, *SEA), both(10, *PORT), both(75, *PORT_FAIR), tick(90)],
        "waiting",
    ),
    (
        "half an hour twice is no hour",
        STAYS,
        [both(0, *SEA), both(10, *PORT), both(40, *SEA), both(50, *PORT), both(80, *PORT)],
        "waiting",
    ),
    ("left after an hour that no fix showed", STAYS, [both(0, *SEA), both(10, *PORT), both(80, *SEA)], "met@70"),
    ("left", fact("gated_out", fence="shanghai"), [both(0, *ORIGIN), both(10, *SEA)], "met@10"),
    ("not left", fact("gated_out", fence="shanghai"), [both(0, *ORIGIN), both(10, *ORIGIN)], "waiting"),
    ("inside from the first", fact("inside", fence="shanghai"), [both(0, *ORIGIN), tick(1)], "met@0"),
    (
        "and it was inside, though it has left since",
        fact("inside", fence="shanghai"),
        [both(0, *ORIGIN), both(10, *ORIGIN), both(20, *SEA)],
        "met@0",
    ),
    (
        "inside when the papers came",
        {"all": [fact("inside", fence="shanghai"), LADEN]},
        [both(0, *ORIGIN), say(5, "bill_of_lading_issued"), both(10, *ORIGIN), tick(11)],
        "met@5",
    ),
    (
        "gone when the papers came",
        {"all": [fact("inside", fence="shanghai"), LADEN]},
        [both(0, *ORIGIN), both(10, *SEA), say(15, "bill_of_lading_issued"), tick(16)],
        "pending",
    ),
    (
        "a fix stands for an hour: the papers came in time",
        {"all": [fact("inside", fence="shanghai", max_age_s=3_600), LADEN]},
        [both(0, *ORIGIN), say(50, "bill_of_lading_issued")],
        "met@50",
    ),
    (
        "and here they did not",
        {"all": [fact("inside", fence="shanghai", max_age_s=3_600), LADEN]},
        [both(0, *ORIGIN), say(61, "bill_of_lading_issued")],
        "pending",
    ),
    (
        "cleared, and not in the forbidden place",
        {"all": [CLEARED, {"not": fact("inside", fence="shanghai")}]},
        [both(0, *SEA), say(5, "customs_cleared"), both(10, *SEA), tick(11)],
        "met@5",
    ),
    (
        "cleared, and one of both is there",
        {"all": [CLEARED, {"not": fact("inside", fence="shanghai")}]},
        [both(0, *SEA), fix(4, *ORIGIN), say(5, "customs_cleared"), both(10, *ORIGIN), tick(11)],
        "pending",
    ),
    (
        "cleared before anybody knew where it was",
        {"all": [CLEARED, {"not": fact("inside", fence="shanghai")}]},
        [say(5, "customs_cleared"), both(10, *ORIGIN), tick(11)],
        "pending",
    ),
]

GRADES: list[Row] = [
    ("a fair fix shows no entry that must be good", IN_LA, [both(0, *SEA_FAIR), both(10, *PORT_FAIR)], "waiting"),
    (
        "a fair fix is enough where it is said so",
        IN_LA | {"grade": "fair"},
        [both(0, *SEA_FAIR), both(10, *PORT_FAIR)],
        "met@10",
    ),
    (
        "a good fix confirms what a fair one has shown",
        IN_LA,
        [both(0, *SEA_FAIR), both(10, *PORT_FAIR), both(20, *PORT)],
        "met@20",
    ),
    (
        "a good fix confirms no entry where there was none",
        IN_LA,
        [both(0, *PORT_FAIR), both(20, *PORT)],
        "waiting",
    ),
    (
        "for an hour, all by fair fixes",
        STAYS | {"grade": "fair"},
        [both(0, *SEA_FAIR), both(10, *PORT_FAIR), both(75, *PORT_FAIR), tick(76)],
        "met@70",
    ),
]

CONDITION: list[Row] = [
    ("known and kept", KEPT, [both(0, *COLD)], "met@0"),
    ("kept, but of one nothing is known", KEPT, [fix(0, *COLD)], "waiting"),
    (
        "gated in sound",
        {"upon": IN_LA, "that": KEPT},
        [both(0, *SEA, *COLD), both(10, *PORT, *COLD), both(20, *WARM), both(40, *WARM)],
        "met@10",
    ),
    (
        "gated in, one of both spoilt",
        {"upon": IN_LA, "that": KEPT},
        [both(-60, *SEA, *COLD), fix(-50, *WARM), fix(-30, *WARM), fix(-20, *COLD), both(10, *PORT, *COLD)],
        "pending",
    ),
    (
        "spoilt, but over: no breach goes on",
        {"upon": IN_LA, "that": fact("no_open_breach")},
        [both(-60, *SEA, *COLD), fix(-50, *WARM), fix(-30, *WARM), fix(-20, *COLD), both(10, *PORT, *COLD)],
        "met@10",
    ),
    (
        "no breach goes on, by a reading of the last hour",
        {"all": [fact("no_open_breach", max_age_s=3_600), ARRIVED]},
        [both(0, *COLD), say(30, "arrived")],
        "met@30",
    ),
    (
        "the newest reading is too old",
        {"all": [fact("no_open_breach", max_age_s=3_600), ARRIVED]},
        [both(0, *COLD), say(61, "arrived")],
        "pending",
    ),
    (
        "until the next one",
        {"all": [fact("no_open_breach", max_age_s=3_600), ARRIVED]},
        [both(0, *COLD), say(61, "arrived"), both(70, *COLD), tick(71)],
        "met@61",
    ),
    (
        "dark for more than a day: kept is not known",
        {"all": [KEPT, ARRIVED]},
        [both(0, *COLD), tick(DAY + 1), say(DAY + 5, "arrived"), both(DAY + 10, *COLD)],
        "pending",
    ),
]

TIME: list[Row] = [
    ("a date has not come", fact("date_reached", at=moment(60)), [tick(59)], "waiting"),
    ("a date has come", fact("date_reached", at=moment(60)), [tick(60)], "met@60"),
    (
        "the latter half of two",
        {"all": [CLEARED, fact("date_reached", at=moment(60))]},
        [say(5, "customs_cleared"), tick(61)],
        "met@60",
    ),
    ("by a date, in time", {"by": moment(60), "that": CLEARED}, [tick(70), say(59, "customs_cleared")], "met@59"),
    ("by a date, too late", {"by": moment(60), "that": CLEARED}, [say(60, "customs_cleared")], "pending"),
    (
        "by a date, from a receipt that the book had in time",
        {"by": moment(60), "that": fact("receipt_valid")},
        [amend_lots(59, **RECEIPT)],
        "met@59",
    ),
    (
        "by a date, from a receipt that came later",
        {"by": moment(60), "that": fact("receipt_valid")},
        [amend_lots(61, **RECEIPT)],
        "pending",
    ),
    (
        "within a day after",
        {"within_days": 1, "after": ARRIVED, "that": CLEARED},
        [say(0, "arrived"), say(DAY, "customs_cleared")],
        f"met@{DAY}",
    ),
    (
        "a minute later than that",
        {"within_days": 1, "after": ARRIVED, "that": CLEARED},
        [say(0, "arrived"), say(DAY + 1, "customs_cleared")],
        "pending",
    ),
    (
        "before it, and still so",
        {"within_days": 1, "after": ARRIVED, "that": CLEARED},
        [say(-5, "customs_cleared"), say(0, "arrived")],
        "met@0",
    ),
    (
        "within a day after it was seen to enter",
        {"within_days": 1, "after": IN_LA, "that": CLEARED},
        [both(0, *SEA), both(10, *PORT), say(60, "customs_cleared")],
        "met@60",
    ),
]

FORMS: list[Row] = [
    ("all, and one is missing", {"all": [CLEARED, LADEN]}, [say(5, "customs_cleared")], "pending"),
    (
        "all, in any order",
        {"all": [CLEARED, LADEN]},
        [say(9, "bill_of_lading_issued"), say(5, "customs_cleared")],
        "met@9",
    ),
    ("any of two", {"any": [CLEARED, LADEN]}, [say(9, "bill_of_lading_issued")], "met@9"),
    (
        "any: the earlier counts, though it was heard of later",
        {"any": [CLEARED, LADEN]},
        [say(9, "bill_of_lading_issued"), say(5, "customs_cleared")],
        "met@5",
    ),
    (
        "two of three",
        {"at_least": 2, "of": [CLEARED, LADEN, INSURED]},
        [say(5, "customs_cleared"), say(9, "insurance_bound")],
        "met@9",
    ),
    ("one of three", {"at_least": 2, "of": [CLEARED, LADEN, INSURED]}, [say(5, "customs_cleared")], "pending"),
    (
        "insured when it was loaded",
        {"upon": fact("vessel_loaded"), "that": INSURED},
        [say(1, "insurance_bound", until=30), say(20, "vessel_loaded"), tick(60)],
        "met@20",
    ),
    (
        "insured only afterwards",
        {"upon": fact("vessel_loaded"), "that": INSURED},
        [say(20, "vessel_loaded"), say(21, "insurance_bound")],
        "pending",
    ),
    (
        "the whole deal",
        {
            "all": [
                LADEN | {"sender": "carrier"},
                CLEARED | {"sender": "customs"},
                {"upon": STAYS, "that": KEPT},
                {"not": fact("on_hold")},
            ]
        },
        [
            say(-5, "bill_of_lading_issued"),
            both(0, *SEA, *COLD),
            both(10, *PORT, *COLD),
            both(75, *PORT, *COLD),
            say(80, "customs_cleared", "customs"),
        ],
        "met@80",
    ),
]

LOT = {"lot": f"lot-{FIRST}"}


def goes_on(minute: float) -> Happened:
    """The lot in the first container goes on in the second, which the book learns at once."""
    return amend_lots(minute, FIRST, asset=SECOND, stays=[{"asset": FIRST, "until": moment(minute)}])


MOVED: list[Row] = [
    # the lot of the first container goes on in the second at minute 30
    ("its container had entered before", IN_LA | LOT, [both(0, *SEA), fix(10, *PORT), goes_on(30)], "met@10"),
    ("its container entered when it had left it", IN_LA | LOT, [both(0, *SEA), goes_on(30), fix(40, *PORT)], "waiting"),
    ("the next one entered with it", IN_LA | LOT, [both(0, *SEA), goes_on(30), fix(40, *PORT, name=SECOND)], "met@40"),
    (
        "the next one had entered without it",
        IN_LA | LOT,
        [both(0, *SEA), fix(9, *PORT, name=SECOND), goes_on(30)],
        "waiting",
    ),
    (
        "it left before the hour was over",
        STAYS | LOT,
        [both(0, *SEA), fix(10, *PORT), goes_on(30), fix(75, *PORT), tick(80)],
        "waiting",
    ),
    (
        "it had stayed for an hour before",
        STAYS | LOT,
        [both(-60, *SEA), fix(-50, *PORT), goes_on(30), fix(40, *PORT), tick(41)],
        "met@10",
    ),
    (
        "inside with the next one",
        {"all": [fact("inside", fence="los-angeles") | LOT, CLEARED]},
        [
            both(0, *SEA),
            goes_on(30),
            fix(40, *PORT, name=SECOND),
            fix(60, *PORT, name=SECOND),
            say(50, "customs_cleared"),
        ],
        "met@50",
    ),
    (
        "the first is inside, and it is in the next",
        {"all": [fact("inside", fence="los-angeles") | LOT, CLEARED]},
        [both(0, *SEA), fix(10, *PORT), goes_on(30), both(40, *SEA), fix(60, *PORT), say(60, "customs_cleared")],
        "pending",
    ),
    (
        "it was sound, and the first grew warm without it",
        {"all": [KEPT | LOT, CLEARED]},
        [
            both(0, *COLD),
            fix(29, *COLD),
            goes_on(30),
            fix(31, *WARM),
            fix(50, *WARM),
            fix(55, *COLD, name=SECOND),
            say(60, "customs_cleared"),
        ],
        "met@60",
    ),
    (
        "it was spoilt in the first, and is so in the next",
        {"all": [KEPT | LOT, CLEARED]},
        [
            both(0, *COLD),
            fix(5, *WARM),
            fix(20, *WARM),
            goes_on(30),
            fix(40, *COLD, name=SECOND),
            say(60, "customs_cleared"),
        ],
        "pending",
    ),
    (
        "too warm when it left the first, which is over",
        {"all": [fact("no_open_breach") | LOT, CLEARED]},
        [
            both(0, *COLD),
            fix(5, *WARM),
            fix(20, *WARM),
            goes_on(30),
            fix(40, *COLD, name=SECOND),
            say(60, "customs_cleared"),
        ],
        "met@60",
    ),
    (
        "nothing is known of it in the next yet",
        {"all": [KEPT | LOT, CLEARED]},
        [both(0, *COLD), goes_on(30), say(60, "customs_cleared")],
        "pending",
    ),
    ("its first container arrived with it", ARRIVED | LOT, [goes_on(30), say(20, "arrived", **of(FIRST))], "met@20"),
    (
        "its first container arrived without it",
        ARRIVED | LOT,
        [goes_on(30), say(40, "arrived", **of(FIRST))],
        "waiting",
    ),
    ("the next one arrived with it", ARRIVED | LOT, [goes_on(30), say(40, "arrived", **of(SECOND))], "met@40"),
    ("the next one had arrived without it", ARRIVED | LOT, [goes_on(30), say(20, "arrived", **of(SECOND))], "waiting"),
]

TABLES = {"where": WHERE, "condition": CONDITION, "moved": MOVED, "time": TIME, "forms": FORMS}
ROWS = rows_of(TABLES)
FAIR_FENCES = [
    feature | {"properties": {"kind": "port", "grade": "fair"}}
    for feature in book_document(Device())["fences"]["features"]
]


@pytest.mark.parametrize(("when", "story", "ends"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_how_a_milestone_ends(when: When, story: list[Happened], ends: str) -> None:
    assert_ends(Trade(milestone(when)), story, ends)


@pytest.mark.parametrize(("when", "story", "ends"), [row[1:] for row in GRADES], ids=[row[0] for row in GRADES])
def test_how_it_ends_where_a_fair_fix_is_enough_to_cross_a_fence(when: When, story: list[Happened], ends: str) -> None:
    fences: dict[str, Any] = {"type": "FeatureCollection", "features": FAIR_FENCES}
    assert_ends(Trade(milestone(when), fences=fences), story, ends)


@pytest.mark.parametrize("kind", ["no_open_breach", "condition_kept"])
def test_where_doubts_were_forgotten_nobody_can_be_sure(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    trade = Trade(milestone({"all": [fact(kind, lot=f"lot-{FIRST}"), CLEARED]}))
    monkeypatch.setattr(causes, "MAX_PER_KIND", 2)
    trade.fix(0, *COLD)
    for minute in (10, 40, 70):
        for later, cells in ((0, WARM), (15, WARM), (20, COLD)):
            trade.fix(minute + later, *cells)
    trade.say(100, "customs_cleared")
    assert trade.spine.state.facts[FIRST].forgotten, "there was no room for one of the three"
    assert trade.ends() == "pending"
    assert bool(trade.verdict().held.maybe) is (kind == "no_open_breach")


def test_every_form_is_in_a_row() -> None:
    asked = str([row[1] for row in ROWS])
    for form in ("all", "any", "at_least", "not", "by", "within_days", "upon"):
        assert f"'{form}'" in asked, form
