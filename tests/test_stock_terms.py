"""Stock sources in the book: every key is read, written again as it was said, and refused with its place and cure."""

from collections.abc import Callable
from typing import Any

import pytest
from stocked import COLUMNS, source_document, stock_book_document

from pledgewatch_cloud.decide.book import amend, as_document, empty, is_same
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.stock import intake
from pledgewatch_cloud.decide.stock.csv_form import CsvMapping, Rule
from pledgewatch_cloud.decide.stock.rows import Terms
from pledgewatch_cloud.decide.stock.stock_terms import MAX_NAMES, MAX_RULES, StockSource

EVERY_KEY: dict[str, Any] = {
    "id": "wms-2",
    "warehouse": "la-1",
    "means": "adds",
    "units": {"EA": "piece", "Ctn.": "carton"},
    "owner": "exporter",
    "owners": {"DEP 1": "exporter", "1001": "la-1"},
    "sku_units": {"SOFA 3": "piece"},
    "bin": "A 01",
    "needs_lot": 1,
    "at_fault": "take_rest",
    "utc_offset_minutes": -480,
    "bare_dates": "last",
    "encoding": "windows-1252",
    "sku_qualifiers": ["VN", "SK"],
    "inventory_advice": "partial",
    "csv": {
        "columns": {"at": "when", "sku": "article", "quantity": "how many", "unit": "unit"},
        "fixed": {"bin": "B-07", "lot": "L7"},
        "kinds": {"IN": "received"},
        "rules": [
            {"when": {"article": "POST|FEE"}, "kind": "left_out", "reason": "no goods"},
            {"when": {"how many": "-.*"}, "kind": "returned", "turned": 1},
            {"when": {"unit": "EA", "article": "A.*"}, "kind": "adjusted", "signed": 1, "reason": "count"},
        ],
        "delimiter": "\t",
        "decimal": ",",
        "repeats": "each",
        "trailer": "SUM",
    },
}


def document(*sources: dict[str, Any]) -> dict[str, Any]:
    return {**stock_book_document(), "stock_sources": list(sources)}


def test_every_key_is_read() -> None:
    book = amend(empty(), document(EVERY_KEY))
    rules = (
        Rule({"article": "POST|FEE"}, "left_out", reason="no goods"),
        Rule({"how many": "-.*"}, "returned", turned=True),
        Rule({"unit": "EA", "article": "A.*"}, "adjusted", signed=True, reason="count"),
    )
    columns = {"at": "when", "sku": "article", "quantity": "how many", "unit": "unit"}
    mapping = CsvMapping(columns, {"bin": "B-07", "lot": "L7"}, {"IN": "received"}, rules, "\t", ",", "each", "SUM")
    assert book.stock_sources["wms-2"] == StockSource(
        "wms-2",
        Terms(
            *("wms-2", "la-1", "adds", {"EA": "piece", "Ctn.": "carton"}, "exporter"),
            owners={"DEP 1": "exporter", "1001": "la-1"},
            sku_units={"SOFA 3": "piece"},
            bin="A 01",
            needs_lot=True,
            at_fault="take_rest",
            utc_offset_minutes=-480,
            bare_dates="last",
            encoding="windows-1252",
            sku_qualifiers=("VN", "SK"),
            inventory_advice="partial",
        ),
        mapping,
    )
    counts = {"columns": {"at": "when", "sku": "article", "on_hand": "there", "unit": "unit"}, "complete": 1}
    source = source_document("counts", csv=counts)
    found = amend(empty(), document(source)).stock_sources["counts"].mapping
    assert found is not None
    assert found.complete


def test_no_key_of_the_terms_or_the_mapping_is_left_out() -> None:
    said = {*EVERY_KEY, *EVERY_KEY["csv"], *(key for rule in EVERY_KEY["csv"]["rules"] for key in rule)}
    assert {*Terms._fields, *CsvMapping._fields, *Rule._fields} - said == {"source", "complete"}


def test_what_is_not_said_has_its_default() -> None:
    least = {"id": "w", "warehouse": "la-1", "means": "sets", "units": {"EA": "EA"}, "owner": "exporter"}
    source = amend(empty(), document(least)).stock_sources["w"]
    assert source == StockSource("w", Terms("w", "la-1", "sets", {"EA": "EA"}, "exporter"))
    table = {"columns": {"at": "t", "sku": "s", "on_hand": "n", "unit": "u"}}
    mapped = amend(empty(), document(least | {"csv": table})).stock_sources["w"].mapping
    assert mapped == CsvMapping(table["columns"])
    assert as_document(amend(empty(), document(least | {"csv": table})))["stock_sources"] == [least | {"csv": table}]


def test_what_is_written_again_is_what_was_said() -> None:
    counts = source_document("wms", means="sets")
    book = amend(empty(), document(EVERY_KEY, counts))
    written = as_document(book)
    assert written["stock_sources"] == [EVERY_KEY, counts]
    assert is_same(amend(empty(), written), book)


def test_a_rule_may_ask_for_an_empty_cell_and_one_for_nothing_at_all() -> None:
    rules = [{"when": {"lot": ""}, "kind": "left_out", "reason": "no lot"}, {"when": {}, "kind": "sold"}]
    csv = {"columns": {"at": "when", "sku": "article", "quantity": "pieces"}, "fixed": {"unit": "EA"}, "rules": rules}
    book = amend(empty(), document(source_document("wms", csv=csv, needs_lot=0)))
    assert is_same(amend(empty(), as_document(book)), book)
    source = book.stock_sources["wms"]
    text = "when,article,pieces,lot\n2026-03-01T12:00:00Z,SOFA-3,4,\n2026-03-01T12:00:00Z,SOFA-3,4,L7\n"
    report = intake.read(source.terms, "csv", text, source.mapping)
    assert (report.faults, report.left_out) == ((), (("no lot", 1),))
    assert [(row.kind, row.line) for row in report.rows] == [("sold", 3)]


def test_a_source_is_amended_by_its_id_and_removed() -> None:
    book = amend(empty(), document(source_document("wms")))
    strict = amend(book, {"stock_sources": [source_document("wms", at_fault="take_rest")]})
    assert strict.stock_sources["wms"].terms.at_fault == "take_rest"
    assert not is_same(strict, book)
    assert amend(book, {"remove": {"stock_sources": ["wms"]}}).stock_sources == {}


def test_a_document_is_read_by_what_the_book_says() -> None:
    source = amend(empty(), document(EVERY_KEY)).stock_sources["wms-2"]
    text = (
        "when\tarticle\tunit\thow many\n2026-03-01\tPOST\tEA\t1\n2026-03-01\tSOFA 3\tEA\t-2,5\n"
        "2026-03-01\tAÜ\tCtn.\t3\nSUM\t3\n"
    )
    report = intake.read(source.terms, "csv", text.encode("windows-1252"), source.mapping)
    assert [one.text for one in report.faults] == [
        "kind: '' is none of received, shipped, sold, returned, adjusted, moved"
    ]
    fixed = intake.read(source.terms, "csv", text.replace("Ctn.", "EA").encode("windows-1252"), source.mapping)
    assert fixed.faults == ()
    assert [(row.key.sku, row.kind, row.quantity_milli) for row in fixed.rows] == [
        ("SOFA 3", "returned", 2_500),
        ("AÜ", "adjusted", 3_000),
    ]
    assert {row.at_ms for row in fixed.rows} == {1_772_438_399_999}, "the last of the day, eight hours behind UTC"


Change = Callable[[dict[str, Any]], object]


def said(**changes: Any) -> Change:
    return lambda source: source.update(changes)


def mapped(**changes: Any) -> Change:
    return lambda source: source["csv"].update(changes)


def rule(**changes: Any) -> Change:
    one = {"when": {"no": "X"}, "kind": "left_out", "reason": "fees"} | changes
    return lambda source: source["csv"].update(rules=[one])


def without(key: str) -> Change:
    return lambda source: source.pop(key)


FAULTS: list[tuple[Change, str]] = [
    (said(id="WMS"), "stock_sources[0].id: use 1 to 64 lower-case letters, digits and hyphens"),
    (said(smell=1), "stock_sources[0].smell: no such key"),
    (without("warehouse"), "stock_sources[0].warehouse: is missing"),
    (said(warehouse="la-2"), "stock_sources wms.warehouse: there is no 'la-2' among warehouses"),
    (without("means"), "stock_sources[0].means: is missing"),
    (said(means="guesses"), "stock_sources[0].means: 'guesses' is none of adds, sets, both"),
    (without("units"), "stock_sources[0].units: is missing: say what the book calls each unit, as {EA: EA}"),
    (said(units=["EA"]), "stock_sources[0].units: an object of at most 10000 words by name is needed"),
    (said(units={"EA": 1}), "stock_sources[0].units.EA: 1 is no text: put it in quotes"),
    (said(units={"EA": "x/../piece"}), "stock_sources[0].units.EA: 'x/../piece' is no id"),
    (said(units={"EA": "a piece"}), "stock_sources[0].units.EA: 'a piece' is no id"),
    (said(units={" EA": "EA"}), "stock_sources[0].units: ' EA': 1 to 128 characters that can be seen"),
    (said(units={str(n): "EA" for n in range(MAX_NAMES + 1)}), "stock_sources[0].units: an object of at most 10000"),
    (without("owner"), "stock_sources[0].owner: is missing: say whose goods they are, by owner or by owners"),
    (said(owner="nobody"), "stock_sources wms.owner: there is no 'nobody' among parties"),
    (said(owners={"D": "nobody"}), "stock_sources wms.owners: there is no 'nobody' among parties"),
    (said(owners=None), "stock_sources[0].owners: an object of at most 10000 words by name is needed"),
    (
        said(sku_units={"SOFA-3": "EA"}),
        "stock_sources[0].sku_units.SOFA-3: 'EA' is none of what units stand for: carton",
    ),
    (said(bin=""), "stock_sources[0].bin: is missing"),
    (said(bin=7), "stock_sources[0].bin: 7 is no text: put it in quotes"),
    (said(needs_lot=2), "stock_sources[0].needs_lot: 2 is not a whole number from 0 to 1"),
    (said(at_fault="shrug"), "stock_sources[0].at_fault: 'shrug' is none of refuse_all, take_rest"),
    (said(utc_offset_minutes=841), "stock_sources[0].utc_offset_minutes: 841 is not a whole number from -840 to 840"),
    (said(bare_dates="noon"), "stock_sources[0].bare_dates: 'noon' is none of refused, first, last"),
    (said(encoding="latin-1"), "stock_sources[0].encoding: 'latin-1' is none of utf-8, windows-1252"),
    (said(sku_qualifiers="SK"), "stock_sources[0].sku_qualifiers: a list of qualifiers of X12 is needed"),
    (said(sku_qualifiers=[]), "stock_sources[0].sku_qualifiers: a list of qualifiers of X12 is needed"),
    (
        said(sku_qualifiers=["SK", "SK"]),
        "stock_sources[0].sku_qualifiers: 'SK' is no qualifier of two or three signs, or",
    ),
    (said(sku_qualifiers=["sku"]), "stock_sources[0].sku_qualifiers: 'sku' is no qualifier"),
    (said(inventory_advice="all"), "stock_sources[0].inventory_advice: 'all' is none of complete, partial"),
    (said(csv=[]), "stock_sources[0].csv: an object is needed, not list"),
    (mapped(smell=1), "stock_sources[0].csv.smell: no such key"),
    (mapped(columns={}), "stock_sources[0].csv: map either quantity (rows add) or on_hand (rows set)"),
    (mapped(columns=COLUMNS | {"colour": "c"}), "stock_sources[0].csv: colour is no field; there are id, kind, at,"),
    (mapped(columns=COLUMNS | {"lot": ""}), "stock_sources[0].csv.columns.lot: is missing"),
    (mapped(fixed={"lot": "L"}), "stock_sources[0].csv: lot is a column and fixed: leave one"),
    (mapped(kinds={"IN": "eaten"}), "stock_sources[0].csv.kinds.IN: 'eaten' is none of received, shipped, sold,"),
    (mapped(complete=3), "stock_sources[0].csv.complete: 3 is not a whole number"),
    (mapped(delimiter=":"), "stock_sources[0].csv: delimiter: ':' is none of ',', ';', '\\t', '|'"),
    (mapped(delimiter=""), "stock_sources[0].csv.delimiter: '' does not match"),
    (mapped(decimal="x"), "stock_sources[0].csv: decimal is '.' or ','"),
    (mapped(repeats="maybe"), "stock_sources[0].csv.repeats: 'maybe' is none of refused, each, once"),
    (rule(kind="eaten"), "stock_sources[0].csv.rules[0].kind: 'eaten' is none of received,"),
    (rule(when="no"), "stock_sources[0].csv.rules[0].when: an object from column to a regular expression"),
    (rule(when={"no": 7}), "stock_sources[0].csv.rules[0].when: an object from column to a regular expression"),
    (rule(when={"no": "x" * 257}), "stock_sources[0].csv.rules[0].when: an object from column to a regular expression"),
    (rule(when={"no": "("}), "stock_sources[0].csv: '(' is no regular expression: missing ), unterminated"),
    (rule(turned=5), "stock_sources[0].csv.rules[0].turned: 5 is not a whole number"),
    (rule(smell=1), "stock_sources[0].csv.rules[0].smell: no such key"),
    (
        lambda source: source["csv"].update(rules=[{"when": {"no": "X"}, "kind": "left_out"}]),
        "stock_sources[0].csv: a rule leaves rows out without a reason",
    ),
    (
        lambda source: source["csv"].update(rules=[{"when": {"no": "X"}, "kind": "sold"}] * (MAX_RULES + 1)),
        "stock_sources[0].csv.rules: at most 100",
    ),
]


@pytest.mark.parametrize(("change", "text"), FAULTS, ids=[row[1][:70] for row in FAULTS])
def test_each_fault_is_named_with_its_place(change: Change, text: str) -> None:
    source = source_document("wms")
    assert amend(empty(), document(source)).stock_sources.keys() == {"wms"}
    source["csv"] = dict(source["csv"])
    change(source)
    with pytest.raises(BookError) as caught:
        amend(empty(), document(source))
    assert any(one.startswith(text) for one in caught.value.errors), caught.value.errors


def test_a_date_without_a_time_needs_the_offset_of_its_day() -> None:
    source = source_document("wms", bare_dates="first")
    del source["utc_offset_minutes"]
    with pytest.raises(BookError, match="utc_offset_minutes: is missing: a date is a day of some zone"):
        amend(empty(), document(source))


def test_a_warehouse_stays_as_long_as_a_source_speaks_of_it() -> None:
    book = amend(empty(), document(source_document("wms")))
    with pytest.raises(BookError, match=r"stock_sources wms\.warehouse: there is no 'la-1' among warehouses"):
        amend(book, {"remove": {"warehouses": ["la-1"]}})


TWICE = (
    "stock_sources wms.means: edi adds goods of exporter in la-1 too, and what both report would count twice: let one "
    "of the two set only (means: sets), or give each its own owners"
)
BESIDE: list[tuple[dict[str, Any], list[str]]] = [
    ({}, [TWICE]),
    ({"means": "adds"}, [TWICE]),
    ({"owner": "la-1", "owners": {"D": "exporter"}}, [TWICE]),
    ({"means": "sets"}, []),
    ({"owner": "la-1"}, []),
    ({"warehouse": "la-2"}, []),
]


@pytest.mark.parametrize(("changes", "errors"), BESIDE)
def test_no_two_sources_add_goods_of_one_owner_in_one_warehouse(changes: dict[str, Any], errors: list[str]) -> None:
    both = document(source_document("edi", **changes), source_document("wms"))
    both["warehouses"] = [{"id": "la-1"}, {"id": "la-2"}]
    both["parties"] = [*both["parties"], {"id": "la-2", "name": "Los Angeles Two"}]
    if not errors:
        assert amend(empty(), both).stock_sources.keys() == {"edi", "wms"}
        return
    with pytest.raises(BookError) as caught:
        amend(empty(), both)
    assert list(caught.value.errors) == errors


def test_a_source_takes_the_place_of_another_in_one_amendment() -> None:
    book = amend(empty(), document(source_document("edi")))
    change = {"stock_sources": [source_document("wms")]}
    with pytest.raises(BookError, match="edi adds goods of exporter in la-1 too"):
        amend(book, change)
    assert amend(book, {**change, "remove": {"stock_sources": ["edi"]}}).stock_sources.keys() == {"wms"}
