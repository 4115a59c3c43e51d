"""Completing a configuration that a person may have written, without undoing what he wrote.

Comments, order and blanks stay. A key that is there with the same meaning stays too; one that says something else is
told of, and changed only when that was asked for.

Whoever changes a file reads it and writes it within `sole_edit`: of two that change it at once none undoes what the
other did, and what a person saved before is there.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from pledgewatch_edge.identity import replace_file
from pledgewatch_wire.named_file import read_named_text
from pledgewatch_wire.settings import SettingsError, path_in
from pledgewatch_wire.toml_text import TomlError, read_toml

Keys = Mapping[str, str | int]
_HEAD: Final = "# An edge device. What can be set is told in samples/edge.toml of the distribution.\n"


def read(file: Path) -> tomlkit.TOMLDocument:
    """The file as it is; a new one where there is none. Raises SettingsError."""
    try:
        text = read_named_text(file)
        read_toml(text)  # the other calls itself as deep as the text is nested
        return tomlkit.parse(text)
    except FileNotFoundError:
        return tomlkit.parse(_HEAD)
    except OSError as error:
        raise SettingsError(file, [f"cannot be read: {error.strerror}"]) from None
    except (TomlError, TOMLKitError, UnicodeDecodeError) as error:
        raise SettingsError(file, [f"is not TOML: {error}"]) from None


@contextlib.contextmanager
def sole_edit(file: Path, patience_s: float = 10.0) -> Iterator[None]:
    """Be the only program that changes a file. Its folder is held, for the file itself is replaced. Raises
    SettingsError where another holds it for longer than that, or there is no such folder."""
    try:
        descriptor = os.open(file.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(file, [f"its folder cannot be opened: {error.strerror}"]) from None
    try:
        _hold(descriptor, file, patience_s)
        yield
    finally:
        os.close(descriptor)


def _hold(descriptor: int, file: Path, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise SettingsError(file, ["another program is changing it; run the same again"]) from None
            time.sleep(0.05)
        except OSError as error:
            raise SettingsError(file, [f"its folder cannot be locked: {error.strerror}"]) from None
        else:
            return


def complete(document: tomlkit.TOMLDocument, wanted: Mapping[str, Keys], folder: Path, *, replace: bool) -> list[str]:
    """Put the keys of `wanted`, by their sections, into a document. Returns a sentence for each that says something
    else and was left; none with `replace`. Paths are taken from `folder`."""
    kept = []
    for section, keys in wanted.items():
        if section not in document:
            if document.as_string().strip():
                document.add(tomlkit.nl())
            document.add(section, tomlkit.table())
        table = document[section]
        if not isinstance(table, Table):
            kept.append(f"{section} is no section; write it as [{section}]")
            continue
        for key, value in keys.items():
            there = table.unwrap().get(key)
            if there is None or (replace and not _is_same(key, there, value, folder)):
                table[key] = value
            elif not _is_same(key, there, value, folder):
                kept.append(f"[{section}] {key} is {there!r}, and {value!r} was wanted")
    return kept


def add_sections(document: tomlkit.TOMLDocument, further: str, *, replace: bool) -> tuple[list[str], list[str]]:
    """Add the sections of another TOML text, which is one. Returns the names of those that were added, and of those
    that are there already, say something else, and were left."""
    other = tomlkit.parse(further)
    added, left = [], []
    for section, content in other.items():
        there = document.unwrap().get(section)
        if there == other.unwrap()[section]:
            continue
        if there is not None and not replace:
            left.append(section)
            continue
        if there is not None:
            del document[section]
        elif document.as_string().strip():
            document.add(tomlkit.nl())
        document[section] = content
        added.append(section)
    return added, left


def write(file: Path, document: tomlkit.TOMLDocument) -> None:
    """Put the document in the file's place, whole. Raises OSError."""
    text = document.as_string()
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        replace_file(file, text.encode("utf-8"), mode)
        file.chmod(mode)  # whatever the umask: others than who writes it read it, the service's user first


def _is_same(key: str, there: Any, value: str | int, folder: Path) -> bool:
    """Whether two values mean the same; a path may be written in two ways."""
    if key.endswith(("_file", "_folder")) and isinstance(there, str) and isinstance(value, str):
        try:
            return path_in(folder, there).resolve() == path_in(folder, value).resolve()
        except ValueError:
            return False
    return type(there) is type(value) and bool(there == value)
