"""What a device declares to be dropped: from its spool through the wire into what the cloud knows of its epochs."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders import NOON_MS, Device, book_document, temperature
from edge_support import DEVICE, new_spool
from hypothesis import given, settings
from hypothesis import strategies as st
from test_edge_spool_bounds import all_of, fill

from pledgewatch_cloud.decide.admission import Admission, Fleet, Refusal, admit, committed_of, overlapping, replayed
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.book import Book, amend, empty
from pledgewatch_cloud.decide.payloads import Received, read_all
from pledgewatch_edge.identity import load_or_create_key, public_key_hex
from pledgewatch_edge.sending import one_clock
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Payload, PayloadError, Reason, Thinned, decode, encode

OPERATOR = "harbour-line"
THINNING = Limits(90_000, 60, 1e9)


def payloads_of(spool: Spool, at_once: int = 60) -> Iterator[Payload]:
    """What an uplink sends of a spool, in order."""
    after = 0
    while rows := spool.read(after, at_once):
        run = one_clock(rows, spool.head_sequence)
        first, after = run[0].sequence, run[-1].sequence
        yield Payload(
            spool.epoch,
            tuple(run),
            tuple(spool.checkpoints(first, after)),
            thinned=tuple(spool.thinned(first, after)),
        )


def thinned_spool(folder: Path, count: int = 12_000, limits: Limits = THINNING) -> tuple[Spool, Book]:
    """A spool that has thinned most of what it had, and a book that knows its device."""
    spool = new_spool(folder, limits)
    fill(spool, count, urgent_every=700)
    device = Device()
    document = book_document(device)
    document["installations"][0] |= {
        "device": DEVICE,
        "operator": OPERATOR,
        "public_key": public_key_hex(load_or_create_key(folder)),
    }
    return spool, amend(empty(), document)


class Cloud:
    """What is known of the device's epochs, and the leaves that were committed."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.devices: dict[tuple[str, int], object] = {}
        self.leaves: dict[tuple[str, int, int], bytes] = {}
        self.accepted: list[Arrival] = []

    def take(self, *some: Payload) -> Admission:
        """Take payloads as they come in together."""
        arrivals = read_all([Received(OPERATOR, DEVICE, NOON_MS, encode(one)) for one in some])
        asked = overlapping(self.devices, arrivals)  # type: ignore[arg-type]
        stored = {
            key: leaf
            for key, leaf in self.leaves.items()
            if any(first <= key[2] <= last for _, _, first, last in asked)
        }
        fleet = Fleet(self.book.installations)
        admission = admit(self.devices, fleet, arrivals, stored)  # type: ignore[arg-type]
        again = replayed(self.devices, fleet, admission.accepted, admission.suspicions)  # type: ignore[arg-type]
        assert again.devices == admission.devices, "the journal says the same"
        self.devices |= admission.devices
        for one in admission.accepted:
            self.accepted.append(one)
            for sequence, leaf in one.numbered_leaves:
                self.leaves[one.device, one.epoch, sequence] = leaf
        return admission

    @property
    def known(self) -> object:
        """The epoch of the device."""
        return self.devices[DEVICE, 1]


def assert_all_told(cloud: Cloud, spool: Spool) -> None:
    """Received N of N, thinned M, lost none, signed as far as the device has signed."""
    known = cloud.known
    left = all_of(spool)
    assert known.marks.ranges == ()  # type: ignore[attr-defined]
    assert known.marks.contiguous == spool.head_sequence  # type: ignore[attr-defined]
    assert known.thinned == spool.head_sequence - len(left)  # type: ignore[attr-defined]
    assert known.chain_hash == spool.chain_hash  # type: ignore[attr-defined]
    assert {key[2] for key in cloud.leaves} == {one.sequence for one in left}


def test_what_was_thinned_is_told_and_nothing_is_missing(tmp_path: Path) -> None:
    spool, book = thinned_spool(tmp_path)
    with spool:
        cloud = Cloud(book)
        for payload in payloads_of(spool):
            admission = cloud.take(payload)
            assert not admission.refused
        assert_all_told(cloud, spool)
        assert cloud.known.signed_sequence >= spool.head_sequence - 60  # type: ignore[attr-defined]
        word = committed_of(1, cloud.known)  # type: ignore[arg-type]
        assert spool.forget(word).readings > 0
        assert spool.spooled == 0


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_order_loss_and_repetition_change_nothing_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    spool, book = thinned_spool(tmp_path_factory.mktemp("spool"), 5_000)
    dice = random.Random(seed)
    with spool:
        sent, cloud = list(payloads_of(spool)), Cloud(book)
        order = [one for one in sent if dice.random() < 0.8]
        for start in range(0, len(order), 20):
            some = order[start : start + 20]
            dice.shuffle(some)
            order[start : start + 20] = some
        for start in range(0, len(order), 5):
            assert not cloud.take(*order[start : start + 5]).refused
        for one in sent:  # the device sends again what is not committed
            cloud.take(one)
        assert_all_told(cloud, spool)


def changed(one: Payload, change: Callable[[Thinned], Thinned]) -> Payload:
    """A payload whose declarations are others."""
    return one._replace(thinned=tuple(change(said) for said in one.thinned))


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said._replace(chain_hash=bytes(32)),
        lambda said: said._replace(kept_digest=bytes(32)),
        lambda said: said._replace(signature=bytes(64)),
        lambda said: said._replace(kept=(said.kept[0], *said.kept[2:])),
    ],
    ids=["another hash", "another digest", "another signature", "fewer kept"],
)
def test_a_declaration_that_is_not_the_devices_is_refused_and_told(
    tmp_path: Path, change: Callable[[Thinned], Thinned]
) -> None:
    spool, book = thinned_spool(tmp_path, 5_000)
    with spool:
        cloud = Cloud(book)
        sent = list(payloads_of(spool))
        place = next(number for number, one in enumerate(sent) if one.thinned)
        for one in sent[:place]:
            cloud.take(one)
        before = cloud.known
        admission = cloud.take(changed(sent[place], change))
        assert [one.reason for one in admission.refused] == [Refusal.FORGED_SIGNATURE]
        assert len(admission.suspicions) == 1
        assert cloud.known.marks == before.marks  # type: ignore[attr-defined]
        for one in sent[place:]:
            cloud.take(one)
        assert_all_told(cloud, spool)


def test_a_declaration_of_another_stretch_does_not_let_a_gap_be_forgotten(tmp_path: Path) -> None:
    spool, book = thinned_spool(tmp_path, 5_000)
    with spool:
        cloud = Cloud(book)
        sent = list(payloads_of(spool))
        lost = next(number for number, one in enumerate(sent) if number > 2 and not one.thinned)
        for number, one in enumerate(sent):
            if number != lost:
                assert not cloud.take(one).refused
        gap = sent[lost].first_sequence
        assert cloud.known.marks.contiguous < gap  # type: ignore[attr-defined]
        assert gap not in cloud.known.marks  # type: ignore[attr-defined]
        for one in sent:
            cloud.take(one)
        assert_all_told(cloud, spool)


@pytest.mark.parametrize(
    "said",
    [
        {"first": 0},
        {"first": 10, "kept": (10,)},
        {"last": 11},
        {"kept": (3, 9)},
        {"kept": ()},
        {"kept": (3, 3, 10)},
        {"kept": tuple(range(1, 11))},
        {"chain_hash": b"short"},
        {"signature": b""},
    ],
)
def test_a_declaration_that_cannot_be_is_no_payload(said: dict[str, object]) -> None:
    device = Device()
    readings = tuple(device.measure(NOON_MS + number * 60_000, temperature(number)) for number in range(1, 11))
    whole = Thinned(1, 10, (3, 10), bytes(32), bytes(32), bytes(64))
    payload = Payload(1, readings, thinned=(whole,))
    assert decode(encode(payload)).thinned == (whole,)
    with pytest.raises(PayloadError) as refused:
        decode(encode(payload._replace(thinned=(whole._replace(**said),))))  # type: ignore[arg-type]
    assert refused.value.reason == Reason.BAD_THINNING


def test_what_is_signed_names_device_epoch_and_stretch() -> None:
    text = chain.thinned_text("a", 1, 2, 3, 4, bytes(32), bytes(32))
    others = [
        chain.thinned_text("b", 1, 2, 3, 4, bytes(32), bytes(32)),
        chain.thinned_text("a", 2, 2, 3, 4, bytes(32), bytes(32)),
        chain.thinned_text("a", 1, 1, 3, 4, bytes(32), bytes(32)),
        chain.thinned_text("a", 1, 2, 4, 4, bytes(32), bytes(32)),
        chain.thinned_text("a", 1, 2, 3, 5, bytes(32), bytes(32)),
        chain.thinned_text("a", 1, 2, 3, 4, bytes([1]) * 32, bytes(32)),
        chain.thinned_text("a", 1, 2, 3, 4, bytes(32), bytes([1]) * 32),
        chain.checkpoint_text("a", 1, 2, bytes(32)),
    ]
    assert text not in others
    assert len({*others, text}) == len(others) + 1
