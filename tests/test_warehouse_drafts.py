"""What is asked for a warehouse is committed once, as it was handed in, and nothing where it says nothing new."""

from collections.abc import Callable
from typing import Any

import pytest
from keeping import SKU, Keeping, sofas
from receipting import CAME_MS, FIRST, WAREHOUSE, begins, signed, stated
from warehouses import count_text

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.batch import Entry, SignedAct, SignedCount, StockReport, Told
from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.drafts import Draft
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.decide.state import digest
from pledgewatch_cloud.decide.stock.rows import StockError, StockRow
from pledgewatch_cloud.decide.warehouse import handed_in
from pledgewatch_cloud.decide.warehouse.counting import CountError
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.spine.spine import recover, repeat

Ask = Callable[..., Draft | None]
CAME = {"id": "M-9", "kind": "received", "at": iso(CAME_MS), "sku": SKU, "bin": "A-01", "unit": "EA", "quantity": "5"}
REPORT = encode({"movements": [CAME]})


@pytest.fixture
def kept() -> Keeping:
    found = Keeping()
    found.row("received", 40)
    return found


def asked_of(kept: Keeping) -> list[tuple[Ask, tuple[Any, ...], type[Told]]]:
    """Each thing that can be asked, with its words and the entry that it becomes."""
    now_ms = kept.clock.at_ms
    said = {"act": "issue", "receipt": FIRST, "after": "", "by": WAREHOUSE, "at": iso(now_ms), **stated(sofas())}
    said |= begins("issue", "", register_of(kept.spine.state.journal))
    return [
        (drafts.report, ("wms", "json", REPORT, now_ms), StockReport),
        (drafts.act, (signed(WAREHOUSE, said), now_ms), SignedAct),
        (drafts.count, (count_text([(SKU, "A-01", 40)], at=iso(now_ms)), now_ms), SignedCount),
    ]


@pytest.mark.parametrize("place", range(3), ids=["report", "act", "count"])
def test_what_is_asked_is_committed_once_and_the_journal_gives_it_again(kept: Keeping, place: int) -> None:
    asked, words, kind = asked_of(kept)[place]
    outcome = kept.spine.commit(asked, *words)
    assert outcome is not None
    (content,) = [form.read_entry(one).content for one in kept.store.entries(outcome.state.entry - 1)]
    assert type(content) is kind
    assert kept.spine.commit(asked, *words) is None
    assert kept.spine.state is outcome.state
    assert digest(recover(kept.store)) == digest(outcome.state)


def test_a_report_is_kept_byte_by_byte(kept: Keeping) -> None:
    data = b"\xef\xbb\xbf" + REPORT
    outcome = kept.spine.commit(drafts.report, "wms", "json", data, kept.clock.at_ms)
    assert outcome is not None
    (content,) = [form.read_entry(one).content for one in kept.store.entries(outcome.state.entry - 1)]
    assert isinstance(content, StockReport)
    assert (content.data, content.received_ms) == (data, kept.clock.at_ms)


def test_a_document_that_was_read_on_other_terms_is_read_again(kept: Keeping) -> None:
    handed = drafts.handed_report("wms", "json", REPORT, kept.clock.at_ms)
    before = handed_in.read(kept.spine.state.book, handed)
    (source,) = kept.spine.state.book.stock_sources.values()
    terms = {"id": source.id, "warehouse": WAREHOUSE, "means": "both", "units": {"EA": "carton"}}
    kept.amend(stock_sources=[terms | {"owner": source.terms.owner}])
    _, report = drafts.reported(kept.spine.state, handed, before)
    (row,) = report.rows
    assert isinstance(row, StockRow)
    assert (row.key.unit, before.report.rows[0].key.unit) == ("carton", "piece")


@pytest.mark.parametrize(
    ("asked", "words", "error"),
    [
        (drafts.report, ("nobody", "json", REPORT), StockError),
        (drafts.report, ("wms", "json", b"{"), StockError),
        (drafts.act, ("no act",), ActError),
        (drafts.count, ("no count",), CountError),
    ],
)
def test_what_is_refused_leaves_the_state_as_it_was(
    kept: Keeping, asked: Ask, words: tuple[Any, ...], error: type[Exception]
) -> None:
    before = kept.spine.state
    with pytest.raises(error):
        kept.spine.commit(asked, *words, kept.clock.at_ms)
    assert kept.spine.state is before


@pytest.mark.parametrize(
    "content", [StockReport("wms", "json", "ew==", 1), SignedAct("no act", 1), SignedCount("no count", 1)]
)
def test_an_entry_that_cannot_be_decided_again_is_named(kept: Keeping, content: Told) -> None:
    state = kept.spine.state
    with pytest.raises(DamagedError) as caught:
        repeat(kept.store, state, Entry(state.entry + 1, state.recorded_at_ms, content), b"")
    assert caught.value.entry == state.entry + 1
    assert "cannot be decided again" in str(caught.value)
