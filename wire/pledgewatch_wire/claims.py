"""The claim that a technician carries from the cloud to a device, and what device and cloud sign around it.

A claim is one word, `pwclaim1.` and JSON in base64url: where the cloud is, which device this is to be, and a code that
lets in once. It is a secret until it has been used. What is signed begins with a text of its own, so that no signature
can be taken for one of another kind.
"""

import base64
import binascii
import hashlib
import json
import re
from typing import Any, Final, NamedTuple

from pledgewatch_wire.topics import is_name

CLAIMS_PATH: Final = "/devices/claims"
RENEWALS_PATH: Final = "/devices/renewals"
CONFIRMATIONS_PATH: Final = "/devices/confirmations"
_PREFIX: Final = "pwclaim1."
_CLAIM_CHARACTERS_MAX: Final = 4_096
_CODE: Final = re.compile(r"[A-Z2-7]{26}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_URL: Final = re.compile(r"https?://[\x21-\x7e]+")


class ClaimError(ValueError):
    """A text that is no claim; it says why, without showing it."""


class Claim(NamedTuple):
    """What a claim says. `ca_sha256` is the hash of the certificate by which the cloud's API is known, in hexadecimal
    digits; None where any computer knows it. `gateway`: whose zone the device is; None where it is no gateway's."""

    url: str
    operator: str
    device: str
    code: str
    ca_sha256: str | None = None
    gateway: str | None = None


def claim_text(claim: Claim) -> str:
    """The claim as one word."""
    said = {key: value for key, value in claim._asdict().items() if value is not None}
    plain = json.dumps(said, separators=(",", ":")).encode("utf-8")
    return _PREFIX + base64.urlsafe_b64encode(plain).decode("ascii").rstrip("=")


def read_claim(text: str) -> Claim:
    """The claim of a text, whose blanks and line breaks do not count. Raises ClaimError."""
    word = "".join(text.split())
    if not word.startswith(_PREFIX):
        raise ClaimError(f"a claim begins with {_PREFIX}; take the whole line that the cloud has printed")
    if len(word) > _CLAIM_CHARACTERS_MAX:
        raise ClaimError(f"a claim has at most {_CLAIM_CHARACTERS_MAX} characters, and this has {len(word)}")
    said = _plain(word[len(_PREFIX) :])
    for key, is_right in (
        ("url", _URL.fullmatch),
        ("operator", is_name),
        ("device", is_name),
        ("code", _CODE.fullmatch),
    ):
        value = said.get(key)
        if not isinstance(value, str) or not is_right(value):
            raise ClaimError(f"the claim's {key} is none; a letter may be wrong, so copy it again")
    pin = said.get("ca_sha256")
    if pin is not None and (not isinstance(pin, str) or not _HASH.fullmatch(pin)):
        raise ClaimError("the claim's ca_sha256 is none; a letter may be wrong, so copy it again")
    gateway = said.get("gateway")
    if gateway is not None and not (isinstance(gateway, str) and is_name(gateway)):
        raise ClaimError("the claim's gateway is none; a letter may be wrong, so copy it again")
    return Claim(said["url"].rstrip("/"), said["operator"], said["device"], said["code"], pin, gateway)


def claim_proof(request_der: bytes, code: str) -> bytes:
    """What the chain's key signs for a claim, over the certificate request in DER."""
    return b"pledgewatch claim\0" + hashlib.sha256(request_der).digest() + code.encode("ascii")


def renewal_proof(request_der: bytes, signed_ms: int) -> bytes:
    """What the key of the certificate in force signs for a renewal, over the certificate request in DER."""
    return b"pledgewatch renewal\0" + hashlib.sha256(request_der).digest() + str(signed_ms).encode("ascii")


def confirmation_proof(certificate_der: bytes, signed_ms: int) -> bytes:
    """What the key of the certificate in force signs to say that it is in force, over that certificate in DER."""
    return b"pledgewatch confirmation\0" + hashlib.sha256(certificate_der).digest() + str(signed_ms).encode("ascii")


def _plain(encoded: str) -> dict[str, Any]:
    """The JSON object within. Raises ClaimError."""
    try:
        said = json.loads(base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ClaimError("the claim is not whole; copy it again, from its first letter to its last")
    return said
