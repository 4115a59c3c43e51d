"""How far a stock system was read: what is asked next, and what an answer changes of that. Pure.

A *round* reads page after page until there is no more; the next round begins where this one ended. There are two ways
to go on, alone or together:

- `since`: a round asks for what has changed since the newest moment (or number) that was seen. What is committed late
  on their side would be missed, so moments are put back by `overlap_s`; the same row twice says nothing new. A moment
  far in the future is not believed, or it would shut out everything until then.
- pages: by a cursor that each answer gives for the next (it is opaque, and may go on for ever), or by number, until a
  page is shorter than `page_size` or is the last one over again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_gateway.documents import AwayError
from pledgewatch_gateway.documents.wms_records import text_at

AHEAD_MAX: Final = timedelta(days=2)
TEXT_MAX: Final = 4_096
_ZERO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PagingSettings:
    """How a stock system is asked for what is new, and page by page.

    `since` is the parameter that takes the newest value of the records' field `since_field`, and `since_first` what is
    asked with before there is one. `cursor` is the parameter that takes what stands at `next_cursor` of the answer
    before; or `page` the one that counts pages from `page_first`, each of `page_size` records, which `size` asks for.
    """

    since: str = ""
    since_field: str = ""
    since_first: str = ""
    overlap_s: float = 300.0
    cursor: str = ""
    next_cursor: str = ""
    page: str = ""
    page_first: int = 1
    size: str = ""
    page_size: int = 500

    def __post_init__(self) -> None:
        for first, second in (("since", "since_field"), ("cursor", "next_cursor")):
            if bool(getattr(self, first)) != bool(getattr(self, second)):
                raise ValueError(f"{first} and {second} go together; give both or neither")
        if self.since_first and not self.since:
            raise ValueError("since_first needs since; name the parameter")
        if self.cursor and self.page:
            raise ValueError("cursor and page are two ways to go on; choose one")
        require_within("overlap_s", self.overlap_s, 0.0, 30 * DAY_S)
        require_within("page_first", self.page_first, 0, 1)
        require_within("page_size", self.page_size, 1, 10_000)
        names = [one for one in (self.since, self.cursor, self.page, self.size) if one]
        if len(set(names)) < len(names):
            raise ValueError("two of since, cursor, page and size are the same parameter; each has its own")


class Position(NamedTuple):
    """How far. `since` is the newest value before this round and `newest` with it; `cursor` and `page` lead to the next
    page (page 0: the first); `before` is the digest of the page before. `etag` is of an answer to `etag_of`. `told` and
    `told_ms` are the digest of the snapshot that was last handed on, and when."""

    since: str = ""
    newest: str = ""
    cursor: str = ""
    page: int = 0
    before: str = ""
    etag: str = ""
    etag_of: str = ""
    told: str = ""
    told_ms: int = 0


class Step(NamedTuple):
    """Where an answer leads, and whether it was the last of the round."""

    position: Position
    is_end: bool


def parameters(settings: PagingSettings, position: Position) -> dict[str, str]:
    """What is asked with, by parameter."""
    found = {}
    if settings.since and (since := _put_back(position.since, settings.overlap_s) or settings.since_first):
        found[settings.since] = since
    if settings.cursor and position.cursor:
        found[settings.cursor] = position.cursor
    if settings.page:
        found[settings.page] = str(position.page + settings.page_first)
    if settings.size:
        found[settings.size] = str(settings.page_size)
    return found


def after(
    settings: PagingSettings, position: Position, answer: Any, records: Sequence[Mapping[str, Any]], now: datetime
) -> Step:
    """Where an answer leads. Raises AwayError where its next cursor or a moment is none."""
    newest = _newest(settings, position, records, now)
    if settings.cursor:
        cursor = _bounded(text_at(answer, settings.next_cursor))
        is_end = not cursor or cursor == position.cursor or not records
        going_on = cursor or position.cursor
        if is_end and settings.since:
            going_on = ""
        found = position._replace(cursor=going_on)
    elif settings.page:
        digest = hashlib.sha256(repr(records).encode("utf-8", "surrogatepass")).hexdigest()
        is_end = len(records) < settings.page_size or digest == position.before
        found = position._replace(page=0 if is_end else position.page + 1, before="" if is_end else digest)
    else:
        found, is_end = position, True
    return Step(found._replace(since=newest if is_end else position.since, newest=newest), is_end)


def afresh(position: Position) -> Position:
    """The same without its pages: the round begins again."""
    return position._replace(cursor="", page=0, before="", newest=position.since, etag="", etag_of="")


def as_json(position: Position) -> dict[str, Any]:
    """As it is kept."""
    return position._asdict()


def from_json(kept: Any) -> Position | None:
    """As it was kept; None where that is no position."""
    if not isinstance(kept, dict) or kept.keys() != Position._field_defaults.keys():
        return None
    if any(type(kept[name]) is not type(default) for name, default in Position._field_defaults.items()):
        return None
    return Position(**kept)


def _newest(settings: PagingSettings, position: Position, records: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """The newest value of the field that rounds go by, of those that can be believed."""
    newest = position.newest or position.since
    if not settings.since:
        return newest
    best = _order(newest) if newest else None
    latest = (now + AHEAD_MAX - _ZERO) // _MICROSECOND
    texts = [text for record in records if (text := _bounded(text_at(record, settings.since_field)))]
    if records and not texts:
        raise AwayError(f"has records, and none has {settings.since_field}; look at since_field of its section")
    for text in texts:
        order = _order(text)
        if best is not None and order.is_moment != best.is_moment:
            raise AwayError(f"has moments and numbers at {settings.since_field}; one of them is wanted")
        if (best is None or order > best) and (not order.is_moment or order.value <= latest):
            newest, best = text, order
    return newest


class _Order(NamedTuple):
    """What values of `since_field` are compared by: a number, or a moment in microseconds."""

    is_moment: bool
    value: int


def _order(text: str) -> _Order:
    """A moment without an offset counts as UTC, as all of one system's do. Raises AwayError where it is neither."""
    if text.isascii() and text.isdigit():
        return _Order(is_moment=False, value=int(text))
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return _Order(is_moment=True, value=(found - _ZERO) // _MICROSECOND)
    except (ValueError, OverflowError):
        raise AwayError(f"has {text[:40]!r} where a moment (ISO 8601) or a whole number is wanted") from None


def _put_back(text: str, overlap_s: float) -> str:
    """A moment, earlier and written as it was; what is no moment as it is."""
    if not text or not overlap_s or not _order(text).is_moment:
        return text
    earlier = datetime.fromisoformat(text) - timedelta(seconds=overlap_s)
    written = earlier.isoformat(sep=" " if " " in text else "T")
    return written.removesuffix("+00:00") + "Z" if text.endswith("Z") else written


def _bounded(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise AwayError(f"has a cursor or moment of more than {TEXT_MAX} characters")
    if not text.isprintable():
        raise AwayError(f"has {text[:40]!r} as a cursor or moment, which cannot be asked with")
    return text
