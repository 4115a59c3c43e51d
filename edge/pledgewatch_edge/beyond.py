"""Which limits were last said to be passed, kept in the state folder (`beyond`): an excursion that ends while the agent
is away, or with the settings of before, has an end that nobody measured. So the first value after a start is held
against this, and is urgent where it lies inside and the last that was urgent did not (passing.py).

The file may name too many bounds and never too few, whenever a kill comes: one is written down before the reading that
says so is stored, and struck off after the one that says that it is over. One too many costs an urgent reading at the
next start.

It costs the disk nothing but where a limit is passed, and then little: what is struck off is so when the agent ends, or
SETTLE_S after the time before. A value that swings about a limit each second has the file written twice in SETTLE_S. A
disk that does not take it keeps no reading back: it is tried again.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pledgewatch_edge.identity import replace_file
from pledgewatch_edge.logs import World
from pledgewatch_edge.passing import Limit
from pledgewatch_edge.sample import Sample
from pledgewatch_wire.reading import Channel, Quality

BEYOND_FILE: Final = "beyond"
SETTLE_S: Final = 600.0
AGAIN_S: Final = 60.0  # after a disk that did not take it
log = logging.getLogger(__name__)


class Bound(NamedTuple):
    """One end of a channel's limits."""

    channel: int
    is_high: bool


ALL: Final = frozenset(Bound(channel, is_high) for channel in Channel for is_high in (False, True))
_NAMED: Final = {f"{Channel(one.channel).name.lower()} {'high' if one.is_high else 'low'}": one for one in ALL}
_NAMES: Final = {one: name for name, one in _NAMED.items()}


class Beyond:
    """The file of one state folder, of which the caller has sole use. Not for more than one thread at a time.

    `told`: the bounds that were last said to be passed before this start, and perhaps some more.
    """

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / BEYOND_FILE
        self._monotonic = monotonic
        self._kept = self.told = self._read()
        self._said = self.told  # what the stored readings say
        self._due_s = monotonic()
        self._disk = World(log, "disk for the limits that are passed")

    def before(self, samples: Iterable[Sample], limits: Mapping[int, Limit]) -> None:
        """Write down what samples that are about to be stored say to be passed."""
        more = {bound for bound, is_out in _said_of(samples, limits) if is_out}
        if not more <= self._kept:
            self._keep(self._kept | more)

    def after(self, samples: Iterable[Sample], limits: Mapping[int, Limit], *, all_of_them: bool = True) -> None:
        """The samples have been stored; or some of them, and then what they say to be over may not have been said."""
        for bound, is_out in _said_of(samples, limits):
            if is_out:
                self._said |= {bound}
            elif all_of_them:
                self._said -= {bound}

    @property
    def is_due(self) -> bool:
        """Whether `settle` has something to do now."""
        return self._said != self._kept and self._monotonic() >= self._due_s

    def settle(self) -> None:
        """Strike off what is over, and write down what the disk did not take before."""
        if self._said == self._kept:
            return
        self._due_s = self._monotonic() + SETTLE_S
        self._keep(self._said)

    def _keep(self, bounds: frozenset[Bound]) -> None:
        content = "".join(f"{name}\n" for name in sorted(_NAMES[one] for one in bounds))
        try:
            replace_file(self._path, content.encode("ascii"))
        except OSError as error:
            self._disk.lost(str(error))
            self._due_s = self._monotonic() + AGAIN_S
            return
        self._kept = bounds
        self._disk.back()

    def _read(self) -> frozenset[Bound]:
        """What the file says; every bound there is, where that cannot be read."""
        try:
            return frozenset(_NAMED[line] for line in self._path.read_text(encoding="ascii").splitlines())
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, KeyError) as error:
            log.warning("file of the limits that were passed cannot be read file=%s error=%r", self._path, str(error))
            return ALL


def _said_of(samples: Iterable[Sample], limits: Mapping[int, Limit]) -> Iterator[tuple[Bound, bool]]:
    """What the urgent ones of some samples say of bounds, in order: whether the value lies beyond."""
    for sample in samples:
        for channel, value, quality in sample.cells if sample.is_urgent else ():
            limit = limits.get(channel)
            if limit is None or quality != Quality.GOOD:
                continue
            if limit.low is not None:
                yield Bound(channel, is_high=False), value < limit.low
            if limit.high is not None:
                yield Bound(channel, is_high=True), value > limit.high
