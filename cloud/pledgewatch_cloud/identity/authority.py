"""The authority that signs certificates of devices, and what it is asked with.

A certificate says a device's name and nothing else of it: what it may do is in the access list, which is made of the
book. It begins a little before it was made, for clocks differ, and never outlives its authority. What counts no more is
in a revocation list (RFC 5280, 5), which the broker reads; whoever reads one that is too old lets nobody in, so it is
signed anew long before.

An authority is changed for another while devices have certificates of the one before. So those before are known too:
their certificates are renewed, and each has a list of its own, for whoever reads lists looks for what an authority has
signed in its own list alone. Numbers are chance, of 160 bits, so the lists of all of them are of the same numbers. The
key of one before may be what was stolen: of its certificates those count that were given, byte for byte.
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
_CERTIFICATE, _KEY = b"-----BEGIN CERTIFICATE-----", b"PRIVATE KEY-----"
_NO_PEM = "is no certificate or key in PEM without a password; make both with `pledgewatch-cloud devices authority`"


class AuthorityError(Exception):
    """Files that no certificate can be signed with; one sentence that names them and says why."""


class RequestError(ValueError):
    """What was sent is no request for a certificate, or none that is signed here; the sentence says why."""


class Request(NamedTuple):
    """A request for a certificate (PKCS#10): the key that it is for, itself, the digest of the key."""

    public_key: ec.EllipticCurvePublicKey
    der: bytes
    key_sha256: str


class Former(NamedTuple):
    """An authority of before; without its key nothing is listed for it. `chain` as of an Authority."""

    certificate: x509.Certificate
    chain: str = ""
    key: ec.EllipticCurvePrivateKey | None = None


class Authority:
    """Who signs. `chain` are the certificates that a device shows beside its own, PEM; `former`: who has signed
    before."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        chain: str = "",
        former: tuple[Former, ...] = (),
    ) -> None:
        self.certificate, self.chain, self.former, self._key = certificate, chain, former, key

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
        former = None if self.has_signed(certificate) else self.former_of(certificate)
        chain = self.chain if former is None else former.chain
        return certificate.public_bytes(Encoding.PEM).decode("ascii") + chain

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """Whether a certificate is of this authority."""
        return _is_of(certificate, self.certificate)

    def former_of(self, certificate: x509.Certificate) -> Former | None:
        """The authority of before that a certificate is of; None where it is of none of them."""
        return next((one for one in self.former if _is_of(certificate, one.certificate)), None)

    def revocation_list(self, revoked: Iterable[Revoked], now_ms: int) -> bytes:
        """The list of certificates that count no more, PEM."""
        return _listed(self.certificate, self._key, revoked, now_ms)

    def revocation_lists(self, revoked: Iterable[Revoked], now_ms: int) -> bytes:
        """That list, and one of each authority of before whose key is known, PEM; one that has ended needs none."""
        numbers = tuple(revoked)
        lists = [self.revocation_list(numbers, now_ms)]
        own = self.certificate.subject, self.certificate.public_key()
        for one in self.former:
            is_own = (one.certificate.subject, one.certificate.public_key()) == own  # a longer one over the same key
            if one.key is not None and not is_own and _moment(now_ms) < one.certificate.not_valid_after_utc:
                lists.append(_listed(one.certificate, one.key, numbers, now_ms))
        return b"".join(lists)

    def listed_in(self, data: bytes) -> dict[str, int] | None:
        """The numbers on a list that this authority or one before has signed, the first in PEM, and when each was
        revoked; None where it is another's, or no list."""
        try:
            found = x509.load_pem_x509_crl(data)
            own = (self.certificate, *(one.certificate for one in self.former))
            if not any(found.is_signature_valid(one.public_key()) for one in own):  # type: ignore[arg-type]
                return None
            return {f"{one.serial_number:x}": round(one.revocation_date_utc.timestamp()) * 1_000 for one in found}
        except (*_UNREADABLE, TypeError):
            return None


def load(certificate_file: Path, key_file: Path, former_files: Iterable[Path] = ()) -> Authority:
    """The authority in two files: its certificate, which others may follow up to the root, and its key (P-256), which
    nobody but its user may read. Raises AuthorityError."""
    certificates, key = _certificates_in(certificate_file), _key_in(key_file)
    first = certificates[0]
    if first.public_key() != key.public_key():
        raise AuthorityError(f"{key_file}: is not the key of the first certificate in {certificate_file}")
    former = _former(former_files)
    if any(one.certificate == first for one in former):
        raise AuthorityError(f"{certificate_file}: is an authority of before as well; name another one now")
    return Authority(first, key, _chain(certificates), former)


def _former(files: Iterable[Path]) -> tuple[Former, ...]:
    """The authorities of before: a file has a certificate, which others may follow up to the root, or a key of one, or
    both. Raises AuthorityError."""
    found, keys = [], []
    for path in files:
        text = _read(path)
        if _CERTIFICATE in text:
            certificates = _certificates_in(path)
            found.append(Former(certificates[0], _chain(certificates)))
        if _KEY in text:
            keys.append((path, _key_in(path)))
        elif _CERTIFICATE not in text:
            raise AuthorityError(f"{path}: has neither certificate nor key of an authority of before; leave it out")
    for path, key in keys:
        of = [place for place, one in enumerate(found) if one.certificate.public_key() == key.public_key()]
        if not of:
            raise AuthorityError(f"{path}: is the key of no certificate of an authority of before; name that one too")
        for place in of:
            found[place] = found[place]._replace(key=key)
    return tuple(found)


def _certificates_in(path: Path) -> list[x509.Certificate]:
    """The first is an authority's. Raises AuthorityError."""
    try:
        certificates = x509.load_pem_x509_certificates(_read(path))
    except _UNREADABLE:
        raise AuthorityError(f"{path} {_NO_PEM}") from None
    try:
        is_authority = certificates[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise AuthorityError(f"{path}: may sign no certificates; name an authority's")
    return certificates


def _key_in(path: Path) -> ec.EllipticCurvePrivateKey:
    """Raises AuthorityError."""
    text = _read(path)
    if path.stat().st_mode & 0o077:
        raise AuthorityError(f"{path}: other users may read the authority's key; run chmod 600 on it")
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise AuthorityError(f"{path} {_NO_PEM}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AuthorityError(f"{path}: is no P-256 key; make one with `pledgewatch-cloud devices authority`")
    return key


def _read(path: Path) -> bytes:
    """Raises AuthorityError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise AuthorityError(f"{path}: cannot be read: {error.strerror}") from None


def _chain(certificates: list[x509.Certificate]) -> str:
    """What goes with certificates of the first of some, PEM: one that vouches for itself is known or is not."""
    shown = [one for one in certificates if one.subject != one.issuer] if len(certificates) > 1 else []
    return "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in shown)


def _is_of(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _listed(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, revoked: Iterable[Revoked], now_ms: int
) -> bytes:
    now = _moment(now_ms)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(now - _LISTED_EARLIER)
        .next_update(now + dt.timedelta(days=CRL_DAYS))
        .add_extension(x509.CRLNumber(now_ms), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(int(one.serial, 16))
            .revocation_date(_moment(one.at_ms))
            .build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


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
