"""Which tags are present, from a reader that only ever says which it sees.

A tag is present for a while after it was seen. A reader that sees no tag at all for so long is more likely broken than
the zone is empty, and a count of 0 would say that everything was taken: then there is no count. So that an empty zone
can be told from a dead reader, a tag is fitted to the wall where the reader always sees it.
"""

from typing import Final

TAGS_MAX: Final = 20_000


class Presence:
    """The tags of one reader. Times are milliseconds of any clock that does not run backwards."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._seen: dict[str, int] = {}  # in the order last seen

    def see(self, tag: str, now_ms: int) -> bool:
        """Note a tag. False where there are too many to note one more."""
        if self._seen.pop(tag, None) is None and len(self._seen) >= TAGS_MAX:
            self.count(now_ms)
            if len(self._seen) >= TAGS_MAX:
                return False
        self._seen[tag] = now_ms
        return True

    def is_present(self, tag: str, now_ms: int) -> bool:
        """Whether a tag was seen within the window."""
        seen_ms = self._seen.get(tag)
        return seen_ms is not None and now_ms - seen_ms < self._window_ms

    def count(self, now_ms: int) -> int:
        """How many are present; 0 is no count but a reader that sees nothing."""
        while self._seen and not self.is_present(tag := next(iter(self._seen)), now_ms):
            del self._seen[tag]
        return len(self._seen)

    def clear(self) -> None:
        """Forget all: the reader is gone."""
        self._seen.clear()
