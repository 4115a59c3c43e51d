"""What docker-compose.yml needs and git must not hold, made into compose/made: an authority for development with the
certificates of the broker, the cloud, the site's gateway and the broker's health check; the keys of the site's devices;
tokens, passwords and shared secrets; the part of the book that names those keys, and Mosquitto's files made of it.

What is there already stays, so it can be run again after the book has changed; `--renew` makes the certificates anew.

An engine mounts these files as they are, with their owner and mode, into containers whose users are not ours. So each
may be read by all, and the folder around them by its owner alone.
"""

import argparse
import datetime as dt
import ipaddress
import json
import os
import secrets
import sys
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pledgewatch_cloud.__main__ import main as cloud
from pledgewatch_sim import site
from pledgewatch_sim.warehouse import layout

ROOT = Path(__file__).resolve().parent.parent
BROKER_NAMES = ("mosquitto", "localhost")
CLIENTS = ("cloud", "health", "site-la-3")
TOKENS = ("api.token", "influxdb-admin.token", "influxdb-admin.password", "grafana-admin.password")
SIGNING = ("core.secret", "wms.secret")
AUTHORITY_DAYS = 3_650
_BROKER_MB = "256"  # its container has twice as much
_SECRET_BYTES = 32


class Authority:
    """A certificate authority for development: its key lies in a folder that no container sees."""

    def __init__(self, folder: Path, shown: Path) -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pledgewatch development authority")])
        key_file = folder / "ca.key"
        if not key_file.exists():
            write(key_file, pem_of(ec.generate_private_key(ec.SECP256R1())), 0o600)
            shown.unlink(missing_ok=True)
        key = load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey), key_file
        self._key = key
        if not shown.exists():
            write(shown, self._certificate().public_bytes(Encoding.PEM), 0o444)

    def issue(self, name: str, folder: Path, days: int, *, served_as: tuple[str, ...] = ()) -> None:
        """NAME.pem and NAME.key, for a client of that name, or for a server of the names `served_as`."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if served_as else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            self._begun(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if served_as:
            builder = builder.add_extension(x509.SubjectAlternativeName([*map(_general, served_as)]), critical=False)
        write(folder / f"{name}.key", pem_of(key), 0o444)
        write(folder / f"{name}.pem", builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM), 0o444)

    def _certificate(self) -> x509.Certificate:
        builder = (
            self._begun(self._name, self._key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())

    def _begun(self, name: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=days))
        )


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def pem_of(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """A private key as a file has it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write(path: Path, data: bytes, mode: int) -> None:
    """The whole file or none, never readable by more than it is meant for."""
    made = path.with_name(f".{path.name}.made")
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
    made.replace(path)


def make(folder: Path, days: int, names: tuple[str, ...], *, renew: bool) -> None:
    """All of it, into a folder. Raises OSError."""
    shown, broker, authority = folder / "secrets", folder / "broker", folder / "authority"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for one, mode in ((shown, 0o700), (broker, 0o755), (authority, 0o700)):
        one.mkdir(exist_ok=True)
        one.chmod(mode)
    _issue(Authority(authority, shown / "ca.pem"), shown, days, names, renew=renew)
    for name in TOKENS:
        if not (shown / name).exists():
            write(shown / name, secrets.token_urlsafe(_SECRET_BYTES).encode(), 0o444)
    for name in SIGNING:
        if not (shown / name).exists():
            write(shown / name, b"whsec_" + b64encode(secrets.token_bytes(_SECRET_BYTES)), 0o444)
    for zone in layout.ZONES:
        if not (shown / f"{zone.device}.key").exists():
            write(shown / f"{zone.device}.key", pem_of(ed25519.Ed25519PrivateKey.generate()), 0o444)
    _write_book(folder / "book-site.json", shown)
    _write_broker_files(folder, broker)


def _issue(authority: Authority, shown: Path, days: int, names: tuple[str, ...], *, renew: bool) -> None:
    for name in CLIENTS:
        if renew or not (shown / f"{name}.pem").exists():
            authority.issue(name, shown, days)
    if renew or not (shown / "broker.pem").exists():
        authority.issue("broker", shown, days, served_as=(*BROKER_NAMES, "127.0.0.1", *names))


def _write_book(path: Path, shown: Path) -> None:
    settings = site.load_site(ROOT / "compose" / "site.toml")
    here = replace(settings, gateway_file=ROOT / "compose" / "gateway.toml", keys_folder=shown)
    write(path, (json.dumps(site.book(here), indent=1) + "\n").encode(), 0o644)


def _write_broker_files(folder: Path, broker: Path) -> None:
    """As its container sees them, by the commands that people use."""
    books = [str(one) for one in (folder / "book-site.json", ROOT / "compose" / "book.yaml")]
    named = [option for book in books for option in ("--book", book)]
    acl = ["broker", "acl", *named, "--health", "health", "--output", str(broker / "acl")]
    files = [
        option
        for name, file in (("ca-file", "ca.pem"), ("certificate-file", "broker.pem"), ("key-file", "broker.key"))
        for option in (f"--{name}", f"/run/secrets/{file}")
    ]
    conf = ["broker", "conf", *files, "--memory-mb", _BROKER_MB, "--output", str(broker / "mosquitto.conf")]
    for command in (acl, conf):
        if cloud(command):
            raise SystemExit(2)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/compose-secrets", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "compose" / "made", help="(%(default)s)")
    parser.add_argument("--days", type=int, default=365, help="how long certificates are good (%(default)s)")
    parser.add_argument("--name", action="append", default=[], help="a further name or address of the broker's host")
    parser.add_argument("--renew", action="store_true", help="make the certificates anew")
    options = parser.parse_args()
    if not 1 <= options.days <= AUTHORITY_DAYS:
        parser.error(f"--days is {options.days}; use 1 to {AUTHORITY_DAYS}")
    try:
        make(options.folder.resolve(), options.days, tuple(options.name), renew=options.renew)
    except OSError as error:
        sys.exit(f"{error.filename} cannot be written: {error.strerror}")
    print(f"{options.folder}: made; whoever can read it can be the bank, the site and the cloud")


if __name__ == "__main__":
    main()
