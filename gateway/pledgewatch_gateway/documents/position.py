"""How far a stock system was read: what is asked next, and what an answer changes of that. Pure.

A *round* reads page after page until there is no more; the next round begins where this one ended. There are two ways
to go on, alone or together:

- `since`: a round asks for what has changed since the newest moment (or number) that was seen. What is committed late
  on their side would be missed, so moments are put back by `overlap_s`, and numbers by `overlap_numbers`; the same row
  twice says nothing new. A moment far in the future is not believed, or it would shut out everything until then.
- pages: by a cursor that each answer gives for the next (it is opaque, and may go on for ever), or by number, until a
  page is shorter than `page_size` or is the last one over again.

With both, a record that is edited while a round goes on moves to its end, and each behind it moves up by one: the first
of the next page into the page that was read already. So after each page the one before it is asked for again
(`page_before`), and what is new in it is handed on too (`slipped`). Where nothing of it is left as it was, more may
have moved than can be seen, and the round begins again.

`since` alone has no pages, and an answer may all the same hold less than there is. So a round goes on by moments: each
question asks from the newest moment of the answer before, until an answer leads no further. What was in the answer
before is not said again. Where one moment has as many records as an answer holds, nothing behind them can be asked for:
that is told as trouble (`Step.stuck`), for it would look as if there was nothing new.
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
PAGE_SIZE: Final = 500
PAGE_SIZE_MAX: Final = 10_000
_DIGEST_DIGITS: Final = 16
_ZERO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PagingSettings:
    """How a stock system is asked for what is new, and page by page.

    `since` is the parameter that takes the newest value of the records' field `since_field`, and `since_first` what is
    asked with before there is one. What is asked is put back, a moment by `overlap_s`, a number by `overlap_numbers`.
    `cursor` is the parameter that takes what stands at `next_cursor` of the answer
    before; or `page` the one that counts pages from `page_first`, each of `page_size` records (500 unless said), which
    `size` asks for. With `since` alone `page_size` is how many records an answer of theirs holds at most.
    """

    since: str = ""
    since_field: str = ""
    since_first: str = ""
    overlap_s: float = 300.0
    overlap_numbers: int = 100
    cursor: str = ""
    next_cursor: str = ""
    page: str = ""
    page_first: int = 1
    size: str = ""
    page_size: int | None = None

    def __post_init__(self) -> None:
        for first, second in (("since", "since_field"), ("cursor", "next_cursor")):
            if bool(getattr(self, first)) != bool(getattr(self, second)):
                raise ValueError(f"{first} and {second} go together; give both or neither")
        if self.since_first and not self.since:
            raise ValueError("since_first needs since; name the parameter")
        if self.cursor and self.page:
            raise ValueError("cursor and page are two ways to go on; choose one")
        if self.size and not (self.cursor or self.page):
            raise ValueError("size needs cursor or page: an answer that is cut off has to be gone on with; name one")
        if self.is_by_moment and self.page_size is None:
            raise ValueError(
                "since without cursor and page needs page_size: say how many records an answer holds at most, "
                "or what is behind a full one is not missed"
            )
        require_within("overlap_s", self.overlap_s, 0.0, 30 * DAY_S)
        require_within("overlap_numbers", self.overlap_numbers, 0, 1_000_000)
        require_within("page_first", self.page_first, 0, 1)
        require_within("page_size", self.records_a_page, 1, PAGE_SIZE_MAX)
        names = [one for one in (self.since, self.cursor, self.page, self.size) if one]
        if len(set(names)) < len(names):
            raise ValueError("two of since, cursor, page and size are the same parameter; each has its own")

    @property
    def is_by_moment(self) -> bool:
        """Whether `since` alone leads from answer to answer."""
        return bool(self.since) and not self.cursor and not self.page

    @property
    def records_a_page(self) -> int:
        """How many records a full answer has."""
        return PAGE_SIZE if self.page_size is None else self.page_size


class Position(NamedTuple):
    """How far. `since` is the newest value before this round and `newest` with it; `cursor` and `page` lead to the next
    page (page 0: the first); `before` has the digests of the records of the page before. Where rounds go by moments,
    `cursor` is the newest of the answer before, and `before` is of that. `etag` is of an answer to `etag_of`.
    `told` and `told_ms` are the digest of the snapshot that was last handed on, and when."""

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
    """Where an answer leads, whether it was the last of the round, and its records without those that were in the
    answer before. `stuck` is a sentence where it leads nowhere though there may be more."""

    position: Position
    is_end: bool
    fresh: Sequence[Mapping[str, Any]]
    stuck: str = ""


def parameters(settings: PagingSettings, position: Position) -> dict[str, str]:
    """What is asked with, by parameter."""
    found = {}
    if settings.is_by_moment and position.cursor:
        found[settings.since] = _just_before(settings, position.cursor)
    elif settings.since and (since := _put_back(settings, position.since) or settings.since_first):
        found[settings.since] = since
    if settings.cursor and position.cursor:
        found[settings.cursor] = position.cursor
    if settings.page:
        found[settings.page] = str(position.page + settings.page_first)
    if settings.size:
        found[settings.size] = str(settings.records_a_page)
    return found


def after(
    settings: PagingSettings, position: Position, answer: Any, records: Sequence[Mapping[str, Any]], now: datetime
) -> Step:
    """Where an answer leads. Raises AwayError where its next cursor or a moment is none."""
    newest = _newest(settings, position, records, now)
    if settings.is_by_moment:
        return _by_moment(settings, position, records, newest, _newest(settings, Position(), records, now))
    if settings.cursor:
        cursor = _bounded(text_at(answer, settings.next_cursor))
        is_end = not cursor or cursor == position.cursor or not records
        going_on = cursor or position.cursor
        if is_end and settings.since:
            going_on = ""
        found = position._replace(cursor=going_on)
    elif settings.page:
        before = " ".join(_digests(records))
        is_end = len(records) < settings.records_a_page or before == position.before
        found = position._replace(page=0 if is_end else position.page + 1, before="" if is_end else before)
    else:
        found, is_end = position, True
    return Step(found._replace(since=newest if is_end else position.since, newest=newest), is_end, records)


def page_before(settings: PagingSettings, position: Position) -> Position | None:
    """What is to be asked again once the page of a position was read; None where nothing is."""
    if not settings.since or not settings.page or not position.page:
        return None
    return position._replace(page=position.page - 1, etag="", etag_of="")


def slipped(position: Position, records: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]] | None:
    """What the page before has now and had not when it was read; None where nothing of it is as it was."""
    known, digests = set(position.before.split()), _digests(records)
    if known.isdisjoint(digests):
        return None
    return [one for digest, one in zip(digests, records, strict=True) if digest not in known]


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


def _by_moment(
    settings: PagingSettings, position: Position, records: Sequence[Mapping[str, Any]], newest: str, reached: str
) -> Step:
    """Where an answer leads that has no pages: on from its own newest moment, as long as that goes on."""
    digests, known = _digests(records), set(position.before.split())
    fresh = [one for digest, one in zip(digests, records, strict=True) if digest not in known]
    asked = position.cursor or _put_back(settings, position.since)
    if reached and (not asked or _order(reached) > _order(asked)):
        return Step(
            position._replace(cursor=reached, before=" ".join(digests), newest=newest), is_end=False, fresh=fresh
        )
    stuck = ""
    if len(records) >= settings.records_a_page:
        stuck = (
            f"has {len(records)} records at {asked or reached or 'no moment'}, and an answer holds no more: what comes "
            "after them cannot be asked for; name cursor or page in its paging, or the page_size that it really has"
        )
    ended = position._replace(cursor="", before="", since=newest, newest=newest)
    return Step(ended, is_end=True, fresh=fresh, stuck=stuck)


def _just_before(settings: PagingSettings, reached: str) -> str:
    """A moment or number put back so far that its own records come again, also where only later ones are given."""
    least_s = 0.001 if "." in reached else 1.0
    return _earlier(reached, min(settings.overlap_s, least_s), min(settings.overlap_numbers, 1))


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


def _put_back(settings: PagingSettings, newest: str) -> str:
    """What a round begins with."""
    return _earlier(newest, settings.overlap_s, settings.overlap_numbers)


def _earlier(text: str, overlap_s: float, overlap_numbers: int) -> str:
    """A moment or number, put back and written as it was."""
    order = _order(text) if text else None
    if order is not None and not order.is_moment:
        return str(max(0, order.value - overlap_numbers)).zfill(len(text) if text.startswith("0") else 0)
    if not text or not overlap_s:
        return text
    earlier = datetime.fromisoformat(text) - timedelta(seconds=overlap_s)
    written = earlier.isoformat(sep=" " if " " in text else "T")
    return written.removesuffix("+00:00") + "Z" if text.endswith("Z") else written


def _digests(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [hashlib.sha256(repr(one).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS] for one in records]


def _bounded(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise AwayError(f"has a cursor or moment of more than {TEXT_MAX} characters")
    if not text.isprintable():
        raise AwayError(f"has {text[:40]!r} as a cursor or moment, which cannot be asked with")
    return text
