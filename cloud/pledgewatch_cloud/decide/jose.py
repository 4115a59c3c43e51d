"""Signed texts in the one form that is taken here: JWS compact (RFC 7515) with an Ed25519 signature (RFC 8037).

Three parts in base64url without padding: a header, what is signed, the signature over the two before it. What the
standard leaves open is closed here, for each opening is a way to make two readers see two things: the algorithm is
EdDSA and no other, the header holds nothing but `alg`, `kid` and `typ`, a key is never taken from the text itself, and
each part has one spelling, so no bit of a text can change without the text being another or its signature being wrong.
"""

import base64
import re
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.strict_json import JsonError, strict_json
from pledgewatch_wire import chain

TEXT_MAX = 262_144
ALGORITHM = "EdDSA"
_HEADER_KEYS = frozenset({"alg", "kid", "typ"})
_PART = re.compile(r"[A-Za-z0-9_-]*")
_KEY_BYTES = 32


class JoseError(ValueError):
    """A text that is not in the form; one sentence."""


class Signed(NamedTuple):
    """A text that is in the form; whether its signature fits has not been asked yet."""

    header: dict[str, Any]
    payload: bytes
    covered: bytes
    signature: bytes


def read(text: str) -> Signed:
    """The parts of a compact JWS. Raises JoseError."""
    if len(text) > TEXT_MAX:
        raise JoseError(f"the text has {len(text)} characters; at most {TEXT_MAX}")
    parts = text.split(".")
    if len(parts) != 3:
        raise JoseError(f"a JWS in compact form has 3 parts with a full stop between them, not {len(parts)}")
    header, payload, signature = (
        decoded(name, part) for name, part in zip(("header", "payload", "signature"), parts, strict=True)
    )
    said = _object("header", header)
    if said.get("alg") != ALGORITHM:
        raise JoseError(f"the header's alg is {short(said.get('alg'))}; only {ALGORITHM} (Ed25519) is taken")
    if unknown := sorted(said.keys() - _HEADER_KEYS):
        raise JoseError(f"the header holds {', '.join(map(short, unknown))}; only alg, kid and typ are taken")
    if not all(isinstance(value, str) for value in said.values()):
        raise JoseError("the header's alg, kid and typ are texts")
    if len(signature) != chain.SIGNATURE_BYTES:
        raise JoseError(f"the signature has {len(signature)} bytes; one of Ed25519 has {chain.SIGNATURE_BYTES}")
    return Signed(said, payload, text.rpartition(".")[0].encode(), signature)


def said(one: Signed) -> dict[str, Any]:
    """What is signed, as a JSON object without slips. Raises JoseError."""
    return _object("payload", one.payload)


def verifies(public_key: bytes, one: Signed) -> bool:
    """Whether a signature fits a raw Ed25519 public key; never with a key that is none or that anybody could use."""
    if len(public_key) != _KEY_BYTES or not chain.is_public_key(public_key.hex()):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(one.signature, one.covered)
    except InvalidSignature:
        return False
    return True


def to_sign(kid: str, payload: dict[str, Any]) -> bytes:
    """The bytes that a signature has to cover, for an object and the name of the key that will sign it."""
    header = canonical.encode({"alg": ALGORITHM, "kid": kid})
    return f"{encoded(header)}.{encoded(canonical.encode(payload))}".encode()


def compact(covered: bytes, signature: bytes) -> str:
    """The text made of what is covered and its signature."""
    return f"{covered.decode()}.{encoded(signature)}"


def public_key(text: str) -> bytes:
    """A raw public key from the `x` of its JWK (OKP, Ed25519). Raises JoseError."""
    key = decoded("x", text)
    if len(key) != _KEY_BYTES or not chain.is_public_key(key.hex()):
        raise JoseError(f"x: {short(text)} is no public key of Ed25519 that can be used: 32 bytes in base64url")
    return key


def encoded(data: bytes) -> str:
    """Bytes in base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(name: str, text: str) -> bytes:
    """The bytes behind base64url without padding, which has one spelling; `name` is what it is called where it is none.
    Raises JoseError."""
    if not _PART.fullmatch(text) or len(text) % 4 == 1:
        raise JoseError(f"the {name} is no base64url: letters, digits, - and _ only, without padding")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encoded(data) != text:
        raise JoseError(f"the {name} is not in the one spelling of its bytes: its last sign carries bits too many")
    return data


def _object(name: str, data: bytes) -> dict[str, Any]:
    try:
        found = strict_json(data.decode())
    except UnicodeDecodeError:
        raise JoseError(f"the {name} is no JSON in UTF-8") from None
    except JsonError as error:
        raise JoseError(f"the {name} is no JSON that can be taken: {error}") from None
    if not isinstance(found, dict):
        raise JoseError(f"the {name} is no JSON object")
    return found
