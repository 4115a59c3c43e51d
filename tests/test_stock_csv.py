"""The CSV form: tables as stock systems write them, by a mapping; every encoding; every fault at its line."""

import csv
import unicodedata
from typing import Any

import pytest
from stocking import NOON_MS, SOFA, TERMS, assert_faults

from pledgewatch_cloud.decide.stock import csv_form
from pledgewatch_cloud.decide.stock.csv_form import LEFT_OUT, CsvMapping, Rule
from pledgewatch_cloud.decide.stock.rows import Fault, LeftOut, Report, StockRow, Terms

MOVES = CsvMapping(
    {"id": "No", "kind": "Art", "at": "Zeit", "sku": "Artikel", "unit": "ME", "quantity": "Menge", "reason": "Grund"},
    kinds={"Zugang": "received", "Verkauf": "sold", "Korrektur": "adjusted"},
)
HEADER = "No,Art,Zeit,Artikel,ME,Menge,Grund\n"
RECEIVED = "1,Zugang,2026-03-01T12:00:00Z,SOFA-3,EA,40,\n"
SOLD = "2,Verkauf,2026-03-01T13:00:00Z,SOFA-3,EA,3,\n"
COUNTS = CsvMapping({"sku": "sku", "on_hand": "qty", "at": "counted", "lot": "lot"}, {"unit": "EA"})
COUNT_HEADER = "sku,qty,counted,lot\n"
COUNTED = "SOFA-3,38,2026-03-01T12:00:00Z,L7\n"
UMLAUTS = HEADER + "1,Korrektur,2026-03-01T12:00:00Z,Stühle,EA,-2,zerstört €\n"


def read(data: bytes | str, mapping: CsvMapping = MOVES, terms: Terms = TERMS) -> Report:
    return csv_form.read(terms, mapping, data)


def test_a_table_of_movements_is_read_by_its_mapping() -> None:
    report = read(HEADER + RECEIVED + SOLD + "3,Korrektur,2026-03-02T12:00:00Z,SOFA-3,EA,-1.5,zerkratzt\n")
    assert report.faults == ()
    assert report.rows[0] == StockRow("1", "received", NOON_MS, SOFA, 40_000, line=2)
    assert [(one.kind, one.quantity_milli, one.reason, one.line) for one in report.rows[1:]] == [
        ("sold", 3_000, "", 3),
        ("adjusted", -1_500, "zerkratzt", 4),
    ]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_delimiters_line_ends_quotes_and_decimal_commas(delimiter: str, end: str) -> None:
    lines = [
        HEADER.strip(),
        RECEIVED.strip(),
        "",
        '3,Korrektur,2026-03-02T12:00:00Z,SOFA-3,EA,"-1@5","nass\n""ganz"""',
        "4" + SOLD.strip()[1:],
    ]
    text = "".join(line.replace(",", delimiter).replace("@", ",").replace("\n", end) + end for line in lines)
    report = read(text, MOVES._replace(delimiter=delimiter, decimal=","))
    assert report.faults == ()
    assert [(one.id, one.quantity_milli, one.line) for one in report.rows] == [
        ("1", 40_000, 2),
        ("3", -1_500, 4),
        ("4", 3_000, 6),
    ]
    assert report.rows[1].reason.split() == ["nass", '"ganz"']
    wrong = read(text.replace("-1,5", "-1.5"), MOVES._replace(delimiter=delimiter, decimal=","))
    assert_faults(wrong.faults, (4, "a decimal comma is expected"))


@pytest.mark.parametrize(
    ("data", "terms"),
    [
        (UMLAUTS, TERMS),
        (UMLAUTS.encode(), TERMS),
        (UMLAUTS.encode("utf-8-sig"), TERMS),
        (UMLAUTS.encode("utf-8-sig"), TERMS._replace(encoding="windows-1252")),
        (b"\xff\xfe" + UMLAUTS.encode("utf-16-le"), TERMS),
        (b"\xfe\xff" + UMLAUTS.encode("utf-16-be"), TERMS),
        (UMLAUTS.encode("windows-1252"), TERMS._replace(encoding="windows-1252")),
    ],
)
def test_a_table_says_the_same_in_every_encoding(data: bytes | str, terms: Terms) -> None:
    report = read(data, terms=terms)
    assert report.faults == ()
    assert (report.rows[0].key.sku, report.rows[0].reason) == ("Stühle", "zerstört €")


@pytest.mark.parametrize(
    ("data", "encoding", "line", "part"),
    [
        (UMLAUTS.encode("windows-1252"), "utf-8", 2, "is no utf-8 at byte 70: save it as UTF-8, or say in the book"),
        (UMLAUTS.encode("utf-16-le"), "utf-8", 2, "is no utf-8 at byte "),
        (HEADER.encode("utf-16-le"), "utf-8", 1, "holds the control character '\\x00': save it as UTF-8, or as UTF-16"),
        (b"\xff\xfe" + UMLAUTS.encode("utf-16-le")[:-1], "utf-8", 2, "is no utf-16-le at byte"),
        (UMLAUTS.encode(), "windows-1252", 2, "is UTF-8, where the book says that it is windows-1252: say in the book"),
        (UMLAUTS.encode("windows-1252") + b"\x81", "windows-1252", 3, "is no windows-1252 at byte"),
        (UMLAUTS + "\x07", "utf-8", 3, "holds the control character '\\x07'"),
    ],
)
def test_no_encoding_is_guessed(data: bytes | str, encoding: str, line: int, part: str) -> None:
    report = read(data, terms=TERMS._replace(encoding=encoding))
    assert_faults(report.faults, (line, part))
    assert report.rows == ()


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        (SOLD.replace("EA", "KG"), "unit: 'KG' is none of CA, EA"),
        (SOLD.replace("3,\n", "\n"), "6 cells where the header has 7: is a delimiter unquoted?"),
        (SOLD.replace(",3,", ",1.000.000,"), "quantity: '1.000.000' is no number"),
        (SOLD.replace(",3,", ",-3,"), "sold has no sign"),
        (SOLD.replace("Verkauf", "Umlage"), "kind: 'Umlage' is none of received"),
        (SOLD.replace("T13:00:00Z", ""), "is a date without a time"),
    ],
)
def test_a_bad_row_has_its_line_and_the_others_are_read(bad: str, part: str) -> None:
    report = read(HEADER + RECEIVED + bad + SOLD)
    assert_faults(report.faults, (3, part))
    assert [one.line for one in report.rows] == [2, 4]


def test_a_missing_lot_has_its_line() -> None:
    needing = TERMS._replace(needs_lot=True)
    report = read(COUNT_HEADER + COUNTED + COUNTED.replace("L7", "").replace("SOFA", "CHAIR"), COUNTS, needing)
    assert_faults(report.faults, (3, "lot: is missing: wms names the lot of every row"))
    assert [one.key.sku for one in report.snapshots[0].rows] == ["SOFA-3"]


def test_a_table_that_is_no_csv_or_lacks_its_columns_is_refused_whole() -> None:
    assert_faults(read(HEADER + RECEIVED + '2,"Ver"kauf,\n').faults, (3, "no CSV: "))
    assert_faults(read("\n\n").faults, (0, "is empty"))
    assert_faults(
        read(HEADER.replace("Menge", "menge").replace("Grund", "No") + RECEIVED).faults,
        (1, "the column 'Grund' is not there; there are No, Art, Zeit"),
        (1, "the column 'Menge' is not there"),
        (1, "the column 'No' is there 2 times"),
    )


TRAILED = MOVES._replace(trailer="SUM")


@pytest.mark.parametrize(
    ("trailer", "line", "part"),
    [
        ("", 3, "the last row is to begin with 'SUM': is the file whole?"),
        ("SUM,3,43\n", 4, "the trailer says '3' rows, but there are 2"),
        ("SUM,2,44\n", 4, "the trailer says 44 in all, but the rows add up to 43.000"),
        ("SUM,,x\n", 4, "the trailer cannot be checked"),
    ],
)
def test_a_table_that_does_not_add_up_is_refused_whole(trailer: str, line: int, part: str) -> None:
    for right in ("SUM,2,43\n", "SUM,2\n", "SUM,,43.0\n"):
        assert len(read(HEADER + RECEIVED + SOLD + right, TRAILED).rows) == 2
    report = read(HEADER + RECEIVED + SOLD + trailer, TRAILED)
    assert_faults(report.faults, (line, part))
    assert report.rows == ()
    assert_faults(read(HEADER, TRAILED).faults, (0, "the last row is to begin"))


def test_counts_make_a_snapshot_for_each_moment_or_each_id() -> None:
    second = COUNTED.replace("03-01", "03-02")
    report = read(COUNT_HEADER + COUNTED + second + COUNTED.replace("SOFA-3,38", "CHAIR-1,9"), COUNTS)
    assert report.faults == ()
    assert [(one.id, one.complete, len(one.rows), one.line) for one in report.snapshots] == [
        ("at-2026-03-01T12:00:00Z", False, 2, 2),
        ("at-2026-03-02T12:00:00Z", False, 1, 3),
    ]
    named = COUNTS._replace(columns={**COUNTS.columns, "snapshot": "lot", "lot": "sku"}, complete=True)
    by_name = read(COUNT_HEADER + COUNTED + second.replace("L7", "L8"), named)
    assert [(one.id, one.complete, one.owner) for one in by_name.snapshots] == [
        ("L7", True, "exporter"),
        ("L8", True, "exporter"),
    ]
    torn = read(COUNT_HEADER + COUNTED + second, named)
    assert_faults(torn.faults, (3, "snapshot L7 has another moment or owner than on line 2"))
    assert torn.snapshots == ()


@pytest.mark.parametrize("bad", [COUNTED.replace("L7", "L7,"), COUNTED.replace("T12:00:00Z", "")])
def test_counts_of_nobody_knows_what_or_when_are_refused_whole(bad: str) -> None:
    report = read(COUNT_HEADER + COUNTED + bad, COUNTS)
    assert [one.line for one in report.faults] == [3]
    assert report.snapshots == ()


RULED = CsvMapping(
    {"sku": "code", "quantity": "qty", "at": "time"},
    {"unit": "EA"},
    rules=(
        Rule({"code": "POST|FEE"}, LEFT_OUT, reason="no goods"),
        Rule({"note": "C.*"}, "returned", turned=True),
        Rule({"note": "found"}, "adjusted", signed=True, reason="found"),
        Rule({"note": "", "qty": "[0-9]+"}, "sold"),
    ),
)
RULED_HEADER = "note,code,qty,time\n"
SALE = ",SOFA-3,2,2026-03-01T12:00:00Z\n"


def test_rules_tell_what_rows_are_and_leave_out_what_is_no_stock() -> None:
    text = (
        RULED_HEADER
        + SALE
        + SALE.replace(",SOFA-3,2", "C17,SOFA-3,-1")
        + SALE.replace(",S", "found,S")
        + SALE.replace("SOFA-3", "POST")
    )
    report = read(text, RULED)
    assert report.faults == ()
    assert [(one.kind, one.quantity_milli, one.reason) for one in report.rows] == [
        ("sold", 2_000, ""),
        ("returned", 1_000, ""),
        ("adjusted", 2_000, "found"),
    ]
    assert report.left_out == (LeftOut("no goods", 1),)
    none_fits = read(RULED_HEADER + SALE.replace(",2,", ",-2,"), RULED)
    assert_faults(
        none_fits.faults,
        (2, "kind: '' is none of received"),
    )
    turned = read(RULED_HEADER + SALE.replace(",S", "C17,S"), RULED)
    assert_faults(turned.faults, (2, "returned has no sign"))


def test_rows_without_ids_are_known_by_what_they_say_and_repeats_are_refused_unless_the_mapping_says() -> None:
    text = RULED_HEADER + SALE + SALE + SALE
    first = read(text, RULED)
    assert_faults(first.faults, (3, "says the same as line 2: say in the mapping"), (4, "says the same as line 2"))
    each, once = (read(text, RULED._replace(repeats=one)) for one in ("each", "once"))
    assert (len(each.rows), len({one.id for one in each.rows}), each.left_out) == (3, 3, ())
    assert (len(once.rows), once.left_out) == (1, (LeftOut("repeats another row", 2),))
    assert each.rows[0]._replace(line=0) == read(RULED_HEADER + SALE, RULED).rows[0]._replace(line=0)


def in_order(text: str, *names: str, **more: str) -> str:
    """A table with its columns in another order, and with some more of which every cell is the same."""
    rows = list(csv.DictReader(text.splitlines()))
    lines = [",".join([*names, *more]), *(",".join([*(row[name] for name in names), *more.values()]) for row in rows)]
    return "".join(f"{one}\n" for one in lines)


def test_rows_without_ids_are_the_same_in_another_order_of_columns_and_with_one_more_that_nobody_reads() -> None:
    text = RULED_HEADER + SALE + SALE.replace(",2,", ",5,")
    first = read(text, RULED)
    names = RULED_HEADER.strip().split(",")
    others = [
        in_order(text, *reversed(names)),
        in_order(text, *names, printed="today"),
        in_order(text, *names[2:], *names[:2], by="A"),
    ]
    for other in others:
        assert other != text
        assert read(other, RULED).rows == first.rows
    assert len({row.id for row in first.rows}) == len(first.rows) == 2


def test_rows_without_ids_differ_by_any_cell_that_a_field_or_a_rule_reads() -> None:
    others = ("found" + SALE, SALE.replace("FA-3", "FA-4"), SALE.replace(",2,", ",3,"), SALE.replace("12:00", "12:01"))
    report = read(RULED_HEADER + SALE + "".join(others), RULED)
    assert report.faults == ()
    assert len({row.id for row in report.rows}) == 1 + len(others)


def test_signs_that_are_written_in_two_ways_are_one_name() -> None:
    """é as one sign (NFC) and as two (NFD): in a SKU, a bin's column, a unit and a kind."""
    mapping = CsvMapping(
        {"id": "No", "kind": "Art", "at": "Zeit", "sku": "Articulé", "unit": "Unité", "quantity": "Menge"},
        kinds={"entrée": "received"},
    )
    terms = TERMS._replace(units={"pièce": "piece"})
    text = "No,Art,Zeit,Articulé,Unité,Menge\n1,entrée,2026-03-01T12:00:00Z,CAFÉ,pièce,4\n"
    apart = unicodedata.normalize("NFD", text)
    assert apart != text
    one, other = read(text, mapping, terms), read(apart, mapping, terms)
    assert (one.faults, other.faults) == ((), ())
    assert one.rows == other.rows
    assert one.rows[0].key.sku == "CAFÉ"


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"columns": {**MOVES.columns, "on_hand": "Bestand"}}, "map either quantity (rows add) or on_hand (rows set)"),
        ({"columns": {"sku": "a", "at": "b"}}, "map either quantity (rows add) or on_hand (rows set)"),
        ({"columns": {"sku": "a", "on_hand": "b"}}, "at is not mapped"),
        ({"columns": {**COUNTS.columns, "kind": "k"}, "kinds": {}}, "rows with on_hand are counts, which have no kind"),
        ({"columns": COUNTS.columns, "rules": (Rule({}, "sold"),)}, "rules for counts can only leave rows out"),
        ({"columns": {"sku": "a", "at": "b", "quantity": "c"}}, "kind is not mapped, and no rule gives it"),
        ({"columns": {**MOVES.columns, "colour": "c"}}, "colour is no field"),
        ({"fixed": {"sku": "SOFA-3"}}, "sku is a column and fixed"),
        ({"rules": (Rule({}, "gone"),)}, "a rule's kind 'gone' is none of"),
        ({"rules": (Rule({}, LEFT_OUT),)}, "a rule leaves rows out without a reason"),
        ({"rules": (Rule({"Art": "("}, "sold"),)}, "'(' is no regular expression"),
        ({"delimiter": ":"}, "delimiter: ':' is none of"),
        ({"decimal": "'"}, "decimal is '.' or ','"),
        ({"repeats": "maybe"}, "repeats one of refused, each, once"),
    ],
)
def test_a_mapping_that_is_unclear_reads_nothing(changed: dict[str, Any], part: str) -> None:
    report = read(HEADER + RECEIVED, MOVES._replace(**changed))
    assert any(part in one.text for one in report.faults), report.faults
    assert all(one.line == 0 for one in report.faults)
    assert report.rows == ()


def test_a_report_says_whose_it_is() -> None:
    assert read(HEADER).source == "wms"
    assert read("").faults == (Fault(0, "is empty: a header and rows are needed"),)
