"""How an entry is written down, and the hash that ties it to the one before it.

The body of a batch holds every payload exactly as it was received, so signatures and evidence verify years later:

    u32 length ‖ JSON of the suspicions ‖ for each payload: u16 operator length, u16 device length, i64 received_at_ms,
    u32 payload length, operator, device, payload          (all big-endian)

The body of any other entry is its JSON. The hash of an entry covers the hash before it, its number, time, kind and
body, and what it led to: events, messages, and earlier messages withdrawn. So one changed byte anywhere shows at its
entry.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pledgewatch_cloud.decide import batch, canonical, payloads
from pledgewatch_cloud.decide.batch import Arrival, Content, Entry, Readings, Suspicion, Told
from pledgewatch_cloud.decide.events import SaidEvent
from pledgewatch_cloud.decide.messages import Message
from pledgewatch_cloud.decide.payloads import Received
from pledgewatch_wire.codec import PayloadError

READINGS = "readings"
_JSON: dict[str, type[Told]] = {
    "amendment": batch.Amendment,
    "moved": batch.Moved,
    "quotation": batch.Quotation,
    "acknowledgement": batch.Acknowledgement,
    "alert_comment": batch.AlertComment,
    "alert_silence": batch.AlertSilence,
    "submission": batch.Submission,
    "waiver": batch.Waiver,
    "booked": batch.Booked,
    "stock_report": batch.StockReport,
    "signed_act": batch.SignedAct,
    "signed_count": batch.SignedCount,
    "device_invitation": batch.DeviceInvitation,
    "device_claim": batch.DeviceClaim,
    "device_renewal": batch.DeviceRenewal,
    "device_confirmation": batch.DeviceConfirmation,
    "device_misuse": batch.DeviceMisuse,
    "device_revocation": batch.DeviceRevocation,
    "care_settings": batch.CareSettings,
    "care_command": batch.CareCommand,
    "care_answer": batch.CareAnswer,
    "accesses": batch.Accesses,
    "tick": batch.Tick,
}
_WORDS = {kind: word for word, kind in _JSON.items()}

_LENGTH = struct.Struct(">I")
_ARRIVAL = struct.Struct(">HHqI")
_NUMBER_AND_TIME = struct.Struct(">Qq")


class DamagedError(Exception):
    """A piece of the journal is not what was written. The sentence names the entry."""

    def __init__(self, entry: int, text: str) -> None:
        super().__init__(f"entry {entry}: {text}")
        self.entry = entry


class WrittenEntry(NamedTuple):
    """An entry as it stands on disk. `outcome` is the digest of what it led to, `hash` ties it to the one before."""

    number: int
    kind: str
    recorded_at_ms: int
    body: bytes
    outcome: bytes
    hash: bytes


def first_hash(journal: str) -> bytes:
    """The hash before entry 1."""
    return hashlib.sha256(b"pledgewatch journal 1\0" + journal.encode()).digest()


def entry_hash(before: bytes, number: int, recorded_at_ms: int, kind: str, body: bytes, outcome: bytes) -> bytes:
    """The hash of an entry."""
    head = before + _NUMBER_AND_TIME.pack(number, recorded_at_ms) + kind.encode() + b"\0"
    return hashlib.sha256(head + hashlib.sha256(body).digest() + outcome).digest()


def outcome_digest(events: Iterable[SaidEvent], messages: Iterable[Message], withdrawn: Iterable[str]) -> bytes:
    """The digest of what an entry led to; `withdrawn` are ids of messages of earlier entries."""
    said = [[one.id, one.event.as_json(), one.told_ms, one.replaces, one.because] for one in events]
    sent = [[one.id, one.type, one.facility, one.sequence, one.body.decode()] for one in messages]
    return hashlib.sha256(canonical.encode([said, sent, list(withdrawn)])).digest()


def seal(*values: int | str | bytes | None) -> str:
    """The seal of a row: 16 hexadecimal digits over its values and their types."""
    digest = hashlib.sha256()
    for value in values:
        text = value if isinstance(value, bytes) else str(value).encode()
        digest.update(f"{type(value).__name__} {len(text)} ".encode() + text)
    return digest.hexdigest()[:16]


def kind_of(entry: Entry) -> str:
    """The word that the kind of an entry is written as."""
    return READINGS if isinstance(entry.content, Readings) else _WORDS[type(entry.content)]


def write_body(entry: Entry) -> bytes:
    """The body of an entry."""
    match entry.content:
        case Readings(arrivals, suspicions):
            head = canonical.encode([list(one) for one in suspicions])
            pieces = [_LENGTH.pack(len(head)), head]
            for one in arrivals:
                operator, device = one.operator.encode(), one.device.encode()
                pieces.append(_ARRIVAL.pack(len(operator), len(device), one.received_at_ms, len(one.raw)))
                pieces += [operator, device, one.raw]
            return b"".join(pieces)
        case _:
            return canonical.encode(entry.content._asdict())


def read_entry(written: WrittenEntry) -> Entry:
    """The entry behind its written form. Raises DamagedError."""
    try:
        if written.kind == READINGS:
            suspicions, arrivals = _read_batch(written.body)
            content: Content = Readings(tuple(arrivals), suspicions)
        elif written.kind in _JSON:
            content = _JSON[written.kind](**json.loads(written.body))
        else:
            raise DamagedError(written.number, f"kind {written.kind!r} is none that this program writes")
    except (struct.error, ValueError, TypeError, PayloadError) as error:
        raise DamagedError(written.number, f"its body cannot be read: {error}") from None
    return Entry(written.number, written.recorded_at_ms, content)


def read_arrivals(body: bytes, places: Iterable[int]) -> list[Arrival]:
    """Some of the payloads of a batch's body, by their place in it."""
    wanted = set(places)
    _, received = _split_batch(body)
    return payloads.read_all([one for place, one in enumerate(received) if place in wanted])


def _read_batch(body: bytes) -> tuple[tuple[Suspicion, ...], list[Arrival]]:
    suspicions, received = _split_batch(body)
    return suspicions, payloads.read_all(list(received))


def _split_batch(body: bytes) -> tuple[tuple[Suspicion, ...], Iterator[Received]]:
    (length,) = _LENGTH.unpack_from(body)
    start = _LENGTH.size
    suspicions = tuple(Suspicion(*one) for one in json.loads(body[start : start + length]))
    return suspicions, _split_arrivals(body, start + length)


def _split_arrivals(body: bytes, place: int) -> Iterator[Received]:
    while place < len(body):
        operator_length, device_length, received_at_ms, raw_length = _ARRIVAL.unpack_from(body, place)
        place += _ARRIVAL.size
        device_from = place + operator_length
        raw_from = device_from + device_length
        end = raw_from + raw_length
        if end > len(body):
            raise ValueError("a payload is cut off")
        operator, device = body[place:device_from].decode(), body[device_from:raw_from].decode()
        yield Received(operator, device, received_at_ms, body[raw_from:end])
        place = end
