"""What is said of lots: that goods have left, or that some are missing, and that it is so no longer.

What is so now is held against what was said before, by receipt; a lot that changes its asset or leaves the book is told
of where it was. What had left and is back by the time that it is heard is said to have begun and to have ended.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.log import Log
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.warehouse.gates import Departure, Strays
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt
from pledgewatch_cloud.decide.warehouse.watch import Telling

_SHORT = -1  # the line of what is told of a lot of which some is missing
Departures = Mapping[tuple[str, int], Departure]
"""What has left, by receipt and line."""


class Teller:
    """What is so of lots after an entry: what has left of live receipts (`gone`) or strays, what was away and is back
    (`brief`), and how lots stand by their receipts."""

    def __init__(
        self,
        book: Book,
        receipts: ReceiptBook,
        gone: Departures,
        strays: Strays,
        brief: Departures,
        lots: Mapping[str, HeldByReceipt],
        log: Log,
        now_ms: int,
    ) -> None:
        self._book, self._receipts, self._gone, self._strays, self._brief = book, receipts, gone, strays, brief
        self._lots, self._log, self._now_ms = lots, log, now_ms

    def tell(self, told: frozenset[Telling], concerned: AbstractSet[str] | None) -> frozenset[Telling]:
        """Say of lots what has become so, and what is so no longer; what was said and is still so. Of the lots on some
        receipts, or of all (None)."""
        names = self._book.electronic_receipts if concerned is None else concerned
        before = told if concerned is None else frozenset(one for one in told if one.receipt in names)
        now = frozenset(one for name in names for one in self._tellings(name))
        for one in sorted(before - now):
            ended = EventType.SHORTFALL_ENDED if one.line == _SHORT else EventType.GOODS_ACCOUNTED_FOR
            self._log.say(self._about_lot(ended, self._now_ms, one))
        for one in sorted(now - before):
            self._log.say(self._begun(one))
        for _, departure in sorted(self._brief.items()):
            for one in self._of_departure(departure):
                self._log.say(self._begun(one))
                self._log.say(self._about_lot(EventType.GOODS_ACCOUNTED_FOR, self._now_ms, one))
        return (told - before) | now

    def _tellings(self, name: str) -> Iterable[Telling]:
        for lot in self._book.lots_on_receipt(name):
            if self._lots[lot.id].cases and self._lots[lot.id].missing:
                yield Telling(lot.id, lot.asset, name, _SHORT)
        receipt = self._receipts.get(name)
        lines = range(len(receipt.goods) if receipt else 0)
        live = [self._gone[name, line] for line in lines if (name, line) in self._gone]
        for one in {*live, *self._strays.of_receipt(name)}:
            yield from self._of_departure(one)

    def _of_departure(self, one: Departure) -> Iterable[Telling]:
        """What is told of lots where goods have left."""
        lots = (lot for lot in self._book.lots_on_receipt(one.receipt) if lot.sku == one.of.goods.sku)
        return [Telling(lot.id, lot.asset, *one.place) for lot in lots]

    def _begun(self, one: Telling) -> Event:
        if one.line == _SHORT:
            known = self._lots[one.lot]
            about: dict[str, int | str] = {"case": " ".join(known.cases), "missing": known.missing}
            return self._about_lot(EventType.SHORTFALL_FOUND, self._now_ms, one, **about)
        place = one.receipt, one.line
        strays = (stray for stray in self._strays.of_receipt(one.receipt) if stray.place == place)
        departure = self._gone.get(place) or self._brief.get(place) or next(strays)
        return self._about_lot(EventType.GOODS_LEFT, departure.at_ms, one, gate=departure.gate)

    def _about_lot(self, kind: EventType, at_ms: int, one: Telling, **about: int | str) -> Event:
        line = {} if one.line == _SHORT else {"line": one.line}
        return event(kind, at_ms, one.asset, lot=one.lot, receipt=one.receipt, **line, **about)
