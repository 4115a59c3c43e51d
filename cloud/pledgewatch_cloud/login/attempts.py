"""Logins under way: from the moment somebody is sent to the provider until they come back.

    begun ─► taken: once, by the browser that began it, within ATTEMPT_S
       └───► forgotten: too late, or the oldest of too many

`state` finds the login and `cookie` shows that it is the same browser, so nobody can be made to finish a login that
somebody else began; the nonce and the PKCE verifier tie the provider's answer to it (RFC 9700, 2.1). All four are 256
bits of chance.
"""

import base64
import hashlib
import hmac
import secrets
from typing import NamedTuple

ATTEMPT_S = 600
ATTEMPTS_MAX = 10_000


class Attempt(NamedTuple):
    """A login under way. `to` is the console's page that it ends at."""

    state: str
    cookie: str
    nonce: str
    verifier: str
    to: str
    until_s: float

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier (RFC 7636, S256)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


class Attempts:
    """The logins under way, those that were begun first at the front. Moments are of a clock that only rises."""

    def __init__(self) -> None:
        self._by_state: dict[str, Attempt] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_state)

    def begin(self, to: str, now_s: float) -> Attempt:
        """A login that begins."""
        while self._by_state and (
            len(self._by_state) >= ATTEMPTS_MAX or next(iter(self._by_state.values())).until_s <= now_s
        ):
            del self._by_state[next(iter(self._by_state))]
        state, cookie, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        attempt = Attempt(state, cookie, nonce, verifier, to, now_s + ATTEMPT_S)
        self._by_state[attempt.state] = attempt
        return attempt

    def take(self, state: str, cookie: str, now_s: float) -> Attempt | None:
        """The login that a browser comes back with, which is under way no more; None where there is none of it."""
        attempt = self._by_state.get(state)
        if attempt is None or not hmac.compare_digest(attempt.cookie.encode(), cookie.encode()):
            return None
        del self._by_state[state]
        return attempt if now_s < attempt.until_s else None
