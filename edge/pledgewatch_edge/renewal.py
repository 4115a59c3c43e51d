"""Renewing the device's certificate before it ends, beside the uplink and never in its way.

At two thirds of its life (a little later for each by its number) the device asks the cloud for the next one: a
request by a new key, signed by the key in force. What comes is tried before it is trusted: the uplink connects with it,
and only when the broker has let it in does it take the place of the old one, which stays in force where the broker has
not. It is tried again later, for the link may have been at fault. Once it is in force the cloud is told so, and only
then the one before counts no more: whoever has a copy of it has nothing. A renewal whose answer was lost can be asked
again until then.

A broker that refuses the device says not why it was done. So the cloud is asked then too: one that has revoked the
device, or given its place to another, says so, and one that has not gives a certificate that the broker takes.

A try that fails is made again after a wait that doubles, from a minute to six hours; what the cloud has refused for
good is asked again once a day. Everything that waits for the network or the disk does so in a thread.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from random import SystemRandom
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pledgewatch_edge.clock import RELEASED_MS, system_ms
from pledgewatch_edge.cloud_api import CloudApi, CloudError
from pledgewatch_edge.config import DAY_S, DeviceSettings
from pledgewatch_edge.identity import StateError
from pledgewatch_edge.tls import Shown
from pledgewatch_edge.tls_identity import BROKER, CLOUD, Standing, TlsIdentity, told
from pledgewatch_wire.backoff import jittered_backoff
from pledgewatch_wire.claims import CONFIRMATIONS_PATH, RENEWALS_PATH, confirmation_proof, renewal_proof

LOOK_AGAIN_S: Final = 3_600.0
TRY_FIRST_S: Final = 60.0
TRY_MAX_S: Final = 6 * 3_600.0
OFF_MS: Final = 240_000  # a clock this far from the cloud's is not signed by
log = logging.getLogger(__name__)

Tries = Callable[[Shown], Awaitable[bool]]


def api_of(device: DeviceSettings, *, judges_time: bool) -> CloudApi:
    """The cloud that renews a device's certificate. Raises CloudError."""
    assert device.cloud_url is not None
    return CloudApi(device.cloud_url, ca_file=device.cloud_ca_file, judges_time=judges_time)


class Renewal:
    """Keeps one device's certificate good. `tries` connects with another certificate, and says whether the broker took
    it. `run` it in a task."""

    def __init__(
        self,
        device: DeviceSettings,
        identity: TlsIdentity,
        standing: Standing,
        tries: Tries,
        *,
        now_ms: Callable[[], int] = system_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._device = device
        self._identity = identity
        self._standing = standing
        self._tries = tries
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._random = SystemRandom()
        self._failures = 0
        self._cloud_less_monotonic_ms: int | None = None
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
            due_s = await asyncio.to_thread(self._due_in_s)
            if due_s > 0:
                return min(due_s, LOOK_AGAIN_S)
            if await asyncio.to_thread(self._is_renewal_due):
                if await asyncio.to_thread(self._identity.waiting) is None:
                    await asyncio.to_thread(self._renew)
                await self._put_in_force()
            if not await asyncio.to_thread(self._identity.is_confirmed):
                await asyncio.to_thread(self._confirm)
                await self._standing.accepted(CLOUD)
        except CloudError as error:
            self._failures += 1
            self._say(f"the certificate cannot be {self._doing}: {error}")
            if error.is_final:
                await self._standing.refused(CLOUD, str(error))
                return DAY_S * self._random.uniform(0.5, 1.0)
        except StateError as error:
            self._failures += 1
            self._say(f"the certificate cannot be {self._doing}: {error}")
        else:
            self._failures, self._said = 0, None
            return 0.0
        return jittered_backoff(self._failures - 1, maximum_s=TRY_MAX_S, first_s=TRY_FIRST_S, random=self._random)

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

    def _time_ms(self) -> int:
        """The time: this computer's, or the cloud's where its clock is not set. Raises CloudError."""
        now_ms = self._now_ms()
        if now_ms >= RELEASED_MS:
            return now_ms
        if self._cloud_less_monotonic_ms is None:
            said = api_of(self._device, judges_time=False).time_ms()
            if said is None:
                raise CloudError("it does not say what time it is, and this computer's clock is not set")
            self._cloud_less_monotonic_ms = said - round(self._monotonic() * 1_000)
        return self._cloud_less_monotonic_ms + round(self._monotonic() * 1_000)

    def _renew(self) -> None:
        """Ask for the next certificate, and keep it beside the one in force. Raises CloudError, StateError."""
        self._doing = "renewed"
        certificate = self._certificate()
        request = self._identity.request(self._device.name)
        der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
        said = self._asked(RENEWALS_PATH, partial(renewal_proof, der), certificate, {"csr": request.decode("ascii")})
        self._identity.keep(str(said.get("certificate")), self._device.name)
        self._identity.keep_others(said.get("broker_ca"), said.get("care_public_key"))

    def _confirm(self) -> None:
        """Tell the cloud what is in force. Raises CloudError, StateError."""
        self._doing = "confirmed"
        certificate = self._certificate()
        der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
        self._asked(CONFIRMATIONS_PATH, partial(confirmation_proof, der), certificate, {})
        self._identity.confirmed()

    def _certificate(self) -> bytes:
        certificate = self._identity.certificate()
        if certificate is None:
            raise StateError(f"{self._identity.certificate_file} is gone; claim the device again")
        return certificate

    def _asked(
        self, path: str, proof: Callable[[int], bytes], certificate: bytes, more: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """What the cloud answers to what the key in force has signed, by the cloud's time where ours is another."""
        api = api_of(self._device, judges_time=self._now_ms() >= RELEASED_MS)
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
            log.warning("this computer's clock and the cloud's differ by_s=%d", (signed_ms - error.time_ms) // 1_000)
            return ask(error.time_ms)

    async def _put_in_force(self) -> None:
        """Try what has come, and put it in force. Raises StateError where the old one stays."""
        self._doing = "renewed"
        shown = await asyncio.to_thread(self._identity.waiting)
        term = await asyncio.to_thread(self._identity.term)
        if shown is None or term is None:
            raise StateError("what the cloud gave is gone; asking again")
        is_taken = await self._tries(shown)
        has_better = self._standing.by(BROKER) is None and self._now_ms() < term.end_ms
        if not is_taken and has_better:
            raise StateError("the broker has not let the new certificate in; the one in force stays")
        await asyncio.to_thread(self._identity.install)
        if not is_taken:
            raise StateError("the broker lets in neither the certificate of before nor the new one")
        await self._standing.accepted(CLOUD)
        renewed = await asyncio.to_thread(self._identity.term)
        log.info("certificate renewed until=%s", told(renewed.end_ms if renewed else 0))

    def _say(self, why: str) -> None:
        """Say it once for one cause."""
        if why != self._said:
            log.warning("%s", why)
        self._said = why
