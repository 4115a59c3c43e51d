"""Milestones as tables that a banker can read: what notices, the book and the value of goods say, and how it ends.

Minutes count from noon. `met@30` is met since half past twelve; what is said is of both containers of the shipment
where it names neither.
"""

import pytest
from milestoning import (
    FIRST,
    SECOND,
    SHIPMENT,
    Happened,
    Row,
    Trade,
    When,
    amend,
    amend_lots,
    assert_ends,
    fact,
    milestone,
    moment,
    of,
    rows_of,
    say,
    tick,
    withdraw,
)

CLEARED = fact("customs_cleared")
INSURED = fact("insurance_bound")
LADEN = fact("bill_of_lading_issued")
ARRIVED = fact("arrived")
COUNTED = {"counted": 1_000, "counted_at": moment(5)}
RECEIPT = {"receipt": {"id": "wr-1", "state": "valid"}}

SAID: list[Row] = [
    ("customs has cleared it", CLEARED, [say(5, "customs_cleared")], "met@5"),
    ("heard of late, it counts from when it was", CLEARED, [tick(60), say(5, "customs_cleared")], "met@5"),
    ("it is only expected", CLEARED, [say(5, "customs_cleared", classifier="estimated")], "waiting"),
    (
        "it is dated in the future",
        CLEARED,
        [
            lambda trade: trade.hand_in(
                "customs",
                {
                    "id": "1",
                    "kind": "customs_cleared",
                    "happened_at": moment(50),
                    "about": {"shipment": ["shipment-1"]},
                },
            ),
            tick(49),
        ],
        "waiting",
    ),
    (
        "which comes",
        CLEARED,
        [
            lambda trade: trade.hand_in(
                "customs",
                {
                    "id": "1",
                    "kind": "customs_cleared",
                    "happened_at": moment(50),
                    "about": {"shipment": ["shipment-1"]},
                },
            ),
            tick(50),
        ],
        "met@50",
    ),
    (
        "another sender was asked for",
        CLEARED | {"sender": "customs"},
        [say(5, "customs_cleared", "carrier")],
        "waiting",
    ),
    ("the sender that was asked for", CLEARED | {"sender": "customs"}, [say(5, "customs_cleared", "customs")], "met@5"),
    ("a sender whose word is only fair", CLEARED, [say(5, "customs_cleared", "trucker")], "waiting"),
    ("who is good enough here", CLEARED | {"grade": "fair"}, [say(5, "customs_cleared", "trucker")], "met@5"),
    ("but a rumour is not", CLEARED | {"grade": "fair"}, [say(5, "customs_cleared", "rumour")], "waiting"),
    ("another place was asked for", ARRIVED | {"place": "USLAX"}, [say(5, "arrived", place="CNSHA")], "waiting"),
    ("the place that was asked for", ARRIVED | {"place": "USLAX"}, [say(5, "arrived", place="USLAX")], "met@5"),
    ("no place was named", ARRIVED | {"place": "USLAX"}, [say(5, "arrived")], "waiting"),
    (
        "withdrawn before the other paper came",
        {"all": [LADEN, CLEARED]},
        [say(5, "customs_cleared"), withdraw(6, "customs_cleared@5"), say(9, "bill_of_lading_issued")],
        "pending",
    ),
    (
        "withdrawn before it was even said",
        CLEARED,
        [
            lambda trade: trade.hand_in("carrier", {"id": "no", "withdraws": "customs_cleared@5"}, 3),
            say(5, "customs_cleared"),
        ],
        "waiting",
    ),
    (
        "corrected to a later moment",
        CLEARED,
        [say(5, "customs_cleared"), say(8, "customs_cleared", replaces="customs_cleared@5")],
        "met@8",
    ),
    (
        "the bill of lading is voided again",
        {"all": [LADEN, CLEARED]},
        [say(1, "bill_of_lading_issued"), say(4, "bill_of_lading_voided"), say(9, "customs_cleared")],
        "pending",
    ),
    (
        "voided later, and the money has not moved: it counts for nothing, though both were in force at once",
        {"all": [LADEN, CLEARED]},
        [say(1, "bill_of_lading_issued"), say(9, "customs_cleared"), say(12, "bill_of_lading_voided")],
        "retracted@9",
    ),
    (
        "and all of it is heard at once: it is never met",
        {"all": [LADEN, CLEARED]},
        [
            say(12, "bill_of_lading_voided"),
            tick(20),
            say(1, "bill_of_lading_issued"),
            say(9, "customs_cleared"),
        ],
        "pending",
    ),
    (
        "voided later, and that is taken back",
        {"all": [LADEN, CLEARED]},
        [
            say(1, "bill_of_lading_issued"),
            say(9, "customs_cleared"),
            say(12, "bill_of_lading_voided"),
            withdraw(13, "bill_of_lading_voided@12"),
        ],
        "met@9",
    ),
    (
        "voided later, and issued anew: it is met from then on",
        {"all": [LADEN, CLEARED]},
        [
            say(1, "bill_of_lading_issued"),
            say(9, "customs_cleared"),
            say(12, "bill_of_lading_voided"),
            say(14, "bill_of_lading_issued"),
        ],
        "met@14",
    ),
    (
        "voided later by somebody whose word is not enough: it may be void",
        {"all": [LADEN, CLEARED]},
        [say(1, "bill_of_lading_issued"), say(9, "customs_cleared"), say(12, "bill_of_lading_voided", "rumour")],
        "held@9",
    ),
    (
        "where none may be issued, one that is voided later was issued until then",
        {"all": [CLEARED, {"not": LADEN}]},
        [say(1, "bill_of_lading_issued"), say(9, "customs_cleared"), say(12, "bill_of_lading_voided")],
        "met@12",
    ),
    (
        "refused where only one of both is asked for: the other is enough",
        {"any": [LADEN, CLEARED]},
        [say(1, "bill_of_lading_issued"), say(9, "customs_cleared"), say(12, "bill_of_lading_voided")],
        "met@9",
    ),
    (
        "too old later: what ends by itself counts as of when it was met",
        {"all": [LADEN, fact("customs_cleared", max_age_s=600)]},
        [say(1, "bill_of_lading_issued"), say(9, "customs_cleared"), tick(60)],
        "met@9",
    ),
    (
        "a hold that is placed later, before the money has moved",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [say(9, "customs_cleared"), say(12, "hold_placed", "customs")],
        "retracted@9",
    ),
    (
        "a hold that is placed later, perhaps",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [say(9, "customs_cleared"), say(12, "hold_placed", "rumour")],
        "held@9",
    ),
    (
        "a hold that is placed later and lifted",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [say(9, "customs_cleared"), say(12, "hold_placed", "customs"), say(15, "hold_lifted", "customs")],
        "met@9",
    ),
    (
        "a hold that is placed later and ends by itself",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [say(9, "customs_cleared"), say(12, "hold_placed", "customs", until=20), tick(20)],
        "met@9",
    ),
    (
        "a hold of customs is not lifted by the carrier",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [say(1, "hold_placed", "customs"), say(3, "customs_cleared"), say(5, "hold_lifted")],
        "pending",
    ),
    (
        "nor where both have placed one, and the carrier lifts its own",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [
            say(1, "hold_placed", "customs"),
            say(2, "hold_placed"),
            say(3, "customs_cleared"),
            say(5, "hold_lifted"),
        ],
        "pending",
    ),
    (
        "and once both have",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [
            say(1, "hold_placed", "customs"),
            say(2, "hold_placed"),
            say(3, "customs_cleared"),
            say(5, "hold_lifted"),
            say(7, "hold_lifted", "customs"),
        ],
        "met@7",
    ),
    (
        "of two holds of customs one is lifted",
        {"all": [CLEARED, {"not": fact("on_hold", sender="customs")}]},
        [
            say(1, "hold_placed", "customs"),
            say(2, "hold_placed", "customs"),
            say(3, "customs_cleared"),
            say(5, "hold_lifted", "customs"),
        ],
        "pending",
    ),
    (
        "and the other",
        {"all": [CLEARED, {"not": fact("on_hold", sender="customs")}]},
        [
            say(1, "hold_placed", "customs"),
            say(2, "hold_placed", "customs"),
            say(3, "customs_cleared"),
            say(5, "hold_lifted", "customs"),
            say(6, "hold_lifted", "customs"),
        ],
        "met@6",
    ),
    (
        "a lift before any hold is no credit for those to come",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [
            say(1, "hold_lifted", "customs"),
            say(2, "hold_placed", "customs"),
            say(3, "hold_placed", "customs", id="second"),
            say(4, "hold_lifted", "customs"),
            say(5, "customs_cleared"),
        ],
        "pending",
    ),
    (
        "a hold that ended by itself need not be lifted",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [
            say(1, "hold_placed", "customs", until=2),
            say(3, "hold_placed", "customs"),
            say(4, "hold_lifted", "customs"),
            say(5, "customs_cleared"),
        ],
        "met@5",
    ),
    (
        "a lift at another place lifts nothing here",
        {"all": [CLEARED, {"not": fact("on_hold", place="USLAX")}]},
        [
            say(1, "hold_placed", "customs", place="USLAX"),
            say(4, "hold_lifted", "customs", place="DEHAM"),
            say(5, "customs_cleared"),
        ],
        "pending",
    ),
    (
        "nor where no place is asked for, and each place has its own",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [
            say(1, "hold_placed", "customs", place="USLAX"),
            say(2, "hold_placed", "customs", place="DEHAM"),
            say(4, "hold_lifted", "customs", place="DEHAM"),
            say(5, "customs_cleared"),
            say(6, "hold_lifted", "customs", place="DEHAM", id="again"),
        ],
        "pending",
    ),
    (
        "a lift that names no place is meant for the one place where it is held",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [
            say(1, "hold_placed", "customs", place="USLAX"),
            say(4, "hold_lifted", "customs"),
            say(5, "customs_cleared"),
        ],
        "met@5",
    ),
    (
        "placed, lifted and placed again",
        {"all": [CLEARED, {"not": fact("on_hold")}]},
        [
            say(1, "hold_placed", "customs"),
            say(2, "hold_lifted", "customs"),
            say(3, "hold_placed", "customs"),
            say(5, "customs_cleared"),
            say(6, "hold_lifted", "customs"),
        ],
        "met@6",
    ),
    (
        "a refusal that comes later, where none may be",
        {"all": [LADEN, {"not": fact("customs_refused")}]},
        [say(9, "bill_of_lading_issued"), say(12, "customs_refused", "customs")],
        "retracted@9",
    ),
    (
        "voided and issued anew",
        {"all": [LADEN, CLEARED]},
        [
            say(1, "bill_of_lading_issued"),
            say(4, "bill_of_lading_voided"),
            say(6, "customs_cleared"),
            say(9, "bill_of_lading_issued"),
        ],
        "met@9",
    ),
    (
        "the insurance had ended when the goods arrived",
        {"all": [INSURED, ARRIVED]},
        [say(0, "insurance_bound", "insurer", until=60), say(61, "arrived")],
        "pending",
    ),
    (
        "it was in force",
        {"all": [INSURED, ARRIVED]},
        [say(0, "insurance_bound", "insurer", until=60), say(59, "arrived")],
        "met@59",
    ),
    (
        "somebody whose word is only fair says that it is cancelled",
        {"all": [INSURED, ARRIVED]},
        [say(0, "insurance_bound", "insurer"), say(5, "insurance_cancelled", "trucker"), say(9, "arrived")],
        "pending",
    ),
    (
        "papers older than an hour do not count",
        {"all": [LADEN | {"max_age_s": 3_600}, CLEARED]},
        [say(0, "bill_of_lading_issued"), say(61, "customs_cleared")],
        "pending",
    ),
    (
        "younger ones do",
        {"all": [LADEN | {"max_age_s": 3_600}, CLEARED]},
        [say(0, "bill_of_lading_issued"), say(59, "customs_cleared")],
        "met@59",
    ),
]


def goods_in_a_hall(trade: Trade) -> None:
    """The shipment is goods in a hall, whose name is no container's; the shipment names the container."""
    hall = [{"id": "hall-1", "kind": "warehouse"}]
    shipment = SHIPMENT | {"lots": ["lot-hall"], "about": {"container": [FIRST]}}
    trade.amend(0, assets=hall, lots=[trade.lot(FIRST, id="lot-hall", asset="hall-1")], shipments=[shipment])


NOT_OUT: When = {"all": [CLEARED, {"not": fact("full_out")}]}
PARTS: list[Row] = [
    ("of one container only", ARRIVED, [say(5, "arrived", **of(FIRST))], "waiting"),
    (
        "of both, one after the other",
        ARRIVED,
        [say(5, "arrived", **of(FIRST)), say(7, "arrived", **of(SECOND))],
        "met@7",
    ),
    ("of both in one notice", ARRIVED, [say(5, "arrived", **of(FIRST, SECOND))], "met@5"),
    ("of the lot that is asked for", ARRIVED | {"lot": f"lot-{FIRST}"}, [say(5, "arrived", **of(FIRST))], "met@5"),
    ("of the other lot", ARRIVED | {"lot": f"lot-{FIRST}"}, [say(5, "arrived", **of(SECOND))], "waiting"),
    ("a paper about one container clears one container", CLEARED, [say(5, "customs_cleared", **of(FIRST))], "waiting"),
    (
        "and the other",
        CLEARED,
        [say(5, "customs_cleared", **of(FIRST)), say(6, "customs_cleared", **of(SECOND))],
        "met@6",
    ),
    (
        "one lot was received",
        fact("goods_received"),
        [say(5, "goods_received", about={"lot": [f"lot-{FIRST}"]})],
        "waiting",
    ),
    (
        "both lots were",
        fact("goods_received"),
        [say(5, "goods_received", about={"lot": [f"lot-{FIRST}", f"lot-{SECOND}"]})],
        "met@5",
    ),
    (
        "one of two entries is cleared",
        CLEARED,
        [
            amend(0, "shipments", SHIPMENT | {"about": {"customs": ["E1", "E2"]}}),
            say(5, "customs_cleared", about={"customs": ["E1"]}),
        ],
        "waiting",
    ),
    (
        "both entries are",
        CLEARED,
        [
            amend(0, "shipments", SHIPMENT | {"about": {"customs": ["E1", "E2"]}}),
            say(5, "customs_cleared", about={"customs": ["E1"]}),
            say(9, "customs_cleared", about={"customs": ["E2"]}),
        ],
        "met@9",
    ),
    (
        "the entry is cleared, whichever container is named",
        CLEARED,
        [
            amend(0, "shipments", SHIPMENT | {"about": {"customs": ["E1"]}}),
            say(5, "customs_cleared", about={"customs": ["E1"], "container": [FIRST]}),
        ],
        "met@5",
    ),
    (
        "another entry of the same container is not",
        CLEARED,
        [
            amend(0, "shipments", SHIPMENT | {"about": {"customs": ["E1"]}}),
            say(5, "customs_cleared", about={"customs": ["E9"], "container": [FIRST, SECOND]}),
        ],
        "waiting",
    ),
    (
        "a shipment that nobody knows yet",
        CLEARED,
        [say(5, "customs_cleared", about={"booking": ["B-7"]}), tick(9)],
        "waiting",
    ),
    (
        "and that comes into the book later",
        CLEARED,
        [
            say(5, "customs_cleared", about={"booking": ["B-7"]}),
            amend(60, "shipments", SHIPMENT | {"about": {"booking": ["B-7"]}}),
        ],
        "met@5",
    ),
    (
        "an entry that the shipment does not name speaks of the container that it names",
        CLEARED,
        [say(5, "customs_cleared", about={"customs": ["E9"], "container": [FIRST]})],
        "waiting",
    ),
    ("goods in a hall, which came in a container", ARRIVED, [goods_in_a_hall, say(5, "arrived", **of(FIRST))], "met@5"),
    (
        "one of both is refused, and that is enough",
        fact("customs_refused"),
        [say(5, "customs_refused", **of(FIRST))],
        "met@5",
    ),
    ("cleared, and none of both is out", NOT_OUT, [say(5, "customs_cleared")], "met@5"),
    (
        "cleared, and one of both is out",
        NOT_OUT,
        [say(4, "full_out", **of(FIRST)), say(5, "customs_cleared")],
        "pending",
    ),
]

NOT_HELD_UP: When = {"all": [ARRIVED, {"not": fact("on_hold")}]}
HOLDS: list[Row] = [
    ("arrived, and nobody holds it", NOT_HELD_UP, [say(5, "arrived")], "met@5"),
    ("one of both is on hold", NOT_HELD_UP, [say(1, "hold_placed", **of(FIRST)), say(5, "arrived")], "pending"),
    (
        "until it is lifted",
        NOT_HELD_UP,
        [say(1, "hold_placed", **of(FIRST)), say(5, "arrived"), say(8, "hold_lifted", **of(FIRST))],
        "met@8",
    ),
    (
        "the other one is lifted, which was not held",
        NOT_HELD_UP,
        [say(1, "hold_placed", **of(FIRST)), say(5, "arrived"), say(8, "hold_lifted", **of(SECOND))],
        "pending",
    ),
    (
        "all is held, one is lifted",
        NOT_HELD_UP,
        [say(1, "hold_placed"), say(5, "arrived"), say(8, "hold_lifted", **of(SECOND))],
        "pending",
    ),
    (
        "lifted by one whose word is only fair",
        NOT_HELD_UP,
        [say(1, "hold_placed"), say(5, "arrived"), say(8, "hold_lifted", "trucker")],
        "pending",
    ),
    (
        "held by one whose word is only fair, it may be held",
        NOT_HELD_UP,
        [say(1, "hold_placed", "trucker"), say(5, "arrived")],
        "pending",
    ),
    (
        "placed and lifted in the same minute, nobody knows which came first",
        NOT_HELD_UP,
        [say(5, "hold_placed"), say(5, "hold_lifted"), say(5, "arrived")],
        "pending",
    ),
    (
        "the customs' hold is not the carrier's",
        {"all": [ARRIVED, {"not": fact("on_hold", sender="customs")}]},
        [say(1, "hold_placed", "carrier"), say(5, "arrived")],
        "met@5",
    ),
    (
        "the customs' hold is not the carrier's to lift",
        {"all": [ARRIVED, {"not": fact("on_hold", sender="customs")}]},
        [say(1, "hold_placed", "customs"), say(5, "arrived"), say(8, "hold_lifted", "carrier")],
        "pending",
    ),
    (
        "a hold at a place that nobody named may be at this one",
        {"all": [ARRIVED, {"not": fact("on_hold", place="USLAX")}]},
        [say(1, "hold_placed"), say(5, "arrived")],
        "pending",
    ),
    (
        "a hold elsewhere",
        {"all": [ARRIVED, {"not": fact("on_hold", place="USLAX")}]},
        [say(1, "hold_placed", place="CNSHA"), say(5, "arrived")],
        "met@5",
    ),
    ("a hold that was told of late", NOT_HELD_UP, [say(5, "arrived"), say(1, "hold_placed")], "retracted@5"),
]

BOOKED: list[Row] = [
    ("the stock is counted", fact("stock_counted"), [amend_lots(6, **COUNTED)], "met@5"),
    ("one lot is not", fact("stock_counted"), [amend_lots(6, FIRST, **COUNTED)], "waiting"),
    (
        "less is counted than there should be",
        fact("stock_counted"),
        [amend_lots(6, counted=999, counted_at=moment(5))],
        "waiting",
    ),
    (
        "a count of last hour was wanted",
        {"all": [fact("stock_counted", max_age_s=3_600), CLEARED]},
        [amend_lots(6, **COUNTED), say(70, "customs_cleared")],
        "pending",
    ),
    ("the goods are received", fact("stock_received"), [amend_lots(6, received_at=moment(4))], "met@4"),
    (
        "the receipt is valid",
        {"all": [fact("receipt_valid"), CLEARED]},
        [amend_lots(6, **RECEIPT), say(9, "customs_cleared")],
        "met@9",
    ),
    (
        "since the book has it, not before",
        {"all": [fact("receipt_valid"), CLEARED]},
        [say(3, "customs_cleared"), amend_lots(6, **RECEIPT)],
        "met@6",
    ),
    (
        "and since then, though the other is heard of later",
        {"all": [fact("receipt_valid"), INSURED]},
        [amend_lots(6, **RECEIPT), tick(80), say(10, "insurance_bound", until=60)],
        "met@10",
    ),
    ("it is frozen", fact("receipt_valid"), [amend_lots(6, receipt={"id": "wr-1", "state": "frozen"})], "waiting"),
    (
        "it ended before the other came",
        {"all": [fact("receipt_valid"), CLEARED]},
        [amend_lots(6, receipt={"id": "wr-1", "state": "valid", "until": moment(8)}), say(9, "customs_cleared")],
        "pending",
    ),
    (
        "the book takes it back before the core has booked",
        fact("receipt_valid"),
        [amend_lots(6, **RECEIPT), amend_lots(9)],
        "retracted@6",
    ),
    ("the goods are pledged", {"all": [fact("pledged"), CLEARED]}, [say(5, "customs_cleared")], "met@5"),
]

VALUE: list[Row] = [
    # 5,000,000 is lent on goods worth 20,000,000 in all
    ("the loan to value is below", fact("ltv_below", ltv_bp=2_501), [tick(5)], "met@-1000"),
    ("it is just not", fact("ltv_below", ltv_bp=2_500), [tick(5)], "waiting"),
    (
        "until more goods are worth more",
        fact("ltv_below", ltv_bp=2_500),
        [amend(7, "prices", {"sku": "sofa", "unit_price_minor": 30_000, "currency": "USD"})],
        "met@7",
    ),
    (
        "it counts while it lasts",
        {"all": [fact("ltv_below", ltv_bp=3_000), CLEARED]},
        [amend(7, "prices", {"sku": "sofa", "unit_price_minor": 10_000, "currency": "USD"}), say(9, "customs_cleared")],
        "pending",
    ),
    (
        "it rises after all was met: the money may move",
        {"all": [fact("ltv_below", ltv_bp=3_000), CLEARED]},
        [say(3, "customs_cleared"), amend(7, "prices", {"sku": "sofa", "unit_price_minor": 10_000, "currency": "USD"})],
        "met@3",
    ),
    (
        "but what was met then falls with its other ground",
        {"all": [fact("ltv_below", ltv_bp=3_000), CLEARED]},
        [
            say(3, "customs_cleared"),
            amend(7, "prices", {"sku": "sofa", "unit_price_minor": 10_000, "currency": "USD"}),
            withdraw(8, "customs_cleared@3"),
            say(9, "customs_cleared"),
        ],
        "retracted@3",
    ),
    (
        "at the time that is told of now, nobody had seen it",
        {"all": [fact("ltv_below", ltv_bp=3_000), INSURED]},
        [
            say(3, "insurance_bound", until=10),
            amend(7, "prices", {"sku": "sofa", "unit_price_minor": 10_000, "currency": "USD"}),
            say(-1_100, "insurance_bound", replaces="insurance_bound@3", until=-1_050),
        ],
        "held@3",
    ),
    ("it must not be below", {"not": fact("ltv_below", ltv_bp=6_000)}, [tick(5)], "waiting"),
]

TABLES = {"said": SAID, "parts": PARTS, "holds": HOLDS, "booked": BOOKED, "value": VALUE}
ROWS = rows_of(TABLES)


@pytest.mark.parametrize(("when", "story", "ends"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_how_a_milestone_ends(when: When, story: list[Happened], ends: str) -> None:
    assert_ends(Trade(milestone(when)), story, ends)
