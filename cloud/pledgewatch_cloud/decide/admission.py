"""Admission: which payloads are taken, which are known already, which are refused and why.

A payload is taken whole or not at all. For each device and epoch the state keeps marks (which sequences are there), the
running hash up to the contiguous mark and its newest values before (`recent`), the leaves of readings beyond a gap, and
checkpoints that wait for the gap to close. A checkpoint is verified as soon as the chain is there for it.

A false signature says that something is forged, not always what. The payload that brings it is refused. But where
readings that came before it without a signature may be at fault, refusing for ever would let whoever slipped them in
keep the true device from delivering: after CHAIN_BREAKS_AFTER suspicions such a payload is taken, and its readings stay
unsigned. A waiting checkpoint that proves false when the gap closes is dropped, whoever closed the gap. All of it is
told.

The same identity with other content is tampering, not an update: the payload is refused and a suspicion goes into the
journal, at most MAX_SUSPICIONS for each epoch, so that a flood of forgeries cannot fill the disk.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from pledgewatch_cloud.decide.batch import Arrival, AssetReading, Suspicion, asset_reading
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.book_items import Installation
from pledgewatch_wire import chain
from pledgewatch_wire.marks import Marks

MAX_BEYOND_GAP = 65_536
MAX_AHEAD = 2**24  # sequences; six months at one reading a second
RECENT_HASHES = 128
MAX_SUSPICIONS = 16
CHAIN_BREAKS_AFTER = 3
MAX_EPOCH = 1_023


class Refusal(StrEnum):
    """Why a readable payload is not taken; the words that quarantine shows."""

    NOT_INSTALLED = "device is not installed"
    WRONG_OPERATOR = "device belongs to another operator"
    SEQUENCE_REUSED = "sequence reused with other content"
    FORGED_SIGNATURE = "signature does not verify"
    TOO_FAR_BEYOND_GAP = "too far beyond a gap"
    TOO_FAR_AHEAD = "sequence too far ahead"
    BAD_EPOCH = "epoch out of range"


@dataclass(frozen=True, slots=True)
class EpochState:
    """What is known of one epoch of a device. `leaves` and `waiting` are for sequences beyond a gap.

    `recent` holds the running hashes of the newest contiguous sequences that nothing signed covers, the last of them
    being `chain_hash`: a device may sign what it sent before.
    """

    marks: Marks
    chain_hash: bytes
    signed_sequence: int = 0
    leaves: tuple[tuple[int, bytes], ...] = ()
    waiting: tuple[tuple[int, bytes], ...] = ()
    suspicions: int = 0
    recent: tuple[bytes, ...] = ()


DeviceStates = Mapping[tuple[str, int], EpochState]
StoredLeaves = Mapping[tuple[str, int, int], bytes]


class Refused(NamedTuple):
    """A payload that was not taken."""

    arrival: Arrival
    reason: Refusal
    detail: str


class Admission(NamedTuple):
    """What became of a batch of arrivals. `devices` holds the changed epochs only; `readings` are the new ones."""

    accepted: tuple[Arrival, ...]
    known: tuple[Arrival, ...]
    refused: tuple[Refused, ...]
    suspicions: tuple[Suspicion, ...]
    devices: dict[tuple[str, int], EpochState]
    readings: tuple[AssetReading, ...]


class _ForgedError(Exception):
    """A checkpoint that the chain has reached does not verify."""

    def __init__(self, sequence: int) -> None:
        super().__init__(sequence)
        self.sequence = sequence


def overlapping(devices: DeviceStates, arrivals: Iterable[Arrival]) -> list[tuple[str, int, int, int]]:
    """The (device, epoch, first, last) for which `admit` must be given the stored leaves."""
    wanted = []
    for arrival in arrivals:
        payload = arrival.payload
        known = devices.get((arrival.device, payload.epoch))
        if known is not None and known.marks.overlaps(payload.first_sequence, payload.last_sequence):
            wanted.append((arrival.device, payload.epoch, payload.first_sequence, payload.last_sequence))
    return wanted


def admit(
    devices: DeviceStates, book: Book, arrivals: Iterable[Arrival], stored: StoredLeaves | None = None
) -> Admission:
    """Take, know again or refuse each arrival, in order.

    `stored` holds the leaves of readings already committed, as `overlapping` asked for them. None says that the
    arrivals come from the journal, where they were compared before.
    """
    changed: dict[tuple[str, int], EpochState] = {}
    accepted: list[Arrival] = []
    known: list[Arrival] = []
    refused: list[Refused] = []
    suspicions: list[Suspicion] = []
    readings: list[AssetReading] = []
    fresh: dict[tuple[str, int, int], bytes] = {}
    for arrival in arrivals:
        key = (arrival.device, arrival.payload.epoch)
        state = changed.get(key) or devices.get(key)
        refusal = _refusal(arrival, state, book.installations.get(arrival.device))
        if refusal is not None:
            refused.append(refusal)
            continue
        state = state or EpochState(Marks(), chain.genesis(*key))
        leaves = {one.sequence: chain.leaf(one) for one in arrival.payload.readings}
        contradiction, new = None, list(arrival.payload.readings)
        if state.marks.overlaps(arrival.payload.first_sequence, arrival.payload.last_sequence):
            lookup = None if stored is None else (stored, fresh)
            contradiction = _contradiction(arrival, state, leaves, lookup)
            new = [one for one in new if one.sequence not in state.marks]
        if contradiction is None and not new:
            known.append(arrival)
            continue
        after = state
        unbelieved: list[int] = []
        try:
            if contradiction is None:
                after, unbelieved = _extended(arrival, state, leaves, book)
        except _ForgedError as error:
            detail = f"checkpoint at {error.sequence} of epoch {key[1]}"
            contradiction = (Refusal.FORGED_SIGNATURE, "signature", error.sequence, detail)
        if contradiction is not None:
            reason, kind, sequence, detail = contradiction
            refused.append(Refused(arrival, reason, detail))
            if state.suspicions < MAX_SUSPICIONS:
                suspicions.append(_suspicion(arrival, sequence, kind))
                changed[key] = replace(state, suspicions=state.suspicions + 1)
            continue
        told = unbelieved[: MAX_SUSPICIONS - state.suspicions] if stored is not None else []
        suspicions += [_suspicion(arrival, sequence, "signature") for sequence in told]
        changed[key] = replace(after, suspicions=state.suspicions + len(told)) if told else after
        accepted.append(arrival)
        readings += [asset_reading(arrival.device, arrival.payload.epoch, one) for one in new]
        fresh.update({(*key, sequence): one for sequence, one in leaves.items()})
    return Admission(tuple(accepted), tuple(known), tuple(refused), tuple(suspicions), changed, tuple(readings))


def replayed(
    devices: DeviceStates, book: Book, arrivals: Iterable[Arrival], suspicions: Iterable[Suspicion]
) -> Admission:
    """The admission of an entry that is read back from the journal."""
    admission = admit(devices, book, arrivals)
    suspicions = tuple(suspicions)
    changed = admission.devices
    for one in suspicions:
        key = (one.device, one.epoch)
        state = changed.get(key) or devices.get(key) or EpochState(Marks(), chain.genesis(*key))
        changed[key] = replace(state, suspicions=state.suspicions + 1)
    return admission._replace(suspicions=suspicions)


def stranger(installation: Installation | None, operator: str, device: str) -> tuple[Refusal, str] | None:
    """Why nothing is taken under a device's name; None where it is installed by that operator."""
    if installation is None:
        return Refusal.NOT_INSTALLED, f"the book has no installation of {device}"
    if installation.retired:
        return Refusal.NOT_INSTALLED, f"{device} is retired"
    if installation.operator != operator:
        return Refusal.WRONG_OPERATOR, f"sent under {operator}, installed by {installation.operator}"
    return None


def _refusal(arrival: Arrival, state: EpochState | None, installation: Installation | None) -> Refused | None:
    """What can be said before the readings are looked at."""
    payload = arrival.payload
    refusal = stranger(installation, arrival.operator, arrival.device)
    if refusal is not None:
        return Refused(arrival, *refusal)
    if not 1 <= payload.epoch <= MAX_EPOCH:
        return Refused(arrival, Refusal.BAD_EPOCH, f"epoch {payload.epoch} is not from 1 to {MAX_EPOCH}")
    beyond = len(state.leaves) if state else 0
    contiguous = state.marks.contiguous if state else 0
    if payload.last_sequence > contiguous + MAX_AHEAD:
        detail = f"{payload.last_sequence} lies more than {MAX_AHEAD} beyond {contiguous}"
        return Refused(arrival, Refusal.TOO_FAR_AHEAD, detail)
    if payload.first_sequence > contiguous + 1 and beyond + len(payload.readings) > MAX_BEYOND_GAP:
        return Refused(arrival, Refusal.TOO_FAR_BEYOND_GAP, f"{beyond} readings wait beyond {contiguous}")
    return None


def _contradiction(
    arrival: Arrival,
    state: EpochState,
    leaves: Mapping[int, bytes],
    lookup: tuple[StoredLeaves, StoredLeaves] | None,
) -> tuple[Refusal, str, int, str] | None:
    """The first reading that has an identity already taken by other content."""
    if lookup is None:
        return None
    for sequence, found in leaves.items():
        if sequence not in state.marks:
            continue
        key = (arrival.device, arrival.payload.epoch, sequence)
        before = lookup[1].get(key) or lookup[0].get(key)
        if before != found:
            detail = f"sequence {sequence} of epoch {arrival.payload.epoch} was committed with other content"
            return Refusal.SEQUENCE_REUSED, "sequence_reused", sequence, detail
    return None


def _extended(
    arrival: Arrival, state: EpochState, leaves: Mapping[int, bytes], book: Book
) -> tuple[EpochState, list[int]]:
    """The epoch with the payload's readings in it, and the checkpoints that were not believed.

    Raises _ForgedError where the payload's own checkpoint is false and it is not known yet that the chain is broken.
    """
    payload, before = arrival.payload, state.marks.contiguous
    marks = state.marks.add(payload.first_sequence, payload.last_sequence)
    own = {one.sequence: one.signature for one in payload.checkpoints}
    if marks.contiguous == before:
        waiting = _waiting(state, own, before)
        after = replace(state, marks=marks, leaves=_beyond(state.leaves, leaves, before), waiting=waiting)
        return _late_signed(arrival, after, own, book)
    if not (own or state.leaves or state.waiting) and payload.first_sequence == before + 1:
        return _carried_on(state, marks, leaves.values()), []
    pending = {**dict(state.leaves), **leaves}
    hashes, chain_hash = [], state.chain_hash
    for sequence in range(before + 1, marks.contiguous + 1):
        chain_hash = chain.extend(chain_hash, pending[sequence])
        hashes.append(chain_hash)
    known = [*state.recent, *hashes]
    first_known = marks.contiguous - len(known) + 1
    asked = {**dict(state.waiting), **own}
    signed, unbelieved = _verified(arrival, asked, known, first_known, book)
    stretch_is_its_own = state.signed_sequence == before and payload.first_sequence == before + 1 and not state.leaves
    forged = [sequence for sequence in unbelieved if sequence in own]
    if forged and (stretch_is_its_own or state.suspicions < CHAIN_BREAKS_AFTER):
        raise _ForgedError(forged[0])
    signed = max(signed, state.signed_sequence)
    recent = tuple(known[max(0, signed - first_known + 1) :][-RECENT_HASHES:])
    rest = tuple((sequence, leaf) for sequence, leaf in state.leaves if sequence > marks.contiguous)
    waiting = tuple(sorted((sequence, one) for sequence, one in asked.items() if sequence > marks.contiguous))
    kept = waiting[:MAX_BEYOND_GAP]
    return EpochState(marks, chain_hash, signed, rest, kept, state.suspicions, recent), unbelieved


def _carried_on(state: EpochState, marks: Marks, leaves: Iterable[bytes]) -> EpochState:
    """The epoch with the next readings in it, which bring no checkpoint and close no gap: nearly all there are."""
    recent, chain_hash = list(state.recent), state.chain_hash
    for leaf in leaves:
        chain_hash = chain.extend(chain_hash, leaf)
        recent.append(chain_hash)
    kept = tuple(recent[-RECENT_HASHES:])
    return EpochState(marks, chain_hash, state.signed_sequence, (), (), state.suspicions, kept)


def _beyond(
    known: tuple[tuple[int, bytes], ...], new: Mapping[int, bytes], contiguous: int
) -> tuple[tuple[int, bytes], ...]:
    """The leaves beyond a gap with some more; those that come in order only follow the others."""
    more = tuple(sorted((sequence, leaf) for sequence, leaf in new.items() if sequence > contiguous))
    if not known or not more or more[0][0] > known[-1][0]:
        return known + more
    return tuple(sorted({**dict(known), **dict(more)}.items()))


def _waiting(state: EpochState, own: Mapping[int, bytes], contiguous: int) -> tuple[tuple[int, bytes], ...]:
    """Checkpoints that wait, those of the payload included."""
    fresh = {sequence: signature for sequence, signature in own.items() if sequence > contiguous}
    return tuple(sorted({**dict(state.waiting), **fresh}.items()))[:MAX_BEYOND_GAP] if fresh else state.waiting


def _late_signed(
    arrival: Arrival, state: EpochState, own: Mapping[int, bytes], book: Book
) -> tuple[EpochState, list[int]]:
    """The epoch once checkpoints for what was there already are verified."""
    contiguous = state.marks.contiguous
    first_known = contiguous - len(state.recent) + 1
    signed, unbelieved = _verified(arrival, own, state.recent, first_known, book)
    if unbelieved and state.suspicions < CHAIN_BREAKS_AFTER:
        raise _ForgedError(unbelieved[0])
    if signed <= state.signed_sequence:
        return state, unbelieved
    return replace(state, signed_sequence=signed, recent=state.recent[signed - first_known + 1 :]), unbelieved


def _verified(
    arrival: Arrival, asked: Mapping[int, bytes], hashes: Sequence[bytes], first: int, book: Book
) -> tuple[int, list[int]]:
    """The highest checkpoint that verifies (0: none), and those that do not; `hashes` are those from `first` on."""
    due = [sequence for sequence in sorted(asked) if first <= sequence < first + len(hashes)]
    if not due:
        return 0, []
    key = chain.public_key(book.installations[arrival.device].public_key)
    signed, unbelieved = 0, []
    for sequence in due:
        epoch, chain_hash = arrival.payload.epoch, hashes[sequence - first]
        if chain.verifies(key, arrival.device, epoch, sequence, chain_hash, asked[sequence]):
            signed = sequence
        else:
            unbelieved.append(sequence)
    return signed, unbelieved


def _suspicion(arrival: Arrival, sequence: int, kind: str) -> Suspicion:
    raw_sha256 = hashlib.sha256(arrival.raw).hexdigest()
    return Suspicion(arrival.device, arrival.payload.epoch, sequence, kind, raw_sha256, arrival.received_at_ms)


def committed_of(state: EpochState | None, limit: int = 64) -> tuple[int, tuple[tuple[int, int], ...]]:
    """What may be said to the device: the contiguous mark and the first `limit` ranges beyond it."""
    return (state.marks.contiguous, state.marks.ranges[:limit]) if state else (0, ())
