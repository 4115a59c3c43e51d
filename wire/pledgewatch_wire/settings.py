"""A program's configuration: one TOML file into frozen dataclasses, strictly.

The dataclasses are the documentation: a section is a dataclass, a key a field, its default the field's. An unknown
key is an error, so a misspelt key never means its default; every fault found is named with file, section and key, all
at once. Fields may be str, int, float, bool, Path, a tuple of str or Path, a StrEnum, another such dataclass, or any
of these or None. Relative paths are taken from the file's own folder. A dataclass may raise ValueError in
`__post_init__` where values do not fit each other.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pledgewatch_wire.named_file import look_at_named, read_named_text
from pledgewatch_wire.toml_text import TomlError, read_toml

SHOWN_MAX: Final = 200  # of a value that is not what it must be
Settings = TypeVar("Settings")


class SettingsError(ValueError):
    """A configuration that cannot be used. `errors` holds one sentence for each fault."""

    def __init__(self, path: Path, errors: list[str]) -> None:
        super().__init__("\n".join(f"{path}: {error}" for error in errors))
        self.errors = tuple(errors)


def load(path: Path, settings: type[Settings], over: Mapping[str, Any] = MappingProxyType({})) -> Settings:
    """Read `path` into `settings`, a dataclass whose fields are the file's sections. Raises SettingsError.

    What `over` has stands in place of what the file says, key by key, within sections too; a list is one value."""
    try:
        document = read_toml(read_named_text(path))
    except OSError as error:
        raise SettingsError(path, [f"cannot be read: {error.strerror}"]) from None
    except (TomlError, UnicodeDecodeError) as error:
        raise SettingsError(path, [f"is not TOML: {error}"]) from None
    errors: list[str] = []
    loaded = _table("", _laid_over(document, over), settings, path.absolute().parent, errors)
    if errors:
        raise SettingsError(path, errors)
    return typing.cast(Settings, loaded)


def _laid_over(document: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(document)
    for key, value in over.items():
        below = both.get(key)
        if isinstance(value, Mapping) and isinstance(below, dict):
            both[key] = _laid_over(below, value)
        else:
            both[key] = value
    return both


def section(path: Path, place: str, table: object, settings: type[Settings]) -> Settings:
    """Read one section of the file, already parsed, into a dataclass. Raises SettingsError."""
    errors: list[str] = []
    loaded = _table(place, table, settings, path.absolute().parent, errors)
    if errors:
        raise SettingsError(path, errors)
    return typing.cast(Settings, loaded)


def unreadable(named: Mapping[str, Path | None]) -> list[str]:
    """A sentence for each file, by its place in the configuration, that cannot be read. Not for folders or ports."""
    errors = []
    for place, path in named.items():
        try:
            if path is not None:
                look_at_named(path)
        except (OSError, ValueError) as error:  # ValueError: no file can have such a name
            why = error.strerror if isinstance(error, OSError) else error
            errors.append(f"{place}: {path} cannot be read ({why}); put the file there")
    return errors


def path_in(folder: Path, said: str) -> Path:
    """A path as a configuration says it, taken from the configuration's folder. Raises ValueError where it cannot be
    one, with what it must be."""
    if "\0" in said:
        raise ValueError("a path, in which there is no character NUL")
    try:
        return folder / Path(said).expanduser()
    except RuntimeError:  # ~ of somebody whose home is not known
        raise ValueError("a path; after ~ comes a user of this computer, or nothing where it is your own") from None


def _table(place: str, table: object, settings: Any, folder: Path, errors: list[str]) -> object:
    if not isinstance(table, dict):
        errors.append(f"{place} must be a section")
        return None
    hints = typing.get_type_hints(settings)
    fields = {field.name: field for field in dataclasses.fields(settings)}
    before = len(errors)
    unknown = sorted(set(table) - set(fields))
    errors += [f"{_name(place, key)} is no key of this program; there are {', '.join(fields)}" for key in unknown]
    values = {}
    for key, field in fields.items():
        if key in table:
            values[key] = _value(_name(place, key), table[key], hints[key], folder, errors)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            errors.append(f"{_name(place, key)} is missing")
    if len(errors) > before:
        return None
    try:
        return settings(**values)
    except ValueError as error:
        errors.append(f"{place} {error}" if place else str(error))
        return None


def _value(place: str, value: object, hint: Any, folder: Path, errors: list[str]) -> object:
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        kinds = [one for one in typing.get_args(hint) if one is not type(None)]
        hint = next((one for one in kinds if type(value) is one), kinds[0])
    if dataclasses.is_dataclass(hint):
        return _table(place, value, hint, folder, errors)
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        item = typing.get_args(hint)[0]
        return tuple(_value(f"{place}[{number}]", one, item, folder, errors) for number, one in enumerate(value))
    try:
        return _scalar(value, hint, folder)
    except TypeError as error:
        errors.append(f"{place} is {_shown(value)}; it must be {error}")
        return None


def _scalar(value: Any, hint: Any, folder: Path) -> object:
    """The value as `hint` wants it. Raises TypeError with words for what is wanted."""
    if hint is Path and isinstance(value, str) and value:
        try:
            return path_in(folder, value)
        except ValueError as error:
            raise TypeError(str(error)) from None
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise TypeError("a finite number") from None
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if value not in list(hint):
            raise TypeError(f"one of {', '.join(hint)}")
        return hint(value)
    if type(value) is not hint:
        words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
        raise TypeError(words.get(hint, "a list"))
    if hint is str and "\0" in value:
        raise TypeError("a text without the character NUL")
    if hint is float and not math.isfinite(value):
        raise TypeError("a finite number")
    return value


def _shown(value: object) -> str:
    """A value as a sentence can hold it: Python writes no number of thousands of digits, and nobody reads one."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


def _name(place: str, key: str) -> str:
    return f"{place} {key}" if place else f"[{key}]"
