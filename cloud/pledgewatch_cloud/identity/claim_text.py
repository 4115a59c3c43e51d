"""What a technician types or scans (pledgewatch_wire.claims): where the cloud is, who the device is to be, and the code
that lets it, once.

The code has 130 bits of chance, so nobody finds it by asking. `ca_sha256` is the digest of the certificate of the API's
authority, so that the first word to the cloud goes to no other; without it the machine's own authorities decide.
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


def as_square(text: str) -> str:
    """The text as a square code (QR) for a terminal."""
    written = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out=written, compact=True)
    return written.getvalue()


def as_svg(text: str) -> bytes:
    """The text as a square code in a picture, to be printed."""
    written = io.BytesIO()
    segno.make(text, error="m", micro=False).save(written, kind="svg", scale=4)
    return written.getvalue()
