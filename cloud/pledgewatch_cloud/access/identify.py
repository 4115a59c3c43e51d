"""Who asks: by the keeper's token, by a key of the API, or by nothing where nobody need show anything.

A key is `pwk_` and 43 signs of base64url, 256 bits of chance. The book has its SHA-256 only, with its user, until when
it opens and whether for writing too; it is found by that hash, so no comparison tells how much of a guess was right.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from functools import lru_cache

from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import ApiKey, Role, User
from pledgewatch_cloud.decide.book import Book

PREFIX = "pwk_"
_KEY = re.compile(r"pwk_[A-Za-z0-9_-]{43}")
KEEPER = Viewer("keeper", "", Role.KEEPER, may_write=True)
"""Who shows the token of [api] token_file."""
ANYBODY = Viewer("", "", Role.KEEPER, may_write=True)
"""Who reaches the address where nothing need be shown: on this machine alone, and as long as the book has no users."""


class UnknownError(Exception):
    """Nobody is known by what was shown; the sentence says what to show, and nothing of what was."""


def new_key() -> tuple[str, str]:
    """A key of the API, and its SHA-256 for the book."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, sha256_of(key)


def sha256_of(key: str) -> str:
    """What the book has of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def viewer_of(authorization: str, token: str | None, book: Book, now_ms: int) -> Viewer:
    """Who shows this header. Raises UnknownError."""
    if token is None and not book.users:
        return ANYBODY
    scheme, _, shown = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise UnknownError("show who you are: `Authorization: Bearer` with a key of the API or the keeper's token")
    if token is not None and hmac.compare_digest(shown.encode(), token.encode()):
        return KEEPER
    found = _by_hash(_Held(book.users)).get(sha256_of(shown)) if _KEY.fullmatch(shown) else None
    if found is None or found[1].until_ms <= now_ms:
        raise UnknownError(
            "nobody is known by this key or token, or it opens no more; ask the book's keeper for another"
        )
    return viewer(found[0], may_write=found[1].scope == "write")


def viewer(user: User, *, may_write: bool) -> Viewer:
    """A user of the book as one who asks."""
    return Viewer(user.id, user.party, Role(user.role), frozenset(user.facilities), may_write)


class _Held:
    """Users by identity: a section of a book is never changed, so what was found of it is found once."""

    __slots__ = ("users",)

    def __init__(self, users: Mapping[str, User]) -> None:
        self.users = users

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self.users is other.users

    def __hash__(self) -> int:
        return id(self.users)


@lru_cache(4)
def _by_hash(held: _Held) -> dict[str, tuple[User, ApiKey]]:
    return {key.sha256: (user, key) for user in held.users.values() for key in user.keys}
