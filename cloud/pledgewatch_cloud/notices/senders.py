"""Who hands in notices over the API, and how a request shows it.

A request is signed by the Standard Webhooks scheme: `webhook-id`, `webhook-timestamp` (at most five minutes off) and
`webhook-signature`, under a secret that only the sender and we know. Two secrets of one sender may be live at once, so
that it can go over to a new one without a gap. The scheme names no sender: `x-pledgewatch-sender` says whose secrets to
try, and without it everybody's are tried. Software that cannot sign shows a bearer token instead, which is one
sender's and nobody else's.

What cannot be shown to be a sender's is set aside all the same, for it may be a sender's whose secret is wrong; but
only so much of it in an hour, or a stranger could drive everything else out of quarantine.
"""

import contextlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pledgewatch_cloud.signature import Key

NAMED_BY = "x-pledgewatch-sender"
KEPT_AN_HOUR = 100
TOLERANCE_S = 300
_HOUR_MS = 3_600_000
_DIGITS_MAX = 12


class SenderError(Exception):
    """A request that no sender can be shown to have made: a sentence that says what is wrong and the cure."""


class SenderKeys(NamedTuple):
    """What one sender is known by: the secrets that it signs with, or its bearer token."""

    id: str
    keys: tuple[Key, ...] = ()
    token: str = ""


class Senders:
    """Those who may hand in notices, and how much of strangers' is still kept in this hour."""

    def __init__(self, keys: Sequence[SenderKeys] = ()) -> None:
        """Raises ValueError where two of them could not be told apart: the same secret, or the same token."""
        whose = dict[str, str]()
        for one in keys:
            for shown in _marks(one):
                if whose.setdefault(shown, one.id) != one.id:
                    raise ValueError(f"{whose[shown]} and {one.id} have the same secret: give each its own")
        self._keys = {one.id: one for one in keys}
        self._hour, self._kept = 0, 0

    def of_request(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> str:
        """The sender of a request, by its headers (names in lower case) and its body. Raises SenderError."""
        if not self._keys:
            raise SenderError("nobody may hand in notices here: name who may in [[senders]]")
        if "webhook-signature" in headers:
            return self._signer(headers, body, now_ms)
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise SenderError("this needs a signature by the Standard Webhooks scheme, or `Authorization: Bearer`")
        for one in self._keys.values():
            if one.token and hmac.compare_digest(shown.encode(), one.token.encode()):
                return one.id
        raise SenderError("the token is no sender's")

    def may_keep(self, now_ms: int) -> bool:
        """Whether bytes of an unknown sender are still kept in this hour; asking counts."""
        hour = now_ms // _HOUR_MS
        if hour != self._hour:
            self._hour, self._kept = hour, 0
        self._kept += 1
        return self._kept <= KEPT_AN_HOUR

    def _signer(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> str:
        identity, at_s = headers.get("webhook-id", ""), _signed_at_s(headers.get("webhook-timestamp", ""), now_ms)
        if not identity:
            raise SenderError("webhook-id is missing")
        named = headers.get(NAMED_BY)
        if named is not None and named not in self._keys:
            raise SenderError(f"{NAMED_BY} names {named!r}, who may hand in nothing here")
        shown = [one.encode() for one in headers["webhook-signature"].split(" ")]
        for sender in [self._keys[named]] if named is not None else self._keys.values():
            for key in sender.keys:
                right = key.sign(identity, at_s, body).encode()
                if any(hmac.compare_digest(right, one) for one in shown):
                    return sender.id
        raise SenderError("webhook-signature is not that of this body, id and time under a secret that is known here")


def _marks(one: SenderKeys) -> Iterator[str]:
    """What is the same where two senders are known by the same: how each secret signs, a token that is one as well."""
    for key in one.keys:
        yield key.sign("", 0, b"")
    if one.token:
        yield one.token
        with contextlib.suppress(ValueError):
            yield Key(one.token).sign("", 0, b"")


def _signed_at_s(written: str, now_ms: int) -> int:
    if not (written.isascii() and written.isdigit()) or len(written) > _DIGITS_MAX:
        raise SenderError("webhook-timestamp is missing, or no whole number of seconds")
    early_s = int(written) - now_ms // 1_000
    if abs(early_s) > TOLERANCE_S:
        which = "in the future" if early_s > 0 else "ago"
        raise SenderError(
            f"webhook-timestamp is {abs(early_s)} s {which}, and {TOLERANCE_S} are let pass: sign it anew"
        )
    return int(written)
