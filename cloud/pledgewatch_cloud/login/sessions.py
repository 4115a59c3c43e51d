"""Sessions of people who have logged in.

    begun ─► used, again and again ─► ended: by its person, unused for a while, too old, or one of too many

A session is known by 256 bits of chance, of which only the SHA-256 is kept here. It says who somebody is to the
provider, and nothing of what they may see: that is asked of the book at each request. With it is the ID token that it
was begun by, which the provider is shown when its person logs out, and nobody else. Sessions are in memory alone, so a
restart ends them.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

SESSIONS_MAX = 10_000
OF_ONE_MAX = 10
"""Sessions of one subject; of more, the one that was used longest ago ends."""
TOKEN_MAX = 4_096
"""A longer ID token is not kept, nor would it fit into every address."""


@dataclass(slots=True)
class _Session:
    subject: str
    until_s: float
    used_s: float
    id_token: str


class Sessions:
    """The sessions, the one that was used longest ago at the front. Moments are of a clock that only rises."""

    def __init__(self, idle_s: float, whole_s: float) -> None:
        """`idle_s`: how long one may go unused. `whole_s`: how long it lasts at most."""
        self._idle_s, self._whole_s = idle_s, whole_s
        self._by_hash: dict[str, _Session] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_hash)

    def begin(self, subject: str, now_s: float, id_token: str = "") -> str:
        """The name of a new session of a subject, which is said to nobody but their browser."""
        self._forget(now_s)
        own = [name for name, one in self._by_hash.items() if one.subject == subject]
        if len(own) >= OF_ONE_MAX:
            del self._by_hash[own[0]]
        elif len(self._by_hash) >= SESSIONS_MAX:
            del self._by_hash[next(iter(self._by_hash))]
        name = secrets.token_urlsafe(32)
        self._by_hash[_hash(name)] = _Session(
            subject, now_s + self._whole_s, now_s, id_token if len(id_token) <= TOKEN_MAX else ""
        )
        return name

    def subject_of(self, name: str, now_s: float, *, is_used: bool) -> str | None:
        """Whose session it is; None where there is none of that name any more. `is_used`: it is a person who asks, so
        it goes on."""
        key = _hash(name)
        session = self._by_hash.get(key)
        if session is None:
            return None
        if now_s >= min(session.until_s, session.used_s + self._idle_s):
            del self._by_hash[key]
            return None
        if is_used:
            session.used_s = now_s
            self._by_hash[key] = self._by_hash.pop(key)
        return session.subject

    def end(self, name: str) -> str | None:
        """End a session; the ID token that it was begun by, empty where that was not kept. None where there is no
        session of that name."""
        session = self._by_hash.pop(_hash(name), None)
        return None if session is None else session.id_token

    def _forget(self, now_s: float) -> None:
        while self._by_hash:
            key, session = next(iter(self._by_hash.items()))
            if now_s < session.used_s + self._idle_s:
                return
            del self._by_hash[key]


def guard_of(name: str) -> str:
    """What a page must say with each write of a session (`x-csrf-token`): only who can read this origin's cookies can,
    and it opens nothing by itself."""
    return hashlib.sha256(f"guard {name}".encode()).hexdigest()


def is_guarded(name: str, said: str) -> bool:
    """Whether a write of a session says what it must."""
    return hmac.compare_digest(guard_of(name).encode(), said.encode())


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
