"""What is handed in of a warehouse, as an entry means it: reports of stock, acts on receipts, counts.

Each is read and judged by what the state knows, the same way when somebody asks and when the journal is read again.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

from pledgewatch_cloud.decide.batch import Entry, SignedAct, SignedCount, StockReport, Tick
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.items.parties import keys_of
from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts import life
from pledgewatch_cloud.decide.receipts.act import Act, ActError, ActKind
from pledgewatch_cloud.decide.receipts.claiming import World
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt import State as ReceiptState
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stock import intake
from pledgewatch_cloud.decide.stock.periods import DAY_MS
from pledgewatch_cloud.decide.stock.rows import Fault, Report, StockError
from pledgewatch_cloud.decide.stock.stock_book import StockBook, horizon_ms
from pledgewatch_cloud.decide.stock.stock_terms import StockSource
from pledgewatch_cloud.decide.warehouse import counting, half
from pledgewatch_cloud.decide.warehouse.counting import Count, CountError
from pledgewatch_cloud.decide.warehouse.shortfall import Pool, Shortage
from pledgewatch_cloud.decide.warehouse.watch import KEYS_MAX, STRAYS_MAX

WorkedOut = Report | ReceiptBook | Count
"""What an entry comes to: the report that is taken, the receipts after an act, or a count."""


class AfterEntry(NamedTuple):
    """What stands of stock and receipts after an entry, and the report or the count that it brings, if any."""

    stock: StockBook
    receipts: ReceiptBook
    report: Report | None = None
    counted: Count | None = None


def after_entry(state: State, entry: Entry, worked_out: WorkedOut | None) -> AfterEntry:
    """What stands after an entry; `worked_out` is what it comes to, where that is known already. Raises StockError,
    ActError and CountError for what is refused."""
    book, stock, receipts, now_ms = state.book, state.stock, state.receipts, entry.recorded_at_ms
    match entry.content:
        case StockReport() as handed:
            report = worked_out if isinstance(worked_out, Report) else report_of(book, stock, handed)
            return AfterEntry(stock.with_fresh(report, now_ms), receipts, report)
        case SignedAct() as handed:
            if isinstance(worked_out, ReceiptBook):
                return AfterEntry(stock, worked_out)
            return AfterEntry(stock, acted(state, handed))
        case SignedCount() as handed:
            count = worked_out if isinstance(worked_out, Count) else count_of(state, handed)
            return AfterEntry(stock, receipts, counted=count)
        case Tick() if now_ms // DAY_MS != state.recorded_at_ms // DAY_MS:
            return AfterEntry(stock.folded(horizon_ms(now_ms)), receipts)
        case _:
            return AfterEntry(stock, receipts)


class Document(NamedTuple):
    """What was handed in, as it reads by the terms of its source."""

    source: StockSource
    report: Report


def read(book: Book, handed: StockReport) -> Document:
    """What a report says by itself: most of the work, and for others to do beside the journal. Raises StockError."""
    source = book.stock_sources.get(handed.source)
    if source is None:
        raise StockError((Fault(0, f"{handed.source} is no stock source; add it to the book's stock_sources"),))
    return Document(source, intake.read(source.terms, handed.form, handed.data, source.mapping))


def report_of(book: Book, stock: StockBook, handed: StockReport, document: Document | None = None) -> Report:
    """What a report brings that is new and may be said; its `faults` are those that were left aside. Raises StockError
    with every fault where nothing of it is taken.

    `document` is the report as it was read before; it is read again where its source is on other terms by now.
    """
    if document is None or document.source is not book.stock_sources.get(handed.source):
        document = read(book, handed)
    return intake.admitted(document.source.terms, document.report, stock, handed.received_ms)


def world_of(state: State, heard_ms: int) -> World:
    """What an act is judged by beside the receipts."""
    book = state.book
    keys, missing = partial(keys_of, book.parties), partial(_missing_milli, state, heard_ms)
    return World(keys, book.warehouses.keys(), state.stock, missing, register_of(state.journal), heard_ms)


def _missing_milli(state: State, heard_ms: int, warehouse: str, sku: str, besides: str) -> int:
    """What is missing of an SKU in a warehouse for all receipts but one, in thousandths: the most of any pool. Where
    the one claims goods itself, it is what would be missing without it."""
    one = state.receipts.get(besides)
    shortages = state.watch.shortages
    if one is not None and one.is_live:
        without = state.receipts.put([one._replace(state=ReceiptState.CANCELLED)], heard_ms)
        shortages = half.shortages_with(state, without, heard_ms)
    return _most_missing(shortages, warehouse, {sku})


def _most_missing(shortages: Mapping[Pool, Shortage], warehouse: str, skus: set[str]) -> int:
    some = (one.missing_milli for pool, one in shortages.items() if pool.warehouse == warehouse and pool.sku in skus)
    return max(some, default=0)


def act_of(handed: SignedAct) -> Act:
    """The act of an entry. Raises ActError."""
    return act_module.read(handed.text)


def acted(state: State, handed: SignedAct) -> ReceiptBook:
    """The receipts after an act; the same ones where it is known. Raises ActError where it is refused."""
    act = act_of(handed)
    after = life.apply(state.receipts, act, world_of(state, handed.heard_ms))
    if after is not state.receipts:
        _check_there(state, act, after, handed.heard_ms)
        _check_stray_room(state, act)
    return after


def _check_there(state: State, act: Act, after: ReceiptBook, heard_ms: int) -> None:
    """The goods of a receipt are there when it begins to claim them, and when somebody is to lend on it: nothing would
    be missing with the act. Raises ActError.

    The holder who pledges is told that some of his goods are missing, and not how much: that is a share, and with it he
    could reckon what others claim. The warehouse knows what it has issued.
    """
    if act.kind not in (ActKind.ISSUE, ActKind.SUBSTITUTE, ActKind.PLEDGE):
        return
    one = after.get(act.receipt)
    assert one is not None, f"{act.receipt} was acted on and is not known"
    shortages = half.shortages_with(state, after, heard_ms)
    if act.kind is ActKind.PLEDGE:
        if any(shortage.of(one.id) for shortage in shortages.values()):
            raise ActError(
                f"goods of {one.id} are missing, by the stock book or by what was counted, measured or seen, and while "
                "they are nobody is given it as a pledge",
                "have them counted, or what is wrong put right: in the stock system, by other goods, or by a receipt "
                "for what is there",
            )
        return
    skus = {goods.sku for goods in one.goods}
    missing_milli = _most_missing(shortages, one.warehouse, skus)
    if missing_milli > 0:
        raise ActError(
            f"with this receipt, {missing_milli} thousandths of {', '.join(sorted(skus))} would be missing, by the "
            "stock book or by what was counted, measured or seen",
            "have the bins counted, and the stock system report what came in and went out; then issue it for what is "
            "there",
        )


def _check_stray_room(state: State, act: Act) -> None:
    """What has left is not forgotten: where no more strays are kept, a receipt whose goods have left keeps them. Raises
    ActError."""
    if act.kind not in (ActKind.CANCEL, ActKind.SUBSTITUTE, ActKind.DELIVER):
        return
    more = sum(1 for name, _ in state.watch.gone if name == act.receipt)
    if more and len(state.watch.strays) + more > STRAYS_MAX:
        raise ActError(
            f"goods of {act.receipt} have left, and {STRAYS_MAX} departures that no receipt claims are the most that "
            "are kept",
            "have it counted where goods have left, or have the stock system book them out",
        )


def count_of(state: State, handed: SignedCount) -> Count:
    """A count as it was signed, by somebody who may count there, of goods that are known. Raises CountError.

    One that says nothing new is not held against what is known now: it was, when it was new.
    """
    book, count = state.book, counting.read(handed.text)
    counting.check(count, partial(keys_of, book.parties), book.warehouses, handed.heard_ms)
    if not state.watch.knows(count):
        counting.check_known(count, state.stock, state.receipts, state.watch.cases)
        if not state.watch.has_room(count):
            raise CountError(
                f"rows: {KEYS_MAX} keys of {count.warehouse} are counted, and what is missing rests on those that are "
                "left",
                "count bins again that were counted before, or have what is missing put right first",
            )
    return count


def reported(source: str, at_ms: int, report: Report) -> Event:
    """That a stock system has reported something new."""
    counts = {"rows": len(report.rows), "snapshots": len(report.snapshots), "faults": len(report.faults)}
    return event(EventType.STOCK_REPORTED, at_ms, source, **counts)


def changed(before: ReceiptBook, after: ReceiptBook, act: Act) -> Iterator[Event]:
    """That receipts are in another state than before, or in another's hands: that of the act, and those that begin by
    it."""
    known = after.get(act.receipt)
    assert known is not None
    for name in (act.receipt, *known.children, known.replaced_by):
        one = after.get(name) if name else None
        if one is not None and one != before.get(name):
            yield _changed(one, act)


def _changed(one: Receipt, act: Act) -> Event:
    about = {"act": act.kind.value, "by": act.by, "head": one.head, "state": one.state.value}
    if one.controller:
        about["controller"] = one.controller
    return event(EventType.RECEIPT_CHANGED, act.at_ms, one.id, **about)
