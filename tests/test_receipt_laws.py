"""Whatever is done to receipts in whatever order, the sums hold and no goods are claimed twice."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from receipting import (
    AFFILIATE,
    BANK,
    BUYER,
    CAME_MS,
    DAY_MS,
    DEPOSITOR,
    OTHER_BANK,
    OTHER_WAREHOUSE,
    WAREHOUSE,
    Register,
    counted,
    signed,
    stated,
    window,
)

from pledgewatch_cloud.decide.receipts import life, receipt_book
from pledgewatch_cloud.decide.receipts.act import ActError, ActKind
from pledgewatch_cloud.decide.receipts.claims import claims_of
from pledgewatch_cloud.decide.receipts.receipt import ENDED, Receipt, State
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.stock.rows import Report, Snapshot, StockKey, StockRow
from pledgewatch_cloud.decide.stock.stock_book import StockBook

WAREHOUSES = (WAREHOUSE, OTHER_WAREHOUSE)
OWNERS = (DEPOSITOR, AFFILIATE)
BINS, SKUS = ("A-01", "A-02"), ("SOFA-3", "CHAIR-1")
BOXES = ("MSKU1234565", "CSQU3054383")
REASONED = (ActKind.CANCEL, ActKind.FREEZE, ActKind.THAW, ActKind.LOSE)


class History:
    """A register to which things happen as they are drawn, with a stock book that hears of goods as they come in, and
    of what was delivered when it pleases its system. `there` is what is in the bins in truth, by key."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.register = Register()
        self.book = self.register.stock = StockBook()
        self.there: defaultdict[StockKey, int] = defaultdict(int)
        self.came: list[tuple[StockKey, int, int]] = []  # what came in on which day, in days after CAME_MS
        self.late: list[StockRow] = []
        self.rows = 0
        self.begun = 0
        self.issued_milli: dict[str, int] = {}
        self.said: dict[str, dict[str, Any]] = {}

    @property
    def receipts(self) -> list[Receipt]:
        return sorted(self.register.receipts.receipts(), key=lambda one: one.id)

    def choose(self, *some: Any) -> Any:
        return self.draw(st.sampled_from(some))

    def row(self, kind: str, at_ms: int, key: StockKey, milli: int) -> StockRow:
        self.rows += 1
        return StockRow(f"row-{self.rows}", kind, at_ms, key, milli)

    def hears(self, *rows: StockRow, snapshots: tuple[Snapshot, ...] = ()) -> None:
        self.book = self.register.stock = self.book.taken(Report("wms", rows, snapshots))

    def come_in(self) -> None:
        warehouse, owner, sku, place = (self.choose(*some) for some in (WAREHOUSES, OWNERS, SKUS, BINS))
        key = StockKey(warehouse, owner, sku, place, "piece")
        day, milli = 3 * self.draw(st.integers(-4, 4)), self.draw(st.integers(20, 80))
        self.hears(self.row("received", CAME_MS + day * DAY_MS + DAY_MS // 5, key, milli))
        self.there[key] += milli
        self.came.append((key, day, milli))

    def sell_free(self) -> None:
        """Goods that no receipt claims are sold, and that is booked at once; never before a delivery that is still to
        be booked, for which the sale would be taken."""
        if self.came:
            key = self.choose(*self.came)[0]
            free = self.there[key] - self.register.receipts.live_milli(key)
            if free > 0 and all(one.key != key for one in self.late):
                gone = self.draw(st.integers(1, free))
                self.there[key] -= gone
                self.hears(self.row("sold", self.register.now_ms, key, gone))

    def surrender(self) -> None:
        """All of a receipt is surrendered, and stays."""
        live = [one for one in self.receipts if one.state in (State.ISSUED, State.RELEASED)]
        if live:
            one = self.choose(*live)
            self.try_to(one.holder, "surrender", one.id, {})

    def go_missing(self) -> None:
        """Stock shrinks, whoever has a receipt."""
        if self.came:
            key = self.choose(*self.came)[0]
            if gone := self.draw(st.integers(0, max(0, self.there[key]))):
                self.there[key] -= gone
                self.hears(self.row("shipped", self.register.now_ms, key, gone))

    def book_out(self) -> None:
        """The stock system books something that was delivered long ago."""
        if self.late:
            self.hears(self.late.pop(self.draw(st.integers(0, len(self.late) - 1))))

    def count(self) -> None:
        """The stock system counts what there is of some goods; what it had still to book out of them, it has not."""
        if self.came:
            key = self.choose(*self.came)[0]
            self.hears(snapshots=(counted({key: max(0, self.there[key])}, self.register.now_ms),))
            self.late = [one for one in self.late if one.key != key]

    def goods(self) -> tuple[StockKey, dict[str, Any]]:
        """Some of what came in, or one too many; of one warehouse and owner. What a receipt says of it."""
        first, day, _ = self.choose(*self.came)
        others = {key for key, other, _ in self.came if other == day and key[:2] == first[:2] and key != first}
        some = [first, *(key for key in sorted(others) if self.choose("", "also"))]
        lines = [self.line(key, sum(milli for one, on, milli in self.came if (one, on) == (key, day))) for key in some]
        return first, {"goods": lines, "received": window(day, day + 0.4)}

    def line(self, key: StockKey, most: int) -> dict[str, Any]:
        line = {"sku": key.sku, "bin": key.bin, "unit": key.unit}
        box = {"container": self.choose(*BOXES)} if self.choose("box", "", "") else {}
        return {**line, **box, "quantity_milli": self.choose(most, self.draw(st.integers(1, most + 1)))}

    def begin(self) -> None:
        if self.came:
            first, goods = self.goods()
            self.issue(first.warehouse, stated(depositor=first.owner) | goods)

    def begin_again(self) -> None:
        """What was delivered is said to be there as before."""
        ended = [one for one in self.receipts if one.state is State.DELIVERED and one.id in self.said]
        if ended:
            one = self.choose(*ended)
            self.issue(one.warehouse, self.said[one.id])

    def issue(self, warehouse: str, says: dict[str, Any]) -> None:
        self.begun += 1
        name = f"{warehouse}:{self.begun}"
        self.said[name] = says
        self.try_to(warehouse, "issue", name, says)

    def deliver(self) -> None:
        """All of a receipt is surrendered and leaves."""
        live = [one for one in self.receipts if one.state in (State.ISSUED, State.RELEASED)]
        if live:
            one = self.choose(*live)
            self.try_to(one.holder, "surrender", one.id, {})
            self.try_to(one.warehouse, "deliver", one.id, {})

    def act(self) -> None:
        """Somebody who may does something that is allowed by the table, with quantities that may be wrong."""
        choices = [
            (party, kind, one)
            for one in self.receipts
            for party in sorted({one.warehouse, one.holder, one.pledgee} - {""})
            for kind in life.may(one, party)
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
        if kind is ActKind.SUBSTITUTE:
            return {**self.goods()[1], "reason": "others are in their place"}
        return {
            ActKind.TRANSFER: {"to": self.choose(BUYER, AFFILIATE, DEPOSITOR)},
            ActKind.PLEDGE: {"pledgee": self.choose(BANK, OTHER_BANK)},
            ActKind.REPLACE: {"replacement": f"{one.warehouse}:again-{one.acts}-{self.begun}", "reason": "x"},
        }.get(kind, {"reason": "x"} if kind in REASONED else {})

    def try_to(self, by: str, kind: str, name: str, body: dict[str, Any]) -> None:
        before = self.register.receipts
        known = before.get(name)
        says = self.register.says(by, kind, name, **body)
        if kind == "substitute" and known is not None:
            says["consents"] = [self.register.consent(known.controller, says)]
        try:
            self.register.take(signed(by, says))
        except ActError:
            assert self.register.receipts is before
            return
        after = self.register.get(name)
        if kind in ("issue", "substitute"):
            root = root_of(self.register, after).id
            self.issued_milli[root] = self.issued_milli.get(root, 0) + claimed_or_gone(after) - claimed_or_gone(known)
        if kind == "deliver" and known is not None:
            for key, quantity in known.totals_milli.items():
                if gone := quantity - after.totals_milli.get(key, 0):
                    self.there[key] -= gone
                    self.late.append(self.row("shipped", self.register.now_ms, key, gone))
        self.assert_no_more_than_there_is(before)

    def assert_no_more_than_there_is(self, before: ReceiptBook) -> None:
        """No act has made live receipts more than the stock book has, and where they were not, they are not."""
        for key in keys_of(self.receipts):
            live = self.register.receipts.live_milli(key)
            assert live <= max(self.book.on_hand_milli(key), before.live_milli(key))

    def run(self, *happenings: Any) -> None:
        for _ in range(3):
            self.come_in()
        for _ in range(self.draw(st.integers(10, 40))):
            self.register.now_ms += 60_000
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
            found[root_of(self.register, one).id] += sum(one.quantities_milli) * one.is_live + gone + given_up
        assert {name: milli for name, milli in found.items() if milli} == self.issued_milli


def claimed_or_gone(one: Receipt | None) -> int:
    """What a receipt claims, with what it has delivered of that."""
    return 0 if one is None else sum(one.quantities_milli) + sum(one.delivered_milli)


def root_of(register: Register, one: Receipt) -> Receipt:
    while before := one.parent if "." in one.id else one.replaces:
        one = register.get(before)
    return one


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
        assert (key in receipts.keys(key.sku)) == (live > 0)


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


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_live_receipts_are_never_more_than_there_is_however_late_the_stock_system_books(data: st.DataObject) -> None:
    history = History(data)

    def law() -> None:
        begins = (history.come_in, history.begin, history.begin, history.begin_again)
        goes_on = (history.sell_free, history.surrender, history.deliver, history.book_out)
        history.choose(*begins, *[history.act] * 4, *goes_on)()
        for key in keys_of(history.receipts):
            assert history.register.receipts.live_milli(key) <= history.there[key]

    history.run(law, law, law, history.count)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_no_receipt_is_issued_for_what_is_missing(data: st.DataObject) -> None:
    history = History(data)
    happenings = (history.come_in, history.go_missing, history.begin, history.begin, history.book_out)

    def law() -> None:
        before = history.register.receipts
        short = [one for one in keys_of(history.receipts) if before.live_milli(one) > history.book.on_hand_milli(one)]
        history.choose(*happenings, *[history.act] * 4)()
        for key in short:
            assert history.register.receipts.live_milli(key) <= before.live_milli(key)

    history.run(law)


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
