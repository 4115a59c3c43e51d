"""Devices that claim identities: a hand-made authority, the API with it, and a device of a few lines that asks."""

import hashlib
import json
from base64 import b64encode, urlsafe_b64decode
from pathlib import Path
from typing import Any, cast

from api_cloud import ApiCloud
from asking import AppClient
from builders import Device, ManualClock
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from httpx2 import Response

from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.identity import authority
from pledgewatch_cloud.identity.registrar import Broker, Registrar, Terms

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WORLD_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z
CARE = "ab" * 32
_P256 = ec.ECDSA(hashes.SHA256())


def request_pem(key: Any, name: str, *more: tuple[x509.ObjectIdentifier, str]) -> str:
    """A request for a certificate as a device makes it."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name), *(x509.NameAttribute(*one) for one in more)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def sha256_of_request(pem: str) -> bytes:
    """The digest that proofs are over."""
    return hashlib.sha256(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER)).digest()


def said_in(claim: str) -> dict[str, Any]:
    """What a claim's text holds."""
    head, _, rest = claim.partition(".")
    assert head == "pwclaim1"
    return cast(dict[str, Any], json.loads(urlsafe_b64decode(rest + "=" * (-len(rest) % 4))))


class Claimant:
    """A device that claims and renews: its chain, its key of TLS, and the certificate that it was given."""

    def __init__(self, name: str, *, seed: int = 7, epoch: int = 0) -> None:
        self.name, self.epoch = name, epoch
        self.device = Device(name, epoch=epoch + 1, seed=seed)
        self.tls = ec.generate_private_key(ec.SECP256R1())
        self.certificate = ""

    def claim(self, code: str, **other: Any) -> dict[str, Any]:
        """The body of a claim; `other` is what is said otherwise."""
        csr = other.pop("csr", None) or request_pem(self.tls, self.name)
        signed = b"pledgewatch claim\0" + sha256_of_request(csr) + code.encode()
        return {
            "device": self.name,
            "code": code,
            "csr": csr,
            "public_key": self.device.public_key,
            "proof": b64encode(self.device.key.sign(signed)).decode(),
            "epoch": self.epoch,
            **other,
        }

    def renewal(self, at_ms: int, *, key: Any = None, **other: Any) -> dict[str, Any]:
        """The body of a renewal, for another key where one is named."""
        csr = request_pem(key or self.tls, self.name)
        signed = b"pledgewatch renewal\0" + sha256_of_request(csr) + str(at_ms).encode()
        return {
            "device": self.name,
            "csr": csr,
            "certificate": self.certificate,
            "signed_ms": at_ms,
            "proof": b64encode(self.tls.sign(signed, _P256)).decode(),
            **other,
        }

    def confirmation(self, at_ms: int) -> dict[str, Any]:
        """The body of a confirmation."""
        der = x509.load_pem_x509_certificate(self.certificate.encode()).public_bytes(Encoding.DER)
        signed = b"pledgewatch confirmation\0" + hashlib.sha256(der).digest() + str(at_ms).encode()
        return {
            "device": self.name,
            "certificate": self.certificate,
            "signed_ms": at_ms,
            "proof": b64encode(self.tls.sign(signed, _P256)).decode(),
        }

    def write(self, folder: Path) -> None:
        """NAME.pem and NAME.key, as a client of the broker has them."""
        key = self.tls.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{self.name}.pem").write_text(self.certificate, encoding="ascii")
        (folder / f"{self.name}.key").write_bytes(key)


class ClaimCloud:
    """The API with an authority. `world` is the clock of certificates and invitations; `tick_s` moves what counts how
    often somebody asks."""

    def __init__(self, folder: Path, *, world_ms: int = WORLD_MS, days: int = 90, **others: Any) -> None:
        self.world, self.now_s = ManualClock(world_ms), 0.0
        made = folder / "authority"
        self.authority_file, self.authority_key_file = files = made / "ca.pem", made / "ca.key"
        if made.exists():  # another start, over the same folder
            self.authority = authority.load(*files)
        else:
            made.mkdir()
            self.authority = authority.create(*files, "test authority", 400, world_ms)
        broker = Broker("broker.example", 8_883, "the broker's authority")
        self.terms = Terms("https://cloud.example:8420", "cd" * 32, broker, CARE, days, frozenset({"cloud"}))
        self.cloud = ApiCloud(folder, **{"delivery_clock": self.world, **others})
        self.registrar = Registrar(
            self.cloud.writer,
            self.authority,
            self.terms,
            clock=self.world,
            journal_clock=self.cloud.clock,
            now_s=lambda: self.now_s,
        )
        service = self.cloud.client.app.state.service
        object.__setattr__(service, "registrar", self.registrar)
        self.client: AppClient = self.cloud.client

    def post(self, path: str, body: dict[str, Any], **more: Any) -> Response:
        """What is answered."""
        return self.client.post(path, json=body, **more)

    def invite(self, device: str, **more: Any) -> str:
        """The code of an invitation."""
        answer = self.post("/devices/invitations", {"device": device, **more})
        assert answer.status_code == 201, answer.text
        return cast(str, said_in(answer.json()["claim"])["code"])

    def claimed(self, one: Claimant, code: str, **other: Any) -> dict[str, Any]:
        """A claim that is granted."""
        answer = self.post("/devices/claims", one.claim(code, **other))
        assert answer.status_code == 201, answer.text
        found = cast(dict[str, Any], answer.json())
        one.certificate, one.epoch = found["certificate"], found["epoch"]
        return found


class Holders:
    """Whoever has certificates of one device: A is the first, and each has a key of its own by its letter."""

    DEVICE = "container-1"

    def __init__(self, cloud: ClaimCloud) -> None:
        self.cloud, self.first = cloud, Claimant(self.DEVICE)
        cloud.claimed(self.first, cloud.invite(self.DEVICE))
        self.keys: dict[str, Any] = {"A": self.first.tls}
        self.given = {"A": self.first.certificate}

    def asked(self, act: str) -> Response:
        """`A>B`: a renewal by A for the key of B. `B!`: the confirmation of B. `+A>B`: a third of a life later.
        Each is a minute after the one before, `~A>B` five. `a` is another certificate for the key of A."""
        minutes = 5 if act[0] == "~" else 1
        self.cloud.now_s += 60 * minutes
        self.cloud.world.at_ms += 60_000 * minutes
        act = act.removeprefix("~")
        if act[0] == "+":
            act, self.cloud.world.at_ms = act[1:], self.cloud.world.at_ms + 30 * DAY_MS
        letter, now_ms = act[0], self.cloud.world.at_ms
        self.first.tls, self.first.certificate = self.keys[letter], self.given[letter]
        if act[1] == "!":
            return self.cloud.post("/devices/confirmations", self.first.confirmation(now_ms))
        key = self.keys.get(act[2].swapcase()) or ec.generate_private_key(ec.SECP256R1())
        key = self.keys.setdefault(act[2], key)
        answer = self.cloud.post("/devices/renewals", self.first.renewal(now_ms, key=key))
        if answer.status_code == 201:
            self.given[act[2]] = answer.json()["certificate"]
        return answer

    def counting(self) -> str:
        """The letters of the certificates that count, oldest first."""
        letters = {self.digest(letter): letter for letter in self.keys}
        return "".join(
            letters[one.key_sha256] for one in self.cloud.cloud.writer.state.identities.of(self.DEVICE).certificates
        )

    def digest(self, letter: str) -> str:
        """Of a letter's key, as the journal has it."""
        csr = self.first.renewal(0, key=self.keys[letter])["csr"]
        return authority.read_request(csr, self.DEVICE).key_sha256

    def alarms(self) -> list[dict[str, Any]]:
        """What was said of two who are this device."""
        store = self.cloud.cloud.store
        return [dict(one.event.facts) for one in store.events() if one.event.type is EventType.TAMPER_SUSPECTED]
