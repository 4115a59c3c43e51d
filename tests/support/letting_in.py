"""A real Mosquitto with the files that the cloud makes, and the API beside it that lets devices in."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from authority import Authority
from broker_clients import Client
from brokers import BrokerProcess
from builders import book_document
from claiming import DAY_MS, Claimant, ClaimCloud

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.identity.broker_files import BrokerFiles, files_of
from pledgewatch_cloud.identity.settings import DevicesSettings
from pledgewatch_sim.programs import free_port

ASSET = {"operator": "harbour-line", "asset": "asset-container-1"}
LOOK_S, WITHIN_S = 0.05, 60.0
MINE, BESIDE = "pw/1/harbour-line/box-1", "pw/1/harbour-line/box-2"


class World:
    """The API with an authority, its broker, and two devices that have claimed. The broker and the cloud have their
    certificates of another authority, whose list is put beside the one of devices; or with `apart` devices have a
    listener of their own. `memory_mb`: what the broker may fill; 0 for what it may by default."""

    def __init__(self, folder: Path, *, apart: bool = False, memory_mb: int = 0) -> None:
        self.cloud = ClaimCloud(folder, world_ms=now_ms() - 150 * DAY_MS)  # since when there is the authority
        self.cloud.world.at_ms = now_ms()
        self.cloud.cloud.spine.commit(drafts.amend, book_document(self.cloud.cloud.device))
        self.folder = folder / "broker"
        self.folder.mkdir()
        self.broker = BrokerProcess("mosquitto", self.folder)
        self.own = own = Authority(self.folder)
        self._memory_mb = memory_mb
        self.devices_port, self.is_resumed = free_port() if apart else 0, False
        for name in ("server", "cloud", "site"):
            own.issue(name)
        own.revoke([], self.folder / "own-crl.pem")
        both = (self.cloud.authority_file, self.folder / "ca.pem")
        (self.folder / "clients.pem").write_bytes(b"".join(one.read_bytes() for one in both))
        self.settings = DevicesSettings(
            authority_certificate_file=self.cloud.authority_file,
            authority_key_file=self.cloud.authority_key_file,
            care_key_file=self.cloud.authority_key_file,
            public_url="https://cloud.example",
            broker_host="127.0.0.1",
            broker_port=self.devices_port or self.broker.port,
            broker_ca_file=self.folder / "ca.pem",
            broker_files_folder=self.folder,
            broker_crl_files=(self.folder / "own-crl.pem",),
            broker_pid_file=self.folder / "pid",
        )
        self.files = self.files_anew()
        self.devices = {name: self.claimed(name) for name in ("box-1", "box-2")}

    def files_anew(self) -> BrokerFiles:
        """The broker's files as a cloud that has just started keeps them."""
        files = files_of(self.settings, self.cloud.cloud.writer, self.cloud.authority, self.cloud.world)
        assert files is not None
        return files

    def claimed(self, name: str) -> Claimant:
        """A device that has claimed its identity, with its files beside the broker's."""
        one = Claimant(name, seed=20 + int(name[-1]))
        self.cloud.claimed(one, self.cloud.invite(name, **ASSET))
        one.write(self.folder)
        return one

    def start(self) -> None:
        """Mosquitto, with the files as the commands and the service write them."""
        (self.folder / "pid").write_text(str(os.getpid()), encoding="ascii")
        with ignored(signal.SIGHUP):
            asyncio.run(self.files.keep())
        conf, files = self.folder / "mosquitto.conf", {"ca": "clients.pem", "certificate": "server.pem"}
        files |= {"key": "server.key", "acl": "acl", "pid": "pid"}
        if self.devices_port:
            files |= {"ca": "ca.pem", "devices-ca": str(self.cloud.authority_file), "devices-crl": "crl.pem"}
        else:
            files |= {"crl": "crl.pem"}
        named = [word for key, file in files.items() for word in (f"--{key}-file", str(self.folder / file))]
        if self.devices_port:
            named += ["--devices-port", str(self.devices_port)]
        if self._memory_mb:
            named += ["--memory-mb", str(self._memory_mb)]
        named += ["--persistence-folder", str(self.folder / "mosquitto-store"), "--output", str(conf)]
        assert main(["broker", "conf", "--port", str(self.broker.port), *named]) == 0
        with conf.open("a", encoding="ascii") as file:
            if os.geteuid() == 0:
                file.write("user root\n")  # else it becomes a user who cannot read this folder
        self.broker.start()

    def client(self, name: str, **how: Any) -> Client:
        """A device, where devices are let in; anybody else, where others are."""
        port = self.devices_port if name.startswith("box-") else 0
        return Client(self.broker, self.folder, name, port=port, **how)

    @contextlib.contextmanager
    def clients(self) -> Iterator[Callable[..., Client]]:
        """`client`, each of which leaves at the end."""
        with contextlib.ExitStack() as leaving:

            def connected(name: str, **how: Any) -> Client:
                made = self.client(name, **how)
                leaving.callback(made.leave)
                return made

            yield connected

    def refused(self, name: str) -> bool:
        """Whether the broker lets a client in no more."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return self.shaken(context, name) is None

    def kept(self, context: ssl.SSLContext, name: str) -> ssl.SSLSession:
        """A session of TLS that the broker goes on with: it has read what it was told of before, by which it forgets
        others, and a new device is one that it lets in."""
        one, self.is_resumed, deadline = self.shaken(context, name), False, time.monotonic() + WITHIN_S
        while not self.is_resumed:
            assert time.monotonic() < deadline
            time.sleep(LOOK_S)
            one = self.shaken(context, name, one)
        assert one is not None
        return one

    def shaken(
        self, context: ssl.SSLContext, name: str, kept: ssl.SSLSession | None = None, *, port: int = 0
    ) -> ssl.SSLSession | None:
        """The session of TLS where the broker lets a client in; else None. It refuses by ending the connection, which a
        client of TLS 1.3 hears with its first read. `is_resumed` then says whether it was the session that was kept."""
        hello = b"\x10" + bytes([12 + len(name)]) + b"\x00\x04MQTT\x04\x02\x00\x3c\x00" + bytes([len(name)])
        try:
            with (
                socket.create_connection(("127.0.0.1", port or self.devices_port or self.broker.port), 10) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1", session=kept) as one,
            ):
                one.sendall(hello + name.encode())
                self.is_resumed = bool(one.session_reused)
                return one.session if one.recv(4)[:1] == b"\x20" else None  # CONNACK
        except (ssl.SSLError, ConnectionError):
            return None


@contextlib.contextmanager
def let_in(
    folder: Path, *, apart: bool = False, memory_mb: int = 0, more: Sequence[Mapping[str, Any]] = ()
) -> Iterator[World]:
    """Such a world with its broker running, and with more installations; both end."""
    one = World(folder, apart=apart, memory_mb=memory_mb)
    if more:
        one.cloud.cloud.spine.commit(drafts.amend, {"installations": list(more)})
    try:
        one.start()
        yield one
    finally:
        one.broker.kill()
        one.cloud.cloud.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextlib.contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    """For as long as the process that is told is this one."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
