"""An endpoint behind a URL: CloudEvents in structured JSON over HTTPS, signed by the Standard Webhooks scheme.

`webhook-id` is the message's id, `webhook-timestamp` the moment of this attempt. Redirects are not followed: a
signature is meant for one address. No proxy of the environment is used, and the host's name is judged as
outbox/addresses.py says; certificate and Host stay those of the URL.

Of an answer only the status, one header and the first ANSWER_MAX_BYTES are read, and the whole of it may take no longer
than the timeout, however slowly it drips: what an endpoint says in an odd way is its own affair. Once a 2xx has come,
the message is taken, whatever becomes of the rest.
"""

import asyncio
import json
import ssl
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx2

from pledgewatch_cloud import signature
from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.journal.outbox import ANSWER_MAX_BYTES, OutboxMessage
from pledgewatch_cloud.outbox.addresses import ForbiddenAddressError, Resolver
from pledgewatch_cloud.outbox.endpoint import UNCLEAR, WITHDRAWN, Answer, Attempt, Failure, IsWithdrawn, WithdrawnError
from pledgewatch_cloud.outbox.schedule import LONGEST_ASKED_S
from pledgewatch_cloud.signature import Key

CONTENT_TYPE = "application/cloudevents+json"
# Answers about the message itself: they will not change however often the same bytes are sent. What says that the
# address is wrong (404, 405) is somebody's mistake that will be mended, and the message waits for that.
_FINAL = frozenset({400, 409, 413, 415, 422})
_GONE, _TOO_MANY, _UNAVAILABLE = 410, 429, 503
_ADDRESSES_TRIED = 3
_RELEASE_ANSWERS = frozenset({"booked", "none"})
_FIRST_BYTE = ".send_request_headers.started"  # of the transport's trace: it is connected and about to write


class Tls(NamedTuple):
    """What an endpoint is known by, and what it knows us by: PEM files, or None."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The context; certificates are always verified. Raises OSError (ssl.SSLError is one) where a file is none."""
        context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


class Webhook:
    """An Endpoint behind a URL. Use as an async context manager."""

    def __init__(
        self, url: str, keys: tuple[Key, ...], clock: Clock, *, timeout_s: float, tls: Tls, allow_private: bool
    ) -> None:
        """Each attempt is signed with all of `keys`. Raises OSError where a file of `tls` cannot be used."""
        self._url = url
        self._keys = keys
        self._clock = clock
        self._timeout_s = timeout_s
        self._fingerprints = " ".join(one.fingerprint for one in keys)
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_s, connect=timeout_s / _ADDRESSES_TRIED),
            follow_redirects=False,
            transport=JudgedTransport(tls.context(), Resolver(allow_private=allow_private)),
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
        """See Endpoint."""

        async def look(moment: str, _: dict[str, Any]) -> None:
            if moment.endswith(_FIRST_BYTE) and is_withdrawn():
                raise WithdrawnError

        now_ms = self._clock.now_ms()
        headers = {
            "content-type": CONTENT_TYPE,
            "accept-encoding": "identity",
            **signature.headers(self._keys, message.id, now_ms // 1_000, message.body),
        }
        found: Attempt | None = None
        said, is_whole = bytearray(), False
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(
                    "POST", self._url, content=message.body, headers=headers, extensions={"trace": look}
                ) as response,
            ):
                found = _meaning(response.status_code, response.headers.get("retry-after"), now_ms)
                async for piece in response.aiter_raw():
                    said += piece[: ANSWER_MAX_BYTES + 1 - len(said)]
                    if len(said) > ANSWER_MAX_BYTES:
                        break
                else:
                    is_whole = True
        except WithdrawnError:
            return WITHDRAWN
        except TimeoutError:
            failed = Attempt(Answer.LATER, f"no whole answer within {self._timeout_s:g} s", failure=Failure.TIMEOUT)
            found = found if found is not None and found.answer is Answer.TAKEN else failed
        except ForbiddenAddressError as error:
            return Attempt(Answer.LATER, str(error), failure=Failure.FORBIDDEN_ADDRESS)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, OSError) as error:
            failure = Failure.TIMEOUT if isinstance(error, httpx2.TimeoutException) else Failure.CONNECTION
            found = found or Attempt(Answer.LATER, f"{type(error).__name__}: {error}"[:200], failure=failure)
        if found.answer is Answer.TAKEN:
            release = _release(bytes(said)) if is_whole else UNCLEAR
            return found._replace(said=bytes(said[:ANSWER_MAX_BYTES]), keys=self._fingerprints, release=release)
        if found.status:
            text = said.decode("ascii", "replace")[:200]
            return found._replace(reason=f"HTTP {found.status}: {text}", said=bytes(said[:ANSWER_MAX_BYTES]))
        return found


class JudgedTransport(httpx2.AsyncBaseTransport):
    """Connects to an address that was judged, under the URL's own name."""

    def __init__(self, context: ssl.SSLContext, resolver: Resolver) -> None:
        self._transport = httpx2.AsyncHTTPTransport(verify=context, trust_env=False)
        self._resolver = resolver

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2: the first address that takes the connection gets the request."""
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        *others, last = (await self._resolver.addresses(host, port))[:_ADDRESSES_TRIED]
        for address in others:
            try:
                return await self._transport.handle_async_request(_at(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._transport.handle_async_request(_at(request, last))

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._transport.aclose()


def _at(request: httpx2.Request, address: str) -> httpx2.Request:
    """The same request, Host header and all, to an address. The certificate is asked for under the URL's name."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def _meaning(status: int, retry_after: str | None, now_ms: int) -> Attempt:
    """What a status says (RFC 9110, 15)."""
    answer, failure = Answer.LATER, Failure.CLIENT_ERROR
    if 200 <= status < 300:
        answer, failure = Answer.TAKEN, Failure.OTHER
    elif 300 <= status < 400:
        failure = Failure.REDIRECT
    elif status in _FINAL:
        answer, failure = Answer.REFUSED, Failure.REFUSED
    elif status == _GONE:
        answer, failure = Answer.GONE, Failure.GONE
    elif status == _TOO_MANY:
        failure = Failure.RATE_LIMITED
    elif status >= 500:
        failure = Failure.SERVER_ERROR
    asked_s = _retry_after_s(retry_after, now_ms) if status in (_TOO_MANY, _UNAVAILABLE) else 0.0
    return Attempt(answer, "", asked_s, failure, status)


def _retry_after_s(value: str | None, now_ms: int) -> float:
    """What `Retry-After` asks for (RFC 9110, 10.2.3): seconds or a date; 0 where it asks nothing that can be read."""
    if value is None:
        return 0.0
    try:
        if value.isdigit():
            wait_s = float(value)
        else:
            at = parsedate_to_datetime(value)
            wait_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_ms / 1_000
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), LONGEST_ASKED_S)


def _release(said: bytes) -> str:
    """What an answer says of the release: `booked`, `none`, UNCLEAR where it has another word, or nothing."""
    try:
        document = json.loads(said)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict) or "release" not in document:
        return ""
    word = document["release"]
    return word if isinstance(word, str) and word in _RELEASE_ANSWERS else UNCLEAR
