"""Messages from the broker to arrivals, statuses, or quarantine with the reason."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide.admission import stranger
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.book_items import Installation
from pledgewatch_cloud.ingest.subscriber import Message
from pledgewatch_cloud.journal.store import Quarantined
from pledgewatch_wire import topics
from pledgewatch_wire.codec import PayloadError, Status, decode, decode_status
from pledgewatch_wire.topics import Kind


class DeviceStatus(NamedTuple):
    """What a device says of itself, and under which names."""

    operator: str
    device: str
    status: Status


class Decoded(NamedTuple):
    """What a batch of messages holds."""

    arrivals: list[Arrival]
    statuses: list[DeviceStatus]
    unreadable: list[Quarantined]


def decode_messages(
    messages: Iterable[Message], received_at_ms: int, installations: Mapping[str, Installation]
) -> Decoded:
    """Read messages that were received at one moment. Never raises: what cannot be read is set aside.

    So is whatever comes from a device that nobody has installed, unread: it may cost no more than its own length.
    """
    decoded = Decoded([], [], [])
    for message in messages:
        try:
            address = topics.parse(message.topic)
        except ValueError as error:
            decoded.unreadable.append(_aside(message, received_at_ms, "unknown topic", str(error)))
            continue
        refusal = stranger(installations.get(address.device), address.operator, address.device)
        if refusal is not None:
            decoded.unreadable.append(_aside(message, received_at_ms, *refusal))
            continue
        try:
            if address.kind is Kind.UP:
                payload = decode(message.payload)
                decoded.arrivals.append(
                    Arrival(address.operator, address.device, received_at_ms, message.payload, payload)
                )
            elif address.kind is Kind.STATUS:
                status = decode_status(message.payload)
                decoded.statuses.append(DeviceStatus(address.operator, address.device, status))
            else:
                decoded.unreadable.append(
                    _aside(message, received_at_ms, "unknown topic", f"a device sends no {address.kind}")
                )
        except PayloadError as error:
            decoded.unreadable.append(_aside(message, received_at_ms, error.reason, error.detail))
    return decoded


def _aside(message: Message, received_at_ms: int, reason: str, detail: str) -> Quarantined:
    return Quarantined(message.topic, received_at_ms, reason, detail, message.payload)
