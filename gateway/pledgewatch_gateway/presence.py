"""Which tags are present, from a reader that only ever says which it sees.

A tag is present for a while (the window) after it was seen. A reader that sees no tag at all for so long is more likely
broken than the zone is empty, and a count of 0 would say that everything was taken: then there is no count. So that an
empty zone can be told from a dead reader, a tag is fitted to the wall where the reader always sees it. Such a tag is
the reader's own: it keeps the reader alive and is not counted, or it would stand for a carton that is gone.

From the first tag on that a reader sees, or sees again after none, one window has to pass before there is a count: it
sees one tag after the other, and what it has not come to yet is not missing.
"""

from collections.abc import Set as AbstractSet
from typing import Final

TAGS_MAX: Final = 20_000


class Presence:
    """The tags of one reader, by their numbers. Times are milliseconds of any clock that does not run backwards."""

    def __init__(self, window_ms: int, own: AbstractSet[int] = frozenset()) -> None:
        """`own` are the tags of the wall."""
        self._window_ms = window_ms
        self._own = own
        self._seen: dict[int, int] = {}  # in the order last seen
        self._since_ms = 0  # when the first was seen after none

    def see(self, tag: int, now_ms: int) -> bool:
        """Note a tag. False where there are too many to note one more."""
        self._forget(now_ms)
        if not self._seen:
            self._since_ms = now_ms
        if self._seen.pop(tag, None) is None and len(self._seen) >= TAGS_MAX:
            return False
        self._seen[tag] = now_ms
        return True

    def is_present(self, tag: int, now_ms: int) -> bool:
        """Whether a tag was seen within the window."""
        seen_ms = self._seen.get(tag)
        return seen_ms is not None and now_ms - seen_ms < self._window_ms

    def count(self, now_ms: int) -> int | None:
        """How many are present, the reader's own left out; None where it sees nothing, or has not seen for a window."""
        self._forget(now_ms)
        if not self._seen or now_ms - self._since_ms < self._window_ms:
            return None
        return len(self._seen) - sum(tag in self._seen for tag in self._own)

    def forget(self, tag: int) -> None:
        """As if the tag had not been seen."""
        self._seen.pop(tag, None)

    def clear(self) -> None:
        """Forget all: the reader is gone."""
        self._seen.clear()

    def _forget(self, now_ms: int) -> None:
        while self._seen and not self.is_present(tag := next(iter(self._seen)), now_ms):
            del self._seen[tag]
