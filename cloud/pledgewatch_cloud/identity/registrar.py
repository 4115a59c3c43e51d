"""Who gives devices their identities: invitations, claims, renewals and confirmations on their way into the journal.

What is asked is looked at here as far as it can be without the state (requests, proofs, how often); what the state says
of it is decided in decide/identity_acts.py, behind the writer's lock, so that of two who show one code at once one is
the device. A device that has lost the answer asks again with the same keys, and is told the same. Once it has said that
it has the new certificate in force the one before counts no more, and who shows it then is told of.

Each renewal leaves a certificate on the revocation list, and there is room for so many. So one that came by a renewal
is not renewed while it is young, whatever its device believes of the time. One that came by a claim is: a broker that
does not take it may take another; and so is one of an authority of before. But whoever renews it again, for another key
than the one before, waits ever longer, and is told of: a device keeps the key that it has asked with, and a thief may
have its card.

A journal that was put back from an older copy knows nothing of what was given since. A certificate that it does not
know and our authority has signed is the device's, where it was made after all that are known of it, is not on the list
that the broker had, and its key is proven. Where nothing was put back there is none such, so each is told of.

How often somebody asks is counted by certificate and address, and by what is asked: so who has a copy of a card, and
asks from elsewhere whatever he likes, keeps the device from nothing. From how many addresses says nothing of a device,
for those that move have many. How often does: an agent has a pace, and who asks faster by its certificate is another.
"""

import contextlib
import logging
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Container
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from pledgewatch_cloud.access.rates import Rates
from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import identity_acts as acts
from pledgewatch_cloud.decide.batch import DeviceInvitation
from pledgewatch_cloud.decide.identity_acts import IdentityError, Why
from pledgewatch_cloud.decide.identity_book import Identity, Issued
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.identity import claim_code
from pledgewatch_cloud.identity.authority import (
    Authority,
    RequestError,
    device_of,
    issued_ms_of,
    issued_of,
    key_sha256_of,
    read_certificate,
    read_request,
    serial_of,
    verifies,
)
from pledgewatch_cloud.spine.writer import Commits, Writer
from pledgewatch_wire import afar, chain
from pledgewatch_wire.claims import Claim, claim_proof, claim_text, confirmation_proof, renewal_proof
from pledgewatch_wire.toml_text import TomlError, read_toml

CLAIMS_PER_MINUTE = 30
"""Of one address. Many devices may be fitted behind one."""
ATTEMPTS_PER_MINUTE = 6
"""With one code, or of each kind (`_Asks`) by one certificate from one address."""
AGENTS_PER_MINUTE = 12
"""Of each kind, by one certificate from wherever it may be. An agent asks at most twice a minute, and six times where
it is started again whenever it has ended (RestartSec of its unit), whatever is answered; a proxy may say it twice."""
AGENTS_MINUTES = 10
"""So many minutes' worth have to be used up before it is told that it is no agent."""
RENEWALS_PER_MINUTE = 300
"""Of one address: a carrier may have a whole fleet behind it."""
SKEW_MS = 300_000
SETTINGS_MAX = 8_192
_HOUR_MS = 3_600_000
_YOUNG = 3
"""One that came by a renewal is renewed from this part of its life on."""
log = logging.getLogger(__name__)


class TooOftenError(Exception):
    """Somebody asks too often; `wait_s` is when to ask again."""

    def __init__(self, what: str, wait_s: int) -> None:
        super().__init__(f"{what}; ask again in {wait_s} s")
        self.wait_s = wait_s


class _Asks(StrEnum):
    """What is asked by a certificate. None of them takes from another."""

    CONFIRMATION = "confirmation"
    SAME_KEY = "same key"
    OTHER_KEY = "other key"


class Broker(NamedTuple):
    """Where devices connect, and whose certificate it shows (PEM)."""

    host: str
    port: int
    ca: str


class Terms(NamedTuple):
    """What goes into claims and answers. `own_users` are users and client ids of the cloud at the broker, as which no
    device may be named."""

    public_url: str
    ca_sha256: str | None
    broker: Broker
    care_public_key: str
    certificate_days: int
    own_users: frozenset[str]


class Invited(NamedTuple):
    """An invitation with its claim, which is said this once."""

    claim: str
    asked: DeviceInvitation


@dataclass(frozen=True, slots=True)
class Asked:
    """What a device claims with; see docs/DEVICES.md."""

    device: str
    code: str
    csr: str
    public_key: str
    proof: str
    epoch: int


class Registrar:
    """Gives identities. `clock` is the world's, as certificates have it; `journal_clock` that of the journal. `known`
    waits until the broker knows who is let in by a state, where there is a broker to be told, and until whoever was
    connected as one of some devices was put out: what is answered is good there at once, and nothing of before is. It
    waits with nothing held, and whatever comes of it the answer is given. `forgotten`: numbers of certificates that
    were revoked, of which the journal does not know that."""

    def __init__(
        self,
        writer: Writer,
        authority: Authority,
        terms: Terms,
        *,
        clock: Clock,
        journal_clock: Clock,
        now_s: Callable[[], float] = time.monotonic,
        known: Callable[[State, Collection[str]], Awaitable[object]] | None = None,
        forgotten: Container[str] = (),
    ) -> None:
        self._known, self._forgotten = known, forgotten
        self._writer, self._authority, self.terms = writer, authority, terms
        self._clock, self._journal_clock = clock, journal_clock
        self._claimers, self._renewers = Rates(CLAIMS_PER_MINUTE, now_s), Rates(RENEWALS_PER_MINUTE, now_s)
        self._attempts, self._renewals = Rates(ATTEMPTS_PER_MINUTE, now_s), Rates(ATTEMPTS_PER_MINUTE, now_s)
        self._paces = Rates(AGENTS_PER_MINUTE, now_s, minutes=AGENTS_MINUTES)

    async def invite(
        self,
        device: str,
        *,
        operator: str,
        asset: str,
        replaces: str,
        valid_h: int,
        settings: str,
        by: str,
        commits: Commits,
        gateway: str = "",
    ) -> Invited:
        """Invite a device to claim an identity within so many hours. `commits`: for whom it is; `gateway`: whose zone
        it is. Raises IdentityError, BookError, StoreError."""
        if own := self.terms.own_users & {device, gateway}:
            raise IdentityError(Why.INVALID, f"{min(own)!r} is the broker's name for the cloud itself; use another")
        _check_settings(settings)
        code, now_ms = claim_code.new_code(), self._clock.now_ms()
        until_ms, digest = now_ms + valid_h * _HOUR_MS, claim_code.sha256_of(code)
        asked = DeviceInvitation(device, operator, asset, replaces, digest, settings, by, now_ms, until_ms, gateway)
        asked = acts.completed(self._writer.state.book, asked)
        await commits.commit(drafts.invite_device, asked)
        terms = self.terms
        claim = Claim(terms.public_url, asked.operator, device, code, terms.ca_sha256, asked.gateway or None)
        return Invited(claim_text(claim), asked)

    async def claim(self, asked: Asked, address: str) -> dict[str, Any]:
        """The answer to a claim. Raises IdentityError, RequestError, TooOftenError, BookError, StoreError."""
        _count(self._claimers, address, f"that is more than {CLAIMS_PER_MINUTE} claims a minute")
        digest = claim_code.sha256_of(asked.code)
        _count(self._attempts, digest, f"that is more than {ATTEMPTS_PER_MINUTE} claims a minute by one code")
        state, now_ms = self._writer.state, self._clock.now_ms()
        invitation = acts.invitation_of(state.identities, asked.device, digest, now_ms)
        if invitation is None:
            raise acts.unknown_code()
        request = read_request(asked.csr, asked.device)
        _check_proof(asked, claim_proof(request.der, asked.code))
        issued = self._authority.issue(asked.device, request, self.terms.certificate_days, now_ms)
        shown = drafts.Shown(asked.device, digest, asked.public_key, asked.epoch)
        await self._writer.commit(drafts.claim_device, shown, issued, now_ms, self._journal_clock.now_ms())
        state = self._writer.state
        identity = acts.answered(
            state.book, state.identities, asked.device, digest, asked.public_key, request.key_sha256
        )
        if identity is None:
            raise acts.unknown_code()  # it was invited again, or revoked, in this very moment
        answer = self._answer(state, identity)
        await self._until_known(state, asked.device, invitation.replaces)
        return {**answer, "settings": invitation.settings}

    async def renew(
        self, device: str, csr: str, certificate: str, signed_ms: int, proof: str, address: str
    ) -> dict[str, Any]:
        """The answer to a renewal. Raises IdentityError, RequestError, TooOftenError, StoreError."""
        shown = self._shown(device, certificate)
        request = read_request(csr, device)
        now_ms = self._signed(shown, proof, renewal_proof(request.der, signed_ms), "request", signed_ms)
        asks = _Asks.SAME_KEY if request.key_sha256 == key_sha256_of(shown) else _Asks.OTHER_KEY
        await self._count_renewal(shown, asks, address, now_ms)
        async with self._noting_misuse(shown, signed_ms, now_ms):
            await self._recover(shown, signed_ms, now_ms)
            state = self._writer.state
            acts.certificate_of(state.book, state.identities.of(device), serial_of(shown), now_ms)
            if self._authority.has_signed(shown):  # one of before is renewed whenever it is shown
                _check_age(state.identities.of(device), shown, now_ms)
            issued = self._authority.issue(device, request, self.terms.certificate_days, now_ms)
            try:
                await self._writer.commit(drafts.renew_device, device, serial_of(shown), issued, now_ms, signed_ms)
            except acts.TooSoonError as error:
                raise TooOftenError(str(error), ceil((error.from_ms - now_ms) / 1_000)) from None
        state = self._writer.state
        answer = self._answer(state, state.identities.of(device))
        await self._until_known(state)
        return answer

    async def confirm(self, device: str, certificate: str, signed_ms: int, proof: str, address: str) -> dict[str, Any]:
        """The answer to who has a certificate in force. Raises IdentityError, RequestError, TooOftenError,
        StoreError."""
        shown = self._shown(device, certificate)
        proven = confirmation_proof(shown.public_bytes(Encoding.DER), signed_ms)
        now_ms = self._signed(shown, proof, proven, "certificate", signed_ms)
        await self._count_renewal(shown, _Asks.CONFIRMATION, address, now_ms)
        async with self._noting_misuse(shown, signed_ms, now_ms):
            await self._recover(shown, signed_ms, now_ms)
            outcome = await self._writer.commit(drafts.confirm_device, device, serial_of(shown), now_ms, signed_ms)
        return {"device": device, "changed": outcome is not None}

    def _shown(self, device: str, certificate: str) -> x509.Certificate:
        """The certificate that somebody shows of a device, which ours is. Raises IdentityError, RequestError."""
        shown = read_certificate(certificate)
        if device_of(shown) != device or not (self._authority.has_signed(shown) or self._was_given(device, shown)):
            raise IdentityError(Why.REFUSED, f"this certificate is not of {device!r}, or not of this authority")
        return shown

    def _was_given(self, device: str, shown: x509.Certificate) -> bool:
        """Whether a certificate is of an authority of before, and the one that its device was given by that number:
        whoever has stolen the key of that authority makes others. Of one that counts no more only the number is left,
        and it is refused by that."""
        if self._authority.former_of(shown) is None:
            return False
        der, serial = b64encode(shown.public_bytes(Encoding.DER)).decode("ascii"), serial_of(shown)
        given = self._writer.state.identities.of(device).certificates
        return all(one.certificate == der for one in given if one.serial == serial)

    def _signed(self, shown: x509.Certificate, proof: str, proven: bytes, what: str, signed_ms: int) -> int:
        """The time, where who shows a certificate has its key. Raises RequestError."""
        now_ms = self._clock.now_ms()
        if not verifies(shown, _bytes(proof, "proof"), proven):
            raise RequestError(f"proof: it is not signed with the certificate's key over this {what} and signed_ms")
        if abs(signed_ms - now_ms) > SKEW_MS:
            raise RequestError(
                f"signed_ms: it is not within {SKEW_MS // 60_000} minutes of {now_ms}, the cloud's clock"
            )
        return now_ms

    async def _recover(self, shown: x509.Certificate, signed_ms: int, now_ms: int) -> None:
        """Have the journal know a certificate that it has lost, where it may be one. Raises IdentityError where it is
        known to be revoked, StoreError."""
        one, device = issued_of(shown), device_of(shown)
        identity = self._writer.state.identities.of(device)
        if any(it.serial == one.serial for it in identity.revoked):
            return  # the journal knows, so it refuses, and tells of who shows it
        if one.serial in self._forgotten:
            text = f"this certificate of {device} was replaced or revoked, by the list that the broker had"
            raise IdentityError(Why.REFUSED, f"{text}; ask for another invitation, and claim it")
        if not self._authority.has_signed(shown) or not identity.certificates or acts.is_known(identity, one.serial):
            return  # whoever has stolen the key of an authority of before signs what the journal does not know either
        newest = identity.certificates[-1]
        if issued_ms_of(one) <= issued_ms_of(newest):
            return
        if await self._writer.commit(drafts.recover_device, device, newest.serial, one, now_ms, signed_ms):
            log.warning(
                "device=%s has a certificate that the journal does not know, serial=%s; it counts from now on: "
                "the journal was put back, or somebody else has the authority's key (docs/DEVICES.md)",
                *(device, one.serial),
            )

    async def _count_renewal(self, shown: x509.Certificate, asks: _Asks, address: str, now_ms: int) -> None:
        """Count one who has the key of what he shows, and nobody before: whoever has nothing, or an older certificate
        of the device, cannot keep it from renewing, nor can who has a copy and asks from elsewhere, or for something
        else. The address is counted last: what one certificate asks too often takes nothing from others behind it.
        Raises TooOftenError, StoreError."""
        serial = serial_of(shown)
        if self._paces.wait_s(f"{asks} {serial}"):
            noted = device_of(shown), serial, now_ms
            if drafts.note_overuse(self._writer.state, *noted) is not None:
                await self._writer.commit(drafts.note_overuse, *noted)
        often = f"that is more than {ATTEMPTS_PER_MINUTE} renewals a minute by one certificate"
        _count(self._renewals, f"{asks} {serial} {address}", often)
        _count(self._renewers, address, f"that is more than {RENEWALS_PER_MINUTE} renewals a minute")

    @contextlib.asynccontextmanager
    async def _noting_misuse(self, shown: x509.Certificate, signed_ms: int, now_ms: int) -> AsyncIterator[None]:
        """Whoever is refused here has the key of the certificate; where he signed after that was replaced, it is
        noted. So it is where the journal does not know one that is ours and good: after it was put back a thief may
        have been faster than the device."""
        try:
            yield
        except IdentityError:
            one, device = issued_of(shown), device_of(shown)
            await self._writer.commit(drafts.note_misuse, device, one.serial, signed_ms, now_ms)
            if self._authority.has_signed(shown) and one.not_after_ms > now_ms:
                await self._writer.commit(drafts.note_unknown, device, one.serial, now_ms)
            raise

    async def _until_known(self, state: State, *devices: str) -> None:
        if self._known is not None:
            await self._known(state, devices)

    def _answer(self, state: State, identity: Identity) -> dict[str, Any]:
        installed, terms = state.book.installations[identity.device], self.terms
        if not identity.certificates:
            raise IdentityError(Why.REFUSED, f"the identity of {identity.device} was revoked meanwhile")
        issued: Issued = identity.certificates[-1]
        return {
            "operator": installed.operator,
            "device": identity.device,
            "asset": installed.asset,
            "certificate": self._authority.shown(issued),
            "not_after_ms": issued.not_after_ms,
            "broker": {"host": terms.broker.host, "port": terms.broker.port},
            "broker_ca": terms.broker.ca,
            "care_public_key": terms.care_public_key,
            "epoch": identity.epoch,
        }


def _check_settings(text: str) -> None:
    if len(text.encode()) > SETTINGS_MAX:
        raise IdentityError(Why.INVALID, f"settings: they are longer than {SETTINGS_MAX} bytes")
    try:
        said = read_toml(text)
    except TomlError as error:
        raise IdentityError(Why.INVALID, f"settings: they are no TOML: {error}") from None
    if ours := sorted({"device", "broker"} & said.keys()):
        text = f"settings: the device writes [{ours[0]}] itself, by what it is answered; leave it out"
        raise IdentityError(Why.INVALID, text)
    may = (*afar.INVITED, *afar.SENSORS)
    if others := [one for one in said if one not in may]:
        text = f"settings: [{others[0]}] may not be set by an invitation; there are {', '.join(may)}"
        raise IdentityError(Why.INVALID, text)


def _check_age(identity: Identity, shown: x509.Certificate, now_ms: int) -> None:
    """Renew none again that is young. By the older of two, or by one that came by a claim, is renewed as fast as
    acts.check_pace allows. Raises TooOftenError."""
    if identity.claim is not None or serial_of(shown) != identity.certificates[-1].serial:
        return
    begin, end = shown.not_valid_before_utc, shown.not_valid_after_utc
    due_ms = round((begin + (end - begin) / _YOUNG).timestamp() * 1_000)
    if now_ms < due_ms:
        text = f"{identity.device} has renewed its certificate, and may again from {iso(due_ms)} on"
        raise TooOftenError(text, ceil((due_ms - now_ms) / 1_000))


def _check_proof(asked: Asked, text: bytes) -> None:
    """Whoever claims has the private key of the chain too. Raises RequestError."""
    if not chain.is_public_key(asked.public_key):
        raise RequestError("public_key: it is no Ed25519 key")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(asked.public_key))
        key.verify(_bytes(asked.proof, "proof"), text)
    except InvalidSignature:
        raise RequestError("proof: it is not signed with public_key over this request and the code") from None


def _bytes(text: str, name: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise RequestError(f"{name}: it is no base64") from None


def _count(rates: Rates, name: str, what: str) -> None:
    wait_s = rates.wait_s(name)
    if wait_s:
        raise TooOftenError(what, wait_s)
