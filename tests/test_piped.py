"""Programs whose answer is read by another that has had enough: nothing is said of it, and the exit code tells it."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from edge_support import configuration
from keeping import Keeping

from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_edge.__main__ import main as edge
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


def test_a_locale_of_ascii_alone_shows_a_question_mark_too() -> None:
    """Where somebody keeps Python from taking UTF-8 in it."""
    said = "from pledgewatch_wire.piped import piped; piped(lambda: print('4 \\u00b0C ' + input()) or 0)"
    ascii_alone = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ascii_alone.pop("PYTHONIOENCODING", None)
    command = [sys.executable, "-c", said]
    done = subprocess.run(command, input=b"\xe9\n", capture_output=True, check=False, env=ascii_alone)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"4 ?C ?\n", b"")


def test_a_command_that_is_stopped_says_so_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C, wherever it comes: while a claim is typed, or while the agent runs for a moment."""

    class Stopped(io.StringIO):
        def readline(self, _: int | None = -1, /) -> str:  # type: ignore[override]  # as StringIO has it
            raise KeyboardInterrupt

    def stopped(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Stopped())
    monkeypatch.setattr("pledgewatch_edge.install.setup_command._tested", stopped)
    file = configuration(tmp_path, interval_s=1.0)
    for words in (["claim"], ["self-test"], ["setup", "--claim", "--unit-folder", str(tmp_path)]):
        assert edge([*words, "--config", str(file)]) == 1
        assert capsys.readouterr().err == "\nstopped; run the same again, it goes on from what is done\n"


@pytest.mark.parametrize("command", ["claim", "setup --claim --yes --no-unit"])
def test_what_is_typed_in_another_encoding_is_no_claim_and_said_so(tmp_path: Path, command: str) -> None:
    """A terminal in Latin-1: its letters are no UTF-8."""
    started = [sys.executable, "-m", "pledgewatch_edge", *command.split(), "--config", str(tmp_path / "edge.toml")]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(started, input=b"\xe9\n", capture_output=True, check=False, env=strict)
    assert (done.returncode, done.stderr[:23]) == (1, b"a claim begins with pwc")


@pytest.mark.parametrize(
    ("closed", "command", "code", "words"),
    [
        ("<&-", "setup --yes --no-unit --claim", 1, "a claim begins with"),
        ("<&-", "claim", 1, "a claim begins with"),
        (">&-", "run --check", 0, ""),
        ("2>&-", "run --check", 0, "can be used"),
        ("2>&-", "run --check --config nowhere.toml", 2, ""),
        (">&- 2>&- <&-", "run --check", 0, ""),
        ("2>&- <&-", "claim", 1, ""),
    ],
)
def test_who_closes_a_stream_hears_nothing_there_and_that_is_all(
    tmp_path: Path, closed: str, command: str, code: int, words: str
) -> None:
    file = configuration(tmp_path, interval_s=1.0)
    line = f"{shlex.quote(sys.executable)} -m pledgewatch_edge {{}} {closed}"
    what = command if "--config" in command else f"{command} --config {shlex.quote(str(file))}"
    done = subprocess.run(line.format(what), shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
