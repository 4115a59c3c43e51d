"""The core is away for a day, answers too late, twice or in another order: when it is back, both ledgers agree.

The schedule is the real one, as are the spine, the relay and the core's ledger; time is a number and passes in minutes.
"""

import asyncio
import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from builders import MINUTE_MS, NOON_MS, ManualClock
from release_simulation import by_facility, told

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.milestones.judge import release_id
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import CORE, OutboxMessage
from pledgewatch_cloud.outbox.circuit import PAUSE_MAX_S, CircuitState
from pledgewatch_cloud.outbox.endpoint import Answer, Attempt, Failure, IsWithdrawn
from pledgewatch_cloud.outbox.pain001 import PaymentFolder
from pledgewatch_cloud.outbox.relay import Relay
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_sim.bank import message as core_message
from pledgewatch_sim.bank.ledger import Ledger

FACILITIES = [f"facility-{number}" for number in range(1, 7)]
DAY_MINUTES = 24 * 60
AMOUNT_MINOR = 1_000_000
AWAY = Attempt(Answer.LATER, "HTTP 503", failure=Failure.SERVER_ERROR, status=503)
TIMED_OUT = Attempt(Answer.LATER, "no answer in time", failure=Failure.TIMEOUT)


class Core:
    """The core's ledger. `is_away`: it books nothing; `is_mute`: it books, and no answer arrives; `waits_for`: so many
    answers are held back and then given in another order; `fails`: a share of requests that get 500 instead."""

    def __init__(self) -> None:
        self.ledger = Ledger(Path(":memory:"), lambda: NOON_MS)
        self.random = Random(1)
        self.is_away = self.is_mute = False
        self.fails = 0.0
        self.waits_for = 0
        self.order: list[tuple[str, int, str]] = []
        self.answered: list[str] = []
        self._waiting: list[asyncio.Future[None]] = []

    async def deliver(self, message: OutboxMessage, _: IsWithdrawn) -> Attempt:
        """One attempt."""
        if self.is_away or self.random.random() < self.fails:
            return AWAY
        booking = self.ledger.book(core_message.read(message.body.decode()))
        self.order.append((message.facility, message.sequence, message.id))
        if self.is_mute:
            return TIMED_OUT
        await self._in_another_order()
        self.answered.append(message.facility)
        return Attempt(Answer.TAKEN, status=200, release=booking.release)

    async def _in_another_order(self) -> None:
        if self.waits_for:
            answer = asyncio.get_running_loop().create_future()
            self._waiting.append(answer)
            if len(self._waiting) == self.waits_for:
                for one in reversed(self._waiting):
                    one.set_result(None)
                self._waiting = []
            await answer


class Desk:
    """A journal with a milestone for each facility, which asks for a customs clearance, and the core."""

    def __init__(self) -> None:
        self.clock, self.core, self.store = ManualClock(), Core(), MemoryStore("desk")
        self.spine = Spine(self.store, self.clock)
        self.spine.commit(drafts.amend, _book())
        self.acknowledgements = 1
        self.relay = Relay(self.store, self.core, self.clock, Random(2), booked=self._booked)

    def clear(self, facility: str, number: int = 1) -> None:
        """Customs clear its goods."""
        about = {"customs": [f"CUS-{facility}"]}
        self._say(f"{facility}-{number}", kind="customs_cleared", happened_at=iso(self.clock.at_ms), about=about)

    def unclear(self, facility: str, number: int = 1) -> None:
        """Customs take that back."""
        self._say(f"{facility}-{number}-back", withdraws=f"{facility}-{number}")

    async def pass_minutes(self, minutes: int) -> None:
        """Time passes, and what is due is delivered. Minutes in which an open circuit lets nothing begin are jumped."""
        end_ms = self.clock.at_ms + minutes * MINUTE_MS
        while self.clock.at_ms < end_ms:
            await self.relay.deliver_due()
            circuit, at_ms = self.relay.circuit, self.clock.at_ms
            shut_ms = circuit.until_ms - at_ms if circuit.state is CircuitState.OPEN else 0
            self.clock.at_ms = min(end_ms, at_ms + max(1, -(-shut_ms // MINUTE_MS)) * MINUTE_MS)

    async def minutes_until_delivered(self) -> int:
        """How long it takes until the core has all that it is to have."""
        for minute in range(10 * DAY_MINUTES):
            if not self.store.counts().outbox_pending:
                return minute
            await self.pass_minutes(1)
        raise AssertionError("it is never delivered")

    def standing(self, facility: str) -> tuple[str, str]:
        """How a facility's milestone stands in the journal, and what the core shows of it."""
        shown = self.core.ledger.facilities()[facility]["releases"][release_id("desk", f"cleared-{facility}")]
        paid = "paid, " if shown["booked"] else ""
        return str(self.spine.state.milestones[f"cleared-{facility}"].state), f"{paid}{shown['status']}"

    def drawn_minor(self) -> dict[str, int]:
        """What the core has paid."""
        return {name: one["drawn_minor"] for name, one in self.core.ledger.facilities().items()}

    async def _booked(self, message: OutboxMessage, release: str) -> None:
        for _ in range(self.acknowledgements):
            self.spine.commit(drafts.booked, message, release, payer=CORE)

    def _say(self, identity: str, **what: Any) -> None:
        outcome = self.spine.commit(
            drafts.submit, "customs", "plain", json.dumps({"notices": [{"id": identity, **what}]})
        )
        assert outcome is not None


def _book() -> dict[str, Any]:
    return {
        "facilities": [{"id": one, "lender": "bank", "borrower": "exporter", "currency": "USD"} for one in FACILITIES],
        "parties": [
            {"id": "bank", "name": "Example Bank", "account": "1"},
            {"id": "exporter", "name": "Example Exporter", "account": "2"},
        ],
        "senders": [{"id": "customs"}],
        "assets": [{"id": f"box-{one}", "kind": "container"} for one in FACILITIES],
        "prices": [{"sku": "sofa", "unit_price_minor": 20_000, "currency": "USD"}],
        "lots": [
            {"id": f"lot-{one}", "asset": f"box-{one}", "facility": one, "sku": "sofa", "quantity": 100}
            for one in FACILITIES
        ],
        "shipments": [
            {"id": f"goods-{one}", "facility": one, "lots": [f"lot-{one}"], "about": {"customs": [f"CUS-{one}"]}}
            for one in FACILITIES
        ],
        "milestones": [
            {
                "id": f"cleared-{one}",
                "facility": one,
                "shipment": f"goods-{one}",
                "payee": "exporter",
                "when": {"fact": "customs_cleared"},
                "release": {"amount_minor": AMOUNT_MINOR},
            }
            for one in FACILITIES
        ],
    }


def assert_in_order(desk: Desk) -> None:
    """Everything is at the core that was not withdrawn, in order, and it misses nothing else."""
    found = told(desk.store)
    for facility, some in by_facility(desk.core.order):
        first = list(dict.fromkeys(sequence for sequence, _ in some))
        assert first == sorted(first), facility
    assert {identity for _, _, identity in desk.core.order} >= found.messages.keys() - found.withdrawn
    assert all(one["missing"] == [] for one in desk.core.ledger.facilities().values())
    counts = desk.core.ledger.counts()
    assert (counts["double_releases"], counts["conflicts"], desk.store.dead_letters()) == (0, 0, [])


@pytest.fixture
def desk() -> Iterator[Desk]:
    logging.getLogger("pledgewatch_cloud.outbox.relay").setLevel(logging.CRITICAL)
    made = Desk()
    yield made
    made.core.ledger.close()
    logging.getLogger("pledgewatch_cloud.outbox.relay").setLevel(logging.NOTSET)


@pytest.mark.parametrize("facilities", [1, 6])
async def test_after_a_day_away_the_core_has_everything_within_minutes(desk: Desk, facilities: int) -> None:
    await desk.pass_minutes(5)
    desk.core.is_away = True
    for facility in FACILITIES[:facilities]:
        desk.clear(facility)
    await desk.pass_minutes(DAY_MINUTES)
    desk.core.is_away = False
    assert await desk.minutes_until_delivered() <= PAUSE_MAX_S / 60 + 5, "it is found out by the circuit's next probe"
    assert_in_order(desk)
    for facility in FACILITIES[:facilities]:
        assert desk.standing(facility) == ("released", "paid, released")
    assert sum(desk.drawn_minor().values()) == facilities * AMOUNT_MINOR


async def test_what_is_taken_back_while_the_core_is_away_is_never_paid(desk: Desk) -> None:
    desk.core.is_away = True
    for facility in FACILITIES:
        desk.clear(facility)
    await desk.pass_minutes(DAY_MINUTES // 2)
    for facility in FACILITIES[:4]:
        desk.unclear(facility)
    await desk.pass_minutes(DAY_MINUTES // 2)
    desk.clear(FACILITIES[0], 2)
    desk.core.is_away = False
    await desk.minutes_until_delivered()
    assert_in_order(desk)
    states = [desk.standing(facility) for facility in FACILITIES]
    assert states == [
        ("released", "paid, released"),
        *[("retracted", "retracted")] * 3,
        *[("released", "paid, released")] * 2,
    ]
    assert list(desk.drawn_minor().values()) == [AMOUNT_MINOR, 0, 0, 0, AMOUNT_MINOR, AMOUNT_MINOR]


async def test_what_was_booked_and_never_answered_is_in_question_when_its_ground_is_gone(desk: Desk) -> None:
    desk.core.is_mute = True
    for facility in FACILITIES[:3]:
        desk.clear(facility)
    # Of each facility the base is in front; the core is mute from the first message on, so let that one through.
    desk.core.is_mute = False
    await desk.pass_minutes(1)
    desk.core.is_mute = True
    await desk.pass_minutes(1)
    assert [desk.standing(facility) for facility in FACILITIES[:3]] == [("met", "paid, released")] * 3
    desk.core.is_away = True
    await desk.pass_minutes(60)
    for facility in FACILITIES[1:3]:
        desk.unclear(facility)
    await desk.pass_minutes(DAY_MINUTES)
    desk.clear(FACILITIES[2], 2)
    desk.core.is_away = desk.core.is_mute = False
    await desk.minutes_until_delivered()
    assert_in_order(desk)
    assert [desk.standing(facility) for facility in FACILITIES[:3]] == [
        ("released", "paid, released"),
        ("in_question", "paid, in question"),
        ("released", "paid, released"),
    ]
    assert list(desk.drawn_minor().values())[:3] == [AMOUNT_MINOR] * 3


async def test_answers_that_come_twice_and_in_another_order_are_heard_once(desk: Desk) -> None:
    desk.acknowledgements = 3
    desk.core.waits_for = len(FACILITIES)
    await desk.pass_minutes(1)
    for facility in FACILITIES:
        desk.clear(facility)
    await desk.pass_minutes(1)
    assert desk.core.answered == [*reversed(FACILITIES), *reversed(FACILITIES)]
    desk.core.waits_for = 0
    entries = desk.spine.state.entry
    desk.unclear(FACILITIES[0])
    for facility in FACILITIES:
        first = next(iter(desk.store.due(CORE, 0)), None)
        assert first is None or first.facility == FACILITIES[0]
        message = next(one for one in desk.store._outbox.values() if one.facility == facility and "release" in one.type)
        assert desk.spine.commit(drafts.booked, message, "booked") is None
        assert desk.spine.commit(drafts.booked, message, "none") is None
    assert desk.spine.state.entry == entries + 1
    await desk.minutes_until_delivered()
    assert_in_order(desk)
    assert desk.standing(FACILITIES[0]) == ("in_question", "paid, in question")
    assert [desk.standing(facility) for facility in FACILITIES[1:]] == [("released", "paid, released")] * 5
    assert sum(desk.drawn_minor().values()) == 6 * AMOUNT_MINOR


async def test_a_storm_of_errors_makes_no_dead_letters(desk: Desk) -> None:
    desk.core.fails = 0.7
    for number, facility in enumerate(FACILITIES):
        desk.clear(facility)
        await desk.pass_minutes(30)
        if number % 2:
            desk.unclear(facility)
    await desk.pass_minutes(6 * 60)
    desk.core.fails = 0.0
    await desk.minutes_until_delivered()
    assert_in_order(desk)
    for number, facility in enumerate(FACILITIES):
        paid = desk.drawn_minor()[facility] > 0
        expected = {False: {("retracted", "retracted")}, True: {("in_question", "paid, in question")}}
        if number % 2 == 0:
            assert desk.standing(facility) == ("released", "paid, released")
        else:
            assert desk.standing(facility) in expected[paid]


async def test_what_the_core_books_of_a_milestone_that_has_left_the_book_counts_all_the_same(desk: Desk) -> None:
    kept, waived, gone = FACILITIES[:3]
    await desk.pass_minutes(1)
    desk.clear(kept)
    desk.clear(gone)
    assert desk.spine.commit(drafts.waive, f"cleared-{waived}", "credit-officer", "known customer") is not None
    desk.core.is_mute = True
    await desk.pass_minutes(1)
    desk.core.is_mute = False
    desk.spine.commit(drafts.amend, {"remove": {"milestones": [f"cleared-{waived}", f"cleared-{gone}"]}})
    assert desk.standing(gone) == ("retracted", "paid, released")
    await desk.minutes_until_delivered()
    assert_in_order(desk)
    assert [desk.standing(facility) for facility in (kept, waived, gone)] == [
        ("released", "paid, released"),
        ("in_question", "paid, in question"),
        ("in_question", "paid, in question"),
    ]


async def test_a_folder_that_takes_over_from_the_core_pays_what_stands_and_is_not_paid(
    desk: Desk, tmp_path: Path
) -> None:
    """It begins with the first message of all, and is told to send everything again."""
    paid, questioned, retracted, resumed, met, waived = FACILITIES
    await desk.pass_minutes(1)
    for facility in (paid, questioned):
        desk.clear(facility)
    await desk.pass_minutes(1)
    desk.unclear(questioned)
    for facility in (retracted, resumed, met):
        desk.clear(facility)
    for facility in (retracted, resumed):
        desk.unclear(facility)
    desk.clear(resumed, 2)
    assert desk.spine.commit(drafts.waive, f"cleared-{waived}", "credit-officer", "known customer") is not None
    writer = Writer(desk.spine, lambda _: None)
    folder = PaymentFolder(tmp_path, writer.obstacle)

    async def booked(message: OutboxMessage, release: str) -> None:
        await writer.commit(drafts.booked, message, release, payer="payments")

    relay = Relay(desk.store, folder, desk.clock, Random(3), name="payments", booked=booked)
    for _ in range(2):
        for _ in range(20):
            await relay.deliver_due()
            desk.clock.at_ms += MINUTE_MS
        written = [f"{release_id('desk', f'cleared-{one}')}.pain.001.xml" for one in (resumed, met, waived)]
        assert _files(tmp_path, ".xml") == written
        assert desk.store.endpoint("payments").pending == len(desk.store.dead_letters()) == 0
        states = {one: str(desk.spine.state.milestones[f"cleared-{one}"].state) for one in FACILITIES}
        assert states == {
            paid: "released",
            questioned: "in_question",
            retracted: "retracted",
            **dict.fromkeys((resumed, met, waived), "released"),
        }
        assert desk.store.set_back_to_entry("payments", 1) == len(FACILITIES)
    said = [f"{release_id('desk', f'cleared-{resumed}')}.{word}" for word in ("000000003.retract", "000000004.resume")]
    assert _files(tmp_path, ".json") == [f"{one}.json" for one in said], "sent again, of what was written, in its order"


async def test_a_core_that_takes_over_from_a_folder_is_not_sent_what_the_folder_has_paid(
    desk: Desk, tmp_path: Path
) -> None:
    """It begins with the first message of all, and is told to send everything again, also what it has paid itself."""
    paid, later, *_ = FACILITIES
    writer = Writer(desk.spine, lambda _: None)

    async def booked(payer: str, message: OutboxMessage, release: str) -> None:
        await writer.commit(drafts.booked, message, release, payer=payer)

    folder = PaymentFolder(tmp_path, writer.obstacle)
    first = Relay(desk.store, folder, desk.clock, Random(3), name="payments", booked=partial(booked, "payments"))
    desk.clear(paid)
    while await first.deliver_due():
        pass
    assert _files(tmp_path, ".xml") == [f"{release_id('desk', f'cleared-{paid}')}.pain.001.xml"]
    desk.clear(later)
    core = Relay(desk.store, desk.core, desk.clock, Random(4), booked=partial(booked, CORE), payer_of=writer.payer_of)
    for _ in range(2):
        while await core.deliver_due():
            pass
        drawn_minor = desk.drawn_minor()
        assert (drawn_minor.get(paid, 0), drawn_minor[later]) == (0, AMOUNT_MINOR)
        assert desk.store.set_back_to_entry(CORE, 1) > 0
    by_core = [identity for facility, _, identity in desk.core.order if facility == later]
    assert len(by_core) > len(set(by_core)), "what it has paid itself is sent again when that is asked for"
    desk.unclear(paid)
    desk.clear(paid, 2)
    while await core.deliver_due():
        pass
    assert desk.drawn_minor().get(paid, 0) == 0, "nor is it paid by way of a reaffirmation"
    assert {str(desk.spine.state.milestones[f"cleared-{one}"].state) for one in (paid, later)} == {"released"}


def _files(folder: Path, suffix: str) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.suffix == suffix)
