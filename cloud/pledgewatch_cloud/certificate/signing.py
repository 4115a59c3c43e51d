"""Signing certificates, verifying them, and putting them into a folder.

Each form has a signature file beside it: a JSON object in the one spelling that decide/canonical has, and no other, so
that not a byte of it can be changed unseen. The Ed25519 signature covers the canonical bytes of the object without its
member `signature`; the form itself is tied in by its SHA-256. A signature shows who holds a key. Whose key it is must
be known by another way, so whoever verifies should name the key that he expects.
"""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pledgewatch_cloud.certificate import csv_form, pdf_form, xlsx_form
from pledgewatch_cloud.certificate.model import FORMAT, SIGNATURE_SUFFIX, Certificate, stem
from pledgewatch_cloud.decide.canonical import decode, encode, sha256
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.typeset.text import plain

_SIGNATURE_BYTES_MAX = 65_536
_KEYS = {"format", "file", "sha256", "journal", "entry", "facility", "as_of", "known_at", "public_key", "signature"}


class CertificateError(RuntimeError):
    """What does not verify; one sentence that says why."""


def public_key_hex(key: Ed25519PrivateKey) -> str:
    """The public half, 64 hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def sign(data: bytes, name: str, certificate: Certificate, key: Ed25519PrivateKey) -> bytes:
    """The signature file for a form that is called `name`."""
    said: dict[str, Any] = {
        "format": FORMAT,
        "file": name,
        "sha256": sha256(data),
        "journal": plain(certificate.journal),
        "entry": certificate.entry,
        "facility": plain(certificate.facility),
        "as_of": iso(certificate.as_of_ms),
        "known_at": iso(certificate.known_at_ms),
        "public_key": public_key_hex(key),
    }
    return encode({**said, "signature": key.sign(encode(said)).hex()})


def verify(data: bytes, signature: bytes, public_key: str | None) -> str:
    """One sentence that says what is signed and by whom.

    `data` is the form, `signature` its signature file, `public_key` the key that is expected, 64 hexadecimal digits;
    with None the key that the signature file names is taken, and the sentence says so. Raises CertificateError.
    """
    said = _read(signature)
    named, shown = said["public_key"], {name: plain(str(value)) for name, value in said.items()}
    if public_key is not None and public_key.lower() != named:
        raise CertificateError(f"the certificate is signed with the key {named}, not with {public_key}")
    if sha256(data) != said["sha256"]:
        raise CertificateError(f"the file is not the one that was signed as {shown['file']}: its SHA-256 is another")
    unsigned = encode({name: value for name, value in said.items() if name != "signature"})
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(named)).verify(bytes.fromhex(said["signature"]), unsigned)
    except (InvalidSignature, ValueError):
        raise CertificateError(f"the signature is not by the key {named}, or what it covers was changed") from None
    what = (
        f"{shown['file']} is unchanged: the base of facility {shown['facility']} as of {shown['as_of']}, known at "
        f"{shown['known_at']}, from entry {shown['entry']} of journal {shown['journal']}, signed with the key {named}"
    )
    if public_key is None:
        return f"{what}, which only the signature file itself names: compare it with the signer's by another way."
    return f"{what}."


def _read(signature: bytes) -> dict[str, Any]:
    """What a signature file says. Raises CertificateError where it is not in the one spelling there is."""
    if len(signature) > _SIGNATURE_BYTES_MAX:
        raise CertificateError(f"the signature file is larger than {_SIGNATURE_BYTES_MAX} bytes, so it is none")
    try:
        said = decode(signature)
        is_canonical = encode(said) == signature
    except (ValueError, RecursionError):
        raise CertificateError("the signature file is no JSON") from None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise CertificateError(f"the signature file does not say that its format is {FORMAT}")
    if set(said) != _KEYS:
        odd = ", ".join(sorted(plain(name) for name in set(said) ^ _KEYS))
        raise CertificateError(f"the signature file lacks these members or has them too many: {odd}")
    if not all(type(value) is (int if name == "entry" else str) for name, value in said.items()):
        raise CertificateError("a member of the signature file is of the wrong type: all are text, entry is a number")
    for name, digits in (("public_key", 64), ("signature", 128)):
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", said[name]):
            raise CertificateError(f"{name} in the signature file is not {digits} lower-case hexadecimal digits")
    if not is_canonical:
        raise CertificateError("the signature file is not in canonical JSON: sorted members, no spaces, UTF-8")
    return said


def write(certificate: Certificate, folder: Path, key: Ed25519PrivateKey) -> list[Path]:
    """Write the three forms and their signatures, and return the six paths.

    All six are on disk before the first takes its name, each by rename, so that nobody ever sees half a file; a form
    comes before its signature. Raises OSError where the folder cannot be written.
    """
    name = stem(certificate)
    forms = {
        f"{name}.csv": csv_form.render(certificate),
        f"{name}.xlsx": xlsx_form.render(certificate),
        f"{name}.pdf": pdf_form.render(certificate, public_key_hex(key)),
    }
    files: dict[str, bytes] = {}
    for file, data in forms.items():
        files[file] = data
        files[file + SIGNATURE_SUFFIX] = sign(data, file, certificate, key)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".certificate-", dir=folder) as fresh:
        for file, data in files.items():
            with (Path(fresh) / file).open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
        for file in files:
            (Path(fresh) / file).replace(folder / file)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return [folder / file for file in files]
