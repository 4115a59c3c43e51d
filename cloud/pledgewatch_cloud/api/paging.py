"""Lists in pages: so many items beyond one, and where to go on.

Items are in an order of words, their places; a page ends with the place of its last item, and the next begins beyond
it. So nothing that stays is left out and nothing comes twice, whatever comes and goes between two pages. The page that
follows is named by a `Link` header (RFC 8288), of lists that are objects by `next_after` as well.
"""

from collections.abc import Iterable
from typing import Annotated, Generic, NamedTuple, TypeVar

from fastapi import Depends, Query, Request, Response

LIMIT_MAX = 10_000
Item = TypeVar("Item")


class Page(NamedTuple, Generic[Item]):
    """Some items, and the place to go on from; empty where there are no more."""

    items: list[Item]
    next_after: str


class Paging:
    """Which page is asked for. `after` is empty, or the `next_after` of the page before."""

    def __init__(self, request: Request, response: Response, after: str, limit: int) -> None:
        """What the query says."""
        self._request, self._headers = request, response.headers
        self._after, self._limit = after, limit

    @property
    def headers(self) -> dict[str, str]:
        """The `Link`, for an answer that is made by the route itself."""
        return {key: value for key, value in self._headers.items() if key == "link"}

    def page(self, items: Iterable[tuple[str, Item]]) -> Page[Item]:
        """The page of items by their places, in whatever order they come; the answer gets its `Link`."""
        rest = sorted((one for one in items if one[0] > self._after), key=lambda one: one[0])
        some = rest[: self._limit]
        next_after = some[-1][0] if len(rest) > len(some) else ""
        if next_after:
            # The path alone: whoever asks knows the host, and a proxy before us may know another.
            url = self._request.url.include_query_params(after=next_after)
            self._headers["link"] = f'<{self._request.url.path}?{url.query}>; rel="next"'
        return Page([one for _, one in some], next_after)


async def _paging(
    request: Request,
    response: Response,
    after: Annotated[str, Query(max_length=512)] = "",
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_MAX,
) -> Paging:
    return Paging(request, response, after, limit)


PagingOf = Annotated[Paging, Depends(_paging)]
