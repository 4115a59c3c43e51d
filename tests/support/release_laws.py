"""The laws of money, which hold of every world of release_simulation that has come to rest."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from release_simulation import WANTED, CrashPoint, Told, World, by_facility, told
from release_story import FACILITIES

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.milestones.judge import release_id
from pledgewatch_cloud.decide.milestones.lifecycle import Memo, MilestoneState
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade import submission
from pledgewatch_cloud.journal.outbox import CORE, Begin, DeliveryRecord, Wanted, outbox_message
from pledgewatch_cloud.replay import replay

ON_DISK_EVERY = 25
PAID = {MilestoneState.RELEASED: "released", MilestoneState.IN_QUESTION: "in question"}
"""States in which the money has moved, and how the core shows the release then."""
TAKEN_BACK = {MilestoneState.HELD: "held", MilestoneState.RETRACTED: "retracted"}
AT_REST = {*PAID, *TAKEN_BACK, MilestoneState.WAITING, MilestoneState.PENDING, MilestoneState.EXPIRED}


def assert_every_law(world: World) -> Told:
    """What must hold of a world that has come to rest."""
    assert_nothing_was_overlooked(world)
    found = told(world.store)
    assert state_module.digest(found.state) == state_module.digest(world.spine.state), "a replay leads elsewhere"
    assert_nothing_was_lost_on_the_way_in(world, found)
    assert_every_message_has_come(world, found)
    assert_one_release_for_a_milestone(found)
    assert_both_ledgers_agree(world, found)
    assert_what_is_withdrawn_is_not_sent(world, found)
    return found


def assert_nothing_was_lost_on_the_way_in(world: World, found: Told) -> None:
    for sender, text in world.story.submissions:
        assert not found.state.notices.fresh(submission.read("plain", sender, text)), f"{text} was lost"
    for device in world.story.devices:
        state = found.state.devices[device.name, 1]
        assert state.chain_hash == device.hash, f"{device.name} was not heard out"
        assert state.suspicions == 0


def assert_nothing_was_overlooked(world: World) -> None:
    """Judging every milestone again, as an amendment makes it, leads to nothing that was not said."""
    before = _looked_at(world.spine.state)
    world.clock.at_ms = world.spine.state.recorded_at_ms  # what time brings is for a tick
    outcome = world.spine.commit(drafts.amend, {"parties": [{"id": "onlooker", "name": "Example Onlooker"}]})
    assert outcome is not None
    assert not outcome.messages, f"{[one.type for one in outcome.messages]} should have been said before"
    assert _looked_at(outcome.state) == before


def _looked_at(state: State) -> dict[str, Memo]:
    """Milestones without what is only known once they are looked at: when time may change them, and, while a clause
    cannot hold yet, whether readings that led to no event have brought a part of it in."""
    waiting = {MilestoneState.PENDING: MilestoneState.WAITING}
    return {
        name: memo._replace(turns_ms=0, state=waiting.get(memo.state, memo.state))
        for name, memo in state.milestones.items()
    }


def assert_every_message_has_come(world: World, found: Told) -> None:
    """At each endpoint: all that it wants and nobody withdrew, in order, with a record of it; and never a gap that
    nobody has spoken of."""
    orders = {CORE: world.core.order, **{name: one.order for name, one in world.others.items()}}
    for name, order in orders.items():
        wanted = {
            one.id
            for one in found.messages.values()
            if one.id not in found.withdrawn
            and WANTED[name].facility(one.facility)
            and WANTED[name].message(outbox_message(one, 1))
        }
        has = {identity for _, _, identity in order}
        assert has >= wanted, f"{name} lacks {sorted(wanted - has)}"
        assert has - wanted <= found.withdrawn, f"{name} has what it should not: {sorted(has - wanted)}"
        for facility, some in by_facility(order):
            # What was withdrawn while it was under way may still come in, after what was sent instead.
            late = world.core.landed & found.withdrawn if name == CORE else set[str]()
            in_order = [sequence for sequence, identity in some if identity not in late]
            assert in_order == sorted(in_order), f"{name} has {facility} out of order: {in_order}"
        for identity in wanted:
            assert any(one.endpoint == name for one in world.store.deliveries(identity)), f"{identity} has no record"
        for identity in found.messages.keys() - has:
            assert all(one.endpoint != name for one in world.store.deliveries(identity)), f"{identity} is no delivery"
    for facility, book in world.core.ledger.facilities().items():
        assert book["missing"] == [], f"the core misses {book['missing']} of {facility} and nobody has said why"


def assert_one_release_for_a_milestone(found: Told) -> None:
    sent = [one for one in found.messages.values() if one.type == "release_disbursement"]
    first = Counter(json.loads(one.body)["data"]["release"] for one in sent)
    assert all(count == 1 for count in first.values()), f"more than one release: {first.most_common(1)}"


def assert_both_ledgers_agree(world: World, found: Told) -> None:
    counts, books = world.core.ledger.counts(), world.core.ledger.facilities()
    assert (counts["double_releases"], counts["conflicts"]) == (0, 0)
    drawn = dict.fromkeys(FACILITIES, 0)
    for name, memo in found.state.milestones.items():
        assert memo.state in AT_REST, f"{name} is {memo.state} and nothing is under way"
        release = release_id(found.state.journal, name)
        shown = books[memo.facility]["releases"].get(release) if memo.facility else None
        is_paid = shown is not None and shown["booked"]
        assert is_paid == (memo.state in PAID), f"{name} is {memo.state}, and the core has {shown}"
        if memo.state in PAID or memo.state in TAKEN_BACK:
            said = PAID | TAKEN_BACK
            assert shown is not None
            assert shown["status"] == said[memo.state], f"{name} is {memo.state}, and the core says {shown['status']}"
        if is_paid:
            assert shown is not None
            assert (shown["amount_minor"], shown["currency"]) == (memo.amount_minor, memo.currency), name
            drawn[memo.facility] += memo.amount_minor
        elif shown is not None:
            assert shown["status"] in {"held", "retracted", "expired"}
    for facility, book in books.items():
        assert book["drawn_minor"] == drawn[facility], f"{facility} has drawn something else than was released"
        line = found.state.book.facilities[facility]
        moved_minor = sum(one.amount_minor for one in line.movements if one.kind == "drawdown")
        assert book["outstanding_minor"] == line.outstanding_minor + moved_minor


def assert_what_is_withdrawn_is_not_sent(world: World, found: Told) -> None:
    """An endpoint that begins with the first message now gets all but what the journal withdraws."""
    store = world.store
    store.declare("onlooker", Wanted(), Begin.FIRST)
    sent: list[str] = []
    while due := store.due("onlooker", NEVER):
        for one in due:
            store.delivered(one, DeliveryRecord("onlooker", one.id, 0, 1))
            sent.append(one.id)
    assert len(sent) == len(set(sent))
    assert set(sent) == found.messages.keys() - found.withdrawn, "what is withdrawn is not what is not sent"


class Run(NamedTuple):
    """What came of a seed."""

    struck: Counter[CrashPoint]
    bodies: tuple[bytes, ...]
    types: Counter[str]
    states: Counter[MilestoneState]


def live_through(seed: int, rounds: int = 32) -> Run:
    """One seed, and every law at its end."""
    with TemporaryDirectory() as name:
        folder = Path(name) if seed % ON_DISK_EVERY == ON_DISK_EVERY - 1 else None
        world = World(seed, folder)
        try:
            world.run(rounds)
            found = assert_every_law(world)
        finally:
            world.close()
        if folder is not None:
            assert replay(folder).digest == state_module.digest(world.spine.state)
    types = Counter(str(one.type) for one in found.messages.values())
    bodies = tuple(one.body for one in found.messages.values())
    return Run(world.dice.struck, bodies, types, Counter(one.state for one in found.state.milestones.values()))
