"""Requests to a registry, signed: one answer or one error each, and never a second try.

Whoever waits for an answer is told within the timeout. An error says whether the registry refused what was asked or
whether it cannot be had now; in the latter case it may have taken the request all the same.
"""

import asyncio
import json
import uuid
from types import TracebackType
from typing import Any, Self

import httpx2

from pledgewatch_cloud import signature
from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide.registry import request as request_module
from pledgewatch_cloud.decide.registry.request import Request
from pledgewatch_cloud.notices.senders import NAMED_BY
from pledgewatch_cloud.outbox.addresses import ForbiddenAddressError, Resolver
from pledgewatch_cloud.outbox.webhook import JudgedTransport, Tls
from pledgewatch_cloud.signature import Key

ANSWER_MAX_BYTES = 4 * 1024 * 1024
# Answers about the request itself; asked again it would be refused again.
_FINAL = frozenset({400, 413, 422, 507})
_OVERTAKEN, _TOO_MANY = 409, 429


class RegistryError(Exception):
    """A registry does not take what was asked: why, and what can be done. Neither names goods or another member."""

    def __init__(self, why: str, cure: str) -> None:
        super().__init__(f"{why}; {cure}")
        self.why = why
        self.cure = cure


class AwayError(RegistryError):
    """The registry cannot be had now, and nobody knows whether it took the request. `wait_s`: it was, but asks for so
    much time before the next one."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why, "nothing is done without it: try again when it answers")
        self.wait_s = wait_s


class OvertakenError(AwayError):
    """A later request in this member's name was taken before this one."""


class Client:
    """The registry at a URL. Use as an async context manager."""

    def __init__(
        self,
        url: str,
        member: str,
        keys: tuple[Key, ...],
        clock: Clock,
        *,
        timeout_s: float,
        tls: Tls,
        allow_private: bool,
    ) -> None:
        """Each request is signed with all of `keys`. Raises OSError where a file of `tls` cannot be used."""
        self._url = url.rstrip("/") + "/requests"
        self._member = member
        self._keys = keys
        self._clock = clock
        self._timeout_s = timeout_s
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_s),
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

    async def ask(self, asked: Request) -> dict[str, Any]:
        """The registry's answer. Raises RegistryError, of which AwayError is one."""
        body = request_module.write(asked)
        message, at_s = uuid.uuid4().hex, self._clock.now_ms() // 1_000
        headers = {
            "content-type": "application/json",
            NAMED_BY: self._member,
            **signature.headers(self._keys, message, at_s, body),
        }
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                said = bytearray()
                async for piece in response.aiter_raw():
                    said += piece
                    if len(said) > ANSWER_MAX_BYTES:
                        raise AwayError("the registry's answer is longer than any that there is")
        except TimeoutError:
            raise AwayError(f"the registry gave no whole answer within {self._timeout_s:g} s") from None
        except (ForbiddenAddressError, httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, OSError) as error:
            raise AwayError(f"the registry cannot be reached: {type(error).__name__}: {error}"[:300]) from None
        return meaning(response.status_code, response.headers.get("retry-after", ""), bytes(said))


def meaning(status: int, retry_after: str, said: bytes) -> dict[str, Any]:
    """What an HTTP answer comes to. Raises RegistryError, of which AwayError is one."""
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    if status == 200 and isinstance(found, dict) and isinstance(found.get("answer"), str):
        return found
    detail = found.get("detail") if isinstance(found, dict) else None
    told = detail if isinstance(detail, str) else f"HTTP {status}"
    if status in _FINAL:
        raise RegistryError(f"the registry refuses it: {told}", "do what it says, or ask whoever runs it")
    if status == _OVERTAKEN:
        raise OvertakenError(f"a later request in this member's name was taken before: {told}"[:300])
    if status == _TOO_MANY:
        wait_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 60.0
        raise AwayError(f"the registry is asked too often: {told}", min(wait_s, 3_600.0))
    raise AwayError(f"the registry does not answer as one: {told}"[:300])
