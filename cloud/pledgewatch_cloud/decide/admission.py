"""Admission: which payloads are taken, which are known already, which are refused and why.

A payload is taken whole or not at all. For each device and epoch the state keeps marks (which sequences are there), the
running hash up to the contiguous mark and its newest values before (`recent`), the leaves of readings beyond a gap, and
checkpoints that wait for the gap to close. A checkpoint is verified as soon as the chain is there for it.

A false signature says that something is forged, not always what. The payload that brings it is refused. But where
readings that came before it without a signature may be at fault, refusing for ever would let whoever slipped them in
keep the true device from delivering: after CHAIN_BREAKS_AFTER suspicions such a payload is taken, and its readings stay
unsigned. A waiting checkpoint that proves false when the gap closes is dropped, whoever closed the gap. All of it is
told.

A device whose spool is full declares what it has dropped, signed (pledgewatch_wire.codec.Thinned). Where everything up
to such a stretch is there, and all that was kept of it, the stretch counts as told, the chain goes on from the hash
that was declared, and how many readings will not come is counted. A declaration for which something is missing yet
changes nothing: it comes again with its reading until that is committed.

The same identity with other content is tampering, not an update: the payload is refused and a suspicion goes into the
journal, at most MAX_SUSPICIONS for each epoch, so that a flood of forgeries cannot fill the disk.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pledgewatch_cloud.decide.batch import Arrival, Batch, Suspicion, batch_of_arrivals
from pledgewatch_cloud.decide.columns import Truths
from pledgewatch_cloud.decide.identity_book import IdentityBook
from pledgewatch_cloud.decide.items.assets import Installation
from pledgewatch_wire import chain
from pledgewatch_wire.codec import MAX_EPOCH, MAX_RANGES, MAX_SEQUENCE, Committed, Thinned
from pledgewatch_wire.ended import Ended, ended_of
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Channel, Quality

MAX_BEYOND_GAP = 65_536
MAX_AHEAD = 2**24  # sequences; six months at one reading a second
RECENT_HASHES = 128
_RECENT_BYTES = RECENT_HASHES * chain.HASH_BYTES
MAX_SUSPICIONS = 16
CHAIN_BREAKS_AFTER = 3
MAX_ENDED = 16


class Refusal(StrEnum):
    """Why a readable payload is not taken; the words that quarantine shows."""

    NOT_INSTALLED = "device is not installed"
    WRONG_OPERATOR = "device belongs to another operator"
    REVOKED = "identity is revoked"
    SEQUENCE_REUSED = "sequence reused with other content"
    FORGED_SIGNATURE = "signature does not verify"
    TOO_FAR_BEYOND_GAP = "too far beyond a gap"
    TOO_FAR_AHEAD = "sequence too far ahead"
    BAD_EPOCH = "epoch out of range"


class EpochState(NamedTuple):
    """What is known of one epoch of a device. `leaves` and `waiting` are for sequences beyond a gap.

    `recent` holds, end to end, the running hashes of the newest contiguous sequences that nothing signed covers, the
    last of them being `chain_hash`: a device may sign what it sent before. `thinned` is how many of the marks' readings
    the device has dropped, `refused` how many it could not keep, over all epochs, as far as readings of this one tell.
    `ended` is what they tell of epochs before, the newest MAX_ENDED of them, ascending.
    """

    marks: Marks
    chain_hash: bytes
    signed_sequence: int = 0
    leaves: tuple[tuple[int, bytes], ...] = ()
    waiting: tuple[tuple[int, bytes], ...] = ()
    suspicions: int = 0
    recent: bytes = b""
    thinned: int = 0
    refused: int = 0
    ended: tuple[Ended, ...] = ()


class Fleet(NamedTuple):
    """Whose word counts: the devices of the book, and what became of their identities."""

    installations: Mapping[str, Installation]
    identities: IdentityBook = IdentityBook()

    def key(self, arrival: Arrival) -> Ed25519PublicKey:
        """The key that a device signs this epoch with."""
        return chain.public_key(self.identities.key_of(self.installations[arrival.device], arrival.epoch))


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
    readings: Batch


class _ForgedError(Exception):
    """A checkpoint that the chain has reached does not verify."""

    def __init__(self, sequence: int) -> None:
        super().__init__(sequence)
        self.sequence = sequence


def overlapping(devices: DeviceStates, arrivals: Iterable[Arrival]) -> list[tuple[str, int, int, int]]:
    """The (device, epoch, first, last) for which `admit` must be given the stored leaves."""
    wanted = []
    for one in arrivals:
        known = devices.get((one.device, one.epoch))
        if known is None:
            continue
        wanted += [(one.device, one.epoch, said.first, said.last) for said in one.thinned]
        if one.first_sequence > known.marks.contiguous and not known.marks.ranges:
            continue
        if known.marks.overlaps(one.first_sequence, one.last_sequence):
            wanted.append((one.device, one.epoch, one.first_sequence, one.last_sequence))
    return wanted


def admit(
    devices: DeviceStates, fleet: Fleet, arrivals: Iterable[Arrival], stored: StoredLeaves | None = None
) -> Admission:
    """Take, know again or refuse each arrival, in order.

    `stored` holds the leaves of readings already committed, as `overlapping` asked for them. None says that the
    arrivals come from the journal, where they were compared before.
    """
    installations, barred = fleet.installations, fleet.identities.barred
    changed: dict[tuple[str, int], EpochState] = {}
    accepted: list[Arrival] = []
    known: list[Arrival] = []
    refused: list[Refused] = []
    suspicions: list[Suspicion] = []
    new: list[Truths | None] = []
    fresh = _Fresh(accepted)
    for arrival in arrivals:
        key = (arrival.device, arrival.epoch)
        state = changed.get(key) or devices.get(key)
        installation = installations.get(arrival.device)
        if state is not None and _follows(arrival, state, installation, barred):
            changed[key] = _carried_on(arrival, state)
            accepted.append(arrival)
            new.append(None)
            continue
        refusal = _refusal(arrival, state, installation, barred)
        if refusal is not None:
            refused.append(refusal)
            continue
        state = state or EpochState(Marks(), chain.genesis(*key))
        contradiction = None if stored is None else _contradiction(arrival, state, stored, fresh)
        is_new = _new(arrival, state)
        is_known = contradiction is None and is_new is not None and not is_new.any()
        after = state
        unbelieved: list[int] = []
        try:
            if contradiction is None:
                after, unbelieved = (state, []) if is_known else _extended(arrival, state, fleet)
                after, unbelieved = _declared(arrival, after, unbelieved, fleet, _Leaves(arrival, after, stored, fresh))
            if is_known and after is state:
                known.append(arrival)
                continue
        except _ForgedError as error:
            detail = f"checkpoint at {error.sequence} of epoch {key[1]}"
            contradiction = (Refusal.FORGED_SIGNATURE, "signature", error.sequence, detail)
        if contradiction is not None:
            reason, kind, sequence, detail = contradiction
            refused.append(Refused(arrival, reason, detail))
            if state.suspicions < MAX_SUSPICIONS:
                suspicions.append(_suspicion(arrival, sequence, kind))
                changed[key] = state._replace(suspicions=state.suspicions + 1)
            continue
        told = unbelieved[: MAX_SUSPICIONS - state.suspicions] if stored is not None else []
        suspicions += [_suspicion(arrival, sequence, "signature") for sequence in told]
        changed[key] = after._replace(suspicions=state.suspicions + len(told)) if told else after
        accepted.append(arrival)
        new.append(is_new)
    readings = _noted(changed, batch_of_arrivals(accepted, new))
    return Admission(tuple(accepted), tuple(known), tuple(refused), tuple(suspicions), changed, readings)


def _noted(changed: dict[tuple[str, int], EpochState], new: Batch) -> Batch:
    """New readings, once what they tell of samples that their device could not keep, and of epochs that are over, is
    noted; nearly none does."""
    columns = new.columns
    cells = np.flatnonzero((columns.channel == Channel.REFUSED_READINGS) & (columns.quality == Quality.GOOD))
    rows = np.searchsorted(columns.cell_from, cells, side="right") - 1
    for payload, told in zip(new.payload[rows].tolist(), columns.value[cells].tolist(), strict=True):
        key = (new.devices[payload], new.epochs[payload])
        changed[key] = changed[key]._replace(refused=max(told, changed[key].refused))
    for cell in np.flatnonzero(columns.channel == Channel.ENDED_EPOCH).tolist():
        row = int(np.searchsorted(columns.cell_from, cell, side="right")) - 1
        payload, own = int(new.payload[row]), slice(*columns.cell_from[row : row + 2].tolist())
        key = (new.devices[payload], new.epochs[payload])
        told = ended_of(dict(zip(columns.channel[own].tolist(), columns.value[own].tolist(), strict=True)), key[1])
        if told is not None and (columns.quality[own] == Quality.GOOD).all():
            known = {one.epoch: one for one in changed[key].ended} | {told.epoch: told}
            changed[key] = changed[key]._replace(ended=tuple(known[one] for one in sorted(known)[-MAX_ENDED:]))
    return new


class _Fresh:
    """The leaves of what was accepted before in the same batch, found only when somebody asks."""

    def __init__(self, accepted: Sequence[Arrival]) -> None:
        self._accepted = accepted
        self._seen = 0
        self._leaves: dict[tuple[str, int, int], bytes] = {}

    def get(self, key: tuple[str, int, int]) -> bytes | None:
        for one in self._accepted[self._seen :]:
            self._leaves.update({(one.device, one.epoch, sequence): leaf for sequence, leaf in one.numbered_leaves})
        self._seen = len(self._accepted)
        return self._leaves.get(key)


def replayed(
    devices: DeviceStates, fleet: Fleet, arrivals: Iterable[Arrival], suspicions: Iterable[Suspicion]
) -> Admission:
    """The admission of an entry that is read back from the journal."""
    admission = admit(devices, fleet, arrivals)
    suspicions = tuple(suspicions)
    changed = admission.devices
    for one in suspicions:
        key = (one.device, one.epoch)
        state = changed.get(key) or devices.get(key) or EpochState(Marks(), chain.genesis(*key))
        changed[key] = state._replace(suspicions=state.suspicions + 1)
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


def _refusal(
    arrival: Arrival, state: EpochState | None, installation: Installation | None, barred: Mapping[str, int]
) -> Refused | None:
    """What can be said before the readings are looked at."""
    refusal = stranger(installation, arrival.operator, arrival.device)
    if refusal is not None:
        return Refused(arrival, *refusal)
    if arrival.epoch < barred.get(arrival.device, 0):
        detail = f"nothing is taken of epoch {arrival.epoch} of {arrival.device} since its identity was revoked"
        return Refused(arrival, Refusal.REVOKED, detail)
    if not 1 <= arrival.epoch <= MAX_EPOCH:
        return Refused(arrival, Refusal.BAD_EPOCH, f"epoch {arrival.epoch} is not from 1 to {MAX_EPOCH}")
    beyond = len(state.leaves) if state else 0
    contiguous = state.marks.contiguous if state else 0
    if arrival.last_sequence > contiguous + MAX_AHEAD:
        detail = f"{arrival.last_sequence} lies more than {MAX_AHEAD} beyond {contiguous}"
        return Refused(arrival, Refusal.TOO_FAR_AHEAD, detail)
    if arrival.first_sequence > contiguous + 1 and beyond + arrival.count > MAX_BEYOND_GAP:
        return Refused(arrival, Refusal.TOO_FAR_BEYOND_GAP, f"{beyond} readings wait beyond {contiguous}")
    return None


def _contradiction(
    arrival: Arrival, state: EpochState, stored: StoredLeaves, fresh: _Fresh
) -> tuple[Refusal, str, int, str] | None:
    """The first reading that has an identity already taken by other content."""
    if not state.marks.overlaps(arrival.first_sequence, arrival.last_sequence):
        return None
    for sequence, found in arrival.numbered_leaves:
        if sequence not in state.marks:
            continue
        key = (arrival.device, arrival.epoch, sequence)
        if (fresh.get(key) or stored.get(key)) != found:
            detail = f"sequence {sequence} of epoch {arrival.epoch} was committed with other content"
            return Refusal.SEQUENCE_REUSED, "sequence_reused", sequence, detail
    return None


def _new(arrival: Arrival, state: EpochState) -> Truths | None:
    """Which of a payload's readings are new; None where all are."""
    if not state.marks.overlaps(arrival.first_sequence, arrival.last_sequence):
        return None
    sequences = range(arrival.first_sequence, arrival.last_sequence + 1)
    return np.array([sequence not in state.marks for sequence in sequences], dtype=np.bool_)


def _follows(arrival: Arrival, state: EpochState, installation: Installation | None, barred: Mapping[str, int]) -> bool:
    """Whether a payload brings just the next readings of an epoch without a gap, and no checkpoint: nearly all do."""
    return (
        arrival.first_sequence == state.marks.contiguous + 1
        and not arrival.checkpoints
        and not arrival.thinned
        and not state.marks.ranges
        and not state.leaves
        and not state.waiting
        and installation is not None
        and not installation.retired
        and installation.operator == arrival.operator
        and arrival.epoch >= barred.get(arrival.device, 0)
    )


def _carried_on(arrival: Arrival, state: EpochState) -> EpochState:
    """The epoch with the readings of a payload that follows."""
    marks, chain_hash, signed, leaves, waiting, suspicions, recent, thinned, refused, ended = state
    if arrival.count == 1:
        chain_hash = chain.extend(chain_hash, arrival.columns.leaves[arrival.start])
        recent += chain_hash
    else:
        hashes = chain.hashes(chain_hash, arrival.leaves)
        chain_hash = hashes[-1]
        recent += b"".join(hashes[-RECENT_HASHES:])
    if len(recent) > _RECENT_BYTES:
        recent = recent[-_RECENT_BYTES:]
    contiguous = marks.contiguous + arrival.count
    return EpochState(
        Marks(contiguous), chain_hash, signed, leaves, waiting, suspicions, recent, thinned, refused, ended
    )


def _extended(arrival: Arrival, state: EpochState, fleet: Fleet) -> tuple[EpochState, list[int]]:
    """The epoch with the payload's readings in it, and the checkpoints that were not believed.

    Raises _ForgedError where the payload's own checkpoint is false and it is not known yet that the chain is broken.
    """
    before = state.marks.contiguous
    marks = state.marks.add(arrival.first_sequence, arrival.last_sequence)
    own = {one.sequence: one.signature for one in arrival.checkpoints}
    if marks.contiguous == before:
        waiting = _waiting(state, own, before)
        leaves = _beyond(state.leaves, dict(arrival.numbered_leaves), before)
        after = state._replace(marks=marks, leaves=leaves, waiting=waiting)
        return _late_signed(arrival, after, own, fleet)
    if arrival.first_sequence == before + 1 and not state.leaves:
        pending = arrival.leaves
    else:
        every = {**dict(state.leaves), **dict(arrival.numbered_leaves)}
        pending = [every[sequence] for sequence in range(before + 1, marks.contiguous + 1)]
    hashes = chain.hashes(state.chain_hash, pending)
    known = [*_hashes(state.recent), *hashes]
    first_known = marks.contiguous - len(known) + 1
    asked = {**dict(state.waiting), **own}
    signed, unbelieved = _verified(arrival, asked, known, first_known, fleet)
    stretch_is_its_own = state.signed_sequence == before and arrival.first_sequence == before + 1 and not state.leaves
    forged = [sequence for sequence in unbelieved if sequence in own]
    if forged and (stretch_is_its_own or state.suspicions < CHAIN_BREAKS_AFTER):
        raise _ForgedError(forged[0])
    signed = max(signed, state.signed_sequence)
    recent = b"".join(known[max(0, signed - first_known + 1) :][-RECENT_HASHES:])
    rest = tuple((sequence, leaf) for sequence, leaf in state.leaves if sequence > marks.contiguous)
    waiting = tuple(sorted((sequence, one) for sequence, one in asked.items() if sequence > marks.contiguous))
    kept = waiting[:MAX_BEYOND_GAP]
    after = state._replace(
        marks=marks, chain_hash=hashes[-1], signed_sequence=signed, leaves=rest, waiting=kept, recent=recent
    )
    return after, unbelieved


class _Leaves(NamedTuple):
    """Where the leaf of a reading that was said may stand. `stored` None: what comes from the journal was compared
    before."""

    arrival: Arrival
    state: EpochState
    stored: StoredLeaves | None
    fresh: _Fresh

    def digest(self, sequences: Sequence[int]) -> bytes | None:
        """The digest of some readings; None where it need not be compared."""
        if self.stored is None:
            return None
        beyond, own = dict(self.state.leaves), dict(self.arrival.numbered_leaves)
        found = []
        for one in sequences:
            key = (self.arrival.device, self.arrival.epoch, one)
            found.append(own.get(one) or beyond.get(one) or self.fresh.get(key) or self.stored.get(key) or b"")
        return chain.kept_digest(found)


def _declared(
    arrival: Arrival, state: EpochState, unbelieved: list[int], fleet: Fleet, leaves: _Leaves
) -> tuple[EpochState, list[int]]:
    """The epoch with what a payload declares to be dropped, and all checkpoints that were not believed.

    Raises _ForgedError where a declaration is not the device's, or not about the readings that are here.
    """
    for said in arrival.thinned:
        is_due = said.first <= state.marks.contiguous + 1 <= said.last
        if not is_due or any(sequence not in state.marks for sequence in said.kept):
            continue
        if leaves.digest(said.kept) not in {None, said.kept_digest}:
            raise _ForgedError(said.last)
        key = fleet.key(arrival)
        kept = len(said.kept)
        text = chain.thinned_text(
            arrival.device, arrival.epoch, said.first, said.last, kept, said.chain_hash, said.kept_digest
        )
        if not chain.verifies_text(key, text, said.signature):
            raise _ForgedError(said.last)
        state, more = _without_dropped(arrival, said, state, fleet)
        unbelieved = unbelieved + more
    return state, unbelieved


def _without_dropped(arrival: Arrival, said: Thinned, state: EpochState, fleet: Fleet) -> tuple[EpochState, list[int]]:
    """The epoch with a stretch told of which some was dropped, and the checkpoints that were not believed."""
    before, leaves = state.marks.contiguous, dict(state.leaves)
    marks = state.marks.add(before + 1, said.last)
    beyond = [leaves[one] for one in range(said.last + 1, marks.contiguous + 1)]
    hashes = [said.chain_hash, *chain.hashes(said.chain_hash, beyond)]
    signed, unbelieved = _verified(arrival, dict(state.waiting), hashes, said.last, fleet)
    signed = max(signed, said.last)
    after = EpochState(
        marks,
        hashes[-1],
        signed,
        tuple((sequence, leaf) for sequence, leaf in state.leaves if sequence > marks.contiguous),
        tuple((sequence, one) for sequence, one in state.waiting if sequence > marks.contiguous),
        state.suspicions,
        b"".join(hashes[signed - said.last + 1 :][-RECENT_HASHES:]),
        state.thinned + marks.total - state.marks.total,  # what had come before it was dropped is received
        state.refused,
        state.ended,
    )
    return after, unbelieved


def _hashes(recent: bytes) -> Iterator[bytes]:
    return (recent[place : place + chain.HASH_BYTES] for place in range(0, len(recent), chain.HASH_BYTES))


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
    arrival: Arrival, state: EpochState, own: Mapping[int, bytes], fleet: Fleet
) -> tuple[EpochState, list[int]]:
    """The epoch once checkpoints for what was there already are verified."""
    contiguous = state.marks.contiguous
    known = list(_hashes(state.recent))
    first_known = contiguous - len(known) + 1
    signed, unbelieved = _verified(arrival, own, known, first_known, fleet)
    if unbelieved and state.suspicions < CHAIN_BREAKS_AFTER:
        raise _ForgedError(unbelieved[0])
    if signed <= state.signed_sequence:
        return state, unbelieved
    unsigned = b"".join(known[signed - first_known + 1 :])
    return state._replace(signed_sequence=signed, recent=unsigned), unbelieved


def _verified(
    arrival: Arrival, asked: Mapping[int, bytes], hashes: Sequence[bytes], first: int, fleet: Fleet
) -> tuple[int, list[int]]:
    """The highest checkpoint that verifies (0: none), and those that do not; `hashes` are those from `first` on."""
    due = [sequence for sequence in sorted(asked) if first <= sequence < first + len(hashes)]
    if not due:
        return 0, []
    key = fleet.key(arrival)
    signed, unbelieved = 0, []
    for sequence in due:
        epoch, chain_hash = arrival.epoch, hashes[sequence - first]
        if chain.verifies(key, arrival.device, epoch, sequence, chain_hash, asked[sequence]):
            signed = sequence
        else:
            unbelieved.append(sequence)
    return signed, unbelieved


def _suspicion(arrival: Arrival, sequence: int, kind: str) -> Suspicion:
    raw_sha256 = hashlib.sha256(arrival.raw).hexdigest()
    return Suspicion(arrival.device, arrival.epoch, sequence, kind, raw_sha256, arrival.received_at_ms)


def committed_of(epoch: int, state: EpochState | None, after: int = 0, fresh: int = MAX_SEQUENCE) -> Committed:
    """What may be said to the device: how far all is there, the ranges beyond that, and the marks.

    Of more than MAX_RANGES ranges it names the newest, and of the others those from `fresh` on, or where there are none
    those that end above `after`, then the first ones: `named_up_to` says where the next word is to go on.
    """
    if state is None:
        return Committed(epoch, 0)
    contiguous, ranges = state.marks.contiguous, state.marks.ranges
    if len(ranges) > MAX_RANGES:
        others = MAX_RANGES - 1
        place = bisect_left(ranges, fresh, hi=len(ranges) - 1, key=itemgetter(1))
        if place == len(ranges) - 1:
            place = bisect_left(ranges, after + 1, hi=len(ranges) - 1, key=itemgetter(1))
        wrapped = max(0, place + others - (len(ranges) - 1))
        ranges = (*ranges[:wrapped], *ranges[place : place + others - wrapped], ranges[-1])
    leaves = dict(state.leaves) if ranges else {}
    chain_mark = chain.mark(state.chain_hash) if contiguous else b""
    return Committed(epoch, contiguous, ranges, chain_mark, tuple(chain.mark(leaves[last]) for _, last in ranges))


def named_up_to(word: Committed, after: int) -> int:
    """Up to where ranges were named in turn by a word that went on above `after` and could not name all."""
    others = word.ranges[:-1]
    return max((last for _, last in others if last <= after), default=others[-1][1])
