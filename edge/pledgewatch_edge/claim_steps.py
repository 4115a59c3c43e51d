"""Claiming: from a claim to a device that is known, by steps of which each may be the last one and done again.

    keys and request on the disk -> the cloud is asked -> its answer on the disk -> files, counter, configuration

The keys are made here and stay here; what goes to the cloud is a request for a certificate, the public key of the
chain, and a signature that ties both to the code. Who is killed before the answer is on the disk asks again with the
very same request, by which the cloud knows him; who is killed later is not asked for the code again: what is left to do
is done from the answer. Nothing of the code is kept but its hash.

The state folder is the device's: one that holds the readings of another device is refused, before anything is asked.
Whose configuration it is, an agent's or that of a gateway with many devices, is the affair of who has it claimed.
"""

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pledgewatch_edge import past
from pledgewatch_edge.clock import RELEASED_MS, system_ms
from pledgewatch_edge.cloud_api import Answer, CloudApi, known_by_hash
from pledgewatch_edge.identity import (
    begin_above,
    load_or_create_key,
    public_key_hex,
    read_epoch,
    replace_file,
    sole_use,
)
from pledgewatch_edge.ownership import as_owner_of
from pledgewatch_edge.spool.file import whose_spool
from pledgewatch_edge.tls_identity import BROKER_CA_FILE, CARE_FILE, CLOUD_CA_FILE, TlsIdentity, told
from pledgewatch_wire.claims import CLAIMS_PATH, Claim, claim_proof, read_claim
from pledgewatch_wire.codec import MAX_EPOCH
from pledgewatch_wire.settings import SettingsError

_ANSWER_FILE: Final = "claimed.json"
_ANSWER_TEXTS: Final = ("operator", "device", "certificate", "broker_ca", "care_public_key")


class ClaimFailedError(Exception):
    """A claim that was not carried out, or not to its end; the text says why, and what to do."""


class Given(NamedTuple):
    """What the cloud has answered."""

    certificate: str
    broker_host: str
    broker_port: int
    broker_ca: str
    care_public_key: str
    epoch: int
    asset: str
    settings: str


class Configuration(Protocol):
    """The configuration of who claims: where the device's keys go, and how it is completed by what the cloud gave."""

    def identity_of(self, claim: Claim) -> TlsIdentity:
        """Where keys and certificate of the claim's device go. Nothing is asked where this raises SettingsError (what
        is written there stands against the claim) or ClaimFailedError."""
        ...

    def check_further(self, settings: str) -> None:
        """Refuse further settings, TOML, that may not be taken from an invitation. Raises ClaimFailedError."""
        ...

    def complete(self, claim: Claim, given: Given, identity: TlsIdentity, say: Callable[[str], None]) -> None:
        """Complete it. Raises SettingsError, ClaimFailedError."""
        ...


def carry_out(
    text: str,
    configuration: Configuration,
    *,
    ca_file: Path | None,
    say: Callable[[str], None],
    now_ms: Callable[[], int] = system_ms,
) -> None:
    """Claim the device of `text`, and complete the configuration. `ca_file`: by whom the cloud is known, where the
    claim leaves that open.

    Raises ClaimError for a text that is no claim, ClaimFailedError, SettingsError, StateError, SpoolError, CloudError.
    """
    claim = read_claim(text)
    identity = configuration.identity_of(claim)
    authority = None if ca_file is None else _authority(claim, ca_file)  # the state folder's user may not read it
    with as_owner_of([identity.folder]):
        given = _taken(text, claim, configuration, identity, authority, say, now_ms)
    configuration.complete(claim, given, identity, say)


def _taken(
    text: str,
    claim: Claim,
    configuration: Configuration,
    identity: TlsIdentity,
    authority: bytes | None,
    say: Callable[[str], None],
    now_ms: Callable[[], int],
) -> Given:
    """What is done in the state folder: keys are made, the cloud is asked, what it gave is put there."""
    state = identity.folder
    key = load_or_create_key(state)
    with _disk_errors(state), sole_use(state):
        owner, _ = whose_spool(state)
        if owner not in {"", claim.device}:
            raise ClaimFailedError(
                f"{state} holds readings of {owner!r}, not of {claim.device!r}; give it another state folder"
            )
        identity.mend()
        answer = _kept(state, text)
        if answer is None:
            answer = _asked(
                claim,
                identity,
                key_hex=public_key_hex(key),
                sign=key.sign,
                state=state,
                authority=authority,
                say=say,
                now_ms=now_ms,
            )
            _keep(state, text, answer)
        else:
            say("this claim has been answered before; doing what was left to do")
        given = _given(answer, claim)
        configuration.check_further(given.settings)
        _apply(given, claim, identity, state, say)
    return given


@contextlib.contextmanager
def _disk_errors(state: Path) -> Iterator[None]:
    """A disk that refuses as a claim that failed: whatever is done by then, the same claim does the rest."""
    try:
        yield
    except OSError as error:
        text = f"{error.filename or state}: {error.strerror}; see to that disk, then run the same again"
        raise ClaimFailedError(text) from None


def _asked(
    claim: Claim,
    identity: TlsIdentity,
    *,
    key_hex: str,
    sign: Callable[[bytes], bytes],
    state: Path,
    authority: bytes | None,
    say: Callable[[str], None],
    now_ms: Callable[[], int],
) -> Mapping[str, Any]:
    """Ask the cloud; its answer. What it is known by is on the disk then."""
    request = identity.request(claim.device)
    der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
    judges_time = now_ms() >= RELEASED_MS
    if authority is None and claim.ca_sha256:
        authority = known_by_hash(claim.url, claim.ca_sha256)
    answer: Answer = CloudApi(claim.url, ca_der=authority, judges_time=judges_time).post(
        CLAIMS_PATH,
        {
            "device": claim.device,
            "code": claim.code,
            "csr": request.decode("ascii"),
            "public_key": key_hex,
            "proof": base64.b64encode(sign(claim_proof(der, claim.code))).decode("ascii"),
            "epoch": read_epoch(state) or 0,
        },
    )
    if not judges_time:
        say(f"this computer's clock is not set; certificates were judged by the cloud's, {told(answer.time_ms or 0)}")
    if authority is not None:
        pem = x509.load_der_x509_certificate(authority).public_bytes(Encoding.PEM)
        replace_file(state / CLOUD_CA_FILE, pem)
    return answer.said


def _authority(claim: Claim, ca_file: Path) -> bytes:
    """Whom to know the cloud by (DER), of those in a file."""
    try:
        found = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(ca_file.read_bytes())]
    except OSError as error:
        raise ClaimFailedError(f"{ca_file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ClaimFailedError(f"{ca_file} is no certificate in PEM") from None
    right = [one for one in found if claim.ca_sha256 in {None, hashlib.sha256(one).hexdigest()}]
    if not right:
        raise ClaimFailedError(f"{ca_file} is not the certificate that the claim names; ask for the right one")
    return right[0]


def _given(answer: Mapping[str, Any], claim: Claim) -> Given:
    """The answer, looked at. Raises ClaimFailedError where it is not what a cloud answers."""
    broker, epoch = answer.get("broker"), answer.get("epoch")
    host, port = (broker.get("host"), broker.get("port")) if isinstance(broker, dict) else (None, None)
    settings = answer.get("settings", "")
    missing = [key for key in _ANSWER_TEXTS if not isinstance(answer.get(key), str) or not answer[key]]
    if not isinstance(host, str) or not host or not isinstance(port, int) or not 1 <= port <= 65_535:
        missing.append("broker")
    if not isinstance(epoch, int) or not 0 <= epoch < MAX_EPOCH:
        missing.append("epoch")
    if missing or not isinstance(settings, str):
        raise ClaimFailedError(f"the cloud's answer has no usable {', '.join(missing) or 'settings'}; ask who runs it")
    assert isinstance(host, str)
    assert isinstance(port, int)
    assert isinstance(epoch, int)
    if (answer["operator"], answer["device"]) != (claim.operator, claim.device):
        raise ClaimFailedError("the cloud's answer is for another device than the claim; ask who runs it")
    try:
        x509.load_pem_x509_certificates(answer["broker_ca"].encode("utf-8"))
        is_key = len(bytes.fromhex(answer["care_public_key"])) == 32
    except ValueError:
        is_key = False
    if not is_key:
        raise ClaimFailedError("the cloud's answer has no usable broker_ca or care_public_key; ask who runs it")
    asset = str(answer.get("asset") or "")
    return Given(
        answer["certificate"], host, port, answer["broker_ca"], answer["care_public_key"], epoch, asset, settings
    )


def _apply(given: Given, claim: Claim, identity: TlsIdentity, state: Path, say: Callable[[str], None]) -> None:
    """Put on the disk what the cloud gave, the certificate last: with it the device can begin.

    Where that certificate is in force already, or a later one, all of it was put there before, and a renewal may have
    brought other keys since: then only what is missing is put back.
    """
    _, spool_epoch = whose_spool(state)
    begin_above(state, given.epoch, spool_epoch)
    is_late = identity.is_late(given.certificate)
    for name, text in ((BROKER_CA_FILE, given.broker_ca), (CARE_FILE, f"{given.care_public_key}\n")):
        if not is_late or not (state / name).exists():
            replace_file(state / name, text.encode("utf-8"))
    if not is_late:
        past.forget(state)
    identity.take(given.certificate, claim.device)
    term = identity.term()
    assert term is not None
    fitted = f", fitted to {given.asset}" if given.asset else ""
    say(f"{claim.device} of {claim.operator} is claimed{fitted}; its keys and certificate are in {state}")
    say(f"the certificate is good until {told(term.end_ms)} and is renewed before that by itself")
    if given.epoch:
        say(f"the cloud knows this device up to epoch {given.epoch}; it begins above that")


def refuse(kept: list[str], config: Path) -> None:
    """Raise SettingsError where a configuration keeps something that stands against a claim."""
    if kept:
        cure = "correct it, or run the same with --replace"
        raise SettingsError(config, [f"{one}; {cure}" for one in kept])


def require_writable(config: Path) -> None:
    """Before a code is spent on it: the configuration can be put in its place."""
    folder = config.absolute().parent
    if not folder.is_dir():
        raise ClaimFailedError(f"{folder}: there is no such folder; make it, then run the same again")
    if not os.access(folder, os.W_OK):
        raise ClaimFailedError(f"{folder} may not be written to; run this as who may, or with another --config")


def _kept(state: Path, text: str) -> Mapping[str, Any] | None:
    """What the cloud has answered to this claim before; None where it has not, or nobody knows."""
    try:
        kept = json.loads((state / _ANSWER_FILE).read_bytes())
        return dict(kept["answer"]) if kept["claim_sha256"] == _hash(text) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(state: Path, text: str, answer: Mapping[str, Any]) -> None:
    kept = {"claim_sha256": _hash(text), "answer": answer}
    replace_file(state / _ANSWER_FILE, json.dumps(kept).encode("utf-8"), 0o600)


def _hash(text: str) -> str:
    return hashlib.sha256("".join(text.split()).encode("utf-8")).hexdigest()
