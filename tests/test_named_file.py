"""Files that settings name: whatever stands there, reading it comes to an end, and costs little memory."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from edge_support import configuration

from pledgewatch_edge.agent import load, with_overlay
from pledgewatch_edge.care.untold import secrets_of
from pledgewatch_edge.config import check_files
from pledgewatch_wire.named_file import FILE_MAX, look_at_named, read_named, read_named_text
from pledgewatch_wire.settings import SettingsError

WORDS = "it is a device, a pipe or a socket, and no plain file"
ODD = ("a serial line", "a pipe", "endless", "nothing", "a socket", "a folder")


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Something that is no plain file."""
    path = tmp_path / "odd"
    with ExitStack() as stack:
        match request.param:
            case "a serial line":
                ours, theirs = os.openpty()
                stack.callback(os.close, ours)
                stack.callback(os.close, theirs)
                path.symlink_to(os.ttyname(theirs))
            case "a pipe":
                os.mkfifo(path)
            case "endless":
                path.symlink_to("/dev/zero")
            case "nothing":
                path.symlink_to("/dev/null")
            case "a socket":
                stack.enter_context(socket.socket(socket.AF_UNIX)).bind(str(path))
            case _:
                path.mkdir()
        yield path


def in_time(call: Callable[[], object]) -> object:
    """What a call gives or raises, which is to come to an end."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(call())
        except (OSError, ValueError) as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert found, "it has come to no end"
    return found[0]


def test_what_is_no_plain_file_is_not_read(odd: Path) -> None:
    words = "Is a directory" if odd.is_dir() else WORDS
    for call in (read_named, look_at_named, read_named_text):
        error = in_time(lambda call=call: call(odd))  # type: ignore[misc]
        assert isinstance(error, OSError)
        assert (error.strerror, error.filename) == (words, str(odd))


def test_a_map_of_registers_that_is_no_plain_file_is_refused_in_words(odd: Path, tmp_path: Path) -> None:
    """As by settings from afar, by an invitation, and by who checks a configuration."""
    file = configuration(tmp_path, interval_s=1.0)
    section = f'[modbus]\nmap = "{odd}"\nhost = "127.0.0.1"\n'
    error = in_time(lambda: with_overlay(file, section))
    assert isinstance(error, SettingsError)
    assert "[modbus] map: cannot be read: " in str(error)
    file.write_text(file.read_text(encoding="utf-8") + section, encoding="utf-8")
    assert "[modbus] map: cannot be read: " in str(in_time(lambda: load(file)))


def test_no_file_of_the_configuration_is_waited_for(odd: Path, tmp_path: Path) -> None:
    file = configuration(tmp_path, interval_s=1.0)
    text = file.read_text(encoding="utf-8").replace(
        "keep_alive_s", 'username = "u"\npassword_file = "odd"\nkeep_alive_s'
    )
    file.write_text(text, encoding="utf-8")
    settings = load(file)
    error = in_time(lambda: check_files(settings, file))
    assert isinstance(error, SettingsError)
    assert "[broker] password_file" in str(error)
    assert in_time(lambda: secrets_of(settings, tmp_path)) == frozenset()
    assert isinstance(in_time(lambda: load(odd)), SettingsError)


def test_as_much_is_read_as_a_configuration_may_be(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"#" * FILE_MAX)
    assert len(read_named(path)) == FILE_MAX
    path.write_bytes(b"#" * (FILE_MAX + 1))
    with pytest.raises(OSError, match=f"it has more than {FILE_MAX} octets"):
        read_named(path)
    look_at_named(path)
    path.write_bytes(b"a\r\nb\rc")
    assert read_named_text(path) == "a\nb\nc" == path.read_text(encoding="utf-8")


def test_what_takes_a_file_s_place_while_it_is_looked_at_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of what was opened nothing stays open."""
    path = tmp_path / "file"
    path.write_text("a", encoding="ascii")
    found = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: found)
    before = len(list(Path("/proc/self/fd").iterdir()))
    error = in_time(lambda: read_named(path))
    assert isinstance(error, OSError)
    assert error.strerror == WORDS
    assert len(list(Path("/proc/self/fd").iterdir())) == before
