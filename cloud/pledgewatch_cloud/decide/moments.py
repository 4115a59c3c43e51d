"""Moments, periods and ids as documents write them: ISO 8601 with an offset there, Unix milliseconds here."""

import re
from datetime import UTC, datetime, timedelta

ID = re.compile(r"(?!.*/\.{0,2}(?:/|$))[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
"""An id. It is a part of addresses, from which whoever asks takes `.`, `..` and the part before it away (RFC 3986,
5.2.4), so `x/../y` would be another's page; and a proxy may make one slash of two."""
ID_IS = (
    "1 to 128 letters, digits or any of ._:/- that begin with a letter or digit, with no part between slashes that is "
    "empty, . or .."
)
PARTS_CURE = "give it another id, with no part between slashes that is empty, . or .."
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{2,3}(?=[^/])")
MOST_PERIODS = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = (
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(9999, 12, 30, tzinfo=UTC),
)  # in every zone a time that can be said


class MomentError(ValueError):
    """What is no moment or period: a sentence that begins with its place."""


def moment_ms(where: str, value: object) -> int:
    """A moment given as ISO 8601 with its offset. Raises MomentError."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise MomentError(f"{where}: {short(value)} is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z")
    if not _FIRST <= at <= _LAST:
        raise MomentError(f"{where}: {short(value)} is no time that anything here can be about")
    since, rest = divmod(at - EPOCH, timedelta(milliseconds=1))
    if rest:
        raise MomentError(f"{where}: {short(value)} is finer than a millisecond")
    return since


def periods(where: str, value: object) -> tuple[tuple[int, int], ...]:
    """[{"from": moment, "until": moment}, …], in order and apart; until is not included. Raises MomentError."""
    if not isinstance(value, list) or len(value) > MOST_PERIODS:
        raise MomentError(f"{where}: a list of at most {MOST_PERIODS} is needed")
    found: list[tuple[int, int]] = []
    for number, one in enumerate(value):
        place = f"{where}[{number}]"
        if not isinstance(one, dict) or set(one) != {"from", "until"}:
            raise MomentError(f"{place}: a window is {{from, until}}, two times in ISO 8601; not {short(one)}")
        window = moment_ms(f"{place}.from", one["from"]), moment_ms(f"{place}.until", one["until"])
        if window[0] >= window[1]:
            raise MomentError(f"{place}: from must be before until")
        if found and window[0] < found[-1][1]:
            raise MomentError(f"{place}: begins before the window ahead of it ends; order them and let none overlap")
        found.append(window)
    return tuple(found)


def iso(at_ms: int, *, always_milliseconds: bool = False) -> str:
    """A moment as ISO 8601 (and RFC 3339) in UTC, to the millisecond where it needs it, or always."""
    moment = EPOCH + timedelta(milliseconds=at_ms)
    precision = "milliseconds" if always_milliseconds or at_ms % 1_000 else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def is_of_parts(text: str) -> bool:
    """Whether no part between slashes of somebody else's id is empty, `.` or `..`, for it may become a part of an
    address here, as ID is. What a URI begins with (`https://`, `ni:///`) is not such an empty part."""
    return not {"", ".", ".."} & set(_SCHEME.sub("", text, count=1).split("/"))


def short(value: object) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
