"""What evidence must be worth, how old it may be, and for whom it counts, as tables that a banker can read.

Minutes count from noon. `met@30` is met since half past twelve; what happens is of both containers of the shipment.
"""

import pytest
from milestoning import (
    COLD,
    FIRST,
    PORT,
    PORT_FAIR,
    SEA,
    SEA_FAIR,
    SECOND,
    SENDERS,
    WARM,
    Happened,
    Row,
    Trade,
    When,
    amend,
    amend_lots,
    assert_ends,
    both,
    fact,
    fix,
    milestone,
    moment,
    rows_of,
    say,
    tick,
)
from test_milestone_tables import FAIR_FENCES

from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.milestones import explain

IN_LA, INSIDE = fact("gated_in", fence="los-angeles"), fact("inside", fence="los-angeles")
CLEARED, ARRIVED = fact("customs_cleared"), fact("arrived")
KEPT, NO_BREACH, MKT = fact("condition_kept"), fact("no_open_breach"), fact("mkt_below")
RECEIPT = {"receipt": {"id": "wr-1", "state": "valid"}}
MKT_LIMIT = {"channel": "temperature_mc", "high_mc": 8_000, "worst_low_mc": 2_000, "worst_high_mc": 30_000}
HOUR = {"max_age_s": 3_600}
FAIR = {"grade": "fair"}


def then_cleared(asked: When) -> When:
    return {"all": [asked, CLEARED]}


WHERE: list[Row] = [
    # what the milestone asks, what happened, how it ends; the port asks for good fixes to be entered
    (
        "inside up to the newest good fix",
        then_cleared(INSIDE),
        [both(0, *SEA), both(10, *PORT), both(30, *PORT), say(20, "customs_cleared")],
        "met@20",
    ),
    (
        "a fair fix does not show that it is still there",
        then_cleared(INSIDE),
        [both(0, *SEA), both(10, *PORT), both(30, *PORT_FAIR), say(20, "customs_cleared")],
        "pending",
    ),
    (
        "nor that it stayed an hour, where it is seen elsewhere",
        IN_LA | FAIR | {"dwell_s": 3_600},
        [both(0, *SEA), both(10, *PORT), both(75, *SEA_FAIR), tick(80)],
        "waiting",
    ),
    (
        "whoever may be out by a fair fix may not be in",
        then_cleared({"not": IN_LA}),
        [both(0, *SEA), both(10, *PORT_FAIR), say(5, "customs_cleared")],
        "pending",
    ),
    (
        "a good fix stands for an hour, whatever fair ones came",
        then_cleared(INSIDE | HOUR),
        [both(0, *SEA), both(10, *PORT), both(30, *PORT_FAIR), say(60, "customs_cleared")],
        "met@60",
    ),
]

WHERE_FAIR: list[Row] = [
    # the port takes fair fixes to be entered
    ("inside by a fair fix, and good ones are asked for", INSIDE, [both(0, *SEA), both(10, *PORT_FAIR)], "waiting"),
    ("fair ones are enough", INSIDE | FAIR, [both(0, *SEA), both(10, *PORT_FAIR)], "met@10"),
    (
        "from when a good fix showed it",
        INSIDE,
        [both(0, *SEA), both(10, *PORT_FAIR), both(20, *PORT), tick(21)],
        "met@20",
    ),
    ("there from the first, by a fair fix", INSIDE, [both(0, *PORT_FAIR), tick(1)], "waiting"),
    ("there from the first, fair is enough", INSIDE | FAIR, [both(0, *PORT_FAIR), tick(1)], "met@0"),
    ("there from the first, and a good fix shows it", INSIDE, [both(0, *PORT_FAIR), both(9, *PORT), tick(9)], "met@9"),
    (
        "a fair fix later is enough, where it is said so",
        then_cleared(INSIDE | FAIR),
        [both(0, *SEA), both(10, *PORT), both(30, *PORT_FAIR), say(20, "customs_cleared")],
        "met@20",
    ),
    (
        "and not where it is not",
        then_cleared(INSIDE),
        [both(0, *SEA), both(10, *PORT), both(30, *PORT_FAIR), say(20, "customs_cleared")],
        "pending",
    ),
    (
        "it has left since, and was inside when the papers came",
        then_cleared(INSIDE),
        [both(0, *SEA), both(10, *PORT), say(20, "customs_cleared"), both(25, *PORT), both(30, *SEA)],
        "met@20",
    ),
]


def of_condition(asked: When) -> list[Row]:
    """How old the newest reading may be, and what it must be worth."""
    kind = asked["fact"]
    return [
        (
            f"{kind}, by a reading of the last hour",
            then_cleared(asked | HOUR),
            [both(0, *COLD), say(59, "customs_cleared")],
            "met@59",
        ),
        (f"{kind}: it is older", then_cleared(asked | HOUR), [both(0, *COLD), say(61, "customs_cleared")], "pending"),
        (
            f"{kind}: a fair fix is no good reading",
            then_cleared(asked | HOUR),
            [both(0, *COLD), both(30, *SEA_FAIR), say(61, "customs_cleared")],
            "pending",
        ),
        (
            f"{kind}: a fair fix is enough",
            then_cleared(asked | HOUR | FAIR),
            [both(0, *COLD), both(30, *SEA_FAIR), say(61, "customs_cleared")],
            "met@61",
        ),
        (
            f"{kind}: and grows old as well",
            then_cleared(asked | HOUR | FAIR),
            [both(0, *COLD), both(30, *SEA_FAIR), say(91, "customs_cleared")],
            "pending",
        ),
        (
            f"{kind}: a good fix is a good reading",
            then_cleared(asked | HOUR),
            [both(0, *COLD), both(30, *SEA), say(61, "customs_cleared")],
            "met@61",
        ),
    ]


CONDITION: list[Row] = [
    *of_condition(KEPT),
    *of_condition(NO_BREACH),
    (
        "however young, what was spoilt was not kept",
        then_cleared(KEPT | HOUR),
        [both(0, *COLD), both(5, *WARM), both(20, *WARM), both(30, *COLD), say(40, "customs_cleared")],
        "pending",
    ),
]

GOES_ON = {"limits": [], "asset": SECOND, "stays": [{"asset": FIRST, "until": moment(30)}]}
"""The lot of the first container, of which nothing is asked, goes on in the second at minute 30."""
ELSEWHERE: When = {**NO_BREACH, **HOUR, **FAIR, "lot": f"lot-{FIRST}"}
MOVED: list[Row] = [
    (
        "what the next container showed before the goods came does not stand for them",
        then_cleared(ELSEWHERE),
        [fix(0, *SEA), fix(20, *SEA_FAIR, name=SECOND), amend_lots(30, FIRST, **GOES_ON), say(61, "customs_cleared")],
        "pending",
    ),
    (
        "and what it showed then does",
        then_cleared(ELSEWHERE),
        [fix(0, *SEA), fix(31, *SEA_FAIR, name=SECOND), amend_lots(32, FIRST, **GOES_ON), say(61, "customs_cleared")],
        "met@61",
    ),
]

AGES: list[Row] = [
    (
        "received within the hour",
        then_cleared(fact("stock_received", **HOUR)),
        [amend_lots(6, received_at=moment(4)), say(63, "customs_cleared")],
        "met@63",
    ),
    (
        "received earlier",
        then_cleared(fact("stock_received", **HOUR)),
        [amend_lots(6, received_at=moment(4)), say(64, "customs_cleared")],
        "pending",
    ),
    (
        "a receipt that was seen within the hour",
        then_cleared(fact("receipt_valid", **HOUR)),
        [amend_lots(5, **RECEIPT), say(64, "customs_cleared")],
        "met@64",
    ),
    (
        "a receipt that was seen earlier",
        then_cleared(fact("receipt_valid", **HOUR)),
        [amend_lots(5, **RECEIPT), tick(60), say(66, "customs_cleared")],
        "pending",
    ),
    (
        "it is old when it comes back, too, where it was never away",
        then_cleared(fact("receipt_valid", **HOUR)),
        [amend_lots(5, **RECEIPT), amend_lots(60, **RECEIPT), say(66, "customs_cleared")],
        "pending",
    ),
    (
        "a new one is young",
        then_cleared(fact("receipt_valid", **HOUR)),
        [
            amend_lots(5, **RECEIPT),
            amend_lots(50, receipt={"id": "wr-1", "state": "frozen"}),
            amend_lots(60, **RECEIPT),
            say(66, "customs_cleared"),
        ],
        "met@66",
    ),
]

SECOND_BANK = {"id": "facility-2", "lender": "bank", "borrower": "exporter", "currency": "USD"}


def tied(sender: str, facility: str) -> Happened:
    """A sender's word is tied to a facility."""

    def happen(trade: Trade) -> None:
        trade.amend(0, facilities=[SECOND_BANK])
        trade.amend(0, senders=[{"id": sender, "facilities": [facility]}])

    return happen


NOT_HELD: When = {"all": [ARRIVED, {"not": fact("on_hold")}]}
TIED: list[Row] = [
    (
        "a sender of this facility",
        CLEARED,
        [tied("customs", "facility-1"), say(5, "customs_cleared", "customs")],
        "met@5",
    ),
    ("of another one", CLEARED, [tied("customs", "facility-2"), say(5, "customs_cleared", "customs")], "waiting"),
    (
        "of another one, though it is the one that is asked for",
        CLEARED | {"sender": "customs"},
        [tied("customs", "facility-2"), say(5, "customs_cleared", "customs")],
        "waiting",
    ),
    (
        "somebody else's word counts all the same",
        CLEARED,
        [tied("customs", "facility-2"), say(5, "customs_cleared", "customs"), say(7, "customs_cleared")],
        "met@7",
    ),
    (
        "tied to another facility after it was met",
        CLEARED,
        [say(5, "customs_cleared", "customs"), tied("customs", "facility-2")],
        "retracted@5",
    ),
    (
        "and let go of again",
        CLEARED,
        [tied("customs", "facility-2"), say(5, "customs_cleared", "customs"), amend(9, "senders", {"id": "customs"})],
        "met@5",
    ),
    (
        "a hold of another facility's sender lifts nothing",
        NOT_HELD,
        [
            tied("customs", "facility-2"),
            say(1, "hold_placed"),
            say(5, "arrived"),
            say(8, "hold_lifted", "customs"),
        ],
        "pending",
    ),
    (
        "a hold that another facility's sender places is no matter",
        NOT_HELD,
        [tied("customs", "facility-2"), say(1, "hold_placed", "customs"), say(5, "arrived")],
        "met@5",
    ),
    (
        "this facility's lifts it",
        NOT_HELD,
        [
            tied("customs", "facility-1"),
            say(1, "hold_placed", "customs"),
            say(5, "arrived"),
            say(8, "hold_lifted", "customs"),
        ],
        "met@8",
    ),
]

ROWS = rows_of({"where": WHERE, "condition": CONDITION, "moved": MOVED, "ages": AGES, "tied": TIED})


@pytest.mark.parametrize(("when", "story", "ends"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_how_a_milestone_ends(when: When, story: list[Happened], ends: str) -> None:
    assert_ends(Trade(milestone(when)), story, ends)


@pytest.mark.parametrize(("when", "story", "ends"), [row[1:] for row in WHERE_FAIR], ids=[row[0] for row in WHERE_FAIR])
def test_how_it_ends_where_a_fair_fix_is_enough_to_cross_a_fence(when: When, story: list[Happened], ends: str) -> None:
    assert_ends(Trade(milestone(when), fences={"type": "FeatureCollection", "features": FAIR_FENCES}), story, ends)


MEAN = of_condition(MKT)


@pytest.mark.parametrize(("when", "story", "ends"), [row[1:] for row in MEAN], ids=[row[0] for row in MEAN])
def test_how_it_ends_where_the_mean_kinetic_temperature_is_asked_for(
    when: When, story: list[Happened], ends: str
) -> None:
    assert_ends(Trade(milestone(when)), [amend_lots(-999, mkt=MKT_LIMIT | {"max_gap_s": 86_400}), *story], ends)


@pytest.mark.parametrize(("minute", "ends"), [(89, "met@89"), (90, "pending")])
def test_another_milestone_s_release_grows_old_as_well(minute: int, ends: str) -> None:
    second = milestone(then_cleared(fact("milestone_released", milestone="first", **HOUR)), id="second")
    trade = Trade(milestone(ARRIVED, id="first"), second)
    trade.say(5, "arrived")
    trade.tick(30)
    trade.deliver()
    trade.say(minute, "customs_cleared")
    assert trade.memo("first").state == "released"
    assert trade.ends("second") == ends


@pytest.mark.parametrize(("minute", "ends"), [(64, "met@64"), (65, "pending")])
def test_that_goods_are_pledged_grows_old_from_when_the_milestone_saw_it(minute: int, ends: str) -> None:
    trade = Trade()
    trade.amend(5, milestones=[milestone(then_cleared(fact("pledged", **HOUR)))])
    assert_ends(trade, [say(minute, "customs_cleared")], ends)


def test_why_the_word_of_another_facility_s_sender_does_not_count() -> None:
    trade = Trade(milestone(CLEARED))
    tied("customs", "facility-2")(trade)
    trade.say(5, "customs_cleared", "customs")
    says = "customs/customs_cleared@5 is of customs, whose word does not count for facility-1"
    assert f": {says}" in "\n".join(explain.lines(explain.explain(trade.spine.state, "milestone")))


def test_a_sender_s_facilities_are_the_book_s() -> None:
    trade = Trade()
    with pytest.raises(BookError) as caught:
        trade.amend(0, senders=[{"id": "carrier", "facilities": ["facility-9", "facility-1"]}])
    assert caught.value.errors == ("senders carrier.facilities: there is no 'facility-9' among facilities",)
    trade.amend(0, senders=[{"id": "carrier", "facilities": ["facility-1", "facility-1"]}])
    assert trade.spine.state.book.senders["carrier"].facilities == ("facility-1",)
    assert len(trade.spine.state.book.senders) == len(SENDERS)
    trade.assert_replays()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (HOUR, f"lot-{FIRST}: its newest reading is of 2026-01-01T12:00:00Z, and older than 3600 s"),
        (HOUR | FAIR, f"lot-{FIRST}: its newest fair reading is of 2026-01-01T12:30:00Z, and older than 3600 s"),
    ],
)
def test_a_reading_that_is_too_old_is_said_with_its_grade(asked: When, says: str) -> None:
    trade = Trade(milestone(then_cleared(NO_BREACH | asked)))
    trade.both(0, *COLD)
    trade.both(30, *SEA_FAIR)
    trade.tick(120)
    assert says in "\n".join(explain.lines(explain.explain(trade.spine.state, "milestone")))
