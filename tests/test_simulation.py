"""Laws 1 and 5 over the whole way of a reading, with everything failing on it, from seeds."""

from pathlib import Path

import pytest
from simulation import World

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.marks import Marks


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_and_nothing_acts_twice(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    world.run(rounds=120)
    assert world.dice.kills > 3, "a run in which nothing dies proves nothing"

    for edge in world.edges:
        held = sorted(one.sequence for one in world.store.readings([edge.name], 10**9))
        assert held == list(range(1, edge.spool.measured_total + 1))
        state = world.spine.state.devices[edge.name, edge.spool.epoch]
        assert state.marks == Marks(edge.spool.head_sequence)
        assert state.chain_hash == edge.spool.chain_hash
        assert state.suspicions == 0

    sent = sorted(world.store._outbox.values(), key=lambda one: one.sequence)
    booked = list(world.bank.ledger.values())
    assert len(sent) > 2
    assert [one.sequence for one in booked] == list(range(1, len(sent) + 1)), "every message, once, in order"
    assert [one.body for one in booked] == [one.body for one in sent]
    releases = [one.id for one in booked if one.type == "release_disbursement"]
    assert len(releases) <= len(world.edges)

    world.store._snapshots = []
    assert state_module.digest(recover(world.store)) == state_module.digest(world.spine.state)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_measured_after_a_state_folder_was_put_back_is_not_lost(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    world.happen(rounds=20)
    edge = world.edges[0]
    edge.copy(tmp_path / "copy")
    copied = len(edge.measured)
    world.happen(rounds=3 + seed * 3)
    # Only what the cloud has had since the copy was taken can be found out.
    while world.spine.state.devices[edge.name, edge.spool.epoch].marks.total <= copied:
        world.happen(rounds=1)
    until = len(edge.measured)
    edge.put_back(tmp_path / "copy")
    world.run(rounds=60)
    assert edge.spool.epoch > 1, "it was found out"
    held = {one.measured_at_ms for one in world.store.readings([edge.name], 10**9)}
    assert held >= {*edge.measured[:copied], *edge.measured[until:]}
    assert world.spine.state.devices[edge.name, edge.spool.epoch].chain_hash == edge.spool.chain_hash
