"""The running hash over a device's readings, and the device's signature on it.

Each reading has one canonical form, so how readings are grouped into payloads, or grouped again when sent again,
changes nothing:

    leaf  = SHA-256(canonical form)
    hash  = SHA-256(hash before ‖ leaf)
    first = SHA-256("pledgewatch chain 1" ‖ 0 ‖ device ‖ 0 ‖ epoch as 8 bytes)

A device signs the hash at checkpoints with Ed25519 (RFC 8032). One signature then stands for every reading up to it:
the cloud can neither leave one out, nor change one, nor put one in between, without the next checkpoint failing.
"""

import functools
import hashlib
import struct
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pledgewatch_wire.reading import Reading

HASH_BYTES = 32
SIGNATURE_BYTES = 64
MARK_BYTES = 8

_CHAIN = b"pledgewatch chain 1\0"
_THINNED = b"pledgewatch thinned 1\0"
_CHECKPOINT = b"pledgewatch checkpoint 1\0"
_HEAD = struct.Struct(">QqBQ")
_U64 = struct.Struct(">Q")


def canonical(reading: Reading) -> bytes:
    """The one form of a reading that is hashed.

    Big-endian: sequence (u64), measured_at_ms (i64), clock (u8), channels as a bit mask (u64), then in ascending
    channel order every value (i64), then every quality (u8).
    """
    sequence, measured_at_ms, clock, cells = reading
    channels, values, qualities = zip(*cells, strict=True) if cells else ((), (), ())
    head = _HEAD.pack(sequence, measured_at_ms, clock, sum(1 << channel for channel in channels))
    return head + struct.pack(f">{len(cells)}q", *values) + bytes(qualities)


def leaf(reading: Reading) -> bytes:
    """SHA-256 of the canonical form: the reading's fingerprint, 32 bytes."""
    return hashlib.sha256(canonical(reading)).digest()


def genesis(device: str, epoch: int) -> bytes:
    """The hash before the first reading of an epoch."""
    return hashlib.sha256(_CHAIN + device.encode() + b"\0" + _U64.pack(epoch)).digest()


def extend(before: bytes, next_leaf: bytes) -> bytes:
    """The hash after one more reading."""
    return hashlib.sha256(before + next_leaf).digest()


def hashes(before: bytes, leaves: Iterable[bytes]) -> list[bytes]:
    """The hash after each of some more readings."""
    found, sha256 = [], hashlib.sha256
    for one in leaves:
        before = sha256(before + one).digest()
        found.append(before)
    return found


def mark(chain_hash: bytes) -> bytes:
    """What is enough of a hash or a leaf to tell one story from another, where nobody need be convinced: 8 bytes."""
    return chain_hash[:MARK_BYTES]


def checkpoint_text(device: str, epoch: int, sequence: int, chain_hash: bytes) -> bytes:
    """What a device signs: that `chain_hash` is the hash of its readings 1 to `sequence` of `epoch`."""
    return _CHECKPOINT + device.encode() + b"\0" + _U64.pack(epoch) + _U64.pack(sequence) + chain_hash


def sign(key: Ed25519PrivateKey, device: str, epoch: int, sequence: int, chain_hash: bytes) -> bytes:
    """The device's signature for a checkpoint, 64 bytes."""
    return key.sign(checkpoint_text(device, epoch, sequence, chain_hash))


def verifies(
    key: Ed25519PublicKey, device: str, epoch: int, sequence: int, chain_hash: bytes, signature: bytes
) -> bool:
    """Whether `signature` is the device's for this checkpoint."""
    return verifies_text(key, checkpoint_text(device, epoch, sequence, chain_hash), signature)


def verifies_text(key: Ed25519PublicKey, text: bytes, signature: bytes) -> bool:
    """Whether `signature` is the device's under a text."""
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True


def kept_digest(leaves: Iterable[bytes]) -> bytes:
    """What stands for the readings of a thinned stretch that were kept: SHA-256 over their leaves, in order."""
    return hashlib.sha256(b"".join(leaves)).digest()


def thinned_text(device: str, epoch: int, first: int, last: int, kept: int, chain_hash: bytes, digest: bytes) -> bytes:
    """What a device signs: that of its readings first to last it has kept so many, whose leaves `digest` stands for and
    which say their own sequences, that the others will not come, and that `chain_hash` is that of its readings 1 to
    last."""
    numbers = b"".join(map(_U64.pack, (epoch, first, last, kept)))
    return _THINNED + device.encode() + b"\0" + numbers + chain_hash + digest


def public_key(text: str) -> Ed25519PublicKey:
    """The key behind 64 hexadecimal digits. Raises ValueError when it is none."""
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))


@functools.lru_cache(maxsize=4_096)  # asked at each signature, of few keys
def is_public_key(text: str) -> bool:
    """Whether 64 hexadecimal digits are a point that a key can be: on the curve, written in its one form, not weak.

    A point of small order verifies signatures that nobody made; such are the eight points with a y of _WEAK_Y. The
    curve is -x² + y² = 1 + d x² y² modulo p = 2²⁵⁵ - 19 (RFC 8032, 5.1), so x² = u / v with u = y² - 1 and
    v = d y² + 1. As v is never zero, x is there where u v is zero or a square, which Euler's criterion says.
    """
    y = int.from_bytes(bytes.fromhex(text), "little") & (2**255 - 1)
    if y >= _PRIME or y in _WEAK_Y:
        return False
    product = (y * y - 1) * (_CURVE_D * y * y + 1) % _PRIME
    return pow(product, (_PRIME - 1) // 2, _PRIME) in (0, 1)


_PRIME = 2**255 - 19
_CURVE_D = -121_665 * pow(121_666, -1, _PRIME) % _PRIME


def _square_root(square: int) -> int:
    """A root modulo p, which is 5 modulo 8 (RFC 8032, 5.1.3). Raises ValueError where there is none."""
    root = pow(square, (_PRIME + 3) // 8, _PRIME)
    for one in (root, root * pow(2, (_PRIME - 1) // 4, _PRIME) % _PRIME):
        if (one * one - square) % _PRIME == 0:
            return one
    raise ValueError(f"{square} is no square")


def _weak_y() -> frozenset[int]:
    """y of the points of order 1, 2, 4 and 8. Twice a point of order 8 has y = 0, so its own x² is -y² and
    d y⁴ + 2 y² - 1 = 0."""
    root = _square_root(1 + _CURVE_D)
    found = {1, _PRIME - 1, 0}
    for one in (root, -root):
        try:
            y = _square_root((one - 1) * pow(_CURVE_D, -1, _PRIME) % _PRIME)
        except ValueError:
            continue
        found |= {y, _PRIME - y}
    return frozenset(found)


_WEAK_Y = _weak_y()
