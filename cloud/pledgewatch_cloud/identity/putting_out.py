"""Ends what somebody has open at the broker under the name of a device whose certificates were taken away.

Mosquitto looks at a certificate once, when a connection begins, and its access list knows names and no certificates. So
a session of before would have its word again as soon as the name is claimed anew. But of two connections with one
client id a broker keeps the newer one (MQTT 3.1.1, 3.1.4), and at the listener of devices the client id is the name in
the certificate. The cloud has the authority's key: it connects in the name for a moment, by a certificate that nobody
else ever has, with nothing kept of the session of before (clean start), and leaves. Whoever is put out comes in again
by a certificate that counts, and by no other, for the broker has read its lists by then.

With one listener for all, client ids are free; there the agent's own is taken, and who calls himself otherwise stays.

Each takes a handshake of TLS, and a fleet may be retired by one amendment. So it is done beside the writing and telling
of the broker's lists, AT_ONCE at a time and the newest first: who is revoked or claims meanwhile waits for none of
them. Of those who could not be put out one is tried every AGAIN_S, and all again once that has worked.
"""

import asyncio
import contextlib
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pledgewatch_cloud.decide.identity_book import Identity, IdentityBook
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.identity.authority import Authority, AuthorityError, Request, issued_ms_of
from pledgewatch_cloud.identity.settings import DevicesSettings
from pledgewatch_cloud.outage import Outage

PATIENCE_S: Final = 2.0
"""For each connection: who claims waits for it."""
AT_START_MS: Final = 86_400_000
"""Who was let in by what was gone so long before a start may not have been put out by the cloud of before."""
AT_ONCE: Final = 4
AGAIN_S: Final = 1.0
_DAYS: Final = 1  # the least that a certificate is good for
_CONNECT, _CONNACK, _DISCONNECT = 0x10, b"\x20\x02", b"\xe0\x00"
log = logging.getLogger(__name__)

PutOut = Callable[[str, str], Awaitable[None]]
"""Takes an operator (empty where nobody knows it) and a device. Raises PuttingOutError."""


class PuttingOutError(Exception):
    """Nobody was put out; the sentence says why."""


class Ousting:
    """Who is to be put out yet. `put_out` None: nobody is. `tried` is called whenever one was tried."""

    def __init__(self, put_out: PutOut | None, tried: Callable[[], None]) -> None:
        self._put_out, self._tried = put_out, tried
        self._looked_at: IdentityBook | None = None  # by which it is known who is to be put out
        self._waiting: dict[str, str] = {}  # the operators of devices, the newest last
        self._busy: list[str] = []
        self._again: dict[str, str] = {}  # they could not be
        self._come = asyncio.Event()
        self._outage = Outage(
            log, "somebody was not put out of the broker, trying on", "all were put out of the broker"
        )

    def look(self, state: State, now_ms: int) -> None:
        """The broker was told of a state: note whom it lets in no more by what they had before."""
        found = ousted(self._looked_at, state.identities, now_ms)
        self._looked_at = state.identities
        for device in sorted(found, reverse=True) if self._put_out is not None else ():
            fitted = state.book.installations.get(device)
            self._again.pop(device, None)
            self._waiting.pop(device, None)
            self._waiting[device] = "" if fitted is None else fitted.operator
            self._come.set()

    def is_waiting(self, devices: Collection[str]) -> bool:
        """Whether one of these is to be put out and was not tried yet."""
        return any(one in self._waiting or one in self._busy for one in devices)

    async def run(self) -> None:
        """Put out whoever is to be, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._work(), name=f"putting out {number}")
            while True:
                await asyncio.sleep(AGAIN_S)
                if self._again and await self._is_out(*self._first_again()):
                    self._take_again()

    async def once(self) -> None:
        """Try each who is to be put out once."""
        self._take_again()
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._drain(), name=f"putting out {number}")

    async def _work(self) -> None:
        while True:
            await self._come.wait()
            self._come.clear()
            await self._drain()

    async def _drain(self) -> None:
        while self._waiting:
            self._come.set()  # for the others
            await self._is_out(*self._waiting.popitem())

    def _first_again(self) -> tuple[str, str]:
        device = next(iter(self._again))
        return device, self._again.pop(device)

    def _take_again(self) -> None:
        self._waiting, self._again = self._again | self._waiting, {}
        self._come.set()

    async def _is_out(self, device: str, operator: str) -> bool:
        self._busy.append(device)
        try:
            if self._put_out is not None:
                await self._put_out(operator, device)
        except PuttingOutError as error:
            if device not in self._waiting:
                self._again[device] = operator
            self._outage.lost(error)
            return False
        finally:
            self._busy.remove(device)
            self._tried()
        if not (self._again or self._waiting or self._busy):
            self._outage.back()
        return True


def ousted(before: IdentityBook | None, now: IdentityBook, at_ms: int) -> set[str]:
    """The devices of which nobody is let in any more by what he had before. `before` None: at a start, when nobody
    knows what was put out; those then whose certificates were taken away within the last day, or who have claimed anew
    in it, for what had expired by then was not taken away."""
    if before is None:
        return {name for name, one in now.identities.items() if _is_fresh(one, at_ms)}
    if before is now:
        return set()
    changed = (one for name, one in now.identities.items() if one != before.identities.get(name))
    return {one.device for one in changed if _is_another(before.of(one.device), one)}


def _is_another(before: Identity, now: Identity) -> bool:
    """A device that was renewed has the one certificate beside the other, and one that has confirmed it, the newer."""
    counted = {one.serial for one in before.certificates}
    if now.revoked_ms:
        return bool(counted)
    # One that was revoked has none that counted, and its list forgets those that have expired; a session may be older.
    is_first = before == Identity(before.device)
    return not is_first and counted.isdisjoint(one.serial for one in now.certificates)


def _is_fresh(one: Identity, at_ms: int) -> bool:
    # What its device has replaced by another lets nobody be put out: the device is connected by that other.
    if any(at_ms - gone.at_ms < AT_START_MS for gone in one.revoked if not gone.signed_ms):
        return True
    # What had expired before a claim is listed nowhere. Who has claimed for the first time has no epoch and no key of
    # before; where the book knew the device already, it is put out for nothing, and comes in again.
    is_anew = bool(one.former) or max(one.epoch, one.from_epoch) > 0
    return is_anew and any(at_ms - issued_ms_of(cert) < AT_START_MS for cert in one.certificates[:1])


def putting_out_of(one: DevicesSettings, authority: Authority, now_ms: Callable[[], int]) -> PutOut:
    """How somebody is put out of the broker that devices connect to."""

    async def put_out(operator: str, device: str) -> None:
        try:
            context = await asyncio.to_thread(_in_the_name_of, device, authority, one.broker_ca_file, now_ms())
            async with asyncio.timeout(PATIENCE_S):
                await _connect(one.broker_host, one.broker_port, context, f"{operator}.{device}".lstrip("."))
        except (OSError, EOFError, AuthorityError) as error:  # TimeoutError and ssl.SSLError are of the first
            why = str(error) or f"it has not answered within {PATIENCE_S:g} s"
            text = f"who was connected as {device} may be so yet: {one.broker_host}:{one.broker_port}"
            raise PuttingOutError(f"{text}: {why}") from None

    return put_out


def _in_the_name_of(device: str, authority: Authority, ca_file: Path, now_ms: int) -> ssl.SSLContext:
    """What shows a new certificate of a device. Raises OSError, AuthorityError."""
    key = ec.generate_private_key(ec.SECP256R1())
    shown = authority.shown(authority.issue(device, Request(key.public_key(), b"", ""), _DAYS, now_ms))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = ssl.create_default_context(cafile=str(ca_file))
    with tempfile.TemporaryDirectory(prefix="pledgewatch-") as folder:  # which nobody else may look into
        path = Path(folder) / "shown.pem"
        path.write_bytes(private + shown.encode("ascii"))
        context.load_cert_chain(path)
    return context


async def _connect(host: str, port: int, context: ssl.SSLContext, client_id: str) -> None:
    """Connect by MQTT 3.1.1, which every broker speaks, and leave. Raises OSError, EOFError."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(client_id).to_bytes(2, "big") + client_id.encode("ascii")
        writer.write(bytes([_CONNECT]) + _length(len(body)) + body)
        answer = await reader.readexactly(4)
        if answer[:2] != _CONNACK or answer[3]:
            raise ConnectionRefusedError(f"the broker answers {answer.hex()}")
        writer.write(_DISCONNECT)
        await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _length(size: int) -> bytes:
    """Seven bits a byte, the lowest first, in as few bytes as there may be (MQTT 3.1.1, 2.2.3)."""
    rest, low = divmod(size, 0x80)
    return bytes([low | 0x80]) + _length(rest) if rest else bytes([low])
