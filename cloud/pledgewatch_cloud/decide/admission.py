"""Admission: which payloads are taken, which are known already, which are refused and why.

A payload is taken whole or not at all. For each device and epoch the state keeps marks (which sequences are there), the
running hash up to the contiguous mark, the leaves of readings beyond a gap, and checkpoints that wait for the gap to
close. A checkpoint is verified as soon as the chain reaches it; a payload whose arrival shows a signature to be false
is refused, so forged readings never stand for goods and the true device can still deliver its own.

The same identity with other content is tampering, not an update: the payload is refused and a suspicion goes into the
journal, at most MAX_SUSPICIONS for each epoch, so that a flood of forgeries cannot fill the disk.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from pledgewatch_cloud.decide.batch import Arrival, AssetReading, Suspicion, asset_reading
from pledgewatch_cloud.decide.book import Book, Installation
from pledgewatch_wire import chain
from pledgewatch_wire.marks import Marks

MAX_BEYOND_GAP = 65_536
MAX_SUSPICIONS = 16
MAX_EPOCH = 1_023


class Refusal(StrEnum):
    """Why a readable payload is not taken; the words that quarantine shows."""

    NOT_INSTALLED = "device is not installed"
    WRONG_OPERATOR = "device belongs to another operator"
    SEQUENCE_REUSED = "sequence reused with other content"
    FORGED_SIGNATURE = "signature does not verify"
    TOO_FAR_BEYOND_GAP = "too far beyond a gap"
    BAD_EPOCH = "epoch out of range"


@dataclass(frozen=True, slots=True)
class EpochState:
    """What is known of one epoch of a device. `leaves` and `waiting` are for sequences beyond a gap."""

    marks: Marks
    chain_hash: bytes
    signed_sequence: int = 0
    leaves: tuple[tuple[int, bytes], ...] = ()
    waiting: tuple[tuple[int, bytes], ...] = ()
    suspicions: int = 0


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
        lookup = None if stored is None else (stored, fresh)
        contradiction = _contradiction(arrival, state, leaves, lookup)
        new = [one for one in arrival.payload.readings if one.sequence not in state.marks]
        if contradiction is None and not new:
            known.append(arrival)
            continue
        try:
            after = state if contradiction else _extended(arrival, state, leaves, book)
        except _ForgedError as error:
            detail = f"checkpoint at {error.sequence} of epoch {key[1]}"
            contradiction = (Refusal.FORGED_SIGNATURE, "signature", error.sequence, detail)
            after = state
        if contradiction is not None:
            reason, kind, sequence, detail = contradiction
            refused.append(Refused(arrival, reason, detail))
            if state.suspicions < MAX_SUSPICIONS:
                suspicions.append(_suspicion(arrival, sequence, kind))
                changed[key] = replace(state, suspicions=state.suspicions + 1)
            continue
        changed[key] = after
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


def _refusal(arrival: Arrival, state: EpochState | None, installation: Installation | None) -> Refused | None:
    """What can be said before the readings are looked at."""
    payload = arrival.payload
    if installation is None:
        return Refused(arrival, Refusal.NOT_INSTALLED, f"the book has no installation of {arrival.device}")
    if installation.retired:
        return Refused(arrival, Refusal.NOT_INSTALLED, f"{arrival.device} is retired")
    if installation.operator != arrival.operator:
        detail = f"sent under {arrival.operator}, installed by {installation.operator}"
        return Refused(arrival, Refusal.WRONG_OPERATOR, detail)
    if not 1 <= payload.epoch <= MAX_EPOCH:
        return Refused(arrival, Refusal.BAD_EPOCH, f"epoch {payload.epoch} is not from 1 to {MAX_EPOCH}")
    beyond = len(state.leaves) if state else 0
    contiguous = state.marks.contiguous if state else 0
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


def _extended(arrival: Arrival, state: EpochState, leaves: Mapping[int, bytes], book: Book) -> EpochState:
    """The epoch with the payload's readings in it. Raises _ForgedError where a checkpoint does not verify."""
    payload = arrival.payload
    marks = state.marks.add(payload.first_sequence, payload.last_sequence)
    pending = dict(state.leaves)
    pending.update({sequence: one for sequence, one in leaves.items() if sequence > state.marks.contiguous})
    waiting = dict(state.waiting)
    for checkpoint in payload.checkpoints:
        if checkpoint.sequence > state.marks.contiguous:
            waiting[checkpoint.sequence] = checkpoint.signature
    chain_hash, signed = state.chain_hash, state.signed_sequence
    key = chain.public_key(book.installations[arrival.device].public_key) if waiting else None
    for sequence in range(state.marks.contiguous + 1, marks.contiguous + 1):
        chain_hash = chain.extend(chain_hash, pending.pop(sequence))
        signature = waiting.pop(sequence, None)
        if signature is None or key is None:
            continue
        if not chain.verifies(key, arrival.device, payload.epoch, sequence, chain_hash, signature):
            raise _ForgedError(sequence)
        signed = sequence
    kept = tuple(sorted(waiting.items())[:MAX_BEYOND_GAP])
    return EpochState(marks, chain_hash, signed, tuple(sorted(pending.items())), kept, state.suspicions)


def _suspicion(arrival: Arrival, sequence: int, kind: str) -> Suspicion:
    raw_sha256 = hashlib.sha256(arrival.raw).hexdigest()
    return Suspicion(arrival.device, arrival.payload.epoch, sequence, kind, raw_sha256, arrival.received_at_ms)


def committed_of(state: EpochState | None, limit: int = 64) -> tuple[int, tuple[tuple[int, int], ...]]:
    """What may be said to the device: the contiguous mark and the first `limit` ranges beyond it."""
    return (state.marks.contiguous, state.marks.ranges[:limit]) if state else (0, ())
