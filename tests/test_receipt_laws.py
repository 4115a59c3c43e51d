"""Whatever is done to receipts in whatever order, the sums hold and no goods are claimed twice."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from receipting import (
    AFFILIATE,
    BANK,
    BUYER,
    DEPOSITOR,
    NOON_MS,
    OTHER_BANK,
    OTHER_WAREHOUSE,
    WAREHOUSE,
    Register,
    stated,
    window,
)

from pledgewatch_cloud.decide.receipts import life, receipt_book
from pledgewatch_cloud.decide.receipts.act import ActError, ActKind
from pledgewatch_cloud.decide.receipts.claims import claims_of
from pledgewatch_cloud.decide.receipts.receipt import ENDED, Receipt, State
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.stock.rows import StockKey

WAREHOUSES = (WAREHOUSE, OTHER_WAREHOUSE)
OWNERS = (DEPOSITOR, AFFILIATE)
BINS, SKUS = ("A-01", "A-02"), ("SOFA-3", "CHAIR-1")
BOXES = ("MSKU1234565", "CSQU3054383")
REASONED = (ActKind.CANCEL, ActKind.FREEZE, ActKind.THAW, ActKind.LOSE)


class History:
    """A register to which things happen as they are drawn, with stock that goods come into and leave."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.register = Register()
        self.register.stock = {}
        self.begun = 0
        self.issued_milli: dict[str, int] = {}

    @property
    def receipts(self) -> list[Receipt]:
        return sorted(self.register.receipts.receipts(), key=lambda one: one.id)

    def choose(self, *some: Any) -> Any:
        return self.draw(st.sampled_from(some))

    def stock(self) -> dict[StockKey, int]:
        assert self.register.stock is not None
        return self.register.stock

    def come_in(self) -> None:
        warehouse, owner, sku, place = (self.choose(*some) for some in (WAREHOUSES, OWNERS, SKUS, BINS))
        key = StockKey(warehouse, owner, sku, place, "piece")
        self.stock()[key] = self.stock().get(key, 0) + self.draw(st.integers(20, 80))

    def go_missing(self) -> None:
        """Stock shrinks, whoever has a receipt."""
        if self.stock():
            key = self.choose(*sorted(self.stock()))
            self.stock()[key] -= self.draw(st.integers(0, self.stock()[key]))

    def line(self, key: StockKey) -> dict[str, Any]:
        """Some of what there is under a key, or one too many."""
        line = {"sku": key.sku, "bin": key.bin, "unit": key.unit}
        box = {"container": self.choose(*BOXES)} if self.choose("box", "", "") else {}
        return {**line, **box, "quantity_milli": self.draw(st.integers(1, self.stock()[key] + 1))}

    def begin(self) -> None:
        keys = sorted(self.stock())
        if keys:
            self.begun += 1
            first = self.choose(*keys)
            some = [first, *(key for key in keys if key[:2] == first[:2] and key != first and self.choose("", "also"))]
            day = 3 * self.draw(st.integers(-4, 4))
            says = stated(*map(self.line, some), depositor=first.owner, received=window(day, day + 0.4))
            self.try_to(first.warehouse, "issue", f"{first.warehouse}:{self.begun}", says)

    def act(self) -> None:
        """Somebody who may does something that is allowed by the table, with quantities that may be wrong."""
        choices = [
            (party, kind, one)
            for one in self.receipts
            for party in sorted({one.warehouse, one.holder, one.pledgee} - {""})
            for kind in life.may(one, party)
            if kind is not ActKind.SUBSTITUTE
            # What stops a receipt or ends it at once is drawn less often than what goes on with it.
            for _ in range(1 if kind in REASONED else 5)
        ]
        if choices:
            party, kind, one = self.choose(*choices)
            self.try_to(party, kind, one.id, self.body(kind, one))

    def body(self, kind: ActKind, one: Receipt) -> dict[str, Any]:
        if kind is ActKind.SPLIT:
            first = [self.draw(st.integers(0, line.quantity_milli)) for line in one.goods]
            rest = [line.quantity_milli - share for line, share in zip(one.goods, first, strict=True)]
            return {"into_milli": [first, [share + self.choose(0, 0, 0, 0, 1) for share in rest]]}
        if kind in {ActKind.RELEASE, ActKind.SURRENDER, ActKind.DELIVER} and self.choose("some", ""):
            return {"quantities_milli": [self.draw(st.integers(0, line.quantity_milli + 1)) for line in one.goods]}
        return {
            ActKind.TRANSFER: {"to": self.choose(BUYER, AFFILIATE, DEPOSITOR)},
            ActKind.PLEDGE: {"pledgee": self.choose(BANK, OTHER_BANK)},
            ActKind.REPLACE: {"replacement": f"{one.warehouse}:again-{one.acts}-{self.begun}", "reason": "x"},
        }.get(kind, {"reason": "x"} if kind in REASONED else {})

    def try_to(self, by: str, kind: str, name: str, body: dict[str, Any]) -> None:
        before = self.register.receipts
        known = before.get(name)
        try:
            after = self.register.do(by, kind, name, **body)
        except ActError:
            assert self.register.receipts is before
            return
        if kind == "issue":
            self.issued_milli[name] = sum(after.quantities_milli)
        if kind == "deliver" and known is not None:
            for key, quantity in known.totals_milli.items():
                # A warehouse may say that it delivered what was not there any more.
                self.stock()[key] = max(0, self.stock()[key] - quantity + after.totals_milli.get(key, 0))
        self.assert_no_more_than_there_is(before)

    def assert_no_more_than_there_is(self, before: ReceiptBook) -> None:
        """No act has made live receipts more than the stock, and where they were not, they are not."""
        for key in keys_of(self.receipts):
            live = self.register.receipts.live_milli(key)
            assert live <= max(self.stock().get(key, 0), before.live_milli(key))

    def run(self, *happenings: Any) -> None:
        for _ in range(3):
            self.come_in()
        for _ in range(self.draw(st.integers(10, 40))):
            self.choose(*happenings)()
            assert_sums_are_the_sums_of_receipts(self.register.receipts)
            assert_nothing_is_claimed_twice(self.receipts)
            assert_one_controls(self.receipts)
            self.assert_what_was_issued_is_live_or_has_gone()
        assert_the_book_is_its_json(self.register.receipts)

    def assert_what_was_issued_is_live_or_has_gone(self) -> None:
        found: defaultdict[str, int] = defaultdict(int)
        for one in self.receipts:
            # What a replaced receipt had delivered, the one in its place says too.
            gone = 0 if one.state is State.REPLACED else sum(one.delivered_milli)
            given_up = sum(one.quantities_milli) if one.state is State.CANCELLED else 0
            found[root_of(self.register, one)] += sum(one.quantities_milli) * one.is_live + gone + given_up
        assert found == self.issued_milli


def root_of(register: Register, one: Receipt) -> str:
    while before := one.parent if "." in one.id else one.replaces:
        one = register.get(before)
    return one.id


def keys_of(receipts: list[Receipt]) -> set[StockKey]:
    return {line.key(one.warehouse, one.depositor) for one in receipts for line in one.goods}


def assert_sums_are_the_sums_of_receipts(receipts: ReceiptBook) -> None:
    some = list(receipts.receipts())
    for key in keys_of(some):
        live = sum(
            line.quantity_milli
            for one in some
            if one.is_live
            for line in one.goods
            if line.key(one.warehouse, one.depositor) == key
        )
        assert receipts.live_milli(key) == live
        assert (key in receipts.keys(key.warehouse, key.sku, key.unit)) == (live > 0)


def assert_nothing_is_claimed_twice(receipts: list[Receipt]) -> None:
    """Live receipts that share a mark are parts of one whole, and share no mark of what there is only once."""
    claiming: defaultdict[str, list[Receipt]] = defaultdict(list)
    for one in receipts:
        if one.is_live:
            for text in {claim.text for claim in claims_of(one.warehouse, one.goods, one.received)}:
                claiming[text].append(one)
    for text, some in claiming.items():
        assert len(some) == 1 or text.startswith("bin:")
        assert len({(one.warehouse, one.depositor, one.received) for one in some}) == 1
        assert len(some) == 1 or all("." in one.id or "again" in one.id for one in some)


def assert_one_controls(receipts: list[Receipt]) -> None:
    for one in receipts:
        assert bool(one.controller) == (one.state not in ENDED)
        assert one.controller in {"", one.holder, one.pledgee}
        for released, ordered, quantity in zip(
            one.released_milli, one.ordered_milli, one.quantities_milli, strict=True
        ):
            assert 0 <= released <= quantity
            assert 0 <= ordered <= (released if one.pledgee else quantity)


def assert_the_book_is_its_json(receipts: ReceiptBook) -> None:
    again = ReceiptBook.from_json(receipts.as_json())
    assert again.as_json() == receipts.as_json()
    assert again == receipts
    assert all(isinstance(one.state, State) for one in again.receipts())


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_live_receipts_are_never_more_than_the_stock_book_has(data: st.DataObject) -> None:
    history = History(data)
    history.run(history.come_in, history.begin, history.begin, *[history.act] * 6)
    for key in keys_of(history.receipts):
        assert history.register.receipts.live_milli(key) <= history.stock().get(key, 0)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_no_receipt_is_issued_for_what_is_missing(data: st.DataObject) -> None:
    history = History(data)
    history.run(history.come_in, history.go_missing, history.begin, history.begin, *[history.act] * 4)
    assert history.register.now_ms == NOON_MS


def test_a_full_book_begins_nothing_and_brings_all_to_its_end(monkeypatch: Any) -> None:
    register = Register()
    monkeypatch.setattr(life, "KEPT_MAX", 2)
    register.issue(f"{WAREHOUSE}:1")
    register.issue(f"{OTHER_WAREHOUSE}:1")
    assert "2 receipts are kept and 1 more" in register.refuse(WAREHOUSE, "issue", f"{WAREHOUSE}:2", **stated()).why
    assert "and 2 more" in register.refuse(DEPOSITOR, "split", f"{WAREHOUSE}:1", into_milli=[[1], [39_999]]).why
    register.do(DEPOSITOR, "lose", f"{WAREHOUSE}:1", reason="x")
    error = register.refuse(WAREHOUSE, "replace", f"{WAREHOUSE}:1", replacement=f"{WAREHOUSE}:2", reason="x")
    assert "2 receipts are kept and 1 more" in error.why
    register.do(DEPOSITOR, "surrender", f"{OTHER_WAREHOUSE}:1")
    assert register.do(OTHER_WAREHOUSE, "deliver", f"{OTHER_WAREHOUSE}:1").state is State.DELIVERED
    assert receipt_book.KEPT_MAX == 250_000
