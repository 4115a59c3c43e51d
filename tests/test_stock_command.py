"""`pledgewatch-cloud stock`: every fault with its line before anything is handed in, signed imports, and the book."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from stocked import (
    LENIENT,
    SECRETS,
    STRICT,
    WRONG,
    WRONG_IDS,
    StockCloud,
    Wrong,
    line,
    movements,
    source_document,
    stock_book_document,
    table,
)
from stocking import json_text, moved_in

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide.stock.rows import DOCUMENT_MAX_BYTES

URL = "http://cloud.example:8420"
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the book and each source's secret."""
    (tmp_path / "book.json").write_text(json.dumps(stock_book_document()))
    for source, secret in SECRETS.items():
        (tmp_path / f"{source}.secret").write_text(secret)
    return tmp_path


@pytest.fixture
def cloud(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StockCloud]:
    """The service behind the address, in the test's own process."""
    made = StockCloud(folder / "data")

    class Client:
        """A client whose requests go to the service in this process."""

        def __init__(self, **_: Any) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def request(self, method: str, url: str, **named: Any) -> httpx2.Response:
            assert url.startswith(URL)
            del named["timeout"]
            answer: httpx2.Response = made.client.request(method, url.removeprefix(URL), **named)
            return answer

    monkeypatch.setattr(httpx2, "Client", Client)
    yield made
    made.close()


def put(folder: Path, name: str, raw: bytes) -> str:
    (folder / name).write_bytes(raw)
    return str(folder / name)


def check(folder: Path, file: str, source: str = STRICT, *others: str) -> int:
    return main(["stock", "check", file, "--book", str(folder / "book.json"), "--source", source, *others])


def hand_in(folder: Path, file: str, source: str = STRICT, *others: str, url: str = f"{URL}/") -> int:
    secret = str(folder / f"{source}.secret")
    return main(["stock", "import", file, "--source", source, "--url", url, "--secret-file", secret, *others])


@pytest.mark.parametrize("wrong", WRONG, ids=WRONG_IDS)
def test_check_tells_every_fault_with_its_line_without_the_service(
    folder: Path, wrong: Wrong, capsys: Captured
) -> None:
    file = put(folder, f"a.{wrong.form}", wrong.raw)
    place = "segment" if wrong.form == "x12" else "line"
    for source, rows in ((STRICT, 0), (LENIENT, wrong.rest)):
        assert check(folder, file, source) == 1
        told = capsys.readouterr()
        found = json.loads(told.out)
        assert (found["taken"], found["rows"], found["faults"]) == (rows > 0, rows, 1)
        assert told.err.startswith(f"{file}: {place} {wrong.line}: ")
        assert wrong.text in told.err


def test_check_of_what_is_right_says_what_it_holds(folder: Path, capsys: Captured) -> None:
    file = put(folder, "a.csv", table(line(1), line(2, kind="OUT", pieces="2,5"), trailer="SUM;2;42,5"))
    assert check(folder, file) == 0
    told = capsys.readouterr()
    expected = {"form": "csv", "taken": True, "rows": 2, "snapshots": 0, "faults": 0, "left_out": []}
    assert (json.loads(told.out), told.err) == (expected, "")


def test_check_tells_also_what_only_the_whole_document_shows(folder: Path, capsys: Captured) -> None:
    ahead = put(folder, "a.json", movements({"at": "2999-01-01T00:00:00Z"}, {"identity": "M-1", "quantity": "1"}))
    assert check(folder, ahead) == 1
    assert "which is to come" in capsys.readouterr().err
    document = stock_book_document() | {"stock_sources": [source_document(STRICT, means="sets")]}
    (folder / "book.json").write_text(json.dumps(document))
    assert check(folder, put(folder, "b.json", movements({}))) == 1
    assert "the book says that its documents set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "others", "source", "text"),
    [
        ("a.dat", (), STRICT, "tells its form by no ending: say it by --form"),
        ("missing.json", (), STRICT, "cannot be read: No such file or directory"),
        ("a.json", (), "scales", "there is no stock source 'scales'"),
    ],
)
def test_check_says_what_it_cannot_do(
    folder: Path, capsys: Captured, name: str, others: tuple[str, ...], source: str, text: str
) -> None:
    for one in ("a.dat", "a.json"):
        put(folder, one, movements({}))
    assert check(folder, str(folder / name), source, *others) == 2
    assert text in capsys.readouterr().err


def test_check_says_what_is_wrong_with_the_book(folder: Path, capsys: Captured) -> None:
    file = put(folder, "a.json", movements({}))
    (folder / "book.json").write_text(json.dumps({"stock_sources": [source_document(STRICT)]}))
    assert check(folder, file) == 2
    assert "stock_sources wms.warehouse: there is no 'la-1' among warehouses" in capsys.readouterr().err
    (folder / "book.json").write_text("{")
    assert check(folder, file) == 2
    (folder / "book.json").unlink()
    assert check(folder, file) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_form_may_be_said_and_what_is_too_long_is_refused(folder: Path, capsys: Captured) -> None:
    assert check(folder, put(folder, "a.dat", movements({})), STRICT, "--form", "json") == 0
    assert check(folder, put(folder, "b.json", b" " * (DOCUMENT_MAX_BYTES + 1))) == 2
    assert f"has more than {DOCUMENT_MAX_BYTES} bytes: split it" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", WRONG, ids=WRONG_IDS)
@pytest.mark.parametrize("source", [STRICT, LENIENT])
def test_an_import_is_signed_and_tells_what_became_of_it(
    folder: Path, cloud: StockCloud, wrong: Wrong, source: str, capsys: Captured
) -> None:
    file = put(folder, f"a.{wrong.form}", wrong.raw)
    assert hand_in(folder, file, source) == 1
    told = capsys.readouterr()
    place = "segment" if wrong.form == "x12" else "line"
    assert f"{file}: {place} {wrong.line}: " in told.err
    assert wrong.text in told.err
    rest = wrong.rest if source == LENIENT else 0
    assert len(cloud.spine.state.stock) == rest
    assert bool(told.out) == bool(rest)
    before = cloud.known()
    assert hand_in(folder, file, source) == 1
    assert cloud.known() == before


def test_an_import_twice_changes_nothing(folder: Path, cloud: StockCloud, capsys: Captured) -> None:
    file = put(folder, "a.json", movements({}, {}))
    assert hand_in(folder, file) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2
    assert hand_in(folder, file, url=URL) == 0
    assert json.loads(capsys.readouterr().out)["entry"] is None
    assert (cloud.spine.state.entry, cloud.on_hand()) == (2, 80_000)


def test_an_import_says_why_it_cannot_be_done(folder: Path, cloud: StockCloud, capsys: Captured) -> None:
    file = put(folder, "a.json", movements({}))
    (folder / "wms.secret").write_text(SECRETS[LENIENT])
    assert hand_in(folder, file) == 2
    assert "webhook-signature is not that of this body" in capsys.readouterr().err
    (folder / "wms.secret").write_text("open sesame")
    assert hand_in(folder, file) == 2
    assert "holds no Standard Webhooks secret" in capsys.readouterr().err
    assert cloud.spine.state.entry == 1


@pytest.mark.parametrize("answer", [httpx2.ConnectError("refused"), httpx2.Response(200, text="<html>")])
def test_an_address_where_the_service_is_not_is_named(
    folder: Path, answer: Any, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def request(*_: Any, **__: Any) -> httpx2.Response:
        if isinstance(answer, Exception):
            raise answer
        found: httpx2.Response = answer
        found.request = httpx2.Request("POST", URL)
        return found

    monkeypatch.setattr(httpx2.Client, "request", request)
    assert hand_in(folder, put(folder, "a.json", movements({}))) == 2
    assert URL in capsys.readouterr().err


def told(capsys: Captured, *arguments: str) -> list[dict[str, Any]]:
    assert main(["stock", *arguments]) == 0
    return [json.loads(one) for one in capsys.readouterr().out.splitlines()]


def test_the_book_is_shown_by_the_journal(folder: Path, cloud: StockCloud, capsys: Captured) -> None:
    rows = [
        moved_in("1", lot="L7"),
        moved_in("2", lot="L7", kind="sold", quantity="6", at="2026-03-10T12:00:00Z"),
        moved_in("3", lot="L7", sku="CHAIR-1", quantity="2"),
        {"id": "4", "at": "2026-03-12T12:00:00Z", "cancels": "gone"},
    ]
    assert cloud.post(json_text(movements=rows).encode()).status_code == 200
    data = ("--data", str(folder / "data"))
    every = told(capsys, "show", *data)
    assert [(one["sku"], one["on_hand_milli"]) for one in every] == [("CHAIR-1", 2_000), ("SOFA-3", 34_000)]
    (sofa,) = told(capsys, "show", *data, "--sku", "SOFA-3", "--at", "2026-03-05T00:00:00Z")
    assert sofa["on_hand_milli"] == 40_000
    (one,) = told(capsys, "periods", *data, "--sku", "SOFA-3", "--owner", "exporter", "--by", "day")
    assert [period["name"] for period in one["periods"]] == ["2026-03-01", "2026-03-10"]
    assert one["periods"][1]["closing_milli"] == 34_000
    (slip,) = told(capsys, "unmatched", *data)
    assert (slip["source"], slip["id"], slip["cancels"]) == (STRICT, "4", "gone")
    assert main(["stock", "periods", *data, "--csv"]) == 0
    table_rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["sku"], row["period"], row["sold_milli"]) for row in table_rows] == [
        ("CHAIR-1", "2026-03", "0"),
        ("SOFA-3", "2026-03", "6000"),
    ]
    assert main(["stock", "show", *data, "--at", "noon"]) == 2
    assert "--at: 'noon' is not a time" in capsys.readouterr().err
