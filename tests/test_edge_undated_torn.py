"""What waits for a date, on a card that tears: a thousand rounds of `undated.log` cut or zeroed after kill -9."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from edge_support import new_spool
from test_edge_spool_bounds import ROUNDS
from test_edge_undated import NOW_MS, Machine

from pledgewatch_edge.spool.log import Kind, content_of
from pledgewatch_edge.undated import _UNDATED, UNDATED_FILE, _note_of
from pledgewatch_wire.reading import Reading

WRITER = """
import os, random, signal, sys
from pathlib import Path
from edge_support import new_spool, samples
from test_edge_undated import NOW_MS, Machine
from pledgewatch_edge import undated as module
folder, at_once, batches = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
module.AT_ONCE = at_once
spool, machine, dice = new_spool(folder), Machine(), random.Random(at_once)
spool.append(samples(20, 100_001))
undated, count = machine.undated(folder), 0
while count < 240:
    some = dice.randrange(1, 12)
    undated.keep([machine.marked(count + one, is_urgent=dice.random() < 0.2) for one in range(1, some + 1)])
    count += some
    print(count, flush=True)
append = spool.append
def killed(*arguments):
    global batches
    if not batches:
        os.kill(os.getpid(), signal.SIGKILL)
    batches -= 1
    return append(*arguments)
spool.append = killed
module.Undated._remove = lambda _: os.kill(os.getpid(), signal.SIGKILL)
machine.clock.set_by_fix(NOW_MS)
undated.hand_over(spool)
"""


class Part(NamedTuple):
    """A frame of the file: where it lies, and the places of which it tells: what is there, or became of it."""

    kind: int
    begin: int
    end: int
    places: range


def parts_of(data: bytes) -> list[Part]:
    """The frames of a file that is whole."""
    found: list[Part] = []
    for one in content_of(data).frames:
        begin, places = found[-1].end if found else 0, range(0)
        if one.kind == Kind.UNDATED:
            first, count, _ = _UNDATED.unpack_from(one.body)
            places = range(first, first + count)
        elif (note := _note_of(one)) is not None:
            places = range(note.place, note.place + len(note.is_kept))
        found.append(Part(one.kind, begin, one.end, places))
    return found


def killed(folder: Path, at_once: int, batches: int) -> int:
    """A state folder whose agent was killed when so many batches of what waited were numbered; how many had waited."""
    folder.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(at_once), str(batches)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(str(Path(__file__).parent / one) for one in ("support", "."))},
    )
    assert child.stdout is not None
    lines = child.stdout.read().splitlines()
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    return int(lines[-1])


def told_in(folder: Path) -> dict[int, Reading]:
    """What the log of a state folder holds, which stays as it is."""
    shutil.copytree(folder, folder.with_suffix(".read"))
    with new_spool(folder.with_suffix(".read")) as spool:
        return {one.sequence: one for one in spool.read(0, 10_000)}


def test_undated_torn_and_zeroed_loses_what_was_hit_and_tells_nothing_else(tmp_path: Path) -> None:
    """What lies outside of the damage is numbered once; what lies in it is counted, where anything tells of it; and
    nothing is made up. Only where the word is hit that some were handed over may these be there twice: told twice is
    better than never."""
    states = []
    for name, (at_once, batches) in enumerate(((40, 0), (40, 3), (1_000, 1))):
        folder = tmp_path / str(name)
        count = killed(folder, at_once, batches)
        data = (folder / UNDATED_FILE).read_bytes()
        states.append((folder, count, data, parts_of(data), told_in(folder)))
    dice = random.Random(20_261_128)
    lost_ever = twice_ever = 0
    for number in range(ROUNDS):
        origin, count, data, parts, before = states[number % len(states)]
        spoilt = tmp_path / "spoilt"
        shutil.copytree(origin, spoilt)
        place, is_cut = dice.randrange(len(data)), dice.random() < 0.5
        end = len(data) if is_cut else min(len(data), place + dice.randrange(1, 400))
        hit = [one for one in parts if one.end > place and one.begin < end and any(data[place:end])]
        (spoilt / UNDATED_FILE).write_bytes(data[:place] if is_cut else data[:place] + bytes(end - place) + data[end:])
        machine = Machine()
        machine.clock.set_by_fix(NOW_MS)
        with new_spool(spoilt) as spool:
            undated = machine.undated(spoilt, boot="second")
            while undated.is_due():
                undated.hand_over(spool)
            after = {one.sequence: one for one in spool.read(0, 10_000)}
            refused = spool.refused_total
        found = sorted(one.cells[1].value for one in after.values() if one.cells[1].value < 100_000)
        assert before.items() <= after.items(), f"round {number}: a number was given again"
        assert set(found) <= set(range(1, count + 1)), f"round {number}: something was made up"
        harmed = {one + 1 for part in hit if part.kind == Kind.UNDATED for one in part.places}
        lost = set(range(1, count + 1)) - set(found)
        assert lost <= harmed, f"round {number}: what was whole is lost"
        unsure = {one + 1 for part in hit if part.kind == Kind.HANDED for one in part.places}
        twice = {one for one in found if found.count(one) > 1}
        assert twice <= unsure, f"round {number}: what was numbered is there twice"
        if not unsure:
            is_told = not is_cut and any(part.begin >= end for part in parts)
            assert refused == len(lost) if is_told else refused <= len(lost), f"round {number}"
        assert undated.count == 0
        lost_ever, twice_ever = lost_ever + len(lost), twice_ever + bool(twice)
        shutil.rmtree(spoilt)
    assert lost_ever > ROUNDS
    assert twice_ever < ROUNDS // 2
