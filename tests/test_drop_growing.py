"""A file that grows while the cloud's folder takes it: what was added is not put away unread."""

import asyncio
from pathlib import Path

import pytest

from pledgewatch_cloud import drop_folder
from pledgewatch_cloud.drop_folder import TAKEN, Became, DropFolder


class Taker:
    """Takes all; while it takes the first, one more row is written to the file."""

    noun = "tables"
    endings: tuple[str, ...] = (".csv",)
    max_bytes = 1_000

    def __init__(self, growing: Path | None) -> None:
        self.taken: list[bytes] = []
        self._growing = growing

    async def take(self, _whose: str, _name: str, raw: bytes, /, *, is_final: bool) -> Became:
        """Keep it."""
        del is_final
        self.taken.append(raw)
        if self._growing is not None and len(self.taken) == 1:
            self._growing.write_bytes(raw + b"2\n")
        return Became(TAKEN, (), "is taken")


def folder_with_a_file(tmp_path: Path) -> Path:
    path = tmp_path / "wms" / "moves.csv"
    path.parent.mkdir()
    path.write_bytes(b"a\n1\n")
    return path


def assert_all_of_it_is_taken(tmp_path: Path, taker: Taker) -> None:
    folder = DropFolder(tmp_path, taker, 10.0)
    for _ in range(4):
        asyncio.run(folder.look())
    assert taker.taken == [b"a\n1\n", b"a\n1\n2\n"]
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [Path("wms/taken/moves.csv")]


def test_rows_that_are_written_while_a_file_is_handed_in_are_taken_too(tmp_path: Path) -> None:
    assert_all_of_it_is_taken(tmp_path, Taker(folder_with_a_file(tmp_path)))


def test_rows_that_are_written_while_a_file_is_moved_are_taken_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder_with_a_file(tmp_path)
    find, found = drop_folder._target, list[Path]()

    def target(path: Path, raw: bytes, folder: str) -> Path:
        if not found:
            path.write_bytes(raw + b"2\n")  # after it was looked at for the last time, and before it is moved
        found.append(path)
        return find(path, raw, folder)

    monkeypatch.setattr(drop_folder, "_target", target)
    assert_all_of_it_is_taken(tmp_path, Taker(None))
    assert found == [path, path]
