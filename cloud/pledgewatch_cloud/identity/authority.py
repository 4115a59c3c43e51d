"""The authority that signs certificates of devices, and what it is asked with.

A certificate says a device's name and nothing else of it: what it may do is in the access list, which is made of the
book. It begins a little before it was made, for clocks differ, and never outlives its authority. What counts no more is
in a revocation list (RFC 5280, 5), which the broker reads; whoever reads one that is too old lets nobody in, so it is
signed anew long before.
"""

import datetime as dt
import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pledgewatch_cloud.decide.identity_book import Issued, Revoked

CRL_DAYS = 30
"""How long a revocation list is good; while the cloud is away for longer, the broker lets no device in."""
REQUEST_MAX = 8_192
CERTIFICATE_MAX = 32_768
EARLIER = dt.timedelta(hours=1)
_LISTED_EARLIER = dt.timedelta(days=1)  # a broker whose clock is behind would let nobody in
_UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion)
"""What the library raises for what is not what it says; the last is no ValueError."""


class AuthorityError(Exception):
    """Files that no certificate can be signed with; one sentence that names them and says why."""


class RequestError(ValueError):
    """What was sent is no request for a certificate, or none that is signed here; the sentence says why."""


class Request(NamedTuple):
    """A request for a certificate (PKCS#10): the key that it is for, itself, the digest of the key."""

    public_key: ec.EllipticCurvePublicKey
    der: bytes
    key_sha256: str


class Authority:
    """Who signs. `chain` are the certificates that a device shows beside its own, PEM."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, chain: str = "") -> None:
        self.certificate, self.chain, self._key = certificate, chain, key

    def issue(self, device: str, request: Request, days: int, now_ms: int) -> Issued:
        """A certificate in a device's name for the key of its request. Raises AuthorityError where this authority is
        about to end, or has not begun."""
        now = _moment(now_ms)
        until = min(now + dt.timedelta(days=days), self.certificate.not_valid_after_utc)
        if not self.certificate.not_valid_before_utc <= now < until:
            raise AuthorityError("the authority's certificate is not good now; give the cloud one that is")
        own = self._key.public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(device))
            .issuer_name(self.certificate.subject)
            .public_key(request.public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - EARLIER, self.certificate.not_valid_before_utc))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(device)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return issued_of(certificate)

    def shown(self, issued: Issued) -> str:
        """A certificate and those that go with it, PEM, its own first."""
        certificate = x509.load_der_x509_certificate(b64decode(issued.certificate))
        return certificate.public_bytes(Encoding.PEM).decode("ascii") + self.chain

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """Whether a certificate is of this authority."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True

    def revocation_list(self, revoked: Iterable[Revoked], now_ms: int) -> bytes:
        """The list of certificates that count no more, PEM."""
        now = _moment(now_ms)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - _LISTED_EARLIER)
            .next_update(now + dt.timedelta(days=CRL_DAYS))
            .add_extension(x509.CRLNumber(now_ms), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(one.serial, 16))
                .revocation_date(_moment(one.at_ms))
                .build()
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def listed_in(self, data: bytes) -> dict[str, int]:
        """The numbers on a list that this authority has signed, the first in PEM, and when each was revoked; none where
        it is another's, or none."""
        try:
            found = x509.load_pem_x509_crl(data)
            if not found.is_signature_valid(self._key.public_key()):
                return {}
            return {f"{one.serial_number:x}": round(one.revocation_date_utc.timestamp()) * 1_000 for one in found}
        except (*_UNREADABLE, TypeError):
            return {}


def load(certificate_file: Path, key_file: Path) -> Authority:
    """The authority in two files: its certificate, which others may follow up to the root, and its key (P-256), which
    nobody but its user may read. Raises AuthorityError."""
    try:
        certificates = x509.load_pem_x509_certificates(certificate_file.read_bytes())
        if key_file.stat().st_mode & 0o077:
            raise AuthorityError(f"{key_file}: other users may read the authority's key; run chmod 600 on it")
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except OSError as error:
        raise AuthorityError(f"{error.filename}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        text = f"{certificate_file} or {key_file} is no certificate or key in PEM without a password"
        raise AuthorityError(f"{text}; make both with `pledgewatch-cloud devices authority`") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AuthorityError(f"{key_file}: is no P-256 key; make one with `pledgewatch-cloud devices authority`")
    first, *others = certificates
    if first.public_key() != key.public_key():
        raise AuthorityError(f"{key_file}: is not the key of the first certificate in {certificate_file}")
    try:
        is_authority = first.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise AuthorityError(f"{certificate_file}: may sign no certificates; name an authority's")
    chain = [one for one in certificates if one.subject != one.issuer] if others else []
    return Authority(first, key, "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in chain))


def create(certificate_file: Path, key_file: Path, name: str, days: int, now_ms: int) -> Authority:
    """A new authority that vouches for itself, in two files that were not there. Raises AuthorityError."""
    for path in (certificate_file, key_file):
        if path.exists():
            raise AuthorityError(f"{path}: is there already, and an authority is never written over; name another file")
    key, now = ec.generate_private_key(ec.SECP256R1()), _moment(now_ms)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write(certificate_file, certificate.public_bytes(Encoding.PEM), 0o644)
    return Authority(certificate, key)


def read_request(text: str, device: str) -> Request:
    """A device's request for a certificate, PEM. Raises RequestError."""
    try:
        request = x509.load_pem_x509_csr(text.encode("ascii"))
        is_signed = request.is_signature_valid
        key, name = request.public_key(), _name_of(request.subject)
    except _UNREADABLE:
        raise RequestError("csr: is no request for a certificate (PKCS#10) in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RequestError("csr: its key is not of ECDSA on P-256")
    if not is_signed:
        raise RequestError("csr: it is not signed by its own key")
    if name != device:
        raise RequestError(f"csr: its subject is not CN={device} alone")
    return Request(key, request.public_bytes(Encoding.DER), _key_sha256(key))


def read_certificate(text: str) -> x509.Certificate:
    """The first certificate of a chain in PEM; its key, its name and its number can be read. Raises RequestError."""
    try:
        found = x509.load_pem_x509_certificates(text.encode("ascii"))[0]
        # The library reads the parts when they are asked for.
        found.public_key(), device_of(found), serial_of(found)
    except _UNREADABLE:
        raise RequestError("certificate: is none in PEM") from None
    return found


def verifies(certificate: x509.Certificate, signature: bytes, text: bytes) -> bool:
    """Whether a text is signed (ECDSA, SHA-256) with the key of a certificate."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def device_of(certificate: x509.Certificate) -> str:
    """Whose name a certificate is in; empty where it is in no device's."""
    return _name_of(certificate.subject)


def serial_of(certificate: x509.Certificate) -> str:
    """Its number, hexadecimal."""
    return f"{certificate.serial_number:x}"


def issued_of(certificate: x509.Certificate) -> Issued:
    """A certificate of this program's, as the journal has it."""
    der = b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")
    not_after_ms = int(certificate.not_valid_after_utc.timestamp()) * 1_000
    return Issued(serial_of(certificate), not_after_ms, key_sha256_of(certificate), der)


def issued_ms_of(one: Issued) -> int:
    """When a certificate was made, by the cloud's clock then."""
    begins = x509.load_der_x509_certificate(b64decode(one.certificate)).not_valid_before_utc
    return int((begins + EARLIER).timestamp()) * 1_000


def key_sha256_of(certificate: x509.Certificate) -> str:
    """The digest of the key that a certificate is for, as that of a request; empty of another kind of key."""
    key = certificate.public_key()
    return _key_sha256(key) if isinstance(key, ec.EllipticCurvePublicKey) else ""


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _name_of(name: x509.Name) -> str:
    every = list(name)
    return str(every[0].value) if len(every) == 1 and every[0].oid == NameOID.COMMON_NAME else ""


def _key_sha256(key: ec.EllipticCurvePublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _moment(at_ms: int) -> dt.datetime:
    """To the second, as certificates have it."""
    return dt.datetime.fromtimestamp(at_ms // 1_000, dt.UTC)


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AuthorityError(f"{path}: cannot be written: {error.strerror}") from None
