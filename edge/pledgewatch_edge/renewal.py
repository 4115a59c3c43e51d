"""Renewing the device's certificate before it ends, beside the uplink and never in its way.

At two thirds of its life (a little later for each by its number) the device asks the cloud for the next one: a
request by a new key, signed by the key in force. What comes is tried before it is trusted: the uplink connects with it,
and only when the broker has let it in does it take the place of the old one, which stays in force where the broker has
not. It is tried again later, for the link may have been at fault. Once it is in force the cloud is told so, and only
then the one before counts no more: whoever has a copy of it has nothing. A renewal whose answer was lost can be asked
again until then. It is told before anything else is asked: what was asked next might have to wait for long. Until it
was told the one before is kept, with its key, and gone back to where the cloud refuses the new one: whoever has a copy
of the one before may have asked for another since, which dropped it. Where it refuses both, each is tried in turn.

A broker that refuses the device says not why it was done. So the cloud is asked then too: one that has revoked the
device, or given its place to another, says so, and one that has not gives a certificate that the broker takes.

What is due is judged by the agent's clock, which receivers and time services keep. Where neither does, or receiver and
computer are days apart, the cloud is asked once a day what time it is, and once an hour while its certificate is not
believed; and where the cloud's time is found to be
another, it is gone by from then on: a device whose clock is far ahead would renew without end, and one whose clock is
behind never in time.

Where somebody else has a copy of key and certificate, the cloud may have no certificate for another key, for it has
given too many; for the key in force it always has one. So a device that is told to ask again later asks for that once
it is late, and one whose new certificate is not let in asks again then: another may have been given since.

A try that fails is made again after a wait that doubles, from a minute to six hours; what the cloud has refused for
good is asked again once a day. Where it says when to ask again, that is gone by, but no sooner than after a minute, nor
later than after six hours; and where it says so again and again, the wait doubles all the same. Everything that waits
for the network or the disk does so in a thread, which is waited for also by who is cancelled: what asks, or writes,
when the station has ended would do so beside the next one.
"""

import asyncio
import base64
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from random import SystemRandom
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pledgewatch_edge.body import to_its_end
from pledgewatch_edge.clock import RELEASED_MS, AgentClock, system_ms
from pledgewatch_edge.cloud_api import CloudApi, CloudError, DoubtError
from pledgewatch_edge.config import DAY_S, DeviceSettings
from pledgewatch_edge.identity import StateError
from pledgewatch_edge.tls import Shown
from pledgewatch_edge.tls_identity import BROKER, CLOUD, Standing, TlsIdentity, told
from pledgewatch_wire.backoff import jittered_backoff
from pledgewatch_wire.claims import CONFIRMATIONS_PATH, RENEWALS_PATH, confirmation_proof, renewal_proof
from pledgewatch_wire.reading import Clock

LOOK_AGAIN_S: Final = 3_600.0
TRY_FIRST_S: Final = 60.0
TRY_MAX_S: Final = 6 * 3_600.0
PROMPT_TRIES: Final = 8  # that are made as soon as the cloud has said, one after the other
OFF_MS: Final = 240_000  # a clock this far from the cloud's is not gone by
_KEPT: Final = (Clock.GPS, Clock.NTP)
_NUMBER: Final = re.compile(r"\d+")
_Found = TypeVar("_Found")
log = logging.getLogger(__name__)

Tries = Callable[[Shown], Awaitable[bool]]


def api_of(device: DeviceSettings, *, judges_time: bool, clock: AgentClock | None = None) -> CloudApi:
    """The cloud that renews a device's certificate. Raises CloudError."""
    assert device.cloud_url is not None
    return CloudApi(device.cloud_url, ca_file=device.cloud_ca_file, judges_time=judges_time, clock=clock)


class Renewal:
    """Keeps one device's certificate good. `tries` connects with another certificate, and says whether the broker took
    it. `run` it in a task."""

    def __init__(
        self,
        device: DeviceSettings,
        identity: TlsIdentity,
        standing: Standing,
        tries: Tries,
        clock: AgentClock,
    ) -> None:
        self._device = device
        self._identity = identity
        self._standing = standing
        standing.speaks_to(CLOUD, device.cloud_url or "")
        self._tries = tries
        self._clock = clock
        self._random = SystemRandom()
        self._failures = 0
        self._put_off = 0  # how often the cloud has said in a row to ask later
        self._has_gone_back = False  # since something was taken
        self._cloud_less_mark_ms: int | None = None  # where the cloud's time is gone by
        self._ask_time_from = 0  # a mark of the clock
        self._said: str | None = None
        self._doing = "renewed"

    async def run(self) -> None:
        """Look whether it is time, and renew, until cancelled."""
        while True:
            wait_s = await self.step()
            await self._standing.refused_within(wait_s)

    async def step(self) -> float:
        """Do what is due; how long nothing will be, in seconds."""
        try:
            due_s = await _in_thread(self._due_in_s)
            if due_s > 0:
                return min(due_s, LOOK_AGAIN_S)
            await self._do_what_is_due()
        except CloudError as error:
            self._failures += 1
            self._say(f"the certificate cannot be {self._doing}: {error}")
            if isinstance(error, DoubtError):
                await self._standing.doubted(CLOUD, error)
            if error.is_refusal and await self._goes_back():
                return 0.0
            if error.is_final:
                await self._standing.refused(CLOUD, str(error))
                return DAY_S * self._random.uniform(0.5, 1.0)
            if error.is_too_often:
                return self._later_s(error.wait_s)
        except StateError as error:
            self._failures += 1
            self._say(f"the certificate cannot be {self._doing}: {error}")
        else:
            self._failures, self._put_off, self._said, self._has_gone_back = 0, 0, None, False
            await self._standing.believed(CLOUD)
            return 0.0
        return self._backoff_s()

    async def _do_what_is_due(self) -> None:
        """Tell what is in force, renew it, and tell that. Raises CloudError, StateError."""
        has_come = await _in_thread(self._identity.waiting) is not None
        if not has_come and not await _in_thread(self._identity.is_confirmed):
            try:
                await self._tell()
            except CloudError as error:
                if error.is_refusal or not await _in_thread(self._is_renewal_due):
                    raise
        if await _in_thread(self._is_renewal_due):
            if not has_come and not await _in_thread(self._renew):
                return
            await self._put_in_force()
        if not await _in_thread(self._identity.is_confirmed):
            await self._tell()

    async def _tell(self) -> None:
        """Tell the cloud what is in force. Raises CloudError, StateError."""
        await _in_thread(self._confirm)
        await self._standing.accepted(CLOUD)

    async def _goes_back(self) -> bool:
        """Whether there is a certificate of before to go on with, as the cloud refuses the one in force. Not twice in a
        row: where it refuses that too, there is nothing to be hurried for."""
        if self._has_gone_back:
            self._has_gone_back = False
            return False
        try:
            self._has_gone_back = await _in_thread(self._identity.go_back)
        except StateError as error:
            self._say(f"the certificate of before cannot be gone back to: {error}")
        if self._has_gone_back:
            log.warning("the new certificate is refused, the one of before is in force again")
        return self._has_gone_back

    def _backoff_s(self) -> float:
        return jittered_backoff(self._failures - 1, maximum_s=TRY_MAX_S, first_s=TRY_FIRST_S, random=self._random)

    def _later_s(self, said_s: int | None) -> float:
        """How long to wait, as the cloud has said; and ever longer where it says so again and again."""
        self._put_off += 1
        if said_s is None:
            return self._backoff_s()
        wait_s = min(max(said_s, TRY_FIRST_S) * self._random.uniform(1.0, 1.25), TRY_MAX_S)
        if self._put_off <= PROMPT_TRIES:
            return wait_s
        self._failures = max(self._failures, self._put_off - PROMPT_TRIES)
        return max(wait_s, self._backoff_s())

    def _due_in_s(self) -> float:
        """How long until something is due; 0 where it is. Raises CloudError, StateError."""
        self._identity.mend()
        term = self._identity.term()
        if term is None:
            return LOOK_AGAIN_S
        if self._is_renewal_due() or not self._identity.is_confirmed():
            return 0.0
        return max(0.0, (term.renew_ms - self._time_ms()) / 1_000)

    def _is_renewal_due(self) -> bool:
        """Whether there should be another certificate in force. Raises CloudError, StateError."""
        if self._standing.by(BROKER) is not None or self._identity.waiting() is not None:
            return True
        term = self._identity.term()
        return term is not None and self._time_ms() >= term.renew_ms

    def _is_late(self) -> bool:
        """Whether the certificate should have been renewed long since. Raises CloudError, StateError."""
        term = self._identity.term()
        return term is not None and self._time_ms() >= term.late_ms

    def _time_ms(self) -> int:
        """The time: the agent's, or the cloud's where that is another. Raises CloudError."""
        now_ms, source = self._clock.now()
        is_doubtful = source not in _KEPT or now_ms < RELEASED_MS or bool(self._clock.apart())
        is_doubtful |= self._standing.is_doubted(CLOUD)  # it may be believed by now, and nothing else due that shows it
        if is_doubtful and self._clock.mark() >= self._ask_time_from:
            self._ask_time(is_needed=now_ms < RELEASED_MS and self._cloud_less_mark_ms is None)
        return now_ms if self._cloud_less_mark_ms is None else self._cloud_less_mark_ms + self._clock.mark()

    def _ask_time(self, *, is_needed: bool) -> None:
        """Ask the cloud what time it is. Raises CloudError where it does not say, if nothing else does."""
        said_ms = None
        try:
            said_ms = self._api().time_ms()
            self._standing.note_belief(CLOUD)
        except CloudError as error:
            if isinstance(error, DoubtError):
                self._standing.note_doubt(CLOUD, error)
            if is_needed:
                raise
        if said_ms is not None:
            self._heard(said_ms)
        elif is_needed:
            raise CloudError("it does not say what time it is, and this computer's clock is not set")
        wait_s = LOOK_AGAIN_S if said_ms is None else DAY_S
        self._ask_time_from = self._clock.mark() + round(wait_s * 1_000)

    def _heard(self, said_ms: int) -> None:
        """The cloud has said what time it is: from now on it is gone by where the agent's clock shows another."""
        off_ms, before = self._clock.now()[0] - said_ms, self._cloud_less_mark_ms
        self._cloud_less_mark_ms = said_ms - self._clock.mark() if abs(off_ms) >= OFF_MS else None
        if self._cloud_less_mark_ms is not None and before is None:
            log.warning("this computer's clock and the cloud's differ by_s=%d", off_ms // 1_000)

    def _api(self) -> CloudApi:
        """Raises CloudError. Certificates are judged by the time of this computer, and where that is days off, by the
        receiver's too."""
        return api_of(self._device, judges_time=system_ms() >= RELEASED_MS, clock=self._clock)

    def _renew(self) -> bool:
        """Ask for the next certificate, and keep it beside the one in force. Whether it was due by the cloud's time
        too. Raises CloudError, StateError."""
        self._doing = "renewed"
        certificate = self._certificate()
        request = self._identity.request(self._device.name)
        der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
        shown = {"csr": request.decode("ascii")}
        try:
            said = self._asked(RENEWALS_PATH, partial(renewal_proof, der), certificate, shown, self._is_renewal_due)
        except CloudError as error:
            if error.is_too_often and self._is_late() and self._identity.ask_for_the_key_in_force():
                self._put_off, error.wait_s = 0, 0  # what it has said is of the other
            raise
        if said is None:
            return False
        self._identity.keep(str(said.get("certificate")), self._device.name)
        self._identity.keep_others(said.get("broker_ca"), said.get("care_public_key"))
        return True

    def _confirm(self) -> None:
        """Tell the cloud what is in force. Raises CloudError, StateError."""
        self._doing = "confirmed"
        certificate = self._certificate()
        der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
        self._asked(CONFIRMATIONS_PATH, partial(confirmation_proof, der), certificate, {}, lambda: True)
        self._identity.confirmed()

    def _certificate(self) -> bytes:
        certificate = self._identity.certificate()
        if certificate is None:
            raise StateError(f"{self._identity.certificate_file} is gone; claim the device again")
        return certificate

    def _asked(
        self,
        path: str,
        proof: Callable[[int], bytes],
        certificate: bytes,
        more: Mapping[str, str],
        is_due: Callable[[], bool],
    ) -> Mapping[str, Any] | None:
        """What the cloud answers to what the key in force has signed. Where its time is found to be another than ours,
        it is asked again by that; None where what is asked is not due by that."""
        api = self._api()
        shown = {"device": self._device.name, "certificate": certificate.decode("ascii"), **more}

        def ask(signed_ms: int) -> Mapping[str, Any]:
            signed = base64.b64encode(self._identity.signs(proof(signed_ms))).decode("ascii")
            return api.post(path, {**shown, "signed_ms": signed_ms, "proof": signed}).said

        signed_ms = self._time_ms()
        try:
            return ask(signed_ms)
        except CloudError as error:
            if error.time_ms is None or abs(error.time_ms - signed_ms) < OFF_MS:
                raise
            self._heard(error.time_ms)
        return ask(self._time_ms()) if is_due() else None

    async def _put_in_force(self) -> None:
        """Try what has come, and put it in force. Raises StateError where the old one stays."""
        self._doing = "renewed"
        shown = await _in_thread(self._identity.waiting)
        term = await _in_thread(self._identity.term)
        if shown is None or term is None:
            raise StateError("what the cloud gave is gone; asking again")
        is_taken = await self._tries(shown)
        has_better = self._standing.by(BROKER) is None and await _in_thread(self._time_ms) < term.end_ms
        if not is_taken and has_better:
            if await _in_thread(self._is_late):
                await _in_thread(self._renew)
            raise StateError("the broker has not let the new certificate in; the one in force stays")
        await _in_thread(self._identity.install)
        if not is_taken:
            raise StateError("the broker lets in neither the certificate of before nor the new one")
        await self._standing.accepted(CLOUD)
        renewed = await _in_thread(self._identity.term)
        log.info("certificate renewed until=%s", told(renewed.end_ms if renewed else 0))

    def _say(self, why: str) -> None:
        """Say it once for one cause, in which only numbers differ: for how long it is to wait."""
        cause = _NUMBER.sub("", why)
        if cause != self._said:
            log.warning("%s", why)
        self._said = cause


async def _in_thread(work: Callable[[], _Found]) -> _Found:
    """What some work finds, which is done to its end also where who waits for it is cancelled."""
    return await to_its_end(asyncio.to_thread(work))
