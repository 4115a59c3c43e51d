"""The device's certificate: its files, how new ones take the place of old ones, and how it stands.

In the state folder, beside what identity.py keeps:

- `tls.key`: the P-256 key of TLS, for its owner only; made here, never sent anywhere. Not there where a token has it.
- `tls.crt`: the certificates, the device's own first.
- `broker-ca.crt`, `cloud-ca.crt`: by whom broker and cloud are known. `care.pub`: who signs settings and commands.
- `tls.key.new`, `tls.csr.new`, `tls.crt.new`: the next ones, until they are in force. A request is kept so that a
  second try sends the very same, which the cloud knows again.
- `tls.unconfirmed`: a certificate came into force, and the cloud has not heard of that yet. `tls.key.old`,
  `tls.crt.old`: those of before, until it has; a new one that was dropped by then is given up for them.
- `refused`: by whom the device is refused, and why, until it is accepted again.
- `doubted`: whose certificate is not believed, at which address and why, and what the clock said then.

Key and certificate are two files, and two renames are not one. The key goes first; a certificate that does not belong
to its key, beside a new one that does, is what a power cut has left between, and is finished at the next start. To go
back is the same the other way: what was in force before is put beside as if it had just come, and comes into force. So
at every moment one pair is whole: in force, or between two renames, and those of before count only where they belong
together.
"""

import asyncio
import contextlib
import datetime as dt
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from pledgewatch_edge.clock import RELEASED_MS, boot_ms, system_ms
from pledgewatch_edge.config import Pkcs11Settings
from pledgewatch_edge.identity import StateError, flush_folder, replace_file
from pledgewatch_edge.tls import Shown

KEY_FILE: Final = "tls.key"
CERTIFICATE_FILE: Final = "tls.crt"
BROKER_CA_FILE: Final = "broker-ca.crt"
CLOUD_CA_FILE: Final = "cloud-ca.crt"
CARE_FILE: Final = "care.pub"
_REQUEST_FILE: Final = "tls.csr"
_UNCONFIRMED_FILE: Final = "tls.unconfirmed"
_REFUSED_FILE: Final = "refused"
_DOUBTED_FILE: Final = "doubted"
NEW: Final = ".new"
OLD: Final = ".old"
_CARE_KEY: Final = re.compile(r"[0-9a-f]{64}")
BROKER: Final = "broker"
CLOUD: Final = "cloud"
_RENEWED_AFTER: Final = 2 / 3  # of its life
_SPREAD: Final = 1 / 20  # of its life, so that a fleet that was claimed on one day is not renewed on one
_MOVED_MS: Final = 240_000  # a clock that has moved by so much against the time since boot has been set
log = logging.getLogger(__name__)


class Term(NamedTuple):
    """When a certificate is good, in Unix milliseconds, and when it should be renewed."""

    from_ms: int
    end_ms: int
    renew_ms: int

    @property
    def late_ms(self) -> int:
        """From when on it is late to renew it."""
        return (self.renew_ms + self.end_ms) // 2


class TlsIdentity:
    """The certificate of one state folder, and its key there or in a token."""

    def __init__(self, folder: Path, token: Pkcs11Settings | None = None) -> None:
        self.folder = folder
        self._token = token
        self._token_key: ec.EllipticCurvePrivateKey | None = None  # once found; to ask for it takes a process

    @property
    def certificate_file(self) -> Path:
        """Where the certificate in force is."""
        return self.folder / CERTIFICATE_FILE

    @property
    def key_file(self) -> Path | None:
        """Where the key in force is; None where a token has it."""
        return None if self._token else self.folder / KEY_FILE

    def mend(self) -> None:
        """Finish what a power cut has left between two renames, or of what is not needed any more. Raises
        StateError."""
        with _state_errors():
            if not self._path(_UNCONFIRMED_FILE).exists():
                self._forget_old()
            fresh = self._path(CERTIFICATE_FILE, NEW)
            if self._token or not fresh.exists() or not self._path(KEY_FILE).exists():
                return
            is_between = not self._path(KEY_FILE, NEW).exists() or not self._belong("")
            if is_between and _public(self._key("")) == _public(_leaf(fresh)):
                self._rename(CERTIFICATE_FILE)

    def request(self, device: str) -> bytes:
        """The certificate request (PEM) of a new key; the same until a certificate for it is in force. Raises
        StateError."""
        with _state_errors():
            key = self._fresh_key()
            path = self._path(_REQUEST_FILE, NEW)
            with contextlib.suppress(FileNotFoundError, ValueError):
                known = x509.load_pem_x509_csr(path.read_bytes())
                if _public(known) == _public(key) and _name(known) == device:
                    return known.public_bytes(Encoding.PEM)
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
            made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
            replace_file(path, made.public_bytes(Encoding.PEM))
            return made.public_bytes(Encoding.PEM)

    def ask_for_the_key_in_force(self) -> bool:
        """Let the next request be for the key in force and not for a new one; whether it would have been. Raises
        StateError."""
        with _state_errors():
            if self._token or self._is_same(KEY_FILE, NEW):
                return False
            replace_file(self._path(KEY_FILE, NEW), self._path(KEY_FILE).read_bytes(), 0o600)
            return True

    def keep(self, chain: str, device: str) -> None:
        """Put the certificate that the cloud gave beside the one in force. Raises StateError where it is not the
        device's, or not of the key that was made for it."""
        with _state_errors():
            leaf = _first(chain)
            if _public(leaf) != _public(self._fresh_key()):
                raise StateError("the cloud's certificate is of another key than this device's; ask for a new claim")
            if _name(leaf) != device:
                raise StateError(f"the cloud's certificate is that of {_name(leaf)!r}, not of {device!r}")
            replace_file(self._path(CERTIFICATE_FILE, NEW), chain.encode("utf-8"))

    def keep_others(self, broker_ca: object, care_public_key: object) -> None:
        """Keep by whom the broker is known, until the new certificate is in force, and who signs settings, where the
        cloud says another than before. Raises StateError."""
        with _state_errors():
            if isinstance(broker_ca, str) and self._is_other(BROKER_CA_FILE, broker_ca):
                _first(broker_ca)
                replace_file(self._path(BROKER_CA_FILE, NEW), broker_ca.encode("utf-8"))
            if isinstance(care_public_key, str) and self._is_other(CARE_FILE, f"{care_public_key}\n"):
                if not _CARE_KEY.fullmatch(care_public_key):
                    raise StateError("what the cloud gave is no key for settings; ask who runs it")
                replace_file(self._path(CARE_FILE), f"{care_public_key}\n".encode("ascii"))

    def is_late(self, chain: str) -> bool:
        """Whether the certificate that answered a claim is in force already, or a later one is. Raises StateError."""
        with _state_errors():
            leaf = _first(chain)
            if not self.is_whole():
                return False
            if self._token:
                return _leaf(self.certificate_file).not_valid_before_utc >= leaf.not_valid_before_utc
            return not (self._path(KEY_FILE, NEW).exists() and _public(self._key(NEW)) == _public(leaf))

    def take(self, chain: str, device: str) -> None:
        """Put the certificate that answered a claim in force; not where it is late. Raises StateError."""
        with _state_errors():
            if self.is_late(chain):
                return
            self.keep(chain, device)
            self._install()
            self._path(_UNCONFIRMED_FILE).unlink(missing_ok=True)  # the claim has ended all that was before
            self._forget_old()
            for name in (_REFUSED_FILE, _DOUBTED_FILE):
                self._path(name).unlink(missing_ok=True)

    def waiting(self) -> Shown | None:
        """A certificate that has come and is not in force yet, with its key; None where there is none. Raises
        StateError."""
        with _state_errors():
            certificate, key = self._path(CERTIFICATE_FILE, NEW), self._path(KEY_FILE, NEW)
            if not certificate.exists() or (not self._token and not key.exists()):
                return None
            if not self._belong(NEW):
                return None
            authority = self._path(BROKER_CA_FILE, NEW)
            return Shown(certificate, self._token or key, authority if authority.exists() else None)

    def install(self) -> None:
        """Put what is waiting in force, and keep what was until the cloud has heard of it. Raises StateError."""
        with _state_errors():
            if self._belong(""):
                self._forget_old()
                self._copy("", OLD)
            self._install()

    def go_back(self) -> bool:
        """Put in force again what was before the certificate that the cloud has not heard of, and keep that one as what
        was before; whether there is any. Raises StateError."""
        with _state_errors():
            if self.is_confirmed() or not (self._belong("") and self._belong(OLD)):
                return False
            self._path(CERTIFICATE_FILE, NEW).unlink(missing_ok=True)
            self._copy(OLD, NEW)
            self.install()
            return True

    def _install(self) -> None:
        replace_file(self._path(_UNCONFIRMED_FILE), b"")
        self._path(_REQUEST_FILE, NEW).unlink(missing_ok=True)
        if self._path(BROKER_CA_FILE, NEW).exists():
            self._rename(BROKER_CA_FILE)
        if not self._token:
            self._rename(KEY_FILE)
        self._rename(CERTIFICATE_FILE)

    def _copy(self, of: str, to: str) -> None:
        """Key and certificate under another end. The certificate comes last: without it the key counts for nothing."""
        if not self._token:
            replace_file(self._path(KEY_FILE, to), self._path(KEY_FILE, of).read_bytes(), 0o600)
        replace_file(self._path(CERTIFICATE_FILE, to), self._path(CERTIFICATE_FILE, of).read_bytes())

    def _forget_old(self) -> None:
        for name in (CERTIFICATE_FILE, KEY_FILE):
            self._path(name, OLD).unlink(missing_ok=True)

    def is_confirmed(self) -> bool:
        """Whether the cloud knows that the certificate in force is. Raises StateError."""
        with _state_errors():
            return not self._path(_UNCONFIRMED_FILE).exists()

    def confirmed(self) -> None:
        """The cloud knows it. Raises StateError."""
        with _state_errors():
            self._path(_UNCONFIRMED_FILE).unlink(missing_ok=True)
            self._forget_old()
            flush_folder(self.folder)

    def signs(self, data: bytes) -> bytes:
        """A signature by the key in force. Raises StateError."""
        with _state_errors():
            return self._key("").sign(data, ec.ECDSA(hashes.SHA256()))

    def certificate(self) -> bytes | None:
        """The device's own certificate in force (PEM); None where it has none. Raises StateError."""
        with _state_errors():
            path = self.certificate_file
            return _leaf(path).public_bytes(Encoding.PEM) if path.exists() else None

    def term(self) -> Term | None:
        """When the certificate in force is good; None where there is none. Raises StateError."""
        with _state_errors():
            path = self.certificate_file
            return term_of(_leaf(path)) if path.exists() else None

    def name(self) -> str | None:
        """Whose the certificate in force is; None where there is none. Raises StateError."""
        with _state_errors():
            path = self.certificate_file
            return _name(_leaf(path)) if path.exists() else None

    def is_whole(self) -> bool:
        """Whether key and certificate are there and belong together. Raises StateError."""
        with _state_errors():
            return self.certificate_file.exists() and self._belong("")

    def _is_other(self, name: str, text: str) -> bool:
        path = self._path(name)
        return not path.exists() or path.read_bytes() != text.encode("utf-8")

    def _is_same(self, name: str, end: str) -> bool:
        other = self._path(name, end)
        return other.exists() and other.read_bytes() == self._path(name).read_bytes()

    def _path(self, name: str, end: str = "") -> Path:
        return self.folder / (name + end)

    def _belong(self, end: str) -> bool:
        """Whether certificate and key belong together."""
        try:
            return _public(self._key(end)) == _public(_leaf(self._path(CERTIFICATE_FILE, end)))
        except FileNotFoundError:
            return False

    def _key(self, end: str) -> ec.EllipticCurvePrivateKey:
        if self._token:
            from pledgewatch_edge import pkcs11  # noqa: PLC0415 - few devices have a token

            self._token_key = self._token_key or pkcs11.key(self._token)
            return self._token_key
        path = self._path(KEY_FILE, end)
        if path.stat().st_mode & 0o077:
            raise StateError(f"{path}: other users may read the device's key; run chmod 600 on it")
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except ValueError:
            raise StateError(f"{path}: is no private key in PEM; remove it, and claim the device again") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StateError(f"{path}: is no key on an elliptic curve; remove it, and claim the device again")
        return key

    def _fresh_key(self) -> ec.EllipticCurvePrivateKey:
        """The key for the next certificate, made where there is none. A token keeps the one that it has."""
        if self._token:
            from pledgewatch_edge import pkcs11  # noqa: PLC0415 - few devices have a token

            self._token_key = self._token_key or pkcs11.key_or_new(self._token)
            return self._token_key
        path = self._path(KEY_FILE, NEW)
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            replace_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
        return self._key(NEW)

    def _rename(self, name: str) -> None:
        self._path(name, NEW).replace(self._path(name))
        flush_folder(self.folder)


class Standing:
    """How broker and cloud take the device's certificate, and whether the device believes theirs: said in the log when
    it changes, and kept for `status`."""

    def __init__(self, folder: Path, now_ms: Callable[[], int] = system_ms) -> None:
        self._path = folder / _REFUSED_FILE
        self._doubted_path = folder / _DOUBTED_FILE
        self._now_ms = now_ms
        self._refused = dict(refusals(folder))
        self._doubting = threading.Lock()
        self._addresses: dict[str, str] = {}
        self._said: set[str] = set()
        self._news = asyncio.Event()

    def by(self, who: str) -> str | None:
        """Why somebody refuses the device; None where he does not."""
        refusal = self._refused.get(who)
        return None if refusal is None else str(refusal["why"])

    async def refused(self, who: str, why: str) -> None:
        """Somebody refuses the device, which it could hear from who is believed alone."""
        await self.believed(who)
        if why not in self._said:
            log.error("this device is refused by=%s why=%r; its readings are kept", who, why)
            self._said.add(why)
            if who == BROKER:
                self._news.set()
        if self.by(who) != why:
            self._refused[who] = {"why": why, "since_ms": self._now_ms()}
            await asyncio.to_thread(self._write)

    async def accepted(self, who: str) -> None:
        """He has let it in, or given what it asked for."""
        await self.believed(who)
        if who in self._refused:
            log.info("this device is accepted again by=%s", who)
            self._said.discard(str(self._refused.pop(who)["why"]))
            await asyncio.to_thread(self._write)

    async def doubted(self, who: str, why: BaseException) -> None:
        """Somebody shows a certificate that is not believed; where `why` has `is_of_time`, for what time it is."""
        await asyncio.to_thread(self.note_doubt, who, why)

    async def believed(self, who: str) -> None:
        """Somebody shows one that is."""
        await asyncio.to_thread(self.note_belief, who)

    def speaks_to(self, who: str, address: str) -> None:
        """Where somebody is from now on; what was noted of another address is forgotten."""
        self._addresses[who] = address
        with self._doubting:
            if self._doubts().get(who, {}).get("address", address) != address:
                self._note(who, None)

    def is_doubted(self, who: str) -> bool:
        """Whether it is noted that somebody shows a certificate that is not believed."""
        return who in self._doubts()

    def note_doubt(self, who: str, why: BaseException) -> None:
        """As `doubted`, from a thread. It is held against the file: a claim may have removed that, or the disk not have
        taken it."""
        is_of_time = bool(getattr(why, "is_of_time", False))
        told = {"why": str(why), "is_of_time": is_of_time, "address": self._addresses.get(who, "")}
        now_ms, up_ms = self._now_ms(), boot_ms()
        with self._doubting:
            known = self._doubts().get(who, {})
            if {key: known.get(key) for key in told} != told or _has_been_set(known, now_ms, up_ms):
                self._note(who, {**told, "at_ms": now_ms, "up_ms": up_ms})

    def note_belief(self, who: str) -> None:
        """As `believed`, from a thread."""
        with self._doubting:
            if who in self._doubts():
                self._note(who, None)

    def _doubts(self) -> Mapping[str, Mapping[str, Any]]:
        return _noted_in(self._doubted_path)

    def _note(self, who: str, doubt: Mapping[str, Any] | None) -> None:
        others = {one: noted for one, noted in self._doubts().items() if one != who}
        self._put(self._doubted_path, others if doubt is None else {**others, who: doubt})

    async def refused_within(self, timeout_s: float) -> None:
        """Wait until the broker refuses it for another reason than before, or until the time has passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()

    def _write(self) -> None:
        if self._refused != _noted_in(self._path):
            self._put(self._path, self._refused)

    def _put(self, path: Path, noted: Mapping[str, Mapping[str, Any]]) -> None:
        with contextlib.suppress(OSError):  # it is in the log, and the readings need the disk more
            if noted:
                replace_file(path, json.dumps(noted).encode("utf-8"))
            else:
                path.unlink(missing_ok=True)


def refusals(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """By whom the device is refused, and why and since when, from the disk."""
    return _noted_in(folder / _REFUSED_FILE)


def doubts(folder: Path, now_ms: int | None = None, addresses: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """A sentence for each of broker and cloud whose certificate is not believed, from the disk. Where that is for what
    time it is, it tells what this computer's clock says, for that may be what is wrong. It tells nothing of somebody
    who has another address by now, nor of time where the clock has been set since, or the computer begun anew."""
    now_ms = system_ms() if now_ms is None else now_ms
    found = []
    for who, one in _noted_in(folder / _DOUBTED_FILE).items():
        if one.get("address", "") != addresses.get(who, one.get("address", "")):
            continue
        if not one.get("is_of_time"):
            found.append(str(one["why"]))
        elif not _has_been_set(one, now_ms, boot_ms()):
            found.append(f"{one['why']}; this computer's clock says {told(now_ms)}")
    return found


def _has_been_set(noted: Mapping[str, Any], now_ms: int, up_ms: int) -> bool:
    """Whether the clock has been set, or the computer begun anew, since something was noted."""
    try:
        return abs((now_ms - up_ms) - (int(noted["at_ms"]) - int(noted["up_ms"]))) >= _MOVED_MS
    except (KeyError, TypeError, ValueError):
        return True  # nobody knows


def _noted_in(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """What is noted of each in a file; nothing where it cannot be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    is_right = isinstance(found, dict) and all(isinstance(one, dict) and "why" in one for one in found.values())
    return found if is_right else {}


def standing_of(
    folder: Path,
    token: Pkcs11Settings | None = None,
    now_ms: int | None = None,
    addresses: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, object]:
    """How the identity stands, from the disk alone, for `status`: when the certificate ends and when it is to be
    renewed (ISO 8601; None where there is none), and a sentence for each thing that is wrong. `addresses`: where broker
    and cloud are by now, as far as that is known."""
    now_ms = system_ms() if now_ms is None else now_ms
    wrong = [f"the {who} refuses this device: {one['why']}" for who, one in refusals(folder).items()]
    wrong += doubts(folder, now_ms, addresses)
    term = None
    identity = TlsIdentity(folder, token)
    try:
        term = identity.term()
        wrong += pair_faults(identity)
    except StateError as error:
        wrong.append(str(error))
    if now_ms < RELEASED_MS:
        wrong.append("this computer's clock is not set, so certificates are not judged by time")
    elif term is not None:
        if now_ms >= term.end_ms:
            wrong.append("the certificate has ended; ask for a new claim")
        elif now_ms < term.from_ms:
            wrong.append("the certificate is not good yet by this computer's clock; set the clock")
        elif now_ms > term.late_ms:
            wrong.append("the certificate has not been renewed though it is late; see the log for why")
    return {
        "certificate_ends": None if term is None else told(term.end_ms),
        "certificate_renewed_from": None if term is None else told(term.renew_ms),
        "wrong": wrong,
    }


def pair_faults(identity: TlsIdentity) -> list[str]:
    """A sentence where key and certificate in force do not belong together; none where there is no certificate, or a
    token has the key. Raises StateError."""
    has_pair = identity.key_file is not None and identity.term() is not None
    if not has_pair or identity.is_whole() or identity.waiting() is not None:
        return []
    return [f"{identity.key_file} and {identity.certificate_file} do not belong together; claim it again"]


def term_of(certificate: x509.Certificate) -> Term:
    """When a certificate is good, and when it should be renewed: a moment of its own for each, by its number."""
    start, end = (
        round(moment.timestamp() * 1_000)
        for moment in (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    )
    share = _RENEWED_AFTER + _SPREAD * (certificate.serial_number % 1_000) / 1_000
    return Term(start, end, start + round((end - start) * share))


def told(moment_ms: int) -> str:
    """A moment for people, ISO 8601."""
    return dt.datetime.fromtimestamp(moment_ms / 1_000, dt.UTC).isoformat(timespec="seconds")


def _first(chain: str) -> x509.Certificate:
    """The first certificate that the cloud gave. Raises StateError."""
    try:
        return x509.load_pem_x509_certificates(chain.encode("utf-8"))[0]
    except ValueError:
        raise StateError("what the cloud gave is no certificate; ask who runs it") from None


def _leaf(path: Path) -> x509.Certificate:
    """The first certificate of a file. Raises StateError, OSError."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except ValueError:
        raise StateError(f"{path}: is no certificate in PEM; claim the device again") from None


def _public(one: x509.Certificate | x509.CertificateSigningRequest | ec.EllipticCurvePrivateKey) -> bytes:
    return one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(one: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """The common name; empty where there is not just one."""
    names = [str(name.value) for name in one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return names[0] if len(names) == 1 else ""


@contextlib.contextmanager
def _state_errors() -> Iterator[None]:
    """The operating system's errors as ours."""
    try:
        yield
    except OSError as error:
        raise StateError(f"{error.filename}: {error.strerror}; give the agent a folder it may write") from None
