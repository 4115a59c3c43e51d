"""Laws 1 and 5 over the whole way of a reading, with everything failing on it, from seeds."""

from pathlib import Path

import pytest
from simulation import World, assert_nothing_is_lost_and_nothing_acts_twice


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_and_nothing_acts_twice(tmp_path: Path, seed: int) -> None:
    assert_nothing_is_lost_and_nothing_acts_twice(tmp_path, seed)


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
