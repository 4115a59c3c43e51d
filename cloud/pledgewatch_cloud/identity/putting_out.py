"""Ends what somebody has open at the broker under the name of a device whose certificates were taken away.

Mosquitto looks at a certificate once, when a connection begins, and its access list knows names and no certificates. So
a session of before would have its word again as soon as the name is claimed anew. But of two connections with one
client id a broker keeps the newer one (MQTT 3.1.1, 3.1.4), and at the listener of devices the client id is the name in
the certificate. The cloud has the authority's key: it connects in the name for a moment, by a certificate that nobody
else ever has, with nothing kept of the session of before (clean start), and leaves. Whoever is put out comes in again
by a certificate that counts, and by no other, for the broker has read its lists by then.

With one listener for all, client ids are free; there the agent's own is taken, and who calls himself otherwise stays.
"""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pledgewatch_cloud.decide.identity_book import Identity, IdentityBook
from pledgewatch_cloud.identity.authority import Authority, AuthorityError, Request
from pledgewatch_cloud.identity.settings import DevicesSettings

PATIENCE_S: Final = 2.0
"""For each connection: who claims waits for it."""
AT_START_MS: Final = 86_400_000
"""What was taken away so long before a start may not have been put out by the cloud of before."""
_DAYS: Final = 1  # the least that a certificate is good for
_CONNECT, _CONNACK, _DISCONNECT = 0x10, b"\x20\x02", b"\xe0\x00"

PutOut = Callable[[str, str], Awaitable[None]]
"""Takes an operator (empty where nobody knows it) and a device. Raises PuttingOutError."""


class PuttingOutError(Exception):
    """Nobody was put out; the sentence says why."""


def ousted(before: IdentityBook | None, now: IdentityBook, at_ms: int) -> set[str]:
    """The devices of which nobody is let in any more by what he had before. `before` None: at a start, when nobody
    knows what was put out; those whose certificates were taken away within the last day then."""
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
    is_taken = one.revoked_ms > 0 or one.claim is not None
    return is_taken and any(at_ms - gone.at_ms < AT_START_MS for gone in one.revoked)


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
        writer.write(bytes([_CONNECT, 0x80 | len(body) % 128, len(body) // 128]) + body)
        answer = await reader.readexactly(4)
        if answer[:2] != _CONNACK or answer[3]:
            raise ConnectionRefusedError(f"the broker answers {answer.hex()}")
        writer.write(_DISCONNECT)
        await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
