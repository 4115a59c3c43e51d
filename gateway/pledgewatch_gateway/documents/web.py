"""One request, one answer, over HTTP: bounded in time and length, and never sent anywhere but where it was meant for.

Redirects are not followed: what goes along (a token, a signature) is for one address, and an answer from another is
nobody's word. No proxy of the environment is used, and certificates are always verified. The whole of an exchange may
take no longer than its time, however slowly it drips.
"""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

import httpx2

from pledgewatch_gateway.documents import AwayError

ASKED_MAX_S: Final = 3_600.0
CONNECT_S: Final = 10.0
_SAID_MAX_CHARACTERS: Final = 200


class Reply(NamedTuple):
    """An answer. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_json(self) -> bool:
        """Whether it says of itself that it is JSON."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind == "application/json" or kind.endswith("+json")

    @property
    def moment(self) -> datetime | None:
        """When it was made, by its Date (RFC 9110, 6.6.1)."""
        return _moment(self.headers.get("date", ""))

    def asked_s(self, now_s: float) -> float:
        """How long it asks us to wait (Retry-After, RFC 9110, 10.2.3); 0 where it does not, ASKED_MAX_S at most."""
        text = self.headers.get("retry-after", "")
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), ASKED_MAX_S)
        moment = _moment(text)
        return 0.0 if moment is None else min(max(moment.timestamp() - now_s, 0.0), ASKED_MAX_S)

    @property
    def words(self) -> str:
        """What it is and the beginning of what it says, for a person."""
        kind = self.headers.get("content-type", "nothing").partition(";")[0]
        text = self.body[:_SAID_MAX_CHARACTERS].decode("ascii", "replace").replace("\ufffd", "?")
        said = "" if "html" in kind else "".join(sign if sign.isprintable() else " " for sign in text).strip()
        return f"HTTP {self.status}, {kind}{f': {said}' if said else ''}"


class Web:
    """A client for one other side. Use as an async context manager."""

    def __init__(self, timeout_s: float, ca_file: Path | None) -> None:
        """Raises OSError (ssl.SSLError is one) where `ca_file` cannot be used."""
        self._timeout_s = timeout_s
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S)),
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(cafile=None if ca_file is None else str(ca_file)),
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], *, content: bytes | None = None, max_bytes: int
    ) -> Reply:
        """Ask once. Raises AwayError where no whole answer of up to `max_bytes` came in time."""
        told = {"accept": "application/json", "accept-encoding": "identity", **headers}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(method, url, headers=told, content=content) as response,
            ):
                body = await _body(response, max_bytes)
        except (TimeoutError, httpx2.TimeoutException):
            raise AwayError(f"no whole answer within {self._timeout_s:g} s") from None
        except AwayError:
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, OSError) as error:
            raise AwayError(f"{type(error).__name__}: {error}"[:_SAID_MAX_CHARACTERS]) from None
        return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


async def _body(response: httpx2.Response, max_bytes: int) -> bytes:
    """Raises AwayError where it is longer; no more of it is read then."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > max_bytes:
            raise AwayError(f"answers more than {max_bytes} bytes")
    return bytes(body)


def require_url(key: str, url: str, example: str) -> None:
    """Raise ValueError where `url` is no address to ask at: http or https, a host, no user and no fragment. `example`
    is one that would do."""
    try:
        parts = urlsplit(url)
        is_one = bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0)
    except ValueError:
        is_one = False
    if not is_one or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{key} {url!r} is none; write it as {example}")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError(f"{key} has a user or a fragment in it; a secret goes into a file")


def is_encrypted(url: str) -> bool:
    """Whether nobody on the way can read along; the way within this machine counts as such."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1", "::1"}


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None
