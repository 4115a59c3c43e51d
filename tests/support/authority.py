"""A certificate authority for a test: its files are made in a folder, and nobody else knows them."""

import datetime as dt
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """A certificate authority whose files lie in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        about: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca=True, path_length=None), True)]
        certificate = self._sign(self._name, self._key, about, dt.timedelta(days=30), dt.timedelta(days=30))
        self._write(name, certificate, self._key)

    def issue(
        self, name: str, *, since: dt.timedelta = dt.timedelta(hours=1), until: dt.timedelta = dt.timedelta(days=1)
    ) -> None:
        """NAME.pem and NAME.key, good for a client, and for a server of that name or on the loopback address, since so
        long ago until so long from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternative = x509.SubjectAlternativeName(
            [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        self._write(name, self._sign(subject, key, [(alternative, False)], since, until), key)

    def grant(self, request: x509.CertificateSigningRequest, begin: dt.datetime, end: dt.datetime) -> x509.Certificate:
        """A client's certificate for a request, good for that time."""
        public = request.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return self._sign_public(request.subject, public, [], begin, end)

    def revoke(self, serials: Iterable[int], file: Path, *, until: dt.timedelta = dt.timedelta(days=1)) -> None:
        """Write the list of these revoked certificates, good until so long from now."""
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - dt.timedelta(hours=1)).next_update(now + until)
        for serial in serials:
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(one)
        file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
        since: dt.timedelta,
        until: dt.timedelta,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        begin, end = now - since, now + until
        return self._sign_public(subject, key.public_key(), extensions, begin, end)

    def _sign_public(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
        begin: dt.datetime,
        end: dt.datetime,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
