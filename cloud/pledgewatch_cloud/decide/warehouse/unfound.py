"""What a zone has missed, and only a stock system's word has put elsewhere since.

A zone that holds less than is kept there differs until its goods are back, or until less is kept there. Whoever has to
explain a loss often also writes the stock system: a move out of the zone's bins, to one that nothing watches, would
explain it without anybody having seen the goods. So while a zone differs there is remembered what unwatched bins of its
pools gain within the warehouse, by moves and corrections; where the zone has differed for longer than the warehouse's
grace, and misses less after such a gain, that much is *unfound*: it is kept somewhere, and has been seen nowhere.

It is found when each unwatched bin that has goods of the pool was counted after the last gain, and it is no more where
the stock system takes the gain back. Goods that come in from outside, or leave, gain nothing: they are told as such.
"""

from typing import NamedTuple


class Unfound(NamedTuple):
    """Of a pool, by what one zone has missed of it, in thousandths: what it missed last, what unwatched bins had gained
    in all by then, what of that gain since the zone began to differ has explained nothing yet (`credit_milli`), what is
    unfound, and when the last gain was heard."""

    missed_milli: int
    gained_milli: int
    credit_milli: int
    milli: int
    gained_ms: int

    def after(self, missed_milli: int, gained_milli: int, now_ms: int, *, is_lasting: bool) -> "Unfound":
        """What is unfound once a zone misses so much and unwatched bins have gained so much. `is_lasting`: the zone has
        differed for longer than the grace."""
        more_milli = gained_milli - self.gained_milli
        credit_milli, milli = self.credit_milli + more_milli, self.milli
        if credit_milli < 0:
            credit_milli, milli = 0, max(0, milli + credit_milli)
        explained_milli = min(credit_milli, max(0, self.missed_milli - missed_milli)) if is_lasting else 0
        return Unfound(
            missed_milli,
            gained_milli,
            credit_milli - explained_milli,
            milli + explained_milli,
            now_ms if more_milli > 0 else self.gained_ms,
        )

    def counted(self) -> "Unfound":
        """What is unfound once all unwatched bins were counted: nothing, for what they hold is known."""
        return self._replace(credit_milli=0, milli=0)


def first(missed_milli: int, gained_milli: int, now_ms: int) -> Unfound:
    """What is remembered when a zone begins to differ."""
    return Unfound(missed_milli, gained_milli, 0, 0, now_ms)
