"""Which limits were last said to be passed, kept in the state folder (`beyond`): an excursion that ends while the agent
is away, or with the settings of before, has an end that nobody measured. So the first value after a start is held
against this, and is urgent where it lies inside and the last that was urgent did not (passing.py).

The file may name too many bounds and never too few, whenever a kill comes: one is written down before the reading that
says so is stored, and struck off after the one that says that it is over. One too many costs an urgent reading at the
next start. What counts is what was measured last, in whatever order it is stored.

A reading that waits for its date (undated.py) may be refused yet when it gets one. So one that says that something is
over does not strike it off: the file says then that it is over once that has its date, and a start where such readings
still wait takes that for said. It is struck off when all that waited has been stored; where not all has, the sampler
is reminded, and says it once more.

It costs the disk nothing but where a limit is passed, and then little: what is struck off is so when the agent ends, or
SETTLE_S after the time before. A value that swings about a limit each second has the file written twice in SETTLE_S. A
disk that does not take it keeps no reading back: it is tried again. What the file says is unknown from then on until
it has been written, and so is what one says that could not be read: a write that failed may have been done.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
_ONCE_DATED: Final = ", over once dated"  # after a bound's name
_BEFORE, _BEFORE_DATED, _NEVER = -2, -1, -3  # places before those of this life


class _Content(NamedTuple):
    """What the file may say: the bounds that are passed, and those that no longer are once what waits has its date."""

    passed: frozenset[Bound]
    waiting: frozenset[Bound] = frozenset()


class Beyond:
    """The file of one state folder, of which the caller has sole use. Not for more than one thread at a time.

    Samples come with their `places` in the order of measuring, the first of a life 0; left out, they come after all
    that came before.
    """

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = folder / BEYOND_FILE
        self._monotonic = monotonic
        self._kept = self._read()  # None: unknown
        found = self._kept or _Content(ALL)
        # Where each was last said to be passed; to be over, which is stored; and the same, which waits for its date.
        self._passed_at = dict.fromkeys(found.passed | found.waiting, _BEFORE)
        self._over_at: dict[Bound, int] = {}
        self._waits_at = dict.fromkeys(found.waiting, _BEFORE_DATED)
        self._next_place = 0
        self._due_s = monotonic()
        self._disk = World(log, "disk for the limits that are passed")

    @property
    def told(self) -> frozenset[Bound]:
        """The bounds that were last said to be passed, by what is stored or waits for its date; perhaps some more."""
        return self._said().passed

    def before(self, samples: Sequence[Sample], limits: Mapping[int, Limit]) -> None:
        """Write down what samples that are about to be kept say to be passed."""
        more = frozenset(bound for _, bound, is_out in _said_of(samples, range(len(samples)), limits) if is_out)
        said = self._said()
        if self._kept is None:
            if more:
                self._keep(_Content(said.passed | more, said.waiting - more))
            return
        more |= self._kept.waiting & said.passed  # what waited has been refused
        if not more <= self._kept.passed:
            self._keep(_Content(self._kept.passed | more, self._kept.waiting - more))

    def after(
        self,
        samples: Sequence[Sample],
        limits: Mapping[int, Limit],
        places: Sequence[int] | None = None,
        *,
        all_of_them: bool = True,
    ) -> None:
        """The samples have been stored; or some of them, and then what they say to be over may not have been said."""
        self._take(samples, limits, places, self._over_at if all_of_them else None)

    def waits(
        self,
        samples: Sequence[Sample],
        limits: Mapping[int, Limit],
        places: Sequence[int] | None = None,
        *,
        all_of_them: bool = True,
    ) -> None:
        """The samples are on the disk, and wait for their date; or some of them, as with `after`."""
        self._take(samples, limits, places, self._waits_at if all_of_them else None)

    def waits_no_longer(self, *, all_of_them: bool) -> frozenset[Bound]:
        """What waited for its date has been stored; or not all of it, and then nothing of it counts that is over.
        Returns the bounds that were taken for over and are not."""
        waited = self._said().waiting
        if all_of_them:
            for bound, place in self._waits_at.items():
                self._over_at[bound] = max(place, self._over_at.get(bound, place))
        self._waits_at.clear()
        return waited & self.told

    @property
    def is_due(self) -> bool:
        """Whether `settle` has something to do now."""
        return self._said() != self._kept and self._monotonic() >= self._due_s

    def settle(self) -> None:
        """Strike off what is over, and write down what the disk did not take before."""
        said = self._said()
        if said == self._kept:
            return
        self._due_s = self._monotonic() + SETTLE_S
        self._keep(said)

    def _said(self) -> _Content:
        """What the file ought to say."""
        out = {bound: at for bound, at in self._passed_at.items() if at > self._over_at.get(bound, _NEVER)}
        waiting = frozenset(bound for bound, at in out.items() if self._waits_at.get(bound, _NEVER) > at)
        return _Content(frozenset(out) - waiting, waiting)

    def _take(
        self,
        samples: Sequence[Sample],
        limits: Mapping[int, Limit],
        places: Sequence[int] | None,
        over_at: dict[Bound, int] | None,
    ) -> None:
        """Take in where samples say what of bounds. Nothing that is over counts where `over_at` is None."""
        if places is None:
            places = range(self._next_place, self._next_place + len(samples))
        self._next_place = max([self._next_place, *(place + 1 for place in places)])
        for place, bound, is_out in _said_of(samples, places, limits):
            at = self._passed_at if is_out else over_at
            if at is not None:
                at[bound] = max(place, at.get(bound, place))

    def _keep(self, content: _Content) -> None:
        lines = [_NAMES[one] for one in content.passed] + [_NAMES[one] + _ONCE_DATED for one in content.waiting]
        try:
            replace_file(self._path, "".join(f"{line}\n" for line in sorted(lines)).encode("ascii"))
        except OSError as error:
            self._kept = None
            self._disk.lost(str(error))
            self._due_s = self._monotonic() + AGAIN_S
            return
        self._kept = content
        self._disk.back()

    def _read(self) -> _Content | None:
        """What the file says; None where that cannot be read."""
        try:
            lines = self._path.read_text(encoding="ascii").splitlines()
            waiting = {line for line in lines if line.endswith(_ONCE_DATED)}
            return _Content(
                frozenset(_NAMED[line] for line in lines if line not in waiting),
                frozenset(_NAMED[line.removesuffix(_ONCE_DATED)] for line in waiting),
            )
        except FileNotFoundError:
            return _Content(frozenset())
        except (OSError, ValueError, KeyError) as error:
            log.warning("file of the limits that were passed cannot be read file=%s error=%r", self._path, str(error))
            return None


def _said_of(
    samples: Sequence[Sample], places: Sequence[int], limits: Mapping[int, Limit]
) -> Iterator[tuple[int, Bound, bool]]:
    """What the urgent ones of some samples say of bounds, and at which place: whether the value lies beyond."""
    for place, sample in zip(places, samples, strict=True):
        for channel, value, quality in sample.cells if sample.is_urgent else ():
            limit = limits.get(channel)
            if limit is None or quality != Quality.GOOD:
                continue
            if limit.low is not None:
                yield place, Bound(channel, is_high=False), value < limit.low
            if limit.high is not None:
                yield place, Bound(channel, is_high=True), value > limit.high
