"""An OpenID provider over HTTP: what it says of itself, its keys, and what it gives for a code.

    run: read ─► known ─ FRESH_S, or somebody shows a token by a key that is not known ─► read again
                   └─ it does not answer ─► tried again, with longer and longer waits; what was known counts for KEPT_S

Its addresses come from its discovery document (OpenID Connect Discovery 1.0), which must name the issuer that is
configured. Keys change without a word: a token by one that is not known has them read again, at most every AGAIN_S,
so nobody can have the provider asked by showing made-up tokens. Where endpoints are is judged as for webhooks
(outbox/addresses.py); no redirect is followed, and no more than ANSWER_MAX_BYTES of an answer is read.
"""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable
from random import SystemRandom
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

import httpx2

from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.strict_json import JsonError, strict_json
from pledgewatch_cloud.login.attempts import Attempt
from pledgewatch_cloud.login.tokens import Keys, TokenError, read_keys
from pledgewatch_cloud.outage import Outage
from pledgewatch_cloud.outbox.addresses import ForbiddenAddressError, Resolver
from pledgewatch_cloud.outbox.webhook import JudgedTransport, Tls
from pledgewatch_wire.backoff import jittered_backoff

FRESH_S = 600.0
"""How long what was read counts as new: a key that the issuer withdraws opens no longer than that."""
KEPT_S = 6 * 3_600.0
"""How long what was read counts while the issuer does not answer."""
AGAIN_S = 10.0
ANSWER_MAX_BYTES = 2**18
_RETRY_MAX_S = 60.0
_BASIC, _POST = "client_secret_basic", "client_secret_post"
log = logging.getLogger(__name__)


class AwayError(Exception):
    """The provider cannot be had now, or does not answer as one; the sentence says why."""


class RefusedError(Exception):
    """The provider gives nothing for a code; the sentence says why."""


class _Known(NamedTuple):
    """What was read, and when."""

    authorize_url: str
    token_url: str
    end_url: str
    is_secret_in_body: bool
    names_issuer: bool
    keys: Keys
    at_s: float


class Client(NamedTuple):
    """Who we are to the provider. Without `secret` we are a public client, known by PKCE alone."""

    id: str
    secret: str
    callback_url: str


class Provider:
    """The provider of an issuer. Use as an async context manager; `run` reads what it says of itself."""

    def __init__(
        self,
        issuer: str,
        client: Client,
        now_s: Callable[[], float],
        *,
        timeout_s: float,
        tls: Tls,
        allow_private: bool,
    ) -> None:
        """`now_s` is a clock that only rises. Raises OSError where a file of `tls` cannot be used."""
        self.issuer = issuer
        self._client, self._now_s = client, now_s
        self._timeout_s, self._allow_private = timeout_s, allow_private
        self._known: _Known | None = None
        self.date_said = ""
        """When it answered last, by its own clock (the header Date); empty where it does not say."""
        self._wanted, self._read = asyncio.Event(), asyncio.Event()
        self._tried_s = -AGAIN_S
        self._outage = Outage(log, f"the issuer {issuer} does not answer, trying on", f"the issuer {issuer} answers")
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_s),
            follow_redirects=False,
            transport=JudgedTransport(tls.context(), Resolver(allow_private=allow_private)),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def run(self) -> None:
        """Read what the provider says of itself, again and again, until cancelled."""
        failures, random = 0, SystemRandom()
        while True:
            try:
                await self.read()
            except AwayError as error:
                self._outage.lost(error)
                wait_s = jittered_backoff(failures, maximum_s=_RETRY_MAX_S, random=random)
                failures += 1
            else:
                self._outage.back()
                failures, wait_s = 0, FRESH_S
            self._wanted.clear()
            told, self._read = self._read, asyncio.Event()
            told.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()

    async def read(self) -> None:
        """Read what the provider says of itself, and its keys, once. Raises AwayError."""
        self._tried_s = self._now_s()
        said = await self._json("GET", self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if said.get("issuer") != self.issuer:
            raise AwayError(f"it calls itself {short(said.get('issuer'))}, not {self.issuer}")
        methods = said.get("token_endpoint_auth_methods_supported", [_BASIC])
        jwks = await self._json("GET", self._url(said, "jwks_uri"))
        try:
            keys = read_keys(jwks)
        except TokenError as error:
            raise AwayError(str(error)) from None
        self._known = _Known(
            self._url(said, "authorization_endpoint"),
            self._url(said, "token_endpoint"),
            self._url_or_none(said, "end_session_endpoint"),
            isinstance(methods, list) and _BASIC not in methods and _POST in methods,
            said.get("authorization_response_iss_parameter_supported") is True,
            keys,
            self._now_s(),
        )

    def keys(self) -> Keys:
        """The issuer's keys as they were read last. Raises AwayError."""
        return self._what().keys

    async def newer_keys(self) -> Keys:
        """The keys, after they were read again where that is due. Raises AwayError."""
        if self._now_s() >= self._tried_s + AGAIN_S:
            self._wanted.set()
        if self._wanted.is_set():  # by this one or by another, and not read yet
            read = self._read
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * self._timeout_s):
                    await read.wait()
        return self.keys()

    def address(self, attempt: Attempt) -> str:
        """Where a browser is sent to log in. Raises AwayError."""
        url = self._what().authorize_url
        asked = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": self._client.callback_url,
            "scope": "openid",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return f"{url}{'&' if '?' in url else '?'}{urlencode(asked, quote_via=quote)}"

    @property
    def ends_logins(self) -> bool:
        """Whether it has a page on which people log out."""
        return self._known is not None and bool(self._known.end_url)

    async def refusal(self, attempt: Attempt) -> str:
        """Why its page to log in on would not log anybody in for us; empty where it seems to. Nothing of a login is
        begun by looking. Raises AwayError."""
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream("GET", self.address(attempt), headers={"accept": "text/html"}) as response,
            ):
                status, to = response.status_code, response.headers.get("location", "")
        except TimeoutError:
            raise AwayError(f"no answer within {self._timeout_s:g} s") from None
        except (ForbiddenAddressError, httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, OSError) as error:
            raise AwayError(f"{type(error).__name__}: {error}"[:300]) from None
        if to.startswith(self._client.callback_url):
            found = dict(parse_qsl(urlsplit(to).query)).get("error")
            return f"it says {short(found)}" if found else ""
        return f"HTTP {status}" if status >= 400 else ""

    def end_address(self, id_token: str, back_url: str) -> str:
        """Where a browser is sent to log out there, too (OpenID Connect RP-Initiated Logout 1.0): the provider may ask
        its person first, and sends them back to `back_url` if it knows that address of us. Empty where it has no such
        page, or has not answered."""
        url = self._known.end_url if self._known is not None else ""
        if not url:
            return ""
        asked = {"client_id": self._client.id, "post_logout_redirect_uri": back_url}
        asked |= {"id_token_hint": id_token} if id_token else {}
        return f"{url}{'&' if '?' in url else '?'}{urlencode(asked, quote_via=quote)}"

    def is_named(self, said: str) -> bool:
        """Whether an answer to a login names the issuer (`iss`), where it names one or must (RFC 9207). Raises
        AwayError."""
        return said == self.issuer or (not said and not self._what().names_issuer)

    async def id_token(self, code: str, verifier: str) -> str:
        """The ID token that there is for a code. Raises RefusedError, AwayError."""
        known, client = self._what(), self._client
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.callback_url,
            "code_verifier": verifier,
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if client.secret and not known.is_secret_in_body:
            pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}".encode()  # RFC 6749, 2.3.1
            headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        else:
            asked |= {"client_id": client.id} | ({"client_secret": client.secret} if client.secret else {})
        said = await self._json("POST", known.token_url, headers, urlencode(asked).encode())
        token = said.get("id_token")
        if not isinstance(token, str):
            raise RefusedError("it gave no ID token for the code")
        return token

    def _what(self) -> _Known:
        """Raises AwayError."""
        known = self._known
        if known is None or self._now_s() >= known.at_s + KEPT_S:
            raise AwayError("the login provider has not answered yet" if known is None else "it has not answered long")
        return known

    def _url_or_none(self, said: dict[str, Any], name: str) -> str:
        """An address that there need not be; empty where it is none."""
        try:
            return self._url(said, name) if said.get(name) is not None else ""
        except AwayError:
            return ""

    def _url(self, said: dict[str, Any], name: str) -> str:
        url = said.get(name)
        schemes = ("https://", "http://") if self._allow_private else ("https://",)
        if not isinstance(url, str) or not url.startswith(schemes) or not url.isprintable() or " " in url:
            raise AwayError(f"its {name} is no address of {' or '.join(schemes)}")
        return url

    async def _json(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> dict[str, Any]:
        """The JSON object that is answered. Raises AwayError, RefusedError where it is a 400 or 401."""
        shown = {"accept": "application/json", "accept-encoding": "identity", **(headers or {})}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream(method, url, content=body or None, headers=shown) as response,
            ):
                said = bytearray()
                async for piece in response.aiter_raw():
                    said += piece
                    if len(said) > ANSWER_MAX_BYTES:
                        raise AwayError(f"its answer is longer than {ANSWER_MAX_BYTES} bytes")
        except TimeoutError:
            raise AwayError(f"no whole answer within {self._timeout_s:g} s") from None
        except (ForbiddenAddressError, httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, OSError) as error:
            raise AwayError(f"{type(error).__name__}: {error}"[:300]) from None
        try:
            found = strict_json(bytes(said))
        except JsonError:
            found = None
        self.date_said = response.headers.get("date", "")
        if method == "POST" and response.status_code in (400, 401):
            # The provider's own word, bounded; nothing that was sent is in the sentence.
            word = found.get("error") if isinstance(found, dict) else None
            raise RefusedError(f"the provider refuses the code: {short(word)}")
        if response.status_code != 200 or not isinstance(found, dict):
            raise AwayError(f"HTTP {response.status_code} without a JSON object at {url.partition('?')[0]}")
        return found
