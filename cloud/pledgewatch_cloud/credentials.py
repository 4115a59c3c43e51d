"""Secrets in files: what those who come are known by, and what we sign with.

A secret is never in the configuration, only the path of its file; and never in a sentence about what is wrong with it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud import signing_key
from pledgewatch_cloud.config import LoginSettings, MembershipSettings, ReceiptsSettings, SenderSettings
from pledgewatch_cloud.identity import authority, claim_code
from pledgewatch_cloud.identity.authority import Authority, AuthorityError
from pledgewatch_cloud.identity.authority_ends import Identities, Told, told
from pledgewatch_cloud.identity.registrar import Broker, Terms
from pledgewatch_cloud.identity.settings import DevicesSettings
from pledgewatch_cloud.membership.marks_key import MarksKey
from pledgewatch_cloud.notices.senders import SenderKeys, Senders
from pledgewatch_cloud.receipts.signer import Signer, signer
from pledgewatch_cloud.signature import Key

TOKEN_MIN_CHARACTERS = 16


class CredentialError(Exception):
    """A file does not hold the secret that it should; the sentence names it and says why."""


def token_in(path: Path | None) -> str | None:
    """What who writes must show; None where whoever reaches the address may. Raises CredentialError."""
    if path is None:
        return None
    token = _text_in(path)
    if len(token) < TOKEN_MIN_CHARACTERS:
        raise CredentialError(f"{path} holds no token of at least {TOKEN_MIN_CHARACTERS} characters")
    return token


def key_in(path: Path) -> Key:
    """The key in a file with a Standard Webhooks secret. Raises CredentialError."""
    try:
        return Key(_text_in(path))
    except ValueError as error:
        raise CredentialError(f"{path} holds no Standard Webhooks secret: {error}") from None


def marks_key_in(path: Path) -> MarksKey:
    """The key in a file that marks are blinded with. Raises CredentialError."""
    try:
        return MarksKey(_text_in(path))
    except ValueError as error:
        raise CredentialError(f"{path} holds no key for marks: {error}") from None


def member_keys(one: MembershipSettings) -> tuple[tuple[Key, ...], tuple[MarksKey, ...]]:
    """What a member of a registry signs with, and what it blinds marks with. Raises CredentialError."""
    return tuple(map(key_in, one.secret_files)), tuple(map(marks_key_in, one.marks_key_files))


def sender_keys(senders: Sequence[SenderSettings]) -> list[SenderKeys]:
    """What each sender is known by. Raises CredentialError where that is no secret, or two senders have the same."""
    found = [
        SenderKeys(one.id, tuple(key_in(path) for path in one.secret_files), token_in(one.token_file) or "")
        for one in senders
    ]
    try:
        Senders(found)
    except ValueError as error:
        raise CredentialError(f"[[senders]] {error}") from None
    return found


def client_secret(login: LoginSettings) -> str:
    """What we show the login provider; empty where it knows us without. Raises CredentialError."""
    if login.client_secret_file is None:
        return ""
    secret = _text_in(login.client_secret_file)
    if not secret:
        raise CredentialError(f"{login.client_secret_file} holds no secret of a client")
    return secret


def signer_of(receipts: ReceiptsSettings) -> Signer | None:
    """Who signs credentials of receipts; None where nobody does. Raises CredentialError."""
    if receipts.issuer_key_file is None:
        return None
    try:
        return signer(signing_key.load(receipts.issuer_key_file), receipts.base_url)
    except signing_key.SigningKeyError as error:
        raise CredentialError(f"[receipts] issuer_key_file: {error}") from None


def authority_of(one: DevicesSettings, client_ids: Iterable[str]) -> tuple[Authority, Terms]:
    """Who signs certificates of devices, and what goes with them. No device is named like a user or one of `client_ids`
    of the cloud: at a listener of their own devices' names are their client ids. Raises CredentialError."""
    try:
        signs = authority.load(one.authority_certificate_file, one.authority_key_file, one.authority_former_files)
        care = signing_key.load(one.care_key_file).public_key().public_bytes_raw().hex()
        ca_sha256 = None if one.public_ca_file is None else claim_code.fingerprint(one.public_ca_file)
        broker_ca = one.broker_ca_file.read_text(encoding="ascii")
    except (AuthorityError, signing_key.SigningKeyError) as error:
        raise CredentialError(f"[devices] {error}") from None
    except OSError as error:
        raise CredentialError(f"[devices] {error.filename} cannot be read: {error.strerror}") from None
    except ValueError:
        text = "broker_ca_file or public_ca_file is no certificate in PEM"
        raise CredentialError(f"[devices] {text}; put the authority's there") from None
    users = frozenset({one.cloud_user, one.health_user, *client_ids} - {""})
    broker = Broker(one.broker_host, one.broker_port, broker_ca)
    url = one.public_url.rstrip("/")
    return signs, Terms(url, ca_sha256, broker, care, one.certificate_days, users)


def told_of_authorities(one: DevicesSettings, identities: Identities, now_ms: int) -> list[Told]:
    """When who signs certificates of devices ends, and who did before. Raises CredentialError."""
    return told(authority_of(one, ())[0], identities, now_ms)


def care_key_of(one: DevicesSettings) -> Ed25519PrivateKey:
    """The key that signs settings and commands. Raises CredentialError."""
    try:
        return signing_key.load(one.care_key_file)
    except signing_key.SigningKeyError as error:
        raise CredentialError(f"[devices] {error}") from None


def _text_in(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise CredentialError(f"{path} cannot be read: {error.strerror}") from None
