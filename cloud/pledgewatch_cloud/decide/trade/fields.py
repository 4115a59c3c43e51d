"""Reading what senders hand in: text to JSON to fields, every fault told with its place.

Documents of other people's forms may hold more than is read here, so unlike an Item of the book nothing is left over
that would be a fault. But what is read must be what it claims to be.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from pledgewatch_cloud.decide import canonical, identifiers
from pledgewatch_cloud.decide.identifiers import IdentifierError
from pledgewatch_cloud.decide.moments import PARTS_CURE, MomentError, is_of_parts, moment_ms, short
from pledgewatch_cloud.decide.strict_json import JsonError, strict_json
from pledgewatch_cloud.decide.trade.notice import NoticeError

TEXT_MAX_BYTES = 4 * 1024 * 1024
LEVELS_MAX = 64
IN_ONE_MAX = 10_000
"""Notices in one submission."""
REFERENCES_MAX = 1_000
"""References of one notice."""

_ID = re.compile(r"[!-~]{1,256}")
_VALUE_MAX = 256
# RFC 3339, with what ISO 8601 allows and senders write: no seconds, an offset without its colon.
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
    r"(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2}))"
)
_OFFSET_MAX_MINUTES = 14 * 60
_Value = TypeVar("_Value")
_Arguments = ParamSpec("_Arguments")


class Faults:
    """Gathers what is wrong, so that a document is refused with all of it."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def gathered(
        self,
        instead: _Value,
        read: Callable[_Arguments, _Value],
        *arguments: _Arguments.args,
        **named: _Arguments.kwargs,
    ) -> _Value:
        """What `read` gives, or `instead` where it finds faults, which are kept."""
        try:
            return read(*arguments, **named)
        except NoticeError as error:
            self.errors += error.errors
            return instead

    def end(self) -> None:
        """Nothing may have been gathered. Raises NoticeError with all that was."""
        if self.errors:
            raise NoticeError(self.errors)


def document(text: str, last_counts: frozenset[str] = frozenset()) -> Any:
    """The JSON in a text, not too long and not too deep; see strict_json for `last_counts`. Raises NoticeError."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise NoticeError([f"character {error.start}: is half a surrogate pair, which is no character"]) from None
    if size > TEXT_MAX_BYTES:
        raise NoticeError([f"the text has {size} bytes; at most {TEXT_MAX_BYTES}: hand it in in parts"])
    try:
        found = strict_json(text, last_counts)
    except JsonError as error:
        raise NoticeError([f"no JSON: {error}"]) from None
    level = [found]
    for _ in range(LEVELS_MAX):
        level = [inner for one in level for inner in _inner(one)]
    if level:
        raise NoticeError([f"no JSON that can be read: more than {LEVELS_MAX} levels within one another"])
    return found


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def listed(where: str, value: Any) -> list[Any]:
    """A list of at most IN_ONE_MAX, empty where there is none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise NoticeError([f"{where}: a list is needed, not {short(value)}"])
    if len(value) > IN_ONE_MAX:
        raise NoticeError([f"{where}: {len(value)} of them; at most {IN_ONE_MAX}: hand them in in parts"])
    return value


def mapped(where: str, value: Any) -> dict[str, Any]:
    """An object, empty where there is none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NoticeError([f"{where}: an object is needed, not {short(value)}"])
    return value


def present(where: str, value: Any) -> dict[str, Any]:
    """An object, which must be there."""
    if value is None:
        raise NoticeError([f"{where}: an object is needed"])
    return mapped(where, value)


def worded(where: str, value: Any) -> str:
    """A text, empty where there is none."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NoticeError([f"{where}: a text is needed, not {short(value)}"])
    return value


def one_of(where: str, value: Any, known: Iterable[str]) -> str:
    """One of some words."""
    if value is None:
        raise NoticeError([f"{where}: is missing"])
    if not isinstance(value, str) or value not in known:
        raise NoticeError([f"{where}: {short(value)} is none of {', '.join(known)}"])
    return value


def own_key(where: str, sender: str, value: Any) -> str:
    """The key of what a sender calls so."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        text = f"{where}: {short(value)} is no id: 1 to 256 letters, digits and signs of ASCII without spaces"
        raise NoticeError([text if value is not None else f"{where}: is missing"])
    if not is_of_parts(value):
        raise NoticeError([f"{where}: {short(value)} has a part that addresses leave out; {PARTS_CURE}"])
    return f"{sender}/{value}"


def moment(where: str, value: Any) -> int:
    """A moment of RFC 3339 in Unix milliseconds, rounded down. A leap second counts as the millisecond before it."""
    if value is None:
        raise NoticeError([f"{where}: is missing"])
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        text = f"{short(value)} is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z"
        raise NoticeError([f"{where}: {text}"])
    day, clock, seconds, fraction, zulu, sign, hours, minutes = match.groups()
    offset = "+00:00" if zulu else f"{sign}{hours}:{minutes}"
    if not zulu and (int(minutes) > 59 or int(hours) * 60 + int(minutes) > _OFFSET_MAX_MINUTES):
        raise NoticeError([f"{where}: {short(value)}: no place is {offset} from UTC; at most 14:00"])
    thousandths = f"{fraction or '':0<3}"[:3]
    is_leap = seconds == "60"
    if is_leap:
        seconds, thousandths = "59", "999"
    text = f"{day}T{clock}:{seconds or '00'}.{thousandths}{offset}"
    try:
        found = moment_ms(where, text)
    except MomentError:
        raise NoticeError([f"{where}: {short(value)} is no time that anything here can be about"]) from None
    if is_leap and not _is_last_minute(text):
        raise NoticeError([f"{where}: {short(value)}: a leap second is at 23:59:60 UTC"])
    return found


def _is_last_minute(text: str) -> bool:
    at = datetime.fromisoformat(text)
    utc = at - (at.utcoffset() or timedelta())
    return (utc.hour, utc.minute) == (23, 59)


def reference(where: str, kind: str, value: Any) -> str:
    """What a notice is about, `<type>:<value>`: a container by its number, all else as it is called."""
    if not isinstance(value, str) or not value or len(value) > _VALUE_MAX:
        raise NoticeError([f"{where}: {short(value)}: a text of 1 to {_VALUE_MAX} characters is needed"])
    if not value.isprintable() or value != value.strip():
        raise NoticeError([f"{where}: {short(value)}: no line breaks or control characters, no spaces at the ends"])
    return f"{kind}:{_identified(where, identifiers.container, value) if kind == 'container' else value}"


def references(faults: Faults, some: list[tuple[str, str, Any]]) -> tuple[str, ...]:
    """References from places, types and values, as a sorted set; faults are gathered."""
    found = {faults.gathered("", reference, inner, kind, value) for inner, kind, value in some} - {""}
    if len(found) > REFERENCES_MAX:
        faults.errors.append(f"{some[0][0]}: {len(found)} references from here on; at most {REFERENCES_MAX}")
    return tuple(sorted(found))


def place(where: str, value: Any) -> str:
    """A UN/LOCODE, empty where there is none."""
    text = worded(where, value)
    return _identified(where, identifiers.locode, text) if text else ""


def party(where: str, value: Any) -> str:
    """A party, `lei:…` or `id:…`; empty where there is none."""
    kind, _, name = worded(where, value).partition(":")
    if kind == "lei" and name:
        return f"lei:{_identified(where, identifiers.lei, name)}"
    if value is not None and kind != "id":
        raise NoticeError([f"{where}: {short(value)} is no party: write lei:… or id:…"])
    return reference(where, "id", name) if value is not None else ""


def fingerprint(event: Mapping[str, Any], leaving_out: tuple[str, ...]) -> str:
    """What identifies an event that its sender gave no id: the hash of all it says but some fields."""
    return f"sha-256:{canonical.digest({key: value for key, value in event.items() if key not in leaving_out})}"


def _identified(where: str, read: Callable[[str], str], text: str) -> str:
    try:
        return read(text)
    except IdentifierError as error:
        raise NoticeError([f"{where}: {error}"]) from None
