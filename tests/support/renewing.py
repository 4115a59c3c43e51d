"""A device that renews its certificate, with a clock, a cloud that gives certificates, and a broker that lets in whom
it likes."""

import datetime as dt
import time
from pathlib import Path

from enrolling import Enrolling

from pledgewatch_edge.claiming import carry_out
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import DeviceSettings
from pledgewatch_edge.renewal import Renewal
from pledgewatch_edge.tls import Shown
from pledgewatch_edge.tls_identity import Standing, Term, TlsIdentity

DEVICE = "cont-0417"


class World:
    """A claimed device, its clock, and a broker that lets in whom it likes."""

    def __init__(self, folder: Path, cloud: Enrolling) -> None:
        self.cloud, self.state = cloud, folder / "state"
        self._config = folder / "edge.toml"
        self.claim()
        self.identity = TlsIdentity(self.state)
        self.standing = Standing(self.state, lambda: self.now_ms)
        self.lets_in = True
        self.tried: list[Shown] = []
        self.real_ms = time.time_ns() // 1_000_000
        self.now_ms = self.real_ms
        self.monotonic_s, self.is_synchronised = 5.0, True
        self.renewal = self.start()

    def claim(self) -> None:
        """Claim it, by the same claim each time."""
        carry_out(
            self.cloud.invite(DEVICE),
            config=self._config,
            state_folder=self.state,
            ca_file=None,
            replace=False,
            say=lambda _: None,
        )

    def start(self) -> Renewal:
        """The renewal as a program begins it."""
        device = DeviceSettings(operator="harbour-line", name=DEVICE, state_folder=self.state, cloud_url=self.cloud.url)
        return Renewal(
            device,
            self.identity,
            self.standing,
            self._tries,
            AgentClock(
                system_ms=lambda: self.now_ms,
                monotonic_ms=lambda: round(self.monotonic_s * 1_000),
                is_synchronised=lambda: self.is_synchronised,
            ),
        )

    async def _tries(self, shown: Shown) -> bool:
        self.tried.append(shown)
        return self.lets_in

    def term(self) -> Term:
        """Of the certificate in force."""
        term = self.identity.term()
        assert term is not None
        return term

    def is_due(self) -> None:
        """Time comes to it, for cloud and device."""
        self.now_ms = self.term().renew_ms + 1
        self.cloud.clock_ahead_s = (self.now_ms - self.real_ms) / 1_000
        self.cloud.begin += dt.timedelta(days=60)
        self.cloud.end += dt.timedelta(days=60)

    def renewals(self) -> int:
        """How often the cloud was asked for one."""
        return sum(path == "/devices/renewals" for path, _ in self.cloud.asked)

    def confirmed(self) -> list[bytes]:
        """The certificates that the cloud was told are in force."""
        return [said["certificate"].encode() for path, said in self.cloud.asked if path == "/devices/confirmations"]
