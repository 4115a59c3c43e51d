"""Who asks, in one place for every route, the stream of changes and writes that are said twice.

    the keeper's token ─────────────────────────────► KEEPER
    a key of the API ─────────────► its user ────┐
    a session ──► (issuer, subject) ─► its user ─┼─► Viewer: the same, whichever it was
    an access token ─► (issuer, subject) ─► user ┘
    nothing, where nobody need show anything ───────► ANYBODY

A key is `pwk_` and 43 signs of base64url, 256 bits of chance. The book has its SHA-256 only, with its user, until when
it opens and whether for writing too; it is found by that hash, so no comparison tells how much of a guess was right.
Whose a session or an access token is, the provider has said (login/); which user that is, the book says each time it is
asked, so whoever is taken out of it sees nothing from then on.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import ApiKey, Role, Subject, User
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.login.login import Login
from pledgewatch_cloud.login.provider import AwayError
from pledgewatch_cloud.login.sessions import is_guarded
from pledgewatch_cloud.login.tokens import TokenError
from pledgewatch_cloud.loopback import is_loopback

PREFIX = "pwk_"
_KEY = re.compile(r"pwk_[A-Za-z0-9_-]{43}")
KEEPER = Viewer("keeper", "", Role.KEEPER, may_write=True)
"""Who shows the token of [api] token_file."""
_FROM_ELSEWHERE = (
    "nobody need show anything here yet, so this answers programs of this machine and its own pages alone: call it"
    " localhost or 127.0.0.1, or name [api] token_file"
)
ANYBODY = Viewer("", "", Role.KEEPER, may_write=True)
"""Who reaches the address where nothing need be shown: on this machine alone, and as long as the book has no users."""


class UnknownError(Exception):
    """Nobody is known by what was shown; the sentence says what to show, and nothing of what was."""


class StrangerError(UnknownError):
    """The provider knows who it is, and the book does not."""


class UnguardedError(UnknownError):
    """A write of a session without what only a page of ours can say."""


class ProviderAwayError(UnknownError):
    """Whose token it is cannot be told now."""


class ChangedError(UnknownError):
    """Who asks is known, and may other things than a moment ago."""

    def __init__(self) -> None:
        super().__init__("what you may do has changed while you asked; ask again")


class Shown(NamedTuple):
    """What a request shows of who asks: the header, or the name of a session. What a session writes says `guard` too,
    and comes from a page of `origin`. `is_attended`: a person has asked for it, not their page by itself. `host`: by
    which name the service was called."""

    authorization: str = ""
    session: str = ""
    guard: str = ""
    origin: str = ""
    is_write: bool = False
    is_attended: bool = True
    host: str = ""


class Door(NamedTuple):
    """What somebody can be known by beside the book: the keeper's token, and logins where there are any."""

    token: str | None
    login: Login | None

    async def viewer_of(self, shown: Shown, book: Book, now_ms: int) -> Viewer:
        """Who shows this. Raises UnknownError."""
        return self.viewer_by(shown, await self.subject_of(shown, book), book, now_ms)

    async def subject_of(self, shown: Shown, book: Book) -> Subject | None:
        """Whose login is shown; None where nothing of one is, but a key, the keeper's token or nothing. It may be that
        the provider is asked. Raises UnknownError."""
        if self.login is None or self._is_open(book):
            return None
        if not shown.authorization and shown.session:
            return self.login_of(shown)
        said = _bearer(shown)
        return await self._of_token(self.login, said) if said.count(".") == 2 and not self._is_token(said) else None

    def viewer_by(self, shown: Shown, subject: Subject | None, book: Book, now_ms: int) -> Viewer:
        """Who shows this by a book, where this is whose login it is. Raises UnknownError."""
        if self._is_open(book):
            if not _is_of_here(shown):
                raise UnguardedError(_FROM_ELSEWHERE)
            return ANYBODY
        if subject is not None:
            return user_of(subject, book, now_ms)
        said = _bearer(shown)
        if not said:
            raise UnknownError("show who you are: `Authorization: Bearer` with a key of the API or the keeper's token")
        if self._is_token(said):
            return KEEPER
        found = _by_hash(_Held(book.users)).get(sha256_of(said)) if _KEY.fullmatch(said) else None
        if found is None or min(found[1].until_ms, found[0].until_ms) <= now_ms:
            raise UnknownError(
                "nobody is known by this key or token, or it opens no more; ask the book's keeper for another"
            )
        return viewer(found[0], may_write=found[1].scope == "write")

    def _is_open(self, book: Book) -> bool:
        return self.token is None and not book.users

    def _is_token(self, said: str) -> bool:
        return self.token is not None and hmac.compare_digest(said.encode(), self.token.encode())

    def login_of(self, shown: Shown) -> Subject:
        """Who has logged in, by the session that is shown. Raises UnguardedError; UnknownError where there is none."""
        login = self.login
        subject = None if login is None else login.subject_of_session(shown.session, is_used=shown.is_attended)
        if login is None or subject is None:
            raise UnknownError("the session has ended; log in again")
        if shown.is_write and (shown.origin != login.origin or not is_guarded(shown.session, shown.guard)):
            raise UnguardedError("what a session changes is said by a page of this origin, with its `x-csrf-token`")
        return subject

    async def _of_token(self, login: Login, said: str) -> Subject:
        try:
            return await login.subject_of_token(said)
        except TokenError as error:
            raise UnknownError(str(error)) from None
        except AwayError as error:
            raise ProviderAwayError(f"whose token it is cannot be told now: {error}") from None


def _bearer(shown: Shown) -> str:
    """What is shown as a bearer; empty where nothing is."""
    scheme, _, said = shown.authorization.partition(" ")
    return said if scheme.lower() == "bearer" else ""


def new_key() -> tuple[str, str]:
    """A key of the API, and its SHA-256 for the book."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, sha256_of(key)


def sha256_of(key: str) -> str:
    """What the book has of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def user_of(subject: Subject, book: Book, now_ms: int) -> Viewer:
    """The user of the book whom an issuer calls so. They write what their role may. Raises StrangerError."""
    found = _by_subject(_Held(book.users)).get(subject)
    if found is None or found.until_ms <= now_ms:
        raise StrangerError("you are logged in, and no user of the book, or one no more; ask the book's keeper")
    return viewer(found, may_write=True)


def viewer(user: User, *, may_write: bool) -> Viewer:
    """A user of the book as one who asks."""
    return Viewer(user.id, user.party, Role(user.role), frozenset(user.facilities), may_write)


_HOST = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z.-]{1,253}))"
    r"(?::[0-9]{1,4}|:[1-5][0-9]{4}|:6[0-4][0-9]{3}|:65[0-4][0-9]{2}|:655[0-2][0-9]|:6553[0-5])?"
)


def _is_of_here(shown: Shown) -> bool:
    """Whether a request can only be of a program or a page of this machine's. A page from elsewhere says so by its
    origin; one whose name was made to lead here (DNS rebinding) has that name for ours."""
    found = _HOST.fullmatch(shown.host)
    is_own = not shown.origin or shown.origin in (f"http://{shown.host}", f"https://{shown.host}")
    return is_own and (not shown.host or (found is not None and is_loopback((found[1] or found[2]).lower())))


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


@lru_cache(4)
def _by_subject(held: _Held) -> dict[Subject, User]:
    return {subject: user for user in held.users.values() for subject in user.subjects}
