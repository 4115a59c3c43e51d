"""Notices as files: taken when they are whole, moved when that is committed, whatever happens in between."""

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from builders import ManualClock
from needed import DATA, needs
from test_epcis_out import CONTAINER
from test_notices_api import EPCIS_EXAMPLES, epcis_document, epcis_event, plain

from pledgewatch_cloud import drop_folder
from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.drop_folder import DropFolder
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.notices.drop import NoticeFiles
from pledgewatch_cloud.notices.intake import DOCUMENT_MAX_BYTES, Intake
from pledgewatch_cloud.notices.metrics import Submissions
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer

DCSA = {
    "eventID": "3cecb101-7a1a-43a4-9d62-e88a131651e2",
    "eventType": "EQUIPMENT",
    "eventClassifierCode": "ACT",
    "eventDateTime": "2026-01-01T09:00:00+01:00",
    "eventCreatedDateTime": "2026-01-01T09:05:00+01:00",
    "equipmentEventTypeCode": "GTIN",
    "equipmentReference": CONTAINER,
    "emptyIndicatorCode": "LADEN",
}


NOBODY = 65_534


class Site:
    """A drop folder beside a journal whose book knows a carrier and a warehouse."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "data")
        self.spine = Spine(self.store, ManualClock())
        self.spine.commit(drafts.amend, {"senders": [{"id": "carrier"}, {"id": "warehouse"}]})
        self.folder = folder / "drop"
        self.carrier = self.folder / "carrier"
        self.carrier.mkdir(parents=True)
        self.restart()

    def restart(self) -> None:
        """Another service takes over, which has seen nothing yet."""
        intake = Intake(Writer(self.spine, lambda _: None), self.store, Submissions(), ManualClock())
        self.drop = DropFolder(self.folder, NoticeFiles(intake), 20.0)

    def put(self, name: str, document: Any, sender: str = "carrier") -> Path:
        path = self.folder / sender / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return path

    def look(self, times: int = 2) -> None:
        for _ in range(times):
            asyncio.run(self.drop.look())

    def lies(self) -> list[str]:
        """Every file, by its path in the folder."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def kinds(self) -> list[str]:
        return sorted(one[2] for one in self.spine.state.notices.as_json())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()


def test_a_file_of_each_form_is_taken_and_moved(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site.put("a.json", plain())
    site.put("b.json", [DCSA])
    site.put("c.json", epcis_document(epcis_event()), "warehouse")
    site.look()
    assert site.lies() == ["carrier/taken/a.json", "carrier/taken/b.json", "warehouse/taken/c.json"]
    assert site.kinds() == ["customs_cleared", "full_in", "goods_received"]
    assert {one[1] for one in site.spine.state.notices.as_json()} == {"carrier", "warehouse"}
    assert "carrier/a.json is in entry 2" in caplog.text


@pytest.mark.parametrize(
    ("document", "kinds"),
    [
        (DCSA, ["full_in"]),
        ({"events": [DCSA]}, ["full_in"]),
        (epcis_event(), ["goods_received"]),
        ({"notices": []}, []),
    ],
)
def test_the_form_is_told_by_the_content(site: Site, document: Any, kinds: list[str]) -> None:
    site.put("a.json", document)
    site.look()
    assert site.lies() == ["carrier/taken/a.json"]
    assert site.kinds() == kinds


@needs(EPCIS_EXAMPLES)
def test_all_of_the_standards_examples_are_taken(site: Site) -> None:
    examples = sorted((DATA / EPCIS_EXAMPLES).rglob("*.jsonld"))
    for path in examples:
        site.put(f"{path.stem}.json", path.read_bytes())
    site.look()
    assert len(list((site.carrier / "taken").iterdir())) == len(examples) > 40
    assert not (site.carrier / "refused").exists()


def test_what_is_not_ours_stays_where_it_is(site: Site) -> None:
    (site.folder / "loose.json").write_text("{}")
    for name in (".a.json", "a.json.part", "a.tmp", "a.csv"):
        site.put(name, plain())
    (site.carrier / "folder.json").mkdir()
    (site.carrier / "link.json").symlink_to(site.folder / "loose.json")
    os.mkfifo(site.carrier / "pipe.json")
    before = sorted(site.folder.rglob("*"))
    site.look(3)
    assert sorted(site.folder.rglob("*")) == before
    assert site.spine.state.entry == 1


def test_a_file_that_is_still_being_written_is_left_alone(site: Site) -> None:
    whole = json.dumps(plain()).encode()
    path = site.carrier / "a.json"
    for length in range(1, len(whole), 7):
        path.write_bytes(whole[:length])
        site.look(1)
        assert site.lies() == ["carrier/a.json"]
    path.write_bytes(whole)
    site.look(1)
    assert site.lies() == ["carrier/a.json"]
    site.look(1)
    assert site.lies() == ["carrier/taken/a.json"]
    assert site.kinds() == ["customs_cleared"]
    assert site.store.quarantined() == []


def test_a_writer_that_pauses_is_given_a_minute(site: Site) -> None:
    whole = json.dumps(plain()).encode()
    path = site.put("a.json", whole[:20])
    site.look(3)  # looked at every 20 s, so three looks at one state are 40 s
    assert site.lies() == ["carrier/a.json"]
    with path.open("ab") as file:
        file.write(whole[20:])
    site.look()
    assert site.lies() == ["carrier/taken/a.json"]
    site.put("b.json", whole[:20])
    site.look(4)
    assert site.lies()[0] == "carrier/refused/b.json"
    assert [one.raw for one in site.store.quarantined()] == [whole[:20]]


def test_a_file_that_changes_while_it_is_read_waits(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.put("a.json", plain())
    site.look(1)
    real = drop_folder._content

    def changed(path: Path, shape: drop_folder.Shape, max_bytes: int) -> bytes | None:
        path.write_text(json.dumps(plain("2")))
        return real(path, shape, max_bytes)

    monkeypatch.setattr(drop_folder, "_content", changed)
    site.look(1)
    monkeypatch.undo()
    assert path.exists()
    assert site.kinds() == []
    site.look(2)
    assert [one[0] for one in site.spine.state.notices.as_json()] == ["carrier/2"]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (plain(kind="eaten"), "notices[0].kind"),
        ({"hello": 1}, "the document: tells its form by one of"),
        (b'{"notices": ["\xff"]}', "no JSON"),
        (b"[" + b" " * DOCUMENT_MAX_BYTES + b"]", "split it"),
    ],
)
def test_what_is_refused_lies_beside_its_reason(site: Site, document: Any, text: str) -> None:
    site.put("a.json", document)
    site.look(5)
    assert site.lies() == ["carrier/refused/a.json", "carrier/refused/a.json.reason.txt"]
    assert text in (site.carrier / "refused/a.json.reason.txt").read_text()
    assert site.spine.state.entry == 1


def test_every_fault_is_a_line_of_the_reason(site: Site) -> None:
    site.put("a.json", {"notices": [*plain(kind="eaten")["notices"], *plain("2", place="XX")["notices"]]})
    site.look()
    lines = (site.carrier / "refused/a.json.reason.txt").read_text().splitlines()
    assert [one.partition(":")[0] for one in lines] == ["notices[0].kind", "notices[1].place"]
    (kept,) = site.store.quarantined()
    assert (kept.reason, kept.topic) == ("notice_refused", "notices/carrier")


def test_a_folder_of_nobody_the_book_knows_is_refused_and_taken_later(site: Site) -> None:
    site.put("a.json", plain(), "customs")
    site.look()
    refused = site.folder / "customs/refused/a.json"
    assert "section senders" in refused.with_name("a.json.reason.txt").read_text()
    site.spine.commit(drafts.amend, {"senders": [{"id": "customs"}]})
    refused.replace(site.folder / "customs/a.json")
    site.look()
    assert site.kinds() == ["customs_cleared"]


def test_what_is_known_is_moved_too(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site.put("a.json", plain())
    site.look()
    site.put("again.json", plain())
    site.look()
    assert site.lies() == ["carrier/taken/a.json", "carrier/taken/again.json"]
    assert site.spine.state.entry == 2
    assert "carrier/again.json was known already" in caplog.text


def test_a_name_that_comes_again_hides_nothing(site: Site) -> None:
    for number in range(3):
        site.put("events.json", plain(str(number)))
        site.look()
    assert len(site.lies()) == 3
    assert len(site.kinds()) == 3
    site.put("events.json", plain("2"))
    site.look()
    assert len(site.lies()) == 3, "the same content is kept once"


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("document", [plain(), plain(kind="eaten"), {"hello": 1}], ids=["taken", "refused", "no form"])
def test_whenever_it_is_killed_the_next_one_comes_to_the_same(
    tmp_path: Path, document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before or after each call of what it does, it leaves a file that is taken or refused just once."""
    acts = ["_content", "_target", "_move"]
    seen: set[tuple[str, ...]] = set()
    for act in acts:
        for after in (False, True):
            site = Site(tmp_path / f"{act}-{after}")
            site.put("a.json", document)
            site.look(1)
            real = getattr(drop_folder, act)

            def killed(*given: Any, real: Any = real, after: bool = after) -> Any:
                if after:
                    real(*given)
                raise Killed

            monkeypatch.setattr(drop_folder, act, killed)
            with suppress(Killed):
                site.look(1)
            monkeypatch.undo()
            site.restart()
            site.look(2)
            seen.add((*site.lies(), *site.kinds(), *(one.reason for one in site.store.quarantined())))
            assert not (site.carrier / "a.json").exists()
            assert site.spine.state.entry <= 2
            site.store.close()
    assert len(seen) == 1, seen


def test_killed_between_the_commit_and_the_move(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put("a.json", plain())
    site.look(1)
    real = Writer.commit

    async def killed(self: Writer, *asked: Any) -> None:
        await real(self, *asked)
        raise Killed

    monkeypatch.setattr(Writer, "commit", killed)
    with pytest.raises(Killed):
        site.look(1)
    monkeypatch.undo()
    assert site.lies() == ["carrier/a.json"]
    site.restart()
    site.look()
    assert site.lies() == ["carrier/taken/a.json"]
    assert (site.spine.state.entry, site.kinds()) == (2, ["customs_cleared"])


def test_a_disk_that_is_full_makes_it_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise StoreError("the disk is full")

    site.put("a.json", plain())
    monkeypatch.setattr(site.store, "append", full)
    with pytest.raises(StoreError):
        site.look(2)
    monkeypatch.undo()
    assert site.lies() == ["carrier/a.json"]
    site.look(2)
    assert site.lies() == ["carrier/taken/a.json"]


def test_what_fails_is_said_once_and_tried_on(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failing = [StoreError("the disk is full"), StoreError("the disk is full"), OSError(5, "no such device")]

    async def story() -> None:
        looks = iter([*failing, None, None])
        done = asyncio.Event()

        async def look() -> None:
            one = next(looks, "end")
            if one == "end":
                done.set()
            if isinstance(one, Exception):
                raise one

        drop = DropFolder(site.folder, site.drop._taker, 0.001)
        drop.look = look  # type: ignore[method-assign]
        task = asyncio.create_task(drop.run())
        await done.wait()
        task.cancel()

    asyncio.run(story())
    assert [one.getMessage() for one in caplog.records] == [
        f"notices are taken from {site.folder}",
        f"notices wait in {site.folder}, trying on: the disk is full",
        f"notices are taken from {site.folder} again",
    ]


def test_at_one_look_so_many_files_are_taken_and_the_rest_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop_folder, "FILES_A_LOOK", 3)
    for number in range(7):
        site.put(f"{number}.json", plain(str(number)))
    site.look(2)
    assert len(site.kinds()) == 3
    site.look(4)
    assert len(site.kinds()) == 7


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    """How often something was said."""
    return sum(text in one.getMessage() for one in caplog.records)


@pytest.mark.parametrize("length", [244, 245, 250])
@pytest.mark.parametrize("letter", ["a", "ä"])
@pytest.mark.parametrize("document", [{"notices": [{"id": "1"}]}, plain("long")], ids=["refused", "taken"])
def test_a_name_that_is_too_long_for_its_reason_is_shortened(
    site: Site, document: Any, letter: str, length: int
) -> None:
    stem = letter * ((length - 5) // len(letter.encode()))
    for other in ("1", "2"):
        site.put(f"{stem[:-1]}{other}.json", document | {other: 1} if document.keys() - {"notices"} else document)
    site.put("b.json", plain("good-1"))
    site.put("c.json", plain("good-2"), "warehouse")
    site.look(2)
    assert {"carrier/good-1", "warehouse/good-2"} <= {one[0] for one in site.spine.state.notices.as_json()}
    assert not any(path.endswith(".json") and path.count("/") == 1 for path in site.lies())
    assert all(len(path.rsplit("/", 1)[1].encode()) <= 255 for path in site.lies())


def test_long_names_that_begin_alike_hide_nothing(site: Site) -> None:
    for number in range(3):
        site.put(f"{'a' * 245}{number}.json", plain(str(number)))
        site.put(f"{'b' * 245}{number}.json", {"notices": [{"id": str(number)}]})
    site.look()
    folders = [path.split("/")[1] for path in site.lies()]
    assert (folders.count("taken"), folders.count("refused")) == (3, 6)
    assert len(site.kinds()) == 3


@pytest.mark.parametrize("name", ["taken", "refused"])
def test_a_file_where_a_folder_should_be_stops_nobody_else(
    site: Site, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.INFO)
    (site.carrier / name).write_text("x")
    site.put("a.json", plain("good"))
    site.put("b.json", {"notices": [{"id": "bad"}]})
    site.put("c.json", plain("other"), "warehouse")
    site.look(6)
    assert [one[0] for one in site.spine.state.notices.as_json()] == ["carrier/good", "warehouse/other"]
    stuck = "a.json" if name == "taken" else "b.json"
    assert [path for path in site.lies() if path.count("/") == 1] == [f"carrier/{stuck}", f"carrier/{name}"]
    assert said(caplog, f"carrier/{stuck} waits, trying on: {name}: is no folder: move it away") == 1
    assert said(caplog, "trying on") == 1
    (aside,) = site.store.quarantined()
    assert aside.times == 1, "what waits to be moved is not handed in again"
    assert site.spine.state.entry == 3
    (site.carrier / name).unlink()
    site.look(1)
    assert f"carrier/{name}/{stuck}" in site.lies()
    assert said(caplog, f"carrier/{stuck} waits no more") == 1


def test_what_waits_to_be_moved_and_is_written_anew_is_handed_in_again(site: Site) -> None:
    (site.carrier / "taken").write_text("x")
    site.put("a.json", plain("1"))
    site.look(3)
    site.put("a.json", plain("22"))
    site.look(2)
    assert len(site.kinds()) == 2


@contextmanager
def as_somebody(folder: Path) -> Iterator[None]:
    """Not as root, who may read everything; whoever else runs the tests stays who they are."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("closed", "mode", "waiting", "taken"),
    [
        ("carrier/a.json", 0, {"carrier/a.json"}, {"carrier/good-1"}),
        ("carrier", 0, {"carrier"}, set()),
        ("carrier", 0o400, {"carrier/a.json", "carrier/b.json"}, set()),  # may be listed and not entered
        (
            "carrier",
            0o500,
            {"carrier/a.json", "carrier/b.json"},
            {"carrier/hidden", "carrier/good-1"},
        ),  # not written to
    ],
)
def test_what_may_not_be_read_or_moved_stops_nobody_else(
    caplog: pytest.LogCaptureFixture, closed: str, mode: int, waiting: set[str], taken: set[str]
) -> None:
    caplog.set_level(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        site.put("a.json", plain("hidden"))
        site.put("b.json", plain("good-1"))
        site.put("c.json", plain("good-2"), "warehouse")
        with as_somebody(Path(folder)):
            (site.folder / closed).chmod(mode)
            site.look(5)
            assert {one[0] for one in site.spine.state.notices.as_json()} == {*taken, "warehouse/good-2"}
            for name in waiting:
                assert said(caplog, f"{name} waits, trying on: ") == 1
            assert said(caplog, "Permission denied") == len(waiting)
            (site.folder / closed).chmod(0o700)
            site.look(2)
            assert len(site.kinds()) == 3
            assert said(caplog, "waits no more") == len(waiting)
            assert site.lies() == ["carrier/taken/a.json", "carrier/taken/b.json", "warehouse/taken/c.json"]
            site.store.close()


def test_a_folder_whose_name_is_no_text_stops_nobody_else(site: Site) -> None:
    odd = Path(os.fsdecode(os.fsencode(site.folder) + b"/odd-\xff"))
    odd.mkdir()
    (odd / os.fsdecode(b"a\xfe.json")).write_text(json.dumps(plain()))
    site.put("c.json", plain("good"), "warehouse")
    site.look(3)
    assert [one[0] for one in site.spine.state.notices.as_json()] == ["warehouse/good"]
    assert [one.name for one in (odd / "refused").glob("*.txt")] == [os.fsdecode(b"a\xfe.json.reason.txt")]


def test_the_command_prints_what_is_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(plain("1", until="2026-02-01T00:00:00Z", place="USLAX")))
    assert main(["notices", str(file), "--sender", "customs"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "form": "plain",
        "notices": [
            {
                "key": "customs/1",
                "sender": "customs",
                "kind": "customs_cleared",
                "classifier": "actual",
                "references": [f"container:{CONTAINER}"],
                "place": "USLAX",
                "happened_at": "2026-01-01T10:00:00Z",
                "until": "2026-02-01T00:00:00Z",
            }
        ],
    }
    file.write_text(json.dumps([DCSA]))
    assert main(["notices", str(file)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["form"], found["notices"][0]["kind"]) == ("dcsa", "full_in")
    assert main(["notices", str(file), "--form", "plain"]) == 2
    assert "a.json: the document" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "no JSON"),
        (b'{"notices": "\xff"}', "a.json: "),
        (b"{}", "tells its form"),
        (b" " * (DOCUMENT_MAX_BYTES + 1), "split it"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: bytes, text: str
) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(body)
    assert main(["notices", str(file)]) == 2
    assert text in capsys.readouterr().err
    assert main(["notices", str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read" in capsys.readouterr().err
