"""Messages from the broker to arrivals, statuses, answers, or quarantine with the reason."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from pledgewatch_cloud.decide import payloads
from pledgewatch_cloud.decide.admission import Refusal, stranger
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.items.assets import Installation
from pledgewatch_cloud.decide.payloads import Received
from pledgewatch_cloud.ingest.subscriber import Message
from pledgewatch_cloud.journal.store import Quarantined
from pledgewatch_wire import topics
from pledgewatch_wire.care import Answer, decode_answer
from pledgewatch_wire.codec import MAX_EPOCH, PayloadError, Status, decode_status
from pledgewatch_wire.topics import Kind

_NOBODY: Mapping[str, int] = MappingProxyType({})


class DeviceStatus(NamedTuple):
    """What a device says of itself, and under which names."""

    operator: str
    device: str
    status: Status


class DeviceAnswer(NamedTuple):
    """What a device says has become of settings or of a command, and under which names."""

    operator: str
    device: str
    answer: Answer


class Decoded(NamedTuple):
    """What the first `messages` of some messages hold."""

    messages: int
    arrivals: list[Arrival]
    statuses: list[DeviceStatus]
    unreadable: list[Quarantined]
    answers: list[DeviceAnswer]


class Decoder:
    """Reads messages. Remembers the topics of installed devices, for as long as the installations are the same."""

    def __init__(self) -> None:
        self._installations: Mapping[str, Installation] = {}
        self._ups: dict[str, tuple[str, str]] = {}  # topic: operator, device

    def decode(
        self,
        messages: Sequence[Message],
        received_at_ms: int,
        installations: Mapping[str, Installation],
        barred: Mapping[str, int] = _NOBODY,
    ) -> Decoded:
        """Read messages that were received at one moment. Never raises: what cannot be read is set aside.

        So is whatever comes from a device that nobody has installed, unread: it may cost no more than its own length.
        `barred` says by device the lowest epoch of which anything is taken: where that is none, statuses and answers
        are set aside too; payloads are the admission's to refuse.
        What payloads hold may be far more than their length, so the answer may end before the last message; the others
        are for the next call.
        """
        if installations is not self._installations:
            self._installations, self._ups = installations, {}
        known = self._ups
        statuses: list[DeviceStatus] = []
        answers: list[DeviceAnswer] = []
        unreadable: list[Quarantined] = []
        places: list[int] = []
        received: list[Received] = []
        for place, message in enumerate(messages):
            topic, raw = message[:2]
            names = known.get(topic)
            if names is None:
                found = self._read_other(message, received_at_ms, barred)
                if isinstance(found, Quarantined):
                    unreadable.append(found)
                    continue
                if isinstance(found, DeviceStatus):
                    statuses.append(found)
                    continue
                if isinstance(found, DeviceAnswer):
                    answers.append(found)
                    continue
                names = known[topic] = found
            places.append(place)
            received.append(Received(*names, received_at_ms, raw))
        read = payloads.read(received)
        if len(read) < len(received):
            return self.decode(messages[: places[len(read)]], received_at_ms, installations, barred)
        arrivals = []
        for place, one in zip(places, read, strict=True):
            if isinstance(one, PayloadError):
                unreadable.append(_aside(messages[place], received_at_ms, one.reason, one.detail))
            else:
                arrivals.append(one)
        return Decoded(len(messages), arrivals, statuses, unreadable, answers)

    def _read_other(
        self, message: Message, received_at_ms: int, barred: Mapping[str, int]
    ) -> tuple[str, str] | DeviceStatus | DeviceAnswer | Quarantined:
        """Whose payload a message on a topic not met before is, or the status or answer it holds, or why it is set
        aside."""
        try:
            address = topics.parse(message.topic)
        except ValueError as error:
            return _aside(message, received_at_ms, "unknown topic", str(error))
        refusal = stranger(self._installations.get(address.device), address.operator, address.device)
        if refusal is not None:
            return _aside(message, received_at_ms, *refusal)
        if address.kind is not Kind.UP and barred.get(address.device, 0) > MAX_EPOCH:
            detail = f"nothing is taken of {address.device} since its identity was revoked"
            return _aside(message, received_at_ms, Refusal.REVOKED, detail)
        try:
            match address.kind:
                case Kind.UP:
                    found: tuple[str, str] | DeviceStatus | DeviceAnswer = (address.operator, address.device)
                case Kind.STATUS:
                    found = DeviceStatus(address.operator, address.device, decode_status(message.payload))
                case Kind.ANSWER:
                    found = DeviceAnswer(address.operator, address.device, decode_answer(message.payload))
                case _:
                    return _aside(message, received_at_ms, "unknown topic", f"a device sends no {address.kind}")
        except PayloadError as error:
            return _aside(message, received_at_ms, error.reason, error.detail)
        return found


def _aside(message: Message, received_at_ms: int, reason: str, detail: str) -> Quarantined:
    return Quarantined(message.topic, received_at_ms, reason, detail, message.payload)
