"""Reports of stock as files: the same is taken as over the API, once they are whole, whatever happens in between."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from builders import ManualClock
from stocked import (
    LENIENT,
    SHOP_SOFA,
    SOFA,
    STRICT,
    WRONG,
    WRONG_IDS,
    Wrong,
    came_in,
    line,
    movements,
    pieces,
    stock_book_document,
    table,
)
from stocking import LATER_MS, interchange

from pledgewatch_cloud import drop_folder
from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.stock.rows import DOCUMENT_MAX_BYTES
from pledgewatch_cloud.drop_folder import DropFolder
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_cloud.stock import drop
from pledgewatch_cloud.stock.drop import StockFiles
from pledgewatch_cloud.stock.intake import StockIntake
from pledgewatch_cloud.stock.reports import StockReports
from pledgewatch_wire.settings import load

ENDINGS = {"json": "json", "csv": "csv", "x12": "edi"}


class Site:
    """A drop folder beside a journal whose book knows two stock systems."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "data")
        self.spine = Spine(self.store, ManualClock(LATER_MS))
        self.spine.commit(drafts.amend, stock_book_document())
        self.folder = folder / "drop"
        self.restart()

    def restart(self) -> None:
        """Another service takes over, which has seen nothing yet."""
        intake = StockIntake(Writer(self.spine, lambda _: None), self.store, StockReports(), ManualClock(LATER_MS))
        self.drop = DropFolder(self.folder, StockFiles(intake), 20.0)

    def put(self, name: str, raw: bytes, source: str = STRICT) -> Path:
        path = self.folder / source / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(raw)
        return path

    def look(self, times: int = 5) -> None:
        """Looked at every 20 s: four looks at one state are a minute."""
        for _ in range(times):
            asyncio.run(self.drop.look())

    def lies(self) -> list[str]:
        """Every file, by its path in the folder."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def came_to(self) -> tuple[Any, ...]:
        """All that a story comes to."""
        state = self.spine.state
        aside = [(one.topic, one.reason, one.detail, one.raw) for one in self.store.quarantined()]
        return self.lies(), state.stock.as_json(), state.entry, aside


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("wrong", WRONG, ids=WRONG_IDS)
def test_a_file_with_a_fault_lies_among_the_refused_beside_its_reason(site: Site, wrong: Wrong) -> None:
    name = f"a.{ENDINGS[wrong.form]}"
    site.put(name, wrong.raw)
    site.look()
    assert site.lies() == [f"wms/refused/{name}", f"wms/refused/{name}.reason.txt"]
    assert (site.folder / "wms/refused" / name).read_bytes() == wrong.raw
    reason = (site.folder / f"wms/refused/{name}.reason.txt").read_text().splitlines()
    assert len(reason) == 1
    assert reason[0].startswith(f"{'segment' if wrong.form == 'x12' else 'line'} {wrong.line}: ")
    assert wrong.text in reason[0]
    (aside,) = site.store.quarantined()
    assert (aside.topic, aside.reason, aside.raw, aside.detail) == ("stock/wms", "stock_refused", wrong.raw, reason[0])
    assert (site.spine.state.entry, len(site.spine.state.stock)) == (1, 0)


@pytest.mark.parametrize("wrong", WRONG, ids=WRONG_IDS)
def test_a_file_of_which_the_rest_is_taken_lies_among_the_taken_beside_its_reason(site: Site, wrong: Wrong) -> None:
    name = f"a.{ENDINGS[wrong.form]}"
    site.put(name, wrong.raw, LENIENT)
    site.look()
    folder = "taken" if wrong.rest else "refused"
    assert site.lies() == [f"till/{folder}/{name}", f"till/{folder}/{name}.reason.txt"]
    (aside,) = site.store.quarantined()
    assert (site.folder / f"till/{folder}/{name}.reason.txt").read_text() == f"{aside.detail}\n"
    assert (site.spine.state.entry, len(site.spine.state.stock)) == (1 + bool(wrong.rest), wrong.rest)


@pytest.mark.parametrize("source", [STRICT, LENIENT])
def test_the_same_files_again_change_nothing(site: Site, source: str) -> None:
    def put_all() -> None:
        for number, wrong in enumerate(WRONG):
            site.put(f"{number}.{ENDINGS[wrong.form]}", wrong.raw, source)
        site.put("right.json", movements({"identity": "R-1"}), source)

    put_all()
    site.look()
    known, entry, lies = site.spine.state.stock.as_json(), site.spine.state.entry, site.lies()
    assert len(site.spine.state.stock) >= 1
    put_all()
    site.restart()
    site.look()
    assert (site.spine.state.stock.as_json(), site.spine.state.entry) == (known, entry)
    taken_again = [one for one in site.lies() if one not in lies]
    assert all(one.count(".") >= 2 for one in taken_again), "the same content is under a name that tells it"
    assert all(one.times == 2 for one in site.store.quarantined())


def test_a_file_of_each_form_is_taken_and_moved(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site.put("a.json", movements({}))
    site.put("b.csv", table(line(2)))
    site.put("c.x12", interchange(came_in(pieces(40), total="40")).encode())
    site.put("d.edi", interchange(came_in(pieces(2), total="2", number="R-18")).encode())
    site.look()
    assert site.lies() == [f"wms/taken/{one}" for one in ("a.json", "b.csv", "c.x12", "d.edi")]
    assert site.spine.state.stock.on_hand_milli(SOFA) == 122_000
    assert "wms/a.json is in entry 2" in caplog.text
    assert site.store.quarantined() == []


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.json", movements({}, {})),
        ("a.csv", table(line(1), line(2))),
        ("a.x12", interchange(came_in(pieces(40), pieces(40), total="80")).encode()),
        ("a.x12", interchange(came_in(pieces(40), pieces(40), total="80"), lines="").encode()),
    ],
)
def test_a_file_that_grows_is_never_taken_half(site: Site, name: str, raw: bytes) -> None:
    whole = len(raw.rstrip())
    for length in range(1, whole, 11):
        site.put(name, raw[:length], LENIENT)
        site.look(3)
        assert site.lies() == [f"till/{name}"], raw[:length]
    site.put(name, raw, LENIENT)
    site.look()
    assert site.lies() == [f"till/taken/{name}"]
    assert site.spine.state.stock.on_hand_milli(SHOP_SOFA) == 80_000
    assert (site.spine.state.entry, site.store.quarantined()) == (2, [])


def test_only_a_table_waits_for_a_minute_when_it_is_whole(site: Site) -> None:
    site.put("a.json", movements({}))
    site.put("b.csv", table(line(2)))
    site.put("c.x12", interchange(came_in(pieces(40), total="40")).encode() + b"\x1a")  # the end of DOS
    site.look(2)
    assert site.lies() == ["wms/b.csv", "wms/taken/a.json", "wms/taken/c.x12"]
    site.look(2)
    assert site.lies()[0] == "wms/taken/a.json"
    assert "wms/taken/b.csv" in site.lies()


def test_whether_a_document_is_whole_is_found_out_beside_the_event_loop(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen megabytes of JSON take a second, and it is asked at every look."""
    threads = list[threading.Thread]()
    is_whole = drop._is_whole

    def found_out(form: str, raw: bytes) -> bool:
        threads.append(threading.current_thread())
        return is_whole(form, raw)

    monkeypatch.setattr(drop, "_is_whole", found_out)
    site.put("a.json", movements({}))
    site.look(2)
    assert site.lies() == ["wms/taken/a.json"]
    assert threads
    assert threading.main_thread() not in threads


def test_what_is_not_ours_stays_where_it_is(site: Site) -> None:
    for name in (".a.json", "a.json.part", "a.txt", "a.xml", "a"):
        site.put(name, movements({}))
    before = site.lies()
    site.look()
    assert (site.lies(), site.spine.state.entry) == (before, 1)


def test_endings_may_be_written_in_capitals(site: Site) -> None:
    site.put("A.CSV", table(line(1)))
    site.put("B.EDI", interchange(came_in(pieces(2), total="2")).encode())
    site.put("C.Json", movements({"identity": "M-9"}))
    site.look()
    assert site.lies() == ["wms/taken/A.CSV", "wms/taken/B.EDI", "wms/taken/C.Json"]
    assert site.spine.state.stock.on_hand_milli(SOFA) == 82_000


def test_a_file_whose_ending_nobody_takes_is_told_of_once_when_it_has_lain_there(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (".a.json", "a.json.part", "a.txt"):
        site.put(name, b"x")
    site.look(2)
    (site.folder / "wms/a.json.part").replace(site.folder / "wms/b.txt")
    (site.folder / "wms/b.txt").unlink()
    assert caplog.text == ""
    site.look(9)
    said = "wms/a.txt is not taken, for its name ends in none of .json, .csv, .x12, .edi"
    assert [one.getMessage() for one in caplog.records] == [said]
    site.put("a.txt", b"another")
    site.look(5)
    assert [one.getMessage() for one in caplog.records] == [said, said]


def test_a_folder_of_no_source_is_refused_and_taken_once_the_book_knows_it(site: Site) -> None:
    site.put("a.json", movements({}), "scales")
    site.look()
    refused = site.folder / "scales/refused/a.json"
    cure = "scales is no stock source; add it to the book's stock_sources\n"
    assert refused.with_name("a.json.reason.txt").read_text() == cure
    source = stock_book_document()["stock_sources"][0] | {"id": "scales", "owner": "la-1"}
    site.spine.commit(drafts.amend, {"stock_sources": [source]})
    refused.replace(site.folder / "scales/a.json")
    site.look()
    assert site.spine.state.stock.on_hand_milli(SOFA._replace(owner="la-1")) == 40_000


def test_a_file_that_is_too_long_is_refused_and_kept(site: Site) -> None:
    site.put("a.json", movements({}) + b" " * DOCUMENT_MAX_BYTES)
    site.look(2)
    assert site.lies() == ["wms/refused/a.json", "wms/refused/a.json.reason.txt"]
    assert "bytes: split it" in (site.folder / "wms/refused/a.json.reason.txt").read_text()
    assert site.spine.state.entry == 1


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("place", [0, 1, 2], ids=WRONG_IDS[:3])
@pytest.mark.parametrize("source", [STRICT, LENIENT])
def test_whenever_it_is_killed_the_next_one_comes_to_the_same(
    tmp_path: Path, place: int, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[tuple[Any, str]] = [
        (drop_folder, "_content"),
        (SqliteStore, "append"),
        (SqliteStore, "quarantine"),
        (drop_folder, "_target"),
        (drop_folder, "_move"),
    ]
    seen = list[tuple[Any, ...]]()
    for holder, act in acts:
        for after in (False, True):
            site = Site(tmp_path / f"{act}-{after}")
            site.put("a.json", WRONG[place].raw, source)
            site.look(1)
            real = getattr(holder, act)

            def killed(*given: Any, real: Any = real, after: bool = after) -> Any:
                if after:
                    real(*given)
                raise Killed

            monkeypatch.setattr(holder, act, killed)
            with suppress(Killed):
                site.look(1)
            monkeypatch.undo()
            site.spine = Spine(site.store, ManualClock(LATER_MS))
            site.restart()
            site.look(2)
            seen.append(site.came_to())
            site.store.close()
    assert seen.count(seen[0]) == len(acts) * 2, seen


def test_the_folder_is_watched_where_the_configuration_names_one(tmp_path: Path) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text('[service]\ndata_folder = "data"\n[stock]\ndrop_folder = "stock"\nlook_every_s = 5.0\n')
    settings = load(config, CloudSettings)
    assert (settings.stock.drop_folder, settings.stock.look_every_s) == (tmp_path / "stock", 5.0)
    assert settings.notices.drop_folder is None
