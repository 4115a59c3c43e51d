"""The EDI form: X12 846, 944 and 945, every control total checked, every fault at its segment."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stocking import DAY_MS, NOON_MS, SOFA, TERMS, assert_faults, interchange, transaction

from pledgewatch_cloud.decide.stock import x12, x12_envelope
from pledgewatch_cloud.decide.stock.rows import LeftOut, Report, StockKey, StockRow, Terms

UTC = TERMS._replace(utc_offset_minutes=0)
LATEST = UTC._replace(bare_dates="last")

ADVICE = transaction(
    "846",
    "BIA*00*SI*INV-0301*20260301*1200",
    "N1*WH*LA COLD STORE*92*LA1",
    "N1*DE*EXPORTER*92*DEP1",
    "LIN*1*SK*SOFA-3*LT*L7",
    "PID*F****SOFA, 3 SEATS",
    "DTM*036*20270101",
    "REF*WS*B-07",
    "QTY*17*38*EA",
    "QTY*33*30*EA",
    "LIN*2*SK*CHAIR-1",
    "QTY*17*9.5*CA",
    "CTT*2*163",  # the digits of 38, 30 and 9.5: 38 + 30 + 95
)
HUGE = transaction(
    *("846", "BIA*00*SI*INV-0301*20260301*1200", "LIN*1*SK*SOFA-3", "QTY*17*8500000000*EA"),
    *("LIN*2*SK*CHAIR-1", "QTY*17*4000000000*EA", "CTT*2*2500000000"),  # the last ten digits of 12,500,000,000
)
RECEIPT = transaction(
    "944",
    "W17*F*20260301*R-17*PO-9*SHIP-3*8*0930",
    "N1*DE*EXPORTER*92*DEP1",
    "W07*40*EA**SK*SOFA-3***L7",
    "G69*SOFA, 3 SEATS",
    "N9*WS*B-07",
    "W07*2.5*CA**UP*012345678905*SK*CHAIR-1",
    "W14*42.5",
)
SHIPMENT = transaction(
    "945",
    "W06*F*ORD-5*20260302*SH-77",
    "N1*DE*EXPORTER*92*DEP1",
    "N1*ST*A SHOP*92*S1",
    "G62*11*20260302*4*1530*UT",
    "LX*1",
    "MAN*GM*00012345678905",
    "W12*CC*10*10*0*EA**SK*SOFA-3*L7",
    "LX*2",
    "W12*BK*4*0*4*EA**SK*CHAIR-1",
    "W03*10*500*LB",
)


def read(text: str | bytes, terms: Terms = UTC) -> Report:
    return x12.read(terms, text)


def changed(some: list[str], old: str, new: str) -> list[str]:
    """A set with one segment otherwise; its SE still counts right."""
    assert old in some
    found = [new if one == old else one for one in some if one != old or new]
    *body, end = found
    _, _, number = end.split("*")
    return [*body, f"SE*{len(found)}*{number}"]


def test_an_846_sets_what_is_on_hand_at_its_moment() -> None:
    report = read(interchange(ADVICE))
    assert report.faults == ()
    (one,) = report.snapshots
    assert (one.id, one.at_ms, one.complete, one.line) == ("846:INV-0301", NOON_MS, False, 4)
    chair = StockKey("la-1", "exporter", "CHAIR-1", "A-01", "carton")
    assert [(row.key, row.quantity_milli, row.lot, row.line) for row in one.rows] == [
        (chair, 9_500, "", 13),
        (SOFA._replace(bin="B-07"), 38_000, "L7", 7),
    ]
    assert one.rows[1].expiry_ms == NOON_MS + 306 * DAY_MS - DAY_MS // 2


def test_a_944_adds_what_came_in() -> None:
    report = read(interchange(RECEIPT))
    assert report.faults == ()
    at_ms = NOON_MS - 150 * 60_000
    assert report.rows == (
        StockRow("944:R-17:PO-9:1", "received", at_ms, SOFA._replace(bin="B-07"), 40_000, lot="L7", line=6),
        StockRow("944:R-17:PO-9:2", "received", at_ms, SOFA._replace(sku="CHAIR-1", unit="carton"), 2_500, line=9),
    )


@pytest.mark.parametrize(
    ("code", "kind", "milli"),
    [
        ("J", "received", 40_000),
        ("P", "received", 40_000),
        ("C", "returned", 40_000),
        ("O", "adjusted", 40_000),
        ("S", "adjusted", -40_000),
    ],
)
def test_the_reporting_code_of_a_944_says_what_it_adds(code: str, kind: str, milli: int) -> None:
    report = read(interchange(changed(RECEIPT, RECEIPT[1], RECEIPT[1].replace("*F*", f"*{code}*"))))
    assert report.faults == ()
    assert (report.rows[0].kind, report.rows[0].quantity_milli) == (kind, milli)


def test_a_945_takes_away_what_went_out() -> None:
    report = read(interchange(SHIPMENT))
    assert report.faults == ()
    at_ms = NOON_MS + DAY_MS + 210 * 60_000
    assert report.rows == (StockRow("945:SH-77:ORD-5:1", "shipped", at_ms, SOFA, 10_000, lot="L7", line=10),)
    assert report.left_out == (LeftOut("ordered and not shipped", 1),)


def test_dates_without_times_mean_what_the_book_says() -> None:
    undated = changed(RECEIPT, RECEIPT[1], "W17*F*20260301*R-17")
    assert read(interchange(undated), LATEST).rows[0].at_ms == NOON_MS + DAY_MS // 2 - 1
    assert_faults(read(interchange(undated)).faults, *[(line, "is a date without a time") for line in (6, 9)])
    local = TERMS._replace(utc_offset_minutes=-480)
    assert read(interchange(RECEIPT), local).rows[0].at_ms == NOON_MS + (480 - 150) * 60_000
    assert_faults(read(interchange(RECEIPT), TERMS).faults, *[(line, "has no offset from UTC") for line in (6, 9)])


@pytest.mark.parametrize("marks", ["*>~", "|:\n", "\x1d\x1f\x1e", "+:'", "^>\r"])
@pytest.mark.parametrize("lines", ["", "\n", "\r\n"])
def test_delimiters_are_what_isa_says(marks: str, lines: str) -> None:
    text = interchange(ADVICE, marks=list(marks), lines=lines if marks[2] not in "\r\n" else "")
    assert read(text) == read(interchange(ADVICE))
    assert read(text).faults == ()


def test_from_release_00402_on_isa_names_a_repetition_separator_too() -> None:
    assert read(interchange(ADVICE, version="00501")) == read(interchange(ADVICE))
    clash = read(interchange(ADVICE, version="00501", marks=["*", "^", "~"]))
    assert_faults(clash.faults, (1, "ISA names the delimiters ['*', '^', '~', '^']: they differ"))


def test_a_text_may_hold_several_interchanges_in_any_of_the_encodings() -> None:
    second = transaction("944", *(one.replace("R-17", "R-18") for one in RECEIPT[1:-1]), number="0002")
    whole = interchange(ADVICE) + "\n" + interchange(RECEIPT, second)
    report = read(whole)
    assert (len(report.snapshots), len(report.rows)) == (1, 4)
    assert [one.line for one in report.rows] == [24, 27, 33, 36]
    assert read(whole.encode()) == read(b"\xff\xfe" + whole.encode("utf-16-le")) == report


NEXT = ["846:INV-0302"]
ENVELOPE_FAULTS: list[tuple[str, str, int, str, list[str]]] = [
    ("SE*14*0001", "SE*13*0001", 16, "SE01 says '13', but there are 14 segments: nothing of the set is taken", NEXT),
    ("SE*14*0001", "SE*14*0003", 16, "SE02 is '0003', but ST02 is '0001': nothing of the set is taken", NEXT),
    ("ST*846*0001", "ST*852*0001", 16, "'852' is none of 846, 944, 945: nothing of the set is taken", NEXT),
    ("ST*846*0001", "ST*945*0001", 16, "945 is in a group IB, and belongs into SW: nothing of the set is taken", NEXT),
    ("GE*2*7", "GE*1*7", 25, "GE01 says '1', but there are 2 sets: nothing of the group is taken", []),
    ("GE*2*7", "GE*2*8", 25, "GE02 is '8', but GS06 is '7': nothing of the group is taken", []),
    ("IEA*1*", "IEA*2*", 26, "IEA01 says '2', but there are 1 groups: nothing of the interchange is taken", []),
    ("IEA*1*000000001", "IEA*1*2", 26, "IEA02 is '2', but ISA13 is '000000001': nothing of the interchange", []),
]


def advices() -> str:
    """Two 846 in one group; the first has 14 segments, the second is of another day."""
    head = ("BIA*00*SI*INV-0302*20260302*1200", "N1*DE*EXPORTER*92*DEP1")
    second = transaction("846", *head, "LIN**SK*SOFA-3", "REF*WS*B-07", "QTY*17*36*EA", "CTT*1*36", number="0002")
    return interchange(ADVICE, second)


@pytest.mark.parametrize(("old", "new", "segment", "part", "kept"), ENVELOPE_FAULTS)
def test_a_control_total_that_is_wrong_refuses_what_it_closes_and_nothing_else(
    old: str, new: str, segment: int, part: str, kept: list[str]
) -> None:
    right = read(advices())
    assert (right.faults, [one.id for one in right.snapshots]) == ((), ["846:INV-0301", *NEXT])
    report = read(advices().replace(old, new))
    assert_faults(report.faults, (segment, part))
    assert [one.id for one in report.snapshots] == kept


def test_what_is_refused_in_one_interchange_leaves_the_next_as_it_is() -> None:
    report = read(advices().replace("IEA*1*", "IEA*3*") + interchange(RECEIPT))
    assert (len(report.snapshots), len(report.rows), len(report.faults)) == (0, 2, 1)


def test_a_control_number_that_comes_twice_is_refused() -> None:
    twice = interchange(ADVICE, [*ADVICE])
    assert any("ST02 0001 is another set's" in one.text for one in read(twice).faults)


@pytest.mark.parametrize(
    ("old", "new", "segment", "part"),
    [
        ("ISA*", "UNB+", 1, "an interchange begins with ISA"),
        ("*WAREHOUSE      *", "*WAREHOUSE*", 1, "ISA has 16 elements of 2, 10"),
        ("*P*>~", "*T*>~", 1, "only production data (P) is taken, no tests"),
        ("*P*>~", "*P**~", 1, "ISA"),
        ("*P*>~", "*P*A~", 1, "names the delimiters"),
        ("GS*IB", "XX*IB", 2, "XX where GS or IEA must be"),
        ("ST*846*0001~\n", "", 3, "BIA where ST or GE must be"),
        ("SE*14*0001~\n", "", 16, "ST before SE"),
        ("GE*2*7~\n", "", 24, "GE is missing"),
        ("IEA*1*000000001~\n", "", 26, "the text ends before IEA: is the file whole?"),
        (
            "PID*F****SOFA, 3 SEATS~\n",
            "PID*F****SOFA, 3 SEATS\n",
            8,
            "a line break within a segment: is a terminator missing?",
        ),
        ("PID*F*", "PI-D*F*", 8, "is no segment"),
        ("LIN*1", "~LIN*1", 7, "is no segment"),
    ],
)
def test_what_is_built_wrong_is_refused_whole_at_its_segment(old: str, new: str, segment: int, part: str) -> None:
    text = advices()
    assert old in text
    report = read(text.replace(old, new, 1))
    assert [one.line for one in report.faults] == [segment], report.faults
    assert part in report.faults[0].text
    assert (report.rows, report.snapshots) == ((), ())


@pytest.mark.parametrize("text", ["", " \n", "ISA*00"])
def test_what_is_no_interchange_is_refused(text: str) -> None:
    assert len(read(text).faults) == 1


SET_FAULTS = [
    (ADVICE, "CTT*2*163", "CTT*3*163", 15, "CTT01 says '3', but there are 2 LIN segments"),
    (ADVICE, "CTT*2*163", "CTT*2*162", 15, "CTT02 says '162', but there are 163 in all"),
    (HUGE, "CTT*2*2500000000", "CTT*2*500000000", 9, "CTT02 says '500000000', but there are 2500000000 in all"),
    (HUGE, "CTT*2*2500000000", "CTT*2*12500000000", 9, "CTT02 says '12500000000', but there are 2500000000 in all"),
    (ADVICE, "CTT*2*163", "", 4, "CTT is missing: whether the set is whole cannot be told"),
    (ADVICE, ADVICE[1], "BIA*04*SI*INV-0301*20260301*1200", 4, "BIA01 is '04': only an original (00)"),
    (ADVICE, ADVICE[1], "BIA*00*CO*INV-0301*20260301*1200", 4, "BIA02 is 'CO': whether it adds or sets"),
    (ADVICE, ADVICE[1], "BIA*00*SI*INV-0301*20260301", 4, "BIA05 is missing: a count without its time"),
    (ADVICE, ADVICE[1], "BIA*00*SI**20260301*1200", 4, "BIA03: is missing"),
    (ADVICE, ADVICE[1], "BIA*00*SI*INV-0301*20260231*1200", 4, "BIA04: '2026-02-31T12:00:00.000' is no time"),
    (ADVICE, ADVICE[1], "BIA*00*SI*INV-0301*260301*1200", 4, "is no date CCYYMMDD with a time HHMM"),
    (ADVICE, ADVICE[1], "REF*ZZ*1", 3, "BIA must follow ST"),
    (ADVICE, ADVICE[3], "N1*DE*RIVAL*92*DEP9", 4, "owner: 'DEP9' is none that wms may speak of"),
    (ADVICE, ADVICE[2], "N1*OW*OTHER*92*exporter", 4, "2 depositors are named"),
    (RECEIPT, "W14*42.5", "W14*42", 10, "W14-01 says '42', but the rows add up to 42.5"),
    (RECEIPT, "W14*42.5", "", 3, "0 W14 where one is needed"),
    (RECEIPT, RECEIPT[3], "W07*x*EA**SK*SOFA-3", 10, "W14 cannot be checked, for a quantity is no number"),
    (RECEIPT, RECEIPT[1], "W17*A*20260301*R-17", 4, "W17-01 is 'A': what it adds or takes away is told by F, J"),
    (RECEIPT, RECEIPT[1], "W17*F*20260301*", 4, "W17-03: is missing"),
    (SHIPMENT, "W03*10*500*LB", "W03*14*500*LB", 13, "W03-01 says '14', but the rows add up to 10"),
    (SHIPMENT, SHIPMENT[1], "W06*X*ORD-5*20260302*SH-77", 4, "W06-01 is 'X': all that went out is told by F, J only"),
    (SHIPMENT, SHIPMENT[1], "W06*F*ORD-5*20260302", 4, "W06-04: is missing"),
    (SHIPMENT, SHIPMENT[1], "W06*F**20260302*SH-77", 4, "W06-02: is missing"),
    (SHIPMENT, SHIPMENT[4], "G62*11*20260302*4*1530*ET", 7, "the time code 'ET' is none of UT, GM and LT"),
]


@pytest.mark.parametrize(("some", "old", "new", "segment", "part"), SET_FAULTS)
def test_a_set_that_is_unclear_or_does_not_add_up_is_refused_whole_and_the_next_is_read(
    some: list[str], old: str, new: str, segment: int, part: str
) -> None:
    wrong = changed(some, old, new)
    other = "T-2" if some is ADVICE else "R-2"
    right = [one.replace("INV-0301", other).replace("R-17", other).replace("SH-77", other) for one in some]
    right = [f"{one.rsplit('*', 1)[0]}*0002" if one.startswith(("ST*", "SE*")) else one for one in right]
    report = read(interchange(wrong, right))
    assert_faults(report.faults, (segment, part))
    kept = [row.id for row in report.rows] + [one.id for one in report.snapshots]
    assert kept
    assert all(other in name for name in kept)


ROW_FAULTS = [
    (ADVICE, "QTY*17*38*EA", "QTY*17*38*KG", 7, "unit: 'KG' is none of CA, EA"),
    (ADVICE, "QTY*17*38*EA", "QTY*33*38*EA", 7, "0 QTY with 17 (on hand) where one is needed; others are no count"),
    (ADVICE, ADVICE[4], "LIN*1*UP*012345678905", 7, "sku: is missing"),
    (RECEIPT, RECEIPT[3], "W07*40*KG**SK*SOFA-3***L7", 6, "unit: 'KG' is none of CA, EA"),
    (RECEIPT, "G69*SOFA, 3 SEATS", "W13*3*EA*07", 6, "W13 says exceptions"),
    (SHIPMENT, SHIPMENT[7], "W12*CC*10*10*0*KG**SK*SOFA-3", 10, "unit: 'KG' is none of CA, EA"),
    (SHIPMENT, SHIPMENT[7], "W12*CC*10*10*0*EA**UP*012345678905", 10, "sku: is missing"),
]


@pytest.mark.parametrize(("some", "old", "new", "segment", "part"), ROW_FAULTS)
def test_a_bad_row_has_its_segment(some: list[str], old: str, new: str, segment: int, part: str) -> None:
    report = read(interchange(changed(some, old, new)))
    assert {one.line for one in report.faults} >= {segment}
    assert any(part in one.text and one.line == segment for one in report.faults), report.faults


def test_of_an_advice_with_a_bad_row_the_others_are_read_where_its_sku_is_known() -> None:
    report = read(interchange(changed(ADVICE, "QTY*17*38*EA", "QTY*17*38*KG")))
    assert [row.key.sku for one in report.snapshots for row in one.rows] == ["CHAIR-1"]
    unknown = read(interchange(changed(ADVICE, ADVICE[4], "LIN*1*UP*012345678905")))
    assert unknown.snapshots == ()
    missing = read(interchange(ADVICE), UTC._replace(needs_lot=True))
    assert_faults(missing.faults, (13, "lot: is missing"))
    assert [row.key.sku for one in missing.snapshots for row in one.rows] == ["SOFA-3"]


def test_an_interchange_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x12_envelope, "SEGMENTS_MAX", 10)
    assert_faults(read(interchange(ADVICE)).faults, (11, "more than 10 segments: hand it in in parts"))


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_no_damage_makes_the_reader_fail_or_take_half_a_set(seed: int, times: int) -> None:
    """Signs are lost, doubled or changed: what is taken without a fault adds up to the total that is written."""
    dice = random.Random(seed)
    text = interchange(RECEIPT)
    for _ in range(times):
        place = dice.randrange(len(text))
        text = text[:place] + dice.choice(["", text[place] * 2, dice.choice("*~>19A\n")]) + text[place + 1 :]
    report = read(text)
    if report.faults:
        assert all(one.text for one in report.faults)
    else:
        total = re.search(r"W14.([0-9.]+)", text)
        assert total is not None
        assert sum(row.quantity_milli for row in report.rows) == round(1_000 * float(total[1]))
