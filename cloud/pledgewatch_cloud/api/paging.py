"""Lists in pages: so many items beyond one, and where to go on. There is this one way for all lists of our own.

Items are in an order of words, their places; a page ends with the place of its last item, and the next begins beyond
it. So nothing that stays where it is is left out and nothing comes twice, whatever comes and goes between two pages.
The page that follows is named by a `Link` header (RFC 8288), of lists that are objects by `next_after` as well.

Lists that follow the journal go on from an entry: their place is `after_entry`, and they have whole entries, about
`limit` items of them. They have the `Link` too. What a standard says of pages (EPCIS, DCSA) is with that standard.
"""

from collections.abc import Iterable
from typing import Annotated, Generic, NamedTuple, TypeVar

from fastapi import Depends, Query, Request, Response

LIMIT_MAX = 10_000
JOURNAL_LIMIT = 1_000
"""What is read from disk is a thousand to a page where nobody says it."""
_PLACE_MAX = 1_024
_DIGITS, _ZERO = 31, 10**30
Item = TypeVar("Item")


class Page(NamedTuple, Generic[Item]):
    """Some items, and the place to go on from; empty where there are no more."""

    items: list[Item]
    next_after: str


def place(*parts: str | int) -> str:
    """The place of an item that is put in order by several things, one after the other: words that can be printed, and
    whole numbers, with a minus before them where the greatest comes first."""
    return "\t".join(one if isinstance(one, str) else f"{one + _ZERO:0{_DIGITS}d}" for one in parts)


class Paging:
    """Which page is asked for. `after` is empty, or the `next_after` of the page before."""

    def __init__(self, request: Request, response: Response, after: str, limit: int) -> None:
        """What the query says."""
        self._request, self._response = request, response
        self.after, self.limit = after, limit

    @property
    def headers(self) -> dict[str, str]:
        """The `Link`, for an answer that is made by the route itself."""
        return _linked(self._response)

    def page(self, items: Iterable[tuple[str, Item]]) -> Page[Item]:
        """The page of items by their places, in whatever order they come; the answer gets its `Link`."""
        rest = sorted((one for one in items if one[0] > self.after), key=lambda one: one[0])
        return self.cut(rest, self.limit)

    def cut(self, rest: list[tuple[str, Item]], limit: int) -> Page[Item]:
        """The page of items that lie beyond `after` and are in order, one more than `limit` where there are more at
        all; the answer gets its `Link`."""
        some = rest[:limit]
        next_after = some[-1][0] if len(rest) > len(some) else ""
        if next_after:
            _link(self._request, self._response, "after", next_after)
        return Page([one for _, one in some], next_after)


class JournalPaging:
    """Which page is asked for of a list that follows the journal."""

    def __init__(self, request: Request, response: Response, after_entry: int, limit: int) -> None:
        """What the query says."""
        self._request, self._response = request, response
        self.after_entry, self.limit = after_entry, limit

    @property
    def headers(self) -> dict[str, str]:
        """The `Link`, for an answer that is made by the route itself."""
        return _linked(self._response)

    def go_on(self, next_after_entry: int, newest: int) -> int:
        """The entry to go on from, as it is told. The answer gets its `Link` unless nothing lies beyond, up to the
        `newest` entry that could have."""
        if self.after_entry < next_after_entry < newest:
            _link(self._request, self._response, "after_entry", str(next_after_entry))
        return next_after_entry


def _link(request: Request, response: Response, name: str, value: str) -> None:
    # The path alone: whoever asks knows the host, and a proxy before us may know another.
    query = request.url.include_query_params(**{name: value}).query
    response.headers["link"] = f'<{request.url.path}?{query}>; rel="next"'


def _linked(response: Response) -> dict[str, str]:
    return {key: value for key, value in response.headers.items() if key == "link"}


async def _paging(
    request: Request,
    response: Response,
    after: Annotated[str, Query(max_length=_PLACE_MAX)] = "",
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_MAX,
) -> Paging:
    return Paging(request, response, after, limit)


async def _journal_paging(
    request: Request,
    response: Response,
    after_entry: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = JOURNAL_LIMIT,
) -> JournalPaging:
    return JournalPaging(request, response, after_entry, limit)


PagingOf = Annotated[Paging, Depends(_paging)]
JournalPagingOf = Annotated[JournalPaging, Depends(_journal_paging)]
