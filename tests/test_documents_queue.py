"""The queue of documents: on disk or not there, whatever it is stopped at; bounded; nothing refused is lost."""

import os
import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pledgewatch_gateway.documents import Document, Form, FullError, document_queue
from pledgewatch_gateway.documents.document_queue import DamagedError, Queue


def document(number: int, size: int = 10) -> Document:
    return Document("wms-la-3", Form.CSV, f"file-{number}.csv", f"{number}".rjust(size).encode())


def queue_in(folder: Path, documents_max: int = 100, bytes_max: int = 10_000) -> Queue:
    return Queue(folder, documents_max, bytes_max)


def waiting_in(queue: Queue) -> list[Document]:
    return [queue.read(name) for name in queue.waiting()]


def test_documents_wait_in_order_also_for_another_process(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    wanted = [document(number) for number in range(12)]
    assert all(queue.put(one) for one in wanted)
    assert waiting_in(queue) == waiting_in(queue_in(tmp_path)) == wanted
    queue.remove(queue.waiting()[0])
    assert queue_in(tmp_path).put(document(99))
    assert waiting_in(queue) == [*wanted[1:], document(99)]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in queue.waiting_folder.iterdir()}
    assert modes == {0o600}


def test_what_waits_is_not_taken_twice_and_what_was_let_go_is_taken_again(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    assert queue.put(document(1))
    assert not queue.put(document(1)._replace(name="the same under another name"))
    assert queue.put(document(1)._replace(source="another"))
    assert queue.put(document(1)._replace(form=Form.X12))
    assert not queue_in(tmp_path).put(document(1))
    queue.remove(queue.waiting()[0])
    assert queue.put(document(1))


def test_a_full_queue_takes_nothing_and_says_so(tmp_path: Path) -> None:
    queue = queue_in(tmp_path, documents_max=3)
    for number in range(3):
        queue.put(document(number))
    with pytest.raises(FullError, match=r"3 documents of wms-la-3 \(\d+ bytes\) wait for the cloud, as many as may$"):
        queue.put(document(3))
    assert not queue.put(document(1)), "what waits already needs no room"
    queue.remove(queue.waiting()[0])
    assert queue.put(document(3))
    narrow = queue_in(tmp_path / "narrow", bytes_max=1_000)
    narrow.put(document(1, 600))
    with pytest.raises(FullError):
        narrow.put(document(2, 600))
    assert [one.name for one in waiting_in(narrow)] == ["file-1.csv"]


def test_a_source_of_which_nothing_is_taken_leaves_the_others_their_share(tmp_path: Path) -> None:
    queue = Queue(tmp_path, 6, 9_000, 3)
    for number in range(2):
        queue.put(document(number))
    with pytest.raises(FullError, match=r"2 documents of wms-la-3 \(\d+ bytes\) wait .* 3 sources sharing the room"):
        queue.put(document(2))
    for source in ("wms-b", "wms-c"):
        for number in range(2):
            assert queue.put(document(number)._replace(source=source))
    with pytest.raises(FullError, match=r"6 documents \(\d+ bytes\) wait for the cloud, as many as may$"):
        queue.put(document(1)._replace(source="another"))  # which has no share: a section that is new
    for name in queue.waiting():
        queue.remove(name)
    queue.put(document(1, 2_000))
    with pytest.raises(FullError, match="1 documents of wms-la-3"):
        queue.put(document(2, 2_000))
    assert queue.put(document(2, 2_000)._replace(source="wms-b"))
    again = Queue(tmp_path, 6, 9_000, 3)
    with pytest.raises(FullError, match="1 documents of wms-la-3"):
        again.put(document(2, 2_000))


def test_what_is_refused_is_kept_with_the_reasons_and_can_wait_again(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    queue.put(document(1))
    queue.put(document(2))
    name = queue.waiting()[0]
    queue.set_aside(name, ["line 2: unit: 'STK' is none of EA", "line 7: sku: is missing"])
    assert waiting_in(queue) == [document(2)]
    standing = queue.standing()
    assert (standing.waiting, standing.refused) == (1, 1)
    assert standing.last is not None
    assert standing.last.reasons == ["line 2: unit: 'STK' is none of EA", "line 7: sku: is missing"]
    assert [one.name for one in queue.refused()] == [name]
    queue_in(tmp_path).again(name)
    assert waiting_in(queue) == [document(1), document(2)]
    assert list(queue.refused_folder.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        queue.again("../waiting/" + name)


def test_too_much_that_is_refused_waits_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_queue, "REFUSED_MAX", 2)
    queue = queue_in(tmp_path)
    for number in range(3):
        queue.put(document(number))
    for name in queue.waiting()[:2]:
        queue.set_aside(name, ["no"])
    words = "2 documents of wms-la-3 are refused: see to"
    with pytest.raises(FullError, match=words):
        queue.set_aside(queue.waiting()[0], ["no"])
    with pytest.raises(FullError, match=words):
        queue.put(document(4))
    assert not queue.put(document(2)), "what waits already needs no room"
    assert waiting_in(queue) == [document(2)]
    for source in ("wms-la", "la-3", "wms-la-3-b"):
        assert queue.put(document(5)._replace(source=source)), "another source is in nobody's way"
    queue.again(queue.refused()[0].name)
    assert queue.put(document(4))


def test_bytes_that_a_disk_has_changed_are_noticed(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    queue.put(document(1))
    name = queue.waiting()[0]
    path = queue.waiting_folder / name
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found: Document | None = queue.read(name)
        except DamagedError:
            found = None
        assert found is None or found.data == document(1).data, place
    path.write_bytes(whole[:-1])
    with pytest.raises(DamagedError):
        queue.read(name)


class Killed(BaseException):
    """The process ends here."""


STOPS = ("open", "fsync", "replace", "unlink", "fdopen", "mkdir")


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Sets after how many calls of the system the process ends; each call after that ends it too."""
    left = [1 << 30]

    def counting(usual: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return usual(*arguments, **named)

        return counted

    for name in STOPS:
        monkeypatch.setattr(os, name, counting(getattr(os, name)))

    def after(calls: int) -> None:
        left[0] = calls

    yield after
    left[0] = 1 << 30


def test_stopped_at_any_call_of_the_system_a_document_waits_is_set_aside_or_is_gone(
    tmp_path: Path, stop: Callable[[int], None]
) -> None:
    """Two are put, the first is removed and the second set aside; whatever was said to be done is done, and what was
    not is as before or after."""
    stopped = 0
    for calls in range(1_000):
        folder, done = tmp_path / str(calls), list[str]()
        stop(calls)
        try:
            queue = queue_in(folder)
            for number in (1, 2):
                queue.put(document(number))
                done.append(f"put {number}")
            first, second = queue.waiting()
            queue.remove(first)
            done.append("removed 1")
            queue.set_aside(second, ["no"])
            done.append("set aside 2")
        except Killed:
            stopped += 1
        stop(1 << 30)
        after = queue_in(folder)
        waiting = waiting_in(after)
        refused = [one.name for one in after.refused()]
        if "put 1" in done and "put 2" not in done:
            assert document(1) in waiting
        if "put 2" in done:
            assert (document(2) in waiting) != (len(refused) == 1)
        if "removed 1" in done:
            assert document(1) not in waiting
        if "set aside 2" in done:
            assert (waiting, len(refused)) == ([], 1)
        if refused:
            assert after.refused()[0].reasons == ["no"]
        assert after.put(document(3)), "what is left over is in nobody's way"
        assert not [path for path in after.waiting_folder.iterdir() if path.name.endswith(".part")]
        if len(done) == 4:
            break
    assert stopped > 15


def test_a_disk_that_refuses_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = queue_in(tmp_path)
    queue.put(document(1))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            queue.put(document(2))
    assert waiting_in(queue) == [document(1)]
    assert queue.put(document(2))


def test_a_random_life_of_a_queue_keeps_what_a_list_keeps(tmp_path: Path) -> None:
    dice = random.Random(7)
    queue, waits, aside = queue_in(tmp_path, documents_max=8), list[Document](), list[Document]()
    for turn in range(400):
        match dice.choice(["put", "put", "remove", "aside", "again", "restart"]):
            case "put" if len(waits) < 8:
                assert queue.put(document(turn))
                waits.append(document(turn))
            case "remove" if waits:
                name = dice.choice(queue.waiting())
                waits.remove(queue.read(name))
                queue.remove(name)
            case "aside" if waits:
                name = dice.choice(queue.waiting())
                aside.append(queue.read(name))
                waits.remove(aside[-1])
                queue.set_aside(name, ["no"])
            case "again" if aside:
                one = dice.choice(queue.refused())
                before = {found.name for found in map(queue.read, queue.waiting())}
                queue.again(one.name)
                back = next(found for found in map(queue.read, queue.waiting()) if found.name not in before)
                aside.remove(back)
                waits.append(back)
            case "restart":
                queue = queue_in(tmp_path, documents_max=8)
        assert sorted(waiting_in(queue)) == sorted(waits)
        assert queue.standing()[:3:2] == (len(waits), len(aside))


def test_a_document_is_flushed_before_it_has_its_name_and_its_name_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, told = queue_in(tmp_path), list[str]()
    queue.put(document(0))

    def noting(name: str, usual: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            is_folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            told.append("flush folder" if is_folder else name)
            return usual(*arguments)

        return noted

    for name in ("fsync", "replace", "unlink"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    queue.put(document(1))
    assert told == ["fsync", "replace", "flush folder"]
    told.clear()
    queue.remove(queue.waiting()[0])
    assert told == ["unlink", "flush folder"]
    told.clear()
    queue.set_aside(queue.waiting()[0], ["no"])
    reason, document_moved = ["fsync", "replace", "flush folder"], ["replace", "flush folder", "flush folder"]
    assert told == ["flush folder", *reason, *document_moved], "the folder is there, then the reason, then the document"
