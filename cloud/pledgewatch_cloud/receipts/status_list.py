"""Which credentials no longer hold: W3C Bitstring Status List 1.0, each list a signed credential of its own.

Every credential has a number, and its bit in two lists, one for each purpose: *revocation*, which is for good, and
*suspension*, which may be lifted. Two lists and not one for both, for a widely used verifier takes a list of one
purpose only. What goes from hand to hand is a file of both, a line each, made at the same moment.

A list is the same for all: whoever fetches it does not tell which receipt he asks about. It says from when it speaks
and until when it may be used, and it is the whole truth of that moment: a verifier that has it needs nothing else.

The first bit is the left-most of the first byte. The bits are compressed by gzip, then written in base64url after the
letter `u`, which is its name in multibase.
"""

import gzip
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.moments import MomentError, iso, moment_ms, short
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.receipts.credential import (
    CONTEXT,
    ENTRIES,
    PAUSED,
    PURPOSES,
    list_id,
    sign,
)
from pledgewatch_cloud.receipts.issuer import Issuer

MOST_BYTES = 1 << 20  # eight million credentials: a list of others that claims more is not unpacked
_NO_LIST = "encodedList must be base64url after the letter u"
_TYPES = ["VerifiableCredential", "BitstringStatusListCredential"]


class StatusListError(ValueError):
    """What is no status list; one sentence."""


class CredentialStanding(NamedTuple):
    """How a credential stands."""

    is_revoked: bool
    is_suspended: bool


class StatusList(NamedTuple):
    """A list as read: from when it speaks, and until when it may be used."""

    id: str
    purpose: str
    from_ms: int
    until_ms: int
    bits: bytes


def standings(receipts: ReceiptBook, number: int) -> dict[int, CredentialStanding]:
    """How the credentials of one list stand that do not simply hold, by their numbers.

    A credential is revoked for good when the receipt has ended, or has come to say something else (another holder,
    pledgee, state or quantity), for then it has another number. It is suspended while the receipt is frozen or lost.
    """
    first = number * ENTRIES
    given = range(max(first, 1), min(first + ENTRIES, receipts.numbers + 1))
    live = {one.number: one.state in PAUSED for one in receipts.receipts() if one.is_live and one.number in given}
    return {
        one: CredentialStanding(is_revoked=one not in live, is_suspended=live.get(one, False))
        for one in given
        if live.get(one, True)
    }


# Bits.


def bits_of(indexes: Iterable[int]) -> bytes:
    """A list's bits, those of `indexes` set. Raises ValueError for an index that no list has."""
    bits = bytearray(ENTRIES // 8)
    for index in indexes:
        if not 0 <= index < ENTRIES:
            raise ValueError(f"{index} is no place in a list of {ENTRIES}")
        bits[index // 8] |= 0x80 >> index % 8
    return bytes(bits)


def is_set(bits: bytes, index: int) -> bool:
    """Whether a bit is set. Raises StatusListError where the list does not reach so far."""
    if not 0 <= index < len(bits) * 8:
        raise StatusListError(f"the list has no place {index}; its last is {len(bits) * 8 - 1}")
    return bool(bits[index // 8] & 0x80 >> index % 8)


def encode(bits: bytes) -> str:
    """Bits as a list holds them."""
    return f"u{jose.encoded(gzip.compress(bits, mtime=0))}"


def decode(encoded: str) -> bytes:
    """The bits behind what a list holds. Raises StatusListError; unpacks no more than MOST_BYTES."""
    try:
        packed = jose.decoded("encodedList", encoded[1:])
    except jose.JoseError:
        raise StatusListError(_NO_LIST) from None
    if not encoded.startswith("u"):
        raise StatusListError(_NO_LIST)
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        bits = unpacking.decompress(packed, MOST_BYTES + 1)
    except zlib.error:
        raise StatusListError("encodedList holds no gzip") from None
    if len(bits) > MOST_BYTES:
        raise StatusListError(f"encodedList holds more than {MOST_BYTES} bytes")
    if not unpacking.eof or unpacking.unused_data:
        raise StatusListError("encodedList holds gzip that ends too soon or goes on after its end")
    if len(bits) * 8 < ENTRIES:
        raise StatusListError(f"encodedList has {len(bits) * 8} places; at least {ENTRIES} are needed")
    return bits


# Lists.


def status_list(
    issuer: Issuer, number: int, purpose: str, indexes: Iterable[int], *, at_ms: int, until_ms: int
) -> dict[str, Any]:
    """The list of one purpose, unsigned: of the credentials from `number` × ENTRIES on, those in `indexes` are struck.

    `indexes` are the numbers of credentials, not of bits. Raises ValueError where one belongs to another list.
    """
    first = number * ENTRIES
    own = list_id(issuer.base_url, purpose, first)
    return {
        "@context": [CONTEXT],
        "id": own,
        "type": _TYPES,
        "issuer": issuer.did,
        "validFrom": iso(at_ms),
        "validUntil": iso(until_ms),
        "credentialSubject": {
            "id": f"{own}#list",
            "type": "BitstringStatusList",
            "statusPurpose": purpose,
            "encodedList": encode(bits_of(index - first for index in indexes)),
        },
    }


def signed(
    issuer: Issuer,
    number: int,
    standings: Mapping[int, CredentialStanding],
    private_key: Ed25519PrivateKey,
    *,
    at_ms: int,
    until_ms: int,
) -> str:
    """The file of both lists, signed, a line each; `standings` is by credential number, and who is not there stands."""
    struck = {
        "revocation": [index for index, one in standings.items() if one.is_revoked],
        "suspension": [index for index, one in standings.items() if one.is_suspended],
    }
    lists = [
        status_list(issuer, number, purpose, struck[purpose], at_ms=at_ms, until_ms=until_ms) for purpose in PURPOSES
    ]
    return "".join(f"{sign(one, private_key, issuer.kid)}\n" for one in lists)


def read(said: Mapping[str, Any]) -> StatusList:
    """A list out of its credential. Raises StatusListError where it is none."""
    if said.get("type") != _TYPES:
        raise StatusListError(f"it is no status list: its type is {short(said.get('type'))}")
    subject = said.get("credentialSubject")
    if not isinstance(subject, Mapping) or subject.get("type") != "BitstringStatusList":
        raise StatusListError("it is no status list: its subject is none")
    own, purpose, encoded = said.get("id"), subject.get("statusPurpose"), subject.get("encodedList")
    if not (isinstance(own, str) and isinstance(purpose, str) and isinstance(encoded, str)):
        raise StatusListError("its id, statusPurpose and encodedList must be text")
    try:
        from_ms, until_ms = (
            moment_ms("validFrom", said.get("validFrom")),
            moment_ms("validUntil", said.get("validUntil")),
        )
    except MomentError as error:
        raise StatusListError(f"{error}") from None
    return StatusList(own, purpose, from_ms, until_ms, decode(encoded))
