"""The code of a claim, what is kept of it, and the claim as a square code (the claim itself: pledgewatch_wire.claims).

The code has 130 bits of chance, so nobody finds it by asking, and its digest tells nothing of it.
"""

import hashlib
import io
import secrets
from pathlib import Path
from typing import Final

import segno
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

CODE_CHARACTERS: Final = 26
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def new_code() -> str:
    """A code nobody has seen."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(CODE_CHARACTERS))


def sha256_of(code: str) -> str:
    """What is kept of a code."""
    return hashlib.sha256(code.encode()).hexdigest()


def fingerprint(certificate_file: Path) -> str:
    """The SHA-256 of the certificate in a file, hexadecimal. Raises OSError, ValueError."""
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def as_square(claim: str) -> str:
    """A claim as a square code (QR) for a terminal."""
    written = io.StringIO()
    segno.make(claim, error="m", micro=False).terminal(out=written, compact=True)
    return written.getvalue()


def as_svg(claim: str) -> bytes:
    """A claim as a square code in a picture, to be printed."""
    written = io.BytesIO()
    segno.make(claim, error="m", micro=False).save(written, kind="svg", scale=4)
    return written.getvalue()
