"""Book files in JSON, YAML and TOML: one document from all three, no slip in silence, every fault with its line."""

from pathlib import Path

import pytest

from pledgewatch_cloud.book_file import DocumentError, read_book_file
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.item import BookError

YAML = """\
facilities:
  - {id: facility-1, lender: bank, borrower: exporter, currency: USD}
prices:
  - {sku: sofa, unit_price_minor: 20000, currency: USD}
lots:
  - id: lot-1
    asset: container-1
    facility: facility-1
    sku: sofa
    quantity: 10
    limits:
      - channel: temperature_mc
        low: 2000
        high: 8000
voyages:
  - id: voyage-1
    asset: container-1
    legs:
      - {id: sea, kind: sea, from: 2026-01-01T00:00:00Z, until: 2026-01-09T00:00:00Z, signal: dark}
assets:
  - {id: container-1, kind: container}
"""
TOML = """\
[[facilities]]
id = "facility-1"
lender = "bank"
borrower = "exporter"
currency = "USD"

[[prices]]
sku = "sofa"
unit_price_minor = 20000
currency = "USD"

[[lots]]
id = "lot-1"
asset = "container-1"
facility = "facility-1"
sku = "sofa"
quantity = 10

[[lots.limits]]
channel = "temperature_mc"
low = 2000
high = 8000

[[voyages]]
id = "voyage-1"
asset = "container-1"
legs = [{ id = "sea", kind = "sea", from = "2026-01-01T00:00:00Z", until = "2026-01-09T00:00:00Z", signal = "dark" }]

[[assets]]
id = "container-1"
kind = "container"
"""


def faults(path: Path, text: str) -> list[str]:
    """What a person is told of a file that is refused."""
    path.write_text(text, encoding="utf-8")
    file = read_book_file(path)
    with pytest.raises(BookError) as caught:
        book_module.amend(book_module.empty(), file.document)
    return [one.removeprefix(f"{path.parent}/") for one in file.explained(caught.value.errors)]


def test_all_formats_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "book.yaml").write_text(YAML, encoding="utf-8")
    (tmp_path / "book.toml").write_text(TOML, encoding="utf-8")
    yaml_book, toml_book = (
        book_module.amend(book_module.empty(), read_book_file(tmp_path / name).document)
        for name in ("book.yaml", "book.toml")
    )
    assert book_module.as_document(yaml_book) == book_module.as_document(toml_book)
    assert yaml_book.voyages["voyage-1"].legs[0].signal == "dark"


FAULTS = [
    (
        "book.yaml",
        YAML.replace("  - id: voyage-1\n    asset: container-1", "  - id: voyage-1\n    asset: container-9"),
        "book.yaml:17: voyages voyage-1.asset: there is no 'container-9' among assets, and no device is fitted to it",
    ),
    (
        "book.yaml",
        YAML.replace("low: 2000", "low: 9000"),
        "book.yaml:13: lots[0].limits[0].low: 9000 is above high 8000",
    ),
    (
        "book.yaml",
        YAML.replace("sku: sofa\n", "sku: chair\n"),
        "book.yaml:9: lots lot-1.sku: there is no 'chair' among prices",
    ),
    (
        "book.yaml",
        YAML.replace(
            "    legs:\n",
            "    legs:\n      - {id: early, kind: port, from: 2026-01-02T00:00:00Z, until: 2026-01-03T00:00:00Z}\n",
        ),
        "book.yaml:18: voyages[0].legs: early begins 2026-01-02T00:00:00Z, before sea ends",
    ),
    (
        "book.yaml",
        YAML + "alert_rules:\n  - {id: away, on: fence_left, fences: [nowhere]}\n",
        "book.yaml:23: alert_rules away.fences: there is no 'nowhere' among fences",
    ),
    ("book.yaml", YAML.replace("quantity", "quantiti"), "book.yaml:6: lots[0].quantity: is missing"),
    (
        "book.yaml",
        YAML.replace("temperature_mc", "smell"),
        "book.yaml:12: lots[0].limits[0].channel: 'smell' is no channel",
    ),
    (
        "book.toml",
        TOML.replace("low = 2000", "low = 9000"),
        "book.toml:21: lots[0].limits[0].low: 9000 is above high 8000",
    ),
    ("book.toml", TOML.replace("quantity = 10", "quantity = -1"), "book.toml:17: lots[0].quantity: -1 is not"),
    (
        "book.json",
        '{\n"prices": [\n{"sku": "a",\n"unit_price_minor": -1, "currency": "USD"}]}',
        "book.json:4: prices[0].unit",
    ),
]


@pytest.mark.parametrize(("name", "text", "told"), FAULTS)
def test_a_fault_is_told_with_its_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    assert faults(tmp_path / name, text)[0].startswith(told)


SLIPS = [
    ("book.json", '{"prices": [], "prices": []}', "the key 'prices' comes twice"),
    ("book.json", '{"prices": [NaN]}', "NaN is no number"),
    pytest.param("book.json", '{"prices": [1' + 5_000 * "0" + "]}", "a number of 5001 digits", id="long JSON number"),
    pytest.param("book.yaml", "prices: [1" + 5_000 * "0" + "]\n", "no YAML: Exceeds", id="long YAML number"),
    pytest.param("book.toml", "prices = [1" + 5_000 * "0" + "]\n", "Exceeds", id="long TOML number"),
    ("book.json", '{"prices": [}', "line 1, column 13: Expecting value"),
    ("book.json", "[1]", "an object with sections is needed, not list"),
    ("book.yaml", "prices: []\nprices: []\n", "line 2, column 1: the key 'prices' comes twice"),
    ("book.yaml", "prices: &a []\nlots: *a\n", "line 2, column 7: aliases are not read"),
    ("book.yaml", "prices:\n\t- a\n", "line 2, column 1"),
    ("book.yaml", "true: []\n", "the key True is no text"),
    ("book.yaml", "prices: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
    ("book.toml", "prices = [\n", "Invalid value"),
    pytest.param("book.toml", "prices = [" + 4_000 * "[", "nested more than 32 deep", id="nested TOML"),
    ("book.toml", "a = 1\na = 2\n", "Cannot overwrite a value"),
    ("book.txt", "{}", "a book file ends in .json, .yaml or .toml"),
]


@pytest.mark.parametrize(("name", "text", "told"), SLIPS)
def test_no_slip_passes_in_silence(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        read_book_file(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert told in str(caught.value)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "book.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DocumentError, match="not UTF-8 at byte 7"):
        read_book_file(tmp_path / "book.json")
    with pytest.raises(BookError, match="no Unicode"):
        book_module.amend(book_module.empty(), {"prices": [{"sku": "\ud800"}]})


def test_the_sample_is_a_book() -> None:
    file = read_book_file(Path(__file__).resolve().parent.parent / "samples" / "book.yaml")
    book = book_module.amend(book_module.empty(), file.document)
    assert sorted(book.fences) == ["USLAX-terminal", "los-angeles-warehouse", "pacific-lane"]
    again = book_module.amend(book_module.empty(), book_module.as_document(book))
    assert book_module.as_document(again) == book_module.as_document(book)


def test_the_page_about_the_book_names_every_key() -> None:
    """Every section, and every key of an item, stands in docs/BOOK.md in backticks."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "BOOK.md").read_text(encoding="utf-8")
    file = read_book_file(Path(__file__).resolve().parent.parent / "samples" / "book.yaml")
    book = book_module.as_document(book_module.amend(book_module.empty(), file.document))
    for section, items in book.items():
        assert section in page
        keys = {key for one in items if isinstance(one, dict) for key in one} if isinstance(items, list) else set()
        missing = sorted(key for key in keys if f"`{key}`" not in page)
        assert not missing, f"{section}: {missing}"
