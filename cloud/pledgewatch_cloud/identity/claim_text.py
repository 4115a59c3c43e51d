"""What a technician types or scans: where the cloud is, who the device is to be, and the code that lets it, once.

    pwclaim1.<base64url of {"url": …, "device": …, "operator": …, "code": …, "ca_sha256": …}>

The code has 130 bits of chance, so nobody finds it by asking. `ca_sha256` is the digest of the certificate of the API's
authority, so that the first word to the cloud goes to no other; without it the machine's own authorities decide.
"""

import hashlib
import io
import json
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Final

import segno
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

PREFIX: Final = "pwclaim1."
CODE_CHARACTERS: Final = 26
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def new_code() -> str:
    """A code nobody has seen."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(CODE_CHARACTERS))


def sha256_of(code: str) -> str:
    """What is kept of a code."""
    return hashlib.sha256(code.encode()).hexdigest()


def claim_text(url: str, device: str, operator: str, code: str, ca_sha256: str = "") -> str:
    """The text."""
    said = {"url": url, "device": device, "operator": operator, "code": code}
    if ca_sha256:
        said["ca_sha256"] = ca_sha256
    written = json.dumps(said, separators=(",", ":")).encode()
    return PREFIX + urlsafe_b64encode(written).decode("ascii").rstrip("=")


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
