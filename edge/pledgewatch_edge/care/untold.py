"""The secrets of a device, so that nothing that is told from it has one: not the log, nor why something has failed.

    what the configuration says under names of secrets, and who logs in where
    what is in the files that it names as those of keys, passwords and pins        ─► texts that are left out of a line
    what another package's section says: nobody here knows what of it is one
    the device's own keys

They are looked for as they are, and as Python, JSON, addresses, forms and base64 write them, also as Python writes what
it has written so already (an error within an error). Of base64 the whole word is left out: a login is in it with its
user.

Programs write the same in other ways as well: an address that is quoted in part, escapes within escapes, entities of
HTML, hex, base64 in lines. So what is left is undone, in itself and in the secret alike (_undone), and a line that has
a secret then is left out whole, as is a text that has one over several lines, or that is quoted without end.

What is shorter than SHORTEST is in many words by chance, and is not looked for. What the agent has never read it cannot
know: the password of another program, say, that a sensor's library writes into the log.
"""

import dataclasses
import html
import json
import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from pledgewatch_edge.care.acts import LEFT_OUT, TOLD, sounds_secret
from pledgewatch_edge.identity import KEY_FILE as CHAIN_KEY_FILE
from pledgewatch_edge.tls_identity import KEY_FILE as TLS_KEY_FILE
from pledgewatch_edge.tls_identity import NEW, OLD
from pledgewatch_wire.named_file import read_named

SHORTEST: Final = 4
_SHORTEST_OF_OTHERS: Final = 8  # of what may be no secret at all
_SHORTEST_LINE: Final = 16  # of a file of many lines, as a key in PEM
_FILE_MAX: Final = 64 * 1024
LINE_LEFT_OUT: Final = f"line {LEFT_OUT}"
_ROUNDS_MAX: Final = 16
_ESCAPES: Final = re.compile(
    r"(?P<octets>(?:\\+x[0-9A-Fa-f]{2})+)|\\+(?:u(?P<code>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})|(?P<letter>[nrt])|)"
)
_QUOTED: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_BREAKS: Final = re.compile(r"(?<=[\w+/-])[ \t]*[\r\n]+[ \t]*(?=[\w+/-])")
_BETWEEN_OCTETS: Final = re.compile(r"(?<=[0-9a-f]{2})[:\s-](?=[0-9a-f]{2})")


def secrets_of(settings: Any, state_folder: Path) -> frozenset[str]:
    """The secrets of a configuration, and of the device's own keys."""
    found: set[str] = set()
    for row in dataclasses.fields(settings):
        section = getattr(settings, row.name)
        if section is None:
            continue
        found.update(_within(section))
        if row.name not in TOLD:
            found.update(one for one in _texts(section) if len(one) >= _SHORTEST_OF_OTHERS)
        found.update(_texts(getattr(section, "identify_command", ())[1:]))
    for name in (CHAIN_KEY_FILE, TLS_KEY_FILE, TLS_KEY_FILE + NEW, TLS_KEY_FILE + OLD):
        found.update(_in_file(state_folder / name))
    return frozenset(one for one in found if len(one) >= SHORTEST)


def without(value: Any, secrets: Collection[str]) -> Any:
    """What is to be told, as JSON can hold it, without these secrets in any of its texts."""
    forms = sorted({form for one in secrets for form in _forms(one)}, key=len, reverse=True)
    cores = [core for one in secrets for core in _in_base64(one)]
    words = {core: re.compile(rf"[\w+/-]*{re.escape(core)}[\w+/=-]*") for core in cores}

    def cleaned(text: str) -> str:
        for form in forms:
            text = text.replace(form, LEFT_OUT)
        for core, word in words.items():
            if core in text:
                text = word.sub(lambda _: LEFT_OUT, text)
        if not sought or not tells(text):
            return text
        lines = [LINE_LEFT_OUT if tells(line) else line for line in text.split("\n")]
        text = "\n".join(lines)
        return LINE_LEFT_OUT if tells(text) else text

    sought = {_undone(one) or "" for one in secrets}
    plain = [one.replace("+", " ") for one in sought if len(one) >= SHORTEST]
    hexes = [one.encode("utf-8", errors="replace").hex() for one in secrets]

    def tells(text: str) -> bool:
        undone = _undone(text)
        if undone is None:
            return True
        spaced, joined = undone.replace("+", " "), _BREAKS.sub("", undone)
        octets = _BETWEEN_OCTETS.sub("", undone.lower())
        return (
            any(one in spaced for one in plain)
            or any(one in joined for one in cores)
            or any(one in octets for one in hexes)
        )

    return _each(value, cleaned)


def _each(value: Any, cleaned: Callable[[str], str]) -> Any:
    match value:
        case str():
            return cleaned(value)
        case Mapping():
            found: dict[str, Any] = {}
            for key, one in value.items():
                name = cleaned(str(key))
                found[f"{name} ({len(found) + 1})" if name in found else name] = _each(one, cleaned)
            return found
        case list() | tuple():
            return [_each(one, cleaned) for one in value]
        case _:
            return value


def _undone(text: str) -> str | None:
    """A text without what is quoted and escaped in it, however often; None where that does not come to an end."""
    for _ in range(_ROUNDS_MAX):
        before = text
        text = _ESCAPES.sub(_unescaped, text)
        text = html.unescape(_QUOTED.sub(_unquoted, text))
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # JSON writes some as two
        if text == before:
            return text
    return None


def _unescaped(found: re.Match[str]) -> str:
    """What a backslash, or several of an escape within an escape, and what is behind it stand for."""
    if octets := found["octets"]:
        return re.sub(r"\\+x", "%", octets)
    if code := found["code"] or found["long"]:
        return chr(min(int(code, 16), 0x10FFFF))
    return {"n": "\n", "r": "\r", "t": "\t"}.get(found["letter"] or "", "")


def _unquoted(found: re.Match[str]) -> str:
    """Octets as UTF-8, or each by itself where they are none."""
    octets = bytes.fromhex(found[0].replace("%", ""))
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _forms(secret: str) -> set[str]:
    once = _written(secret)
    addresses = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    small = {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), one) for one in addresses}
    return {secret, *once, *(twice for one in once for twice in _written(one)), *addresses, *small}


def _written(text: str) -> set[str]:
    """A text as Python and JSON write it. Python writes an apostrophe in two ways, as what is around it wants."""
    python = {repr(text)[1:-1], ascii(text)[1:-1], repr(text.encode("utf-8", errors="replace"))[2:-1]}
    quoted = {one.replace("\\'", "'").replace("'", "\\'") for one in python}
    return {*python, *quoted, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _in_base64(secret: str) -> set[str]:
    """What is in every text in base64 that has this secret in it, by where it begins there: less what the letters
    before and after it have a part in."""
    data = secret.encode("utf-8", errors="replace")
    found = set()
    for before in range(3):
        text = b64encode(bytes(before) + data).decode("ascii").rstrip("=")
        core = text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        found |= {core, core.replace("+", "-").replace("/", "_")}
    return {one for one in found if len(one) >= SHORTEST}


def _within(value: Any) -> Iterator[str]:
    """What of a value is a secret by the name that it has, or is in a file that is named as one."""
    match value:
        case str():
            yield from _logins(value)
        case list() | tuple() | frozenset() | set():
            for one in value:
                yield from _within(one)
        case _:
            for key, one in _named(value):
                if not sounds_secret(key.removesuffix("_file")) or one is None or isinstance(one, bool):
                    yield from _within(one)
                elif key.endswith("_file"):
                    yield from _in_file(Path(str(one)))
                else:
                    yield from _texts(one)


def _texts(value: Any) -> Iterator[str]:
    """All texts and numbers of a value."""
    match value:
        case None | bool():
            return
        case str() | int() | float() | Path():
            yield str(value)
        case list() | tuple() | frozenset() | set():
            for one in value:
                yield from _texts(one)
        case _:
            for _, one in _named(value):
                yield from _texts(one)


def _named(value: Any) -> list[tuple[str, Any]]:
    """The parts of a section or mapping, by name; none of anything else."""
    if isinstance(value, Mapping):
        return [(str(key), one) for key, one in value.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return []


def _logins(text: str) -> Iterator[str]:
    """Of an address the password, and what is asked there."""
    _, mark, rest = text.rpartition("://")
    before, at, after = rest.rpartition("@")
    password = before.partition(":")[2] if at else ""
    if password:
        yield from (password, unquote(password))
    if mark and "?" in after:
        yield from (value for _, value in parse_qsl(after.partition("?")[2]))


def _in_file(path: Path) -> Iterator[str]:
    """A secret in a file: its one line, or each line of a key."""
    try:
        lines = read_named(path)[:_FILE_MAX].decode("utf-8", errors="replace").split("\n")
    except (OSError, ValueError):
        return
    found = [line.strip() for line in lines if line.strip() and not line.startswith("-----")]
    yield from (line for line in found if len(found) == 1 or len(line) >= _SHORTEST_LINE)
