"""Programs whose answer is read by another that has had enough: nothing is said of it, and the exit code tells it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from keeping import Keeping

from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_wire.piped import HAD_ENOUGH, piped


def read_by_nobody(*command: str | Path) -> tuple[int, str]:
    """The exit code of a program that nobody reads, and what it says on the error stream."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        started = [sys.executable, "-m", *map(str, command)]
        usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(started, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, env=usual)
    finally:
        os.close(writing)
    return done.returncode, done.stderr


def test_a_cloud_command_ends_quietly(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    Keeping(store=store).row("received", 40)
    store.close()
    assert read_by_nobody("pledgewatch_cloud", "stock", "show", "--data", tmp_path) == (HAD_ENOUGH, "")
    assert read_by_nobody("pledgewatch_cloud", "receipts", "key", "new", tmp_path / "new.key") == (HAD_ENOUGH, "")
    assert read_by_nobody("pledgewatch_cloud", "--help")[1] == ""


@pytest.mark.parametrize("count", [1, 2_000])
def test_an_answer_that_nobody_reads_is_no_fault_of_a_file(tmp_path: Path, count: int) -> None:
    quotes = tmp_path / "quotes.csv"
    rows = [f"sofa-{number},2026-01-02,1.00,USD" for number in range(count)]
    quotes.write_text("\n".join(["series,date,price,currency", *rows]), encoding="utf-8")
    assert read_by_nobody("pledgewatch_cloud", "quotes", quotes) == (HAD_ENOUGH, "")


def test_an_edge_command_ends_quietly(tmp_path: Path) -> None:
    recording = tmp_path / "port.log"
    recording.write_bytes(b"$GPRMC,120000.00,A,3342.12345,N,11816.54321,W,10.0,90.0,010126,,,A*4B\r\n" * 10)
    assert read_by_nobody("pledgewatch_edge", "nmea", recording, "--summary") == (HAD_ENOUGH, "")


def test_what_is_read_to_its_end_keeps_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    def answered() -> int:
        print(json.dumps({"done": True}))
        return 1

    assert piped(answered) == 1
    assert json.loads(capsys.readouterr().out) == {"done": True}


@pytest.mark.parametrize(
    ("name", "encoding", "shown"),
    [
        (b"Ger\xc3\xa4t.toml", "ascii", b"Ger?t.toml"),
        (b"Ger\xc3\xa4t.toml", "utf-8", b"Ger\xc3\xa4t.toml"),
        (b"Ger\xe4t.toml", "utf-8", b"Ger?t.toml"),
    ],
)
def test_what_an_output_cannot_show_is_a_question_mark(
    tmp_path: Path, name: bytes, encoding: str, shown: bytes
) -> None:
    file = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 - a path of bytes
    sections = [
        *("[device]", 'operator = "harbour-line"', 'name = "one"', 'state_folder = "state"'),
        *("[broker]", 'host = "127.0.0.1"', "[host]"),
    ]
    Path(os.fsdecode(file)).write_text("\n".join(sections), encoding="utf-8")
    command: list[str | bytes] = [sys.executable, "-m", "pledgewatch_edge", "run", "--check", "--config", file]
    settings = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, check=False, env=settings)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == os.fsencode(tmp_path) + b"/" + shown + b": can be used\n"
