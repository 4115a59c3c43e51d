"""Outages in which much was thinned, then one connection that stays: all is told in the end, and soon, and once.

Device and cloud are the real ones, without a broker between: payloads come in order, and so do the cloud's words, each
late as the dice have it, some of them never. Segments of eight readings, so that there are many ends of them.
"""

import os
import random
from collections import deque
from pathlib import Path
from typing import NamedTuple

import pytest
from builders import Device, book_document
from edge_support import DEVICE, new_spool, sample
from test_thinning import OPERATOR, Cloud, payloads_of

from pledgewatch_cloud.decide.admission import committed_of
from pledgewatch_cloud.decide.book import amend, empty
from pledgewatch_cloud.ingest.answers import Answers
from pledgewatch_cloud.ingest.decode import DeviceStatus
from pledgewatch_edge.budget import Budget, on_the_wire
from pledgewatch_edge.config import UplinkSettings
from pledgewatch_edge.identity import load_or_create_key, public_key_hex
from pledgewatch_edge.sending import Sending
from pledgewatch_edge.spool import spool as spool_module
from pledgewatch_edge.spool import thinning as spool_thinning
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_wire.codec import Committed, Status, decode, encode

SEEDS = int(os.environ.get("PLEDGEWATCH_DECLARATION_SEEDS", "24"))
"""scripts/laws draws more."""
RESEND_AFTER_S = 7_200.0
LAZY_S = 300.0  # before the cloud says what nobody has asked for
TOPIC = "pw/1/harbour-line/cont-0417/up"


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments that end often; and a disk that is not waited for, for no power is cut here."""
    for module in (spool_module, spool_thinning):
        monkeypatch.setattr(module, "SEGMENT_READINGS", 8)
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 600)
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda _descriptor: None)


class Terms(NamedTuple):
    """How one run is: what is urgent, how fast payloads go, how late and how seldom words come."""

    urgent: float  # of readings, anywhere
    urgent_ends: float  # of the last readings of batches, many of them the last of a segment
    at_once: int  # payloads in a second
    up_s: float
    down_s: float
    lost: float  # of words


def drawn(dice: random.Random) -> Terms:
    """Some terms."""
    return Terms(
        dice.choice([0.0, 0.05, 0.2]),
        dice.choice([0.3, 1.0, 1.0]),
        dice.choice([1, 3, 1_000]),
        dice.choice([0.0, 2.0, 30.0]),
        dice.choice([0.0, 5.0, 70.0, 600.0]),
        dice.choice([0.0, 0.0, 0.3]),
    )


class World:
    """A device and its cloud."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.folder = folder
        document = book_document(Device())
        document["installations"][0] |= {
            "device": DEVICE,
            "operator": OPERATOR,
            "public_key": public_key_hex(load_or_create_key(folder)),
        }
        self.cloud = Cloud(amend(empty(), document))
        self.now = 0.0
        self.number = self.cost = 0  # the newest reading; what it costs to say all once
        self.limits = Limits(self.dice.randrange(2_500, 5_000), 5, 1e9, thin_to_s=self.dice.choice([30.0, 120.0]))
        per_payload, in_flight = self.dice.choice([(5, 40), (2, 12), (20, 200)])
        self.settings = UplinkSettings(
            readings_per_payload=per_payload, in_flight_readings=in_flight, resend_after_s=RESEND_AFTER_S
        )
        self.terms = drawn(self.dice)
        self.spool = self.opened()

    def opened(self) -> Spool:
        """The spool, from the disk."""
        return new_spool(self.folder, self.limits, monotonic=lambda: self.now)

    def killed(self) -> None:
        """The agent goes without a word, and is there again."""
        os.close(self.spool._descriptor)
        self.spool._descriptor = -1
        self.spool.close()
        self.spool = self.opened()

    def measure(self, count: int) -> None:
        """Readings, some of them urgent."""
        while count > 0:
            batch = [sample(7 * (self.number + place)) for place in range(1, self.dice.choice([1, 3, 8]) + 1)]
            ends = self.dice.random() < self.terms.urgent_ends
            urgent = [self.dice.random() < self.terms.urgent for _ in batch[:-1]] + [ends]
            self.spool.append([one._replace(is_urgent=is_so) for one, is_so in zip(batch, urgent, strict=True)])
            self.number += len(batch)
            self.cost += on_the_wire(TOPIC, 20 * len(batch))
            count -= len(batch)

    def sending(self) -> Sending:
        """A connection."""
        sending = Sending(self.settings, self.spool, Budget(self.folder, 0), TOPIC, lambda: self.now)
        sending.begin(0)
        return sending

    def word(self) -> Committed:
        """What the cloud says."""
        return committed_of(1, self.cloud.devices.get((DEVICE, 1)))  # type: ignore[arg-type]

    def short_link(self) -> None:
        """One that ends before all has come, or the last word of it."""
        sending = self.sending()
        for _ in range(self.dice.randrange(15)):
            found = sending.next()
            if found is None:
                break
            assert not self.cloud.take(decode(found.data)).refused
            if self.dice.random() < 0.1:
                sending.hear(self.word(), 0)

    def to_say(self) -> int:
        """What it costs to say all that waits, in order and with nothing between."""
        return sum(on_the_wire(TOPIC, len(encode(one))) for one in payloads_of(self.spool))


class Link:
    """A connection that stays."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sending = world.sending()
        self.answers = Answers(after_readings=500, after_s=LAZY_S)
        status = Status(online=True, epoch=1, head_sequence=0, spooled_readings=0, agent_version="")
        self.answers.connected([DeviceStatus(OPERATOR, DEVICE, status)])
        self.up: deque[tuple[float, bytes]] = deque()
        self.down: deque[tuple[float, Committed]] = deque()
        self.bytes = self.words_lost = 0
        self.is_idle = False

    def step(self) -> None:
        """A second: what is due is sent, taken, said and heard."""
        world, terms = self.world, self.world.terms
        for _ in range(terms.at_once):
            found = self.sending.next()
            self.is_idle = found is None
            if found is None:
                break
            self.bytes += on_the_wire(TOPIC, len(found.data))
            self.up.append((world.now + terms.up_s, found.data))
        while self.up and self.up[0][0] <= world.now:
            admission = world.cloud.take(decode(self.up.popleft()[1]))
            assert not admission.refused
            self.answers.took(admission, world.now)
            self.say()
        self.say()
        while self.down and self.down[0][0] <= world.now:
            assert self.sending.hear(self.down.popleft()[1], 0).ignored is None

    def say(self) -> None:
        """What the cloud has to say now."""
        world, terms, dice = self.world, self.world.terms, self.world.dice
        for stream in self.answers.due(world.now):
            word = self.answers.word(stream, world.cloud.devices.get((DEVICE, 1)))  # type: ignore[arg-type]
            if dice.random() < terms.lost:
                self.words_lost += 1
            else:
                before = self.down[-1][0] if self.down else 0.0
                self.down.append((max(before, world.now + dice.uniform(0.0, terms.down_s)), word))

    def skip(self) -> None:
        """To when something happens."""
        due = [one[0] for queue in (self.up, self.down) for one in [*queue][:1]]
        patience = self.sending.patience_s() if self.is_idle else 1.0
        self.world.now = max(self.world.now + 1.0, min([self.world.now + patience, *due]))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_on_one_connection_that_stays_all_is_told_soon_and_hardly_anything_twice(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    dice, terms = world.dice, world.terms
    for _ in range(dice.randrange(1, 4)):
        world.measure(dice.randrange(20, 120))
        world.short_link()
        world.measure(dice.randrange(20, 120))
        if dice.random() < 0.3:
            world.killed()
    spool, link = world.spool, Link(world)
    world.cost = world.to_say()
    for _ in range(dice.choice([0, 0, 10])):  # what is measured meanwhile may thin what is on its way
        link.step()
        link.skip()
        world.measure(dice.choice([1, 5]))
    windows = 1 + 2 * spool.spooled / world.settings.in_flight_readings
    bound_s = 3 * LAZY_S + 4 * windows * (terms.up_s + terms.down_s + 1.0) + 2 * spool.spooled / terms.at_once
    begun_s = world.now
    while spool.spooled or spool.dropped:
        link.step()
        link.skip()
        late_s = 2 * RESEND_AFTER_S * link.words_lost  # where no word comes, all goes once more
        assert world.now - begun_s < bound_s + late_s, f"{spool.spooled} spooled, {spool.dropped} undeclared"
        assert link.bytes < 1_000 + 4 * world.cost, "a small multiple of what there was to say"
    spool.close()
    assert world.cloud.known.marks == (spool.head_sequence, ())  # type: ignore[attr-defined]
    assert world.cloud.known.thinned == spool.head_sequence - len(world.cloud.leaves)  # type: ignore[attr-defined]
