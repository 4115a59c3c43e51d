"""The Subscriber: what the ingest loop asks of a broker.

QoS 1, acknowledged by us and only after the commit. What is never acknowledged is delivered again after a reconnect; a
broker that is away is waited for. Any implementation passes tests/test_subscriber_contract.py.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

OUTGOING_MAX = 128  # publishes that wait for the broker's PUBACK; beyond that `publish` says False
HELD_MAX_BYTES = 64 * 1024 * 1024  # of payloads that are not acknowledged yet; beyond that nothing more is read


class Message(NamedTuple):
    """A message as the broker delivered it. `token` ascends in order of arrival over the life of the subscriber;
    `arrived_s` is when it came, by time.monotonic()."""

    topic: str
    payload: bytes
    retained: bool
    token: int
    arrived_s: float


def asking_client_id(client_id: str) -> str:
    """As whom the cloud asks whether the broker lets it in, beside its own connection."""
    return f"{client_id}-asks"


def client_ids(client_id: str) -> tuple[str, ...]:
    """All client ids of a cloud at its broker."""
    return client_id, asking_client_id(client_id)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and how to speak to it. TLS is used when `ca_file` is given.

    About `receive_maximum` messages are held here unacknowledged, and no more than HELD_MAX_BYTES of them; the broker
    keeps the others.
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    keep_alive_s: int = 30
    receive_maximum: int = 8_000
    session_expiry_s: int = 7 * 86_400
    reconnect_max_s: float = 30.0

    def password(self) -> str | None:
        """The password in its file. Raises OSError where it cannot be read."""
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise OSError(f"{self.password_file} is not UTF-8") from None

    def tls(self) -> ssl.SSLContext | None:
        """How to check the broker and show who we are; None for plain TCP. Raises OSError for unreadable files."""
        if self.ca_file is None:
            return None
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if self.certificate_file is not None:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


@dataclass(slots=True)
class SubscriberCounts:
    """What has gone through a subscriber since it was opened. `refused`: published, and not wanted by the broker."""

    received: int = 0
    acknowledged: int = 0
    connections: int = 0
    published: int = 0
    refused: int = 0


class Subscriber(Protocol):
    """A subscription to a broker, open from `async with` to its end. Reconnects by itself."""

    @property
    def counts(self) -> SubscriberCounts:
        """What has gone through."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the broker is there and has granted the subscription."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def waiting(self) -> int:
        """How many messages `receive` would give at once."""
        ...

    @property
    def forgotten(self) -> int:
        """Messages up to this token are of an earlier connection: what of them is not acknowledged comes again."""
        ...

    async def receive(self, limit: int) -> list[Message]:
        """Wait for at least one message; return what is there, at most `limit`, in order of arrival.

        Nothing comes back once the subscriber has been closed.
        """
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the broker that these are on disk.

        It hears it in the order of arrival, as MQTT 5 wants it (4.6): of a message once all before it are on disk too.
        Messages of an earlier connection are passed over: the broker delivers them again and they are known then.
        """
        ...

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the broker at QoS 1. False where it cannot be now: nothing waits, say it again later."""
        ...
