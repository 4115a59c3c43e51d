"""The financing core over HTTPS: CloudEvents in structured JSON, signed by the Standard Webhooks scheme.

`webhook-id` is the message's id, `webhook-timestamp` the moment of this attempt, `webhook-signature` the HMAC-SHA256 of
id, timestamp and body under the shared secret. Redirects are not followed: a signature is meant for one address.

Of an answer only the status, one header and the first ANSWER_MAX_BYTES of its text are read, and the whole of it may
take no longer than the timeout, however slowly it drips: what a core says in an odd way is its own affair.
"""

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx2
from standardwebhooks import Webhook

from pledgewatch_cloud.journal.store import OutboxMessage
from pledgewatch_cloud.outbox.core import Answer, Attempt

CONTENT_TYPE = "application/cloudevents+json"
# Answers about the message itself: they will not change however often the same bytes are sent. What says that the
# address is wrong (404, 405, 410) is somebody's mistake that will be mended, and the message waits for that.
_FINAL = frozenset({400, 409, 413, 415, 422})
_LONGEST_WAIT_S = 86_400.0
ANSWER_MAX_BYTES = 2_048


class HttpCore:
    """A FinancingCore behind a URL. Use as an async context manager."""

    def __init__(self, url: str, secret: str, *, timeout_s: float) -> None:
        """`secret` is the shared key as `whsec_` and base64. Raises ValueError where it is none."""
        self._url = url
        self._webhook = Webhook(secret)
        self._timeout_s = timeout_s
        self._client = httpx2.AsyncClient(timeout=timeout_s, follow_redirects=False)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def deliver(self, message: OutboxMessage) -> Attempt:
        """See FinancingCore."""
        now = datetime.now(UTC)
        headers = {
            "content-type": CONTENT_TYPE,
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(message.id, now, message.body.decode()),
        }
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=message.body, headers=headers) as response,
            ):
                if response.is_success:
                    return Attempt(Answer.TAKEN)
                reason = f"HTTP {response.status_code}: {await _beginning(response)}"
                if response.status_code in _FINAL:
                    return Attempt(Answer.REFUSED, reason)
                return Attempt(Answer.LATER, reason, _retry_after_s(response.headers.get("retry-after"), now))
        except TimeoutError:
            return Attempt(Answer.LATER, f"no whole answer within {self._timeout_s:g} s")
        except httpx2.HTTPError as error:
            return Attempt(Answer.LATER, f"{type(error).__name__}: {error}"[:200])


async def _beginning(response: httpx2.Response) -> str:
    """The first 200 characters of an answer, as ASCII whatever it says it is."""
    found = b""
    async for piece in response.aiter_bytes():
        found += piece
        if len(found) >= ANSWER_MAX_BYTES:
            break
    return found.decode("ascii", "replace")[:200]


def _retry_after_s(value: str | None, now: datetime) -> float:
    """What `Retry-After` asks for (RFC 9110, 10.2.3): seconds or a date; 0 where it asks nothing that can be read."""
    if value is None:
        return 0.0
    try:
        wait_s = float(value) if value.isdigit() else (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError):
        return 0.0
    return min(max(wait_s, 0.0), _LONGEST_WAIT_S)
