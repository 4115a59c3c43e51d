"""What `step` is given: one journal entry.

An entry is a batch of payloads as they were received, an amendment of the book, quotes of the market, what somebody
said about an alert, what a sender handed in of the trade, a waiver, a word about a booking, what a stock system handed
in, a signed act on a receipt, a signed count of goods, what becomes of a device's identity, or a tick. Nothing else can
change an answer: the passing of time is a tick. What users have asked of the API is an entry too, and changes nothing.
"""

from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pledgewatch_cloud.decide.columns import Columns, Numbers, Truths, between, columns_of, joined
from pledgewatch_wire.codec import Checkpoint, Thinned
from pledgewatch_wire.reading import Reading


class Arrival:
    """One payload as it came in: who sent it, when it was received, its bytes, and what they say.

    Its `count` readings are the rows of `columns` from `start` on, consecutive in sequence; `until_ms` is the newest
    moment among them. Made by `payloads.read`. Two arrivals are equal when the same was received.
    """

    __slots__ = (
        "checkpoints",
        "columns",
        "committed_wanted",
        "count",
        "device",
        "epoch",
        "first_sequence",
        "operator",
        "raw",
        "received_at_ms",
        "start",
        "thinned",
        "until_ms",
    )

    def __init__(
        self,
        operator: str,
        device: str,
        received_at_ms: int,
        raw: bytes,
        epoch: int,
        committed_wanted: bool,
        checkpoints: tuple[Checkpoint, ...],
        thinned: tuple[Thinned, ...],
        first_sequence: int,
        count: int,
        until_ms: int,
        columns: Columns,
        start: int,
    ) -> None:
        """Put together what was read."""
        self.operator = operator
        self.device = device
        self.received_at_ms = received_at_ms
        self.raw = raw
        self.epoch = epoch
        self.committed_wanted = committed_wanted
        self.checkpoints = checkpoints
        self.thinned = thinned
        self.first_sequence = first_sequence
        self.count = count
        self.until_ms = until_ms
        self.columns = columns
        self.start = start

    @property
    def last_sequence(self) -> int:
        """Sequence of the last reading."""
        return self.first_sequence + self.count - 1

    @property
    def readings(self) -> list[Reading]:
        """The readings as objects."""
        return self.columns.readings(self.start, self.start + self.count)

    @property
    def leaves(self) -> list[bytes]:
        """The readings' fingerprints."""
        return self.columns.leaves[self.start : self.start + self.count]

    @property
    def numbered_leaves(self) -> Iterable[tuple[int, bytes]]:
        """The readings' fingerprints, each with its reading's sequence."""
        return enumerate(self.leaves, self.first_sequence)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Arrival) and self._received() == other._received()

    def __hash__(self) -> int:
        return hash(self._received())

    def _received(self) -> tuple[str, str, int, bytes]:
        return self.operator, self.device, self.received_at_ms, self.raw


class Suspicion(NamedTuple):
    """A payload that was refused because it contradicts what the device said before.

    `kind` is `sequence_reused` or `signature`; the refused bytes are kept in quarantine, their SHA-256 here.
    """

    device: str
    epoch: int
    sequence: int
    kind: str
    raw_sha256: str
    received_at_ms: int


class Readings(NamedTuple):
    """A batch of payloads that were admitted, and what was suspected while admitting them."""

    arrivals: tuple[Arrival, ...]
    suspicions: tuple[Suspicion, ...] = ()


class Amendment(NamedTuple):
    """A change of the book that has passed its checks (pledgewatch_cloud.decide.book.amend).

    `file` and `sha256` name the book file that it was read from, and its content; empty where somebody asked for it.
    """

    document: dict[str, Any]
    file: str = ""
    sha256: str = ""


class Moved(NamedTuple):
    """A bank has told that money has moved on a facility: what it told, of which something was new (decide/movements).

    It is an entry of its own, or each would write down all that were told of the facility before.
    """

    facility: str
    document: dict[str, Any]


class Quotation(NamedTuple):
    """Quotes of prices and rates that have passed their checks (pledgewatch_cloud.decide.market.Market.quoted)."""

    document: dict[str, Any]


class Acknowledgement(NamedTuple):
    """Somebody has taken an alert on. `alert` is its id, `by` names who."""

    alert: str
    by: str


class AlertComment(NamedTuple):
    """Somebody says something of an alert. `alert` is its id, `by` names who, `party` for whom they speak."""

    alert: str
    by: str
    party: str
    text: str


class AlertSilence(NamedTuple):
    """Somebody silences an alert for their party until a moment, and says why; 0: it is silenced no more."""

    alert: str
    by: str
    party: str
    why: str
    until_ms: int


class Submission(NamedTuple):
    """What a sender handed in, exactly as it came. It holds notices; `form` is how (see trade/submission.FORMS)."""

    sender: str
    form: str
    text: str


class Waiver(NamedTuple):
    """Somebody lets a milestone's money move whatever its clause asks for. `by` names who, `why` says why."""

    milestone: str
    by: str
    why: str


class Booked(NamedTuple):
    """Whoever pays has said that it has booked a message about a milestone's release, or a person says so for it.

    `message` is the one that they have answered; where they say of one that takes a release back that it is not
    booked, the one that had asked for it. `release` is what is said of the release itself: `booked`, `none`, or
    nothing. `by` names the person, `why` says how they know; both are empty where the payer itself has answered,
    which is the endpoint `payer`.
    """

    message: str
    milestone: str
    release: str = ""
    by: str = ""
    why: str = ""
    payer: str = ""


class StockReport(NamedTuple):
    """What a stock system handed in, exactly as it came: `base64` holds its bytes, as they may be of any encoding.

    `form` is one of stock/intake.FORMS, `received_ms` when it was handed in.
    """

    source: str
    form: str
    base64: str
    received_ms: int

    @property
    def data(self) -> bytes:
        """The bytes."""
        return b64decode(self.base64)


class SignedAct(NamedTuple):
    """A step in a receipt's life, as it was signed; see receipts/act. `heard_ms` is when it was handed in."""

    text: str
    heard_ms: int


class SignedCount(NamedTuple):
    """What somebody has counted in a warehouse, as it was signed; see warehouse/counting. `heard_ms` is when it was
    handed in."""

    text: str
    heard_ms: int


class DeviceInvitation(NamedTuple):
    """Somebody invites a device to claim an identity: whoever shows the code until `until_ms` becomes the device.

    Of the code there is its SHA-256 alone, hexadecimal. `replaces` names the device whose place the new one takes;
    empty where it takes nobody's. `settings` is TOML for whoever claims. `at_ms` and `until_ms` are the world's time,
    as certificates have it. `gateway`: whose zone it is; empty where it is no gateway's.
    """

    device: str
    operator: str
    asset: str
    replaces: str
    code_sha256: str
    settings: str
    by: str
    at_ms: int
    until_ms: int
    gateway: str = ""


class DeviceClaim(NamedTuple):
    """A device has shown its code and was given a certificate.

    `document` is what that changes of the book. `public_key` (Ed25519) signs its chain beyond `epoch`, the highest that
    anybody knows of; `certificate` is the DER in base64, `serial` its number and `key_sha256` the digest of the key
    that it is for, both hexadecimal.
    """

    device: str
    code_sha256: str
    document: dict[str, Any]
    public_key: str
    epoch: int
    serial: str
    not_after_ms: int
    key_sha256: str
    certificate: str
    at_ms: int


class DeviceRenewal(NamedTuple):
    """A device has shown the certificate `of` and was given another; see DeviceClaim. `signed_ms` is when it signed
    that, by its own clock. Where both are one, it has shown a certificate of our authority that the journal does not
    know: it was given by an entry that is lost."""

    device: str
    of: str
    serial: str
    not_after_ms: int
    key_sha256: str
    certificate: str
    at_ms: int
    signed_ms: int = 0


class DeviceConfirmation(NamedTuple):
    """A device has shown that it has the certificate of this number in force: what it had before counts no more.
    `signed_ms` is when it signed that, by its own clock."""

    device: str
    serial: str
    at_ms: int
    signed_ms: int = 0


class DeviceMisuse(NamedTuple):
    """Somebody who has its key has shown a certificate of a device that was replaced, for the first time; or, of kind
    `overused_certificate`, asks by one that counts as no agent does; or, of kind `unknown_certificate`, was refused by
    one of our authority that the journal does not know."""

    device: str
    serial: str
    at_ms: int
    kind: str = "replaced_certificate"


class DeviceRevocation(NamedTuple):
    """Somebody takes a device's identity away: nothing more is taken of it until it has claimed another."""

    device: str
    by: str
    why: str
    at_ms: int


class Tick(NamedTuple):
    """Time has come this far, and nothing more need have happened.

    Nobody is missed for what was said after `heard_until_ms` (Unix milliseconds): while the broker is away, or what
    waits with it is still to be read, it is the cloud that is deaf.
    """

    heard_until_ms: int


class CareSettings(NamedTuple):
    """Somebody says what a device is to be set to: TOML of what may be set from afar (docs/CARE.md). `signed` are the
    bytes that the device is sent, hexadecimal. `at_ms` and `until_ms` are the world's time, as the device's clock has
    it; from then on it does not take them any more."""

    device: str
    operator: str
    version: int
    toml: str
    by: str
    at_ms: int
    until_ms: int
    signed: str = ""


class CareCommand(NamedTuple):
    """Somebody says what a device is to do once: `what` is a name of pledgewatch_wire.care.What in small letters. The
    rest is as with CareSettings."""

    device: str
    operator: str
    id: int
    what: str
    epoch: int
    first: int
    last: int
    seconds: int
    by: str
    at_ms: int
    until_ms: int
    signed: str = ""


class CareAnswer(NamedTuple):
    """A device says what has become of settings (`version`) or of a command (`id`): `became` is taken, refused, done,
    postponed or left_aside. `result` is what the command gave, packed, hexadecimal. `at_ms` is when it was heard, by
    the world's clock."""

    device: str
    operator: str
    version: int
    id: int
    became: str
    text: str
    result: str
    at_ms: int


class Accesses(NamedTuple):
    """What users have asked of the API: rows of when first (Unix milliseconds), user, party, role, method, path, status
    of the answer, the last entry by then where it was no reading, and how often within a moment. It changes no answer;
    it is here to be found, and not to be changed.
    """

    rows: list[list[Any]]


Told = (
    Amendment
    | Moved
    | Quotation
    | Acknowledgement
    | AlertComment
    | AlertSilence
    | Submission
    | Waiver
    | Booked
    | StockReport
    | SignedAct
    | SignedCount
    | DeviceInvitation
    | DeviceClaim
    | DeviceRenewal
    | DeviceConfirmation
    | DeviceMisuse
    | DeviceRevocation
    | CareSettings
    | CareCommand
    | CareAnswer
    | Accesses
    | Tick
)
"""What is told otherwise than by readings. It is written down as the JSON of its fields (journal/form.py)."""
Content = Readings | Told
Amending = Amendment | DeviceClaim
"""What changes the book by its `document`."""


class Entry(NamedTuple):
    """A numbered piece of the journal; `recorded_at_ms` never runs backwards from entry to entry."""

    number: int
    recorded_at_ms: int
    content: Content


class AssetReading(NamedTuple):
    """A reading with its identity, ordered as an asset's story is told: by when it was measured, then by identity."""

    measured_at_ms: int
    device: str
    epoch: int
    sequence: int
    reading: Reading

    @property
    def key(self) -> tuple[int, str, int, int]:
        """What the order rests on."""
        return self[:4]


def asset_reading(device: str, epoch: int, reading: Reading) -> AssetReading:
    """A reading under its full identity."""
    return AssetReading(reading.measured_at_ms, device, epoch, reading.sequence, reading)


class Batch:
    """New readings under their full identity, in any order: row r is of `devices[payload[r]]`, `epochs[payload[r]]`."""

    __slots__ = ("columns", "devices", "epochs", "payload")

    def __init__(self, devices: Sequence[str], epochs: Sequence[int], payload: Numbers, columns: Columns) -> None:
        """Take the columns as they are."""
        self.devices = devices
        self.epochs = epochs
        self.payload = payload
        self.columns = columns

    def __len__(self) -> int:
        return len(self.payload)

    def __iter__(self) -> Iterator[AssetReading]:
        return iter(self.objects(np.arange(len(self))))

    def objects(self, rows: Numbers) -> list[AssetReading]:
        """Some of the readings as objects, by their rows."""
        readings = self.columns.rows(rows).readings()
        payloads = self.payload[rows].tolist()
        return [
            asset_reading(self.devices[payload], self.epochs[payload], one)
            for payload, one in zip(payloads, readings, strict=True)
        ]


def batch_of_arrivals(arrivals: Sequence[Arrival], new: Sequence[Truths | None]) -> Batch:
    """The readings of arrivals; of each those that `new` says, or all where it says None."""
    by_columns: dict[int, list[int]] = {}
    for number, one in enumerate(arrivals):
        by_columns.setdefault(id(one.columns), []).append(number)
    pieces, payloads = [], []
    for numbers in by_columns.values():
        columns = arrivals[numbers[0]].columns
        starts = np.array([arrivals[number].start for number in numbers], dtype=np.int64)
        counts = np.array([arrivals[number].count for number in numbers], dtype=np.int64)
        payload = np.repeat(np.array(numbers, dtype=np.int64), counts)
        has_known = any(new[number] is not None for number in numbers)
        if not has_known and len(payload) == len(columns) and _ascends(starts):
            pieces.append(columns)
            payloads.append(payload)
            continue
        rows = between(starts, starts + counts)
        if has_known:
            kept = np.concatenate(
                [_every(arrivals[number].count) if new[number] is None else new[number] for number in numbers]
            )
            rows, payload = rows[kept], payload[kept]
        pieces.append(columns.rows(rows))
        payloads.append(payload)
    payload = np.concatenate(payloads) if payloads else np.zeros(0, dtype=np.int64)
    return Batch([one.device for one in arrivals], [one.epoch for one in arrivals], payload, joined(pieces))


def batch_of_readings(readings: Iterable[AssetReading]) -> Batch:
    """Readings that are objects already."""
    every = list(readings)
    columns = columns_of([one.reading for one in every])
    return Batch([one.device for one in every], [one.epoch for one in every], np.arange(len(every)), columns)


def _every(count: int) -> Truths:
    return np.ones(count, dtype=np.bool_)


def _ascends(rows: Numbers) -> bool:
    return bool((rows[1:] > rows[:-1]).all())
