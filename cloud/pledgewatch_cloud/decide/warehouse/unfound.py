"""What a zone has missed, and only a stock system's word has put elsewhere since.

A zone that holds less than is kept there differs until its goods are back, or until less is kept there. Whoever has to
explain a loss often also writes the stock system: a row that takes the goods out of the zone's bins and one that puts
as many into others would explain it without anybody having seen the goods, whether they are one move, two corrections,
or a sale and a delivery. So while a zone differs there is remembered what other bins of its pools gain; where the zone
has differed for longer than the warehouse's grace, and misses less since rows took goods out of it, as much of that as
other bins gain, before or after, is *unfound*: it is kept somewhere, and has been seen nowhere.

The gain of a bin is found when the bin was counted since, or its zone has spoken since and is not short; what is moved
on is a gain where it is moved to. It is no more where the stock system takes it back. What leaves, and nothing comes in
its stead, gains nothing: it is told as such. What is put back into the zone's own bins is a gain of theirs (`OWN`)
until the zone has spoken, which says itself what it still misses.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

OWN = ""
"""Stands for all bins of the zone among those that gain."""


class Gain(NamedTuple):
    """Of a bin, in thousandths: all that it has ever gained, and how much of that since a zone began to differ nobody
    has found; and when it gained last, as it was heard."""

    gained_milli: int
    open_milli: int
    at_ms: int


class Told(NamedTuple):
    """What the stock system says of a pool by a moment, in thousandths: what it has in a zone, and all that each other
    bin has ever gained."""

    at_ms: int
    there_milli: int
    gained: Mapping[str, int]


class Unfound(NamedTuple):
    """Of a pool, by what one zone has missed of it, in thousandths: what it missed and what it was said to have last;
    what rows took out of it that it does not miss less for yet (`taken_milli`); what it misses less for that, and no
    gain has explained (`due_milli`); what is unfound; and the gains of other bins, by bin."""

    missed_milli: int
    there_milli: int
    taken_milli: int
    due_milli: int
    milli: int
    gains: Mapping[str, Gain]

    def after(
        self,
        missed_milli: int,
        told: Told,
        is_found: Callable[[str, int], bool],
        *,
        is_lasting: bool,
        put_milli: int,
    ) -> "Unfound":
        """What is unfound once a zone misses so much and so much is told. `is_found`: whether what a bin has gained was
        seen there at or after a moment. `is_lasting`: the zone has differed for longer than the grace. `put_milli`:
        what rows have put into it since it has measured; nothing where it has measured with this."""
        taken_milli = max(0, self.taken_milli + self.there_milli - told.there_milli)
        less_milli = self.missed_milli - missed_milli
        fallen_milli = min(put_milli, max(0, less_milli - taken_milli)) if is_lasting else 0
        gains = self._gained(told, max(0, -less_milli), fallen_milli)
        milli = max(0, min(self.milli, _open_milli(gains)))
        for place, one in gains.items():
            if one.open_milli > 0 and is_found(place, one.at_ms):
                milli = max(0, milli - one.open_milli)
                gains[place] = one._replace(open_milli=0)
        by_rows_milli = min(taken_milli, max(0, less_milli))
        due_milli = max(0, self.due_milli + min(0, less_milli)) + (by_rows_milli + fallen_milli if is_lasting else 0)
        explained_milli = min(due_milli, max(0, _open_milli(gains) - milli))
        return Unfound(
            missed_milli,
            told.there_milli,
            taken_milli - by_rows_milli,
            due_milli - explained_milli,
            milli + explained_milli,
            gains,
        )

    def hiding(self) -> Iterable[str]:
        """The bins where what is unfound may be."""
        return (place for place, one in self.gains.items() if self.milli and one.open_milli > 0 and place != OWN)

    def as_row(self) -> list[Any]:
        """It as JSON."""
        return [*self[:-1], [[place, *one] for place, one in sorted(self.gains.items())]]

    @staticmethod
    def from_row(row: list[Any]) -> "Unfound":
        """It behind its JSON."""
        missed, there, taken, due, milli, gains = row
        return Unfound(missed, there, taken, due, milli, {place: Gain(*one) for place, *one in gains})

    def _gained(self, told: Told, more_missed_milli: int, fallen_milli: int) -> dict[str, Gain]:
        """The gains by what is told now. What is taken back or moved on is a gain no more; what other bins lose in the
        same breath, as by a move between them, was no gain; nor is what the zone misses again for it."""
        gains, more, moved_milli = dict[str, Gain](), dict[str, int](), 0
        for place, milli in sorted(told.gained.items()):
            known = self.gains.get(place, Gain(0, 0, told.at_ms))
            more[place] = milli - known.gained_milli
            open_milli = known.open_milli + more[place]
            moved_milli += max(0, -open_milli)
            gains[place] = Gain(milli, max(0, open_milli), told.at_ms if more[place] > 0 else known.at_ms)
        for place, one in gains.items():
            part_milli = min(moved_milli, max(0, more[place]))
            moved_milli -= part_milli
            gains[place] = one._replace(open_milli=one.open_milli - part_milli)
        own = self.gains.get(OWN, Gain(0, 0, told.at_ms))
        back_milli = max(0, told.there_milli - self.there_milli - more_missed_milli)
        open_milli = min(self.milli + self.due_milli, own.open_milli + back_milli) + fallen_milli
        if open_milli:
            gains[OWN] = Gain(0, open_milli, told.at_ms if back_milli or fallen_milli else own.at_ms)
        return gains


def first(missed_milli: int, told: Told) -> Unfound:
    """What is remembered when a zone begins to differ."""
    gains = {place: Gain(milli, 0, told.at_ms) for place, milli in told.gained.items()}
    return Unfound(missed_milli, told.there_milli, 0, 0, 0, gains)


def _open_milli(gains: Mapping[str, Gain]) -> int:
    return sum(one.open_milli for one in gains.values())
