"""Logging in by OpenID Connect: the Authorization Code flow with PKCE, and whoever is known by it afterwards.

    begin ─► the provider's page ─► finish: a session ─► subject_of_session at each request ─► end
    an access token of the same issuer, for our audience ─► subject_of_token at each request

Both come to a subject of the issuer, and no further: who that is here, if anybody, the book says (access/identify.py).
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide.access.users import Subject
from pledgewatch_cloud.login import tokens
from pledgewatch_cloud.login.attempts import ATTEMPT_S, Attempts
from pledgewatch_cloud.login.provider import AwayError, Provider, RefusedError
from pledgewatch_cloud.login.sessions import Sessions
from pledgewatch_cloud.login.tokens import Keys, Terms, TokenError, UnknownKeyError

CALLBACK_PATH = "/login/callback"
_PAGE = re.compile(r"(#/[A-Za-z0-9._~%/:@,!*'()-]{0,500})?")
"""A page of the console, by its fragment: whatever it is, a browser does not leave this origin for it."""


class LoginError(Exception):
    """A login that did not come about. `reason` is one word that the console knows; the sentence says it to others."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Cookies(NamedTuple):
    """Names of cookies. A `__Host-` cookie is taken by browsers over TLS alone, and from this host alone."""

    session: str
    guard: str
    attempt: str
    is_secure: bool


class Answered(NamedTuple):
    """What the provider's page sends a browser back with."""

    state: str
    code: str
    error: str
    iss: str


class Finished(NamedTuple):
    """A login that came about: who has logged in, the page to go on at, and the ID token that says so."""

    subject: Subject
    to: str
    id_token: str


class Login:
    """Logins by one issuer. `base_url` is where browsers reach us, without a slash at its end."""

    def __init__(
        self,
        provider: Provider,
        terms: Terms,
        base_url: str,
        *,
        clock: Clock,
        now_s: Callable[[], float],
        idle_s: float,
        whole_s: float,
    ) -> None:
        """`clock` is the world's, which tokens speak of; `now_s` only rises."""
        self.base_url, self.provider = base_url, provider
        self.whole_s = whole_s
        parts = urlsplit(base_url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        is_secure = parts.scheme == "https"
        before = "__Host-" if is_secure else ""
        session, guard, attempt = (f"{before}pledgewatch{one}" for one in ("", "-guard", "-login"))
        self.cookies = Cookies(session, guard, attempt, is_secure)
        self._terms, self._clock, self._now_s = terms, clock, now_s
        self._attempts, self._sessions = Attempts(), Sessions(idle_s, whole_s)

    def begin(self, to: str) -> tuple[str, str]:
        """Where a browser is sent, and the cookie that it comes back with. `to` is the page that it ends at. Raises
        AwayError; LoginError where that is no page of ours."""
        if not _PAGE.fullmatch(to):
            raise LoginError("state", "`next` is a page of the console, as #/lots/lot-1, and nothing else")
        attempt = self._attempts.begin(to, self._now_s())
        return self.provider.address(attempt), attempt.cookie

    async def finish(self, answered: Answered, cookie: str) -> Finished:
        """Who has logged in. Raises LoginError."""
        attempt = self._attempts.take(answered.state, cookie, self._now_s())
        if attempt is None:
            text = f"this login is not under way in this browser: it was finished, or begun over {ATTEMPT_S} s ago"
            raise LoginError("state", f"{text}, or elsewhere; begin anew")
        try:
            if not self.provider.is_named(answered.iss):
                raise LoginError("state", "another issuer has answered (iss); begin anew")
            if answered.error or not answered.code:
                raise LoginError("provider", "the provider did not log you in")
            token = await self.provider.id_token(answered.code, attempt.verifier)
            subject = await self._held(
                lambda keys: tokens.identity(token, keys, self._terms, attempt.nonce, self._clock.now_ms() // 1_000)
            )
        except (RefusedError, TokenError) as error:
            raise LoginError("provider", str(error)) from None
        except AwayError as error:
            raise LoginError("away", f"the provider cannot be had now: {error}") from None
        return Finished(Subject(self._terms.issuer, subject), attempt.to, token)

    def begin_session(self, finished: Finished) -> str:
        """The name of a new session."""
        return self._sessions.begin(finished.subject.subject, self._now_s(), finished.id_token)

    def end_session(self, name: str) -> str:
        """End a session, if it is one. Where its browser is sent to end the login at the provider, too, and from there
        back to us; empty where there was no session, or the provider has no such page."""
        token = self._sessions.end(name)
        return "" if token is None else self.provider.end_address(token, f"{self.base_url}/")

    def subject_of_session(self, name: str, *, is_used: bool) -> Subject | None:
        """Whose session it is; see Sessions."""
        subject = self._sessions.subject_of(name, self._now_s(), is_used=is_used)
        return None if subject is None else Subject(self._terms.issuer, subject)

    async def subject_of_token(self, token: str) -> Subject:
        """Whose access token it is. Raises TokenError, AwayError."""
        now_s = self._clock.now_ms() // 1_000
        return Subject(
            self._terms.issuer, await self._held(lambda keys: tokens.access(token, keys, self._terms, now_s))
        )

    async def _held(self, hold: Callable[[Keys], str]) -> str:
        """What is found with the keys that are known, or with newer ones where the key is none of them."""
        try:
            return hold(self.provider.keys())
        except UnknownKeyError:
            return hold(await self.provider.newer_keys())
