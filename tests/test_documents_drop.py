"""The drop folder: files are taken when they are whole, whatever the writer does, and put away when they are taken."""

import os
from pathlib import Path
from typing import Any

import pytest
from wms import SOURCE, Shelf, secret_file

from pledgewatch_gateway.documents import DOCUMENT_MAX_BYTES, AwayError, Document, Form, drop_folder
from pledgewatch_gateway.documents.drop_folder import FILES_A_LOOK, PATIENCE_S, DropSettings, DropSource, is_whole
from pledgewatch_gateway.documents.kept import move

ISA = b"ISA*00*          *00*          *ZZ*WAREHOUSE      *ZZ*BANK           *260301*1200*U*00401*000000001*0*P*>~"
INTERCHANGE = ISA + b"\nGS*IB*W*B*20260301*1200*8*X*004010~\nGE*0*8~\nIEA*1*000000001~\n"


class Bench:
    """A folder with a clock set by hand."""

    def __init__(self, folder: Path, form: Form = Form.CSV, **changes: Any) -> None:
        self.folder = folder / "drop"
        self.folder.mkdir(exist_ok=True)
        told = {"ending": ".csv", **changes}
        self.settings = DropSettings(
            source=SOURCE, secret_file=secret_file(folder), folder=self.folder, form=form, **told
        )
        self.shelf, self.now = Shelf(), 1_000.0
        self.restart()

    def restart(self) -> None:
        """Another process takes over, which has seen nothing yet."""
        self.source = DropSource(self.settings, lambda: self.now)

    def write(self, name: str, data: bytes = b"a;b\n") -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    async def look(self, *waits_s: float) -> list[str]:
        """Look after each of some waits; the names of all that is handed on by now."""
        for wait_s in waits_s:
            self.now += wait_s
            await self.source.look(self.shelf.put)
        return [one.name for one in self.shelf.documents]

    def lies(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


async def test_a_file_is_taken_once_it_has_not_changed_for_a_while(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    path = bench.write("stock.csv", b"a;b\n")
    assert await bench.look(0, 9) == []
    path.write_bytes(b"a;b\n1;2\n")
    assert await bench.look(5, 9) == [], "it has grown, so it is looked at anew"
    assert await bench.look(1) == ["stock.csv"]
    assert bench.shelf.documents == [Document(SOURCE, Form.CSV, "stock.csv", b"a;b\n1;2\n")]
    assert bench.lies() == ["done/stock.csv"]
    assert await bench.look(60, 60) == ["stock.csv"]


async def test_a_file_that_is_seen_for_the_first_time_waits_however_late_the_look_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.look(0)
    bench.write("stock.csv")
    assert await bench.look(10_000) == []
    assert await bench.look(10) == ["stock.csv"]


@pytest.mark.parametrize(
    ("form", "told", "half", "whole"),
    [
        (Form.JSON, {}, b'{"a": [', b'{"a": []}'),
        (Form.CSV, {"open_end": True}, b"a;b\n1;", b"a;b\n1;2\n"),
    ],
)
async def test_a_half_written_file_has_a_minute_more_and_is_then_the_clouds_to_refuse(
    tmp_path: Path, form: Form, told: dict[str, bool], half: bytes, whole: bytes
) -> None:
    bench = Bench(tmp_path, form, **told)
    bench.write("stock.csv", half)
    assert await bench.look(0, 10, PATIENCE_S - 1) == []
    assert await bench.look(1) == ["stock.csv"]
    bench.write("later.csv", half)
    await bench.look(0, 10, 30)
    bench.write("later.csv", whole)
    assert await bench.look(1, 10) == ["stock.csv", "later.csv"]
    assert bench.shelf.documents[1].data == whole


async def test_a_table_whose_last_line_has_no_end_is_said_once_and_waits_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    path = bench.write("stock.csv", b"a;b\n1;4")  # of 40
    assert await bench.look(0, 10, PATIENCE_S - 1) == []
    assert caplog.messages == []
    assert await bench.look(1, 100, 10_000) == []
    assert bench.lies() == ["stock.csv"]
    assert bench.source.held == "'stock.csv' waits: its last line has no end and may be cut; end it, if it is whole"
    assert [line for line in caplog.messages if "its last line has no end and may be cut" in line] == caplog.messages
    assert len(caplog.messages) == 1
    path.write_bytes(b"a;b\n1;40\n")
    assert await bench.look(0, 10) == ["stock.csv"]
    assert bench.shelf.documents[0].data == b"a;b\n1;40\n"
    assert bench.source.held == ""


async def test_of_many_files_that_wait_a_few_are_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(5):
        bench.write(f"{number}.csv", b"a;b\n1;4")
    await bench.look(0, 10, PATIENCE_S)
    told = bench.source.held.split("; ")
    assert (told[0], told[-1]) == ("'0.csv' waits: its last line has no end and may be cut", "and 2 files more")
    for path in bench.folder.glob("*.csv"):
        path.unlink()
    await bench.look(1)
    assert bench.source.held == ""


async def test_rows_that_are_written_while_a_file_is_put_on_the_queues_disk_are_handed_on_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, moved = Bench(tmp_path), list[Path]()

    def moving(path: Path, target: Path) -> None:
        moved.append(path)
        move(path, target)

    monkeypatch.setattr(drop_folder, "move", moving)
    path = bench.write("stock.csv", b"a\n1\n")

    async def put(document: Document) -> None:
        await bench.shelf.put(document)
        if len(bench.shelf.documents) == 1:
            path.write_bytes(b"a\n1\n2\n")

    for wait_s in (0, 10, 0, 10):
        bench.now += wait_s
        await bench.source.look(put)
    assert [one.data for one in bench.shelf.documents] == [b"a\n1\n", b"a\n1\n2\n"]
    assert (bench.lies(), moved) == (["done/stock.csv"], [path]), "killed meanwhile, it would have lain in done/ unread"


async def test_rows_that_are_written_while_a_file_is_moved_are_handed_on_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.write("stock.csv", b"a\n1\n")
    moved = list[Path]()

    def moving(path: Path, target: Path) -> None:
        move(path, target)
        moved.append(target)
        if len(moved) == 1:
            target.write_bytes(b"a\n1\n2\n")

    monkeypatch.setattr(drop_folder, "move", moving)
    assert await bench.look(0, 10, 0, 10) == ["stock.csv", "stock.csv"]
    assert bench.shelf.documents[1].data == b"a\n1\n2\n"
    assert bench.lies() == ["done/stock.csv"]


async def test_a_file_that_grows_while_it_is_refused_leaves_no_reason_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.write("stock.csv", b"\n")
    moved = list[Path]()

    def moving(path: Path, target: Path) -> None:
        move(path, target)
        moved.append(target)
        if len(moved) == 1:
            target.write_bytes(b"a\n1\n")

    monkeypatch.setattr(drop_folder, "move", moving)
    assert await bench.look(0, 10) == []
    assert bench.lies() == ["stock.csv"]
    assert await bench.look(0, 10) == ["stock.csv"]
    assert bench.lies() == ["done/stock.csv"]


async def test_a_file_that_changes_between_the_look_and_the_reading_is_not_read_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    path = bench.write("stock.csv", b"a\n1\n")
    await bench.look(0)
    shapes = drop_folder._shapes

    def looked(folder: Path, ending: str) -> dict[str, drop_folder.Shape]:
        found = shapes(folder, ending)
        path.write_bytes(b"a\n1\n2\n")
        return found

    monkeypatch.setattr(drop_folder, "_shapes", looked)
    assert await bench.look(10) == []
    monkeypatch.setattr(drop_folder, "_shapes", shapes)
    assert await bench.look(0, 10) == ["stock.csv"]
    assert bench.shelf.documents[0].data == b"a\n1\n2\n"


@pytest.mark.parametrize(
    ("form", "data", "whole"),
    [
        (Form.CSV, b"a\n", True),
        (Form.CSV, b"a\r", True),
        (Form.CSV, b"a", False),
        (Form.CSV, "a\n".encode("utf-16-le"), True),
        (Form.CSV, "a\n".encode("utf-16-be"), True),
        (Form.CSV, "a\nb".encode("utf-16-le"), False),
        (Form.JSON, b'{"movements": []}', True),
        (Form.JSON, b'\xef\xbb\xbf{"movements": []}\n', True),
        (Form.JSON, b'{"movements": [', False),
        (Form.JSON, b"\xff", False),
        (Form.X12, INTERCHANGE, True),
        (Form.X12, INTERCHANGE.rstrip(), True),
        (Form.X12, b"\r\n" + INTERCHANGE, True),
        (Form.X12, INTERCHANGE.replace(b"\n", b"").replace(b"~", b"\n"), True),
        (Form.X12, INTERCHANGE.replace(b"\n", b"").replace(b"~", b"\r"), True),
        (Form.X12, INTERCHANGE.rstrip()[:-1], False),
        (Form.X12, INTERCHANGE[: INTERCHANGE.index(b"IEA")], False),
        (Form.X12, ISA[:80], False),
        (Form.X12, ISA, False),
        (Form.X12, b"IEA*1*1~", False),
        (Form.X12, b"", False),
    ],
)
def test_what_seems_to_have_its_end(form: Form, data: bytes, whole: bool) -> None:
    assert is_whole(form, data) == whole


@pytest.mark.parametrize("length", range(1, len(INTERCHANGE.rstrip())))
def test_no_beginning_of_an_interchange_seems_whole(length: int) -> None:
    assert not is_whole(Form.X12, INTERCHANGE[:length])


async def test_only_files_of_the_ending_are_ours(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quiet_s=0.0)
    for name in ("stock.CSV", "stock.csv.tmp", ".stock.csv", "stock.txt"):
        bench.write(name)
    (bench.folder / "folder.csv").mkdir()
    (bench.folder / "link.csv").symlink_to(bench.folder / "stock.txt")
    os.mkfifo(bench.folder / "pipe.csv")
    assert await bench.look(0, 60, 60) == ["stock.CSV"]
    assert bench.lies() == [".stock.csv", "done/stock.CSV", "link.csv", "stock.csv.tmp", "stock.txt"]


async def test_what_can_be_no_document_is_refused_with_the_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quiet_s=0.0)
    bench.write("empty.csv", b" \r\n")
    with bench.write("huge.csv").open("r+b") as file:
        file.truncate(DOCUMENT_MAX_BYTES + 1)
        file.write(b"a")
    largest = bench.write("largest.csv", b"a" * (DOCUMENT_MAX_BYTES - 1) + b"\n")
    assert await bench.look(0) == [largest.name]
    assert bench.lies() == [
        "done/largest.csv",
        *("refused/empty.csv", "refused/empty.csv.reason.txt", "refused/huge.csv", "refused/huge.csv.reason.txt"),
    ]
    assert (bench.folder / "refused/empty.csv.reason.txt").read_text() == "is empty\n"
    assert "split it" in (bench.folder / "refused/huge.csv.reason.txt").read_text()


async def test_a_name_that_is_there_already_takes_nothing_away(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quiet_s=0.0)
    long = "s" * 251 + ".csv"
    for data in (b"1\n", b"2\n", b"3\n"):
        bench.write("stock.csv", data)
        bench.write(long, data)
        await bench.look(0)
    found = [bench.folder / name for name in bench.lies()]
    assert sorted(path.read_bytes() for path in found) == [b"1\n", b"1\n", b"2\n", b"2\n", b"3\n", b"3\n"]
    assert {"done/stock.csv", "done/stock.2.csv", "done/stock.3.csv"} < set(bench.lies())
    assert all(path.suffix == ".csv" for path in found)


async def test_a_file_that_cannot_be_moved_is_handed_on_once_and_moved_when_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bench = Bench(tmp_path, quiet_s=0.0)
    (bench.folder / "done").write_bytes(b"in the way")
    bench.write("a.csv")
    bench.write("b.csv")
    assert await bench.look(0, 10, 10) == ["a.csv", "b.csv"]
    (bench.folder / "done").unlink()
    assert await bench.look(10) == ["a.csv", "b.csv"]
    assert bench.lies() == ["done/a.csv", "done/b.csv"]
    said = [one.getMessage() for one in caplog.records if "'a.csv'" in one.getMessage()]
    assert [line.split(" reason")[0] for line in said] == [f"{SOURCE}: 'a.csv' lost", f"{SOURCE}: 'a.csv' back"]


async def test_a_file_that_cannot_be_read_holds_no_other_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, quiet_s=0.0)
    bench.write("a.csv")
    bench.write("b.csv")
    usual = os.open

    def refusing(path: Any, *arguments: Any, **named: Any) -> int:
        if str(path).endswith("a.csv"):
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path, *arguments, **named)

    with monkeypatch.context() as context:
        context.setattr(os, "open", refusing)
        assert await bench.look(0, 10) == ["b.csv"]
    assert await bench.look(10) == ["b.csv", "a.csv"]


async def test_a_file_that_changes_after_it_was_handed_on_is_another(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quiet_s=0.0)
    (bench.folder / "done").write_bytes(b"in the way")
    bench.write("a.csv", b"1\n")
    await bench.look(0)
    bench.write("a.csv", b"1\n2\n")
    assert await bench.look(10) == ["a.csv", "a.csv"]
    assert [one.data for one in bench.shelf.documents] == [b"1\n", b"1\n2\n"]


async def test_one_look_takes_so_many_the_oldest_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quiet_s=0.0)
    for number in range(FILES_A_LOOK + 2):
        os.utime(bench.write(f"{number % 7}-{number}.csv", b"%d\n" % number), (number, number))
    assert len(await bench.look(0)) == FILES_A_LOOK
    assert [one.data for one in bench.shelf.documents] == [b"%d\n" % number for number in range(FILES_A_LOOK)]
    assert len(await bench.look(0)) == FILES_A_LOOK + 2


async def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.folder.rmdir()
    with pytest.raises(AwayError, match="cannot be looked at: No such file"):
        await bench.look(0)
    assert not bench.folder.exists()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"ending": "csv"}, "write it as .csv"),
        ({"ending": ""}, "write it as .csv"),
        ({"ending": ".reason.txt"}, "our own reasons"),
        ({"quiet_s": -1.0}, "quiet_s -1 is out of range|quiet_s -1.0 is out of range"),
        ({"source": "WMS"}, "source 'WMS' cannot be a name"),
    ],
)
def test_a_folder_that_cannot_be_watched_is_refused(tmp_path: Path, told: dict[str, Any], words: str) -> None:
    usual = {"source": SOURCE, "secret_file": tmp_path, "folder": tmp_path, "form": Form.CSV, "ending": ".csv"}
    with pytest.raises(ValueError, match=words):
        DropSettings(**{**usual, **told})
