"""Whether goods may be claimed by a receipt now: nobody else claims them, they are there, and nothing is missing.

In this order: no live receipt shares a mark; the live receipts of each stock key, with this one, are no more than there
is, which is what the stock book has less what was delivered and is not booked out yet, and less what others took from
the bin that they never had; no live receipts of the SKU in the warehouse are short, whoever's and in whichever unit,
over all bins with this one, by the stock book or by what counts, zones and gates say, so goods that were moved or sold
from under a receipt cannot carry a second one there; enough of what is there came in when it is said that it did, which
is asked again when it is pledged. Then what merely comes close is asked for, and whether goods came from a warehouse
where the depositor's are short. An ask is passed over where the act names it with a reason and who controls the other
receipt has consented: the party that would be harmed if the goods were the same after all. Both receipts say from then
on what was passed over, for who consented may be the one who has both of them pledged.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.act import Act, ActError, Clash
from pledgewatch_cloud.decide.receipts.claims import Claim, claims_of, kept_of, near_of
from pledgewatch_cloud.decide.receipts.goods import compared
from pledgewatch_cloud.decide.receipts.receipt import Delivery, Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import MARKS_MAX, ReceiptBook
from pledgewatch_cloud.decide.stock.ages import CORRECTS, LONG_AGO_MS, Aged
from pledgewatch_cloud.decide.stock.rows import StockKey

_CAME_TOLD_MAX = 5
KeyRing = Callable[[str], Mapping[str, bytes]]
"""The raw Ed25519 public keys of a party by their names; empty for a party that is not known or has none."""
Missing = Callable[[str, str, str], int]
"""What is missing of the goods of an SKU in a warehouse, by counts, zones, gates and the stock book, for all live
receipts but one: warehouse, SKU, and the id of that one. In thousandths of the unit, the most of any pool."""


class Stock(Protocol):
    """What the stock system says; see StockBook."""

    @property
    def horizon_ms(self) -> int:
        """From when on rows are kept one by one."""
        ...

    def ages(self, key: StockKey, at_ms: int) -> list[Aged]:
        """What there is of a key at a moment by when it came into the warehouse, the earliest first."""
        ...

    def on_hand_milli(self, key: StockKey, at_ms: int) -> int:
        """What there is of a key at a moment, in thousandths of the unit."""
        ...

    def keys_in(self, warehouse: str, place: str) -> tuple[StockKey, ...]:
        """The keys of all goods that were ever in a bin."""
        ...

    def keys_of(self, warehouse: str, owner: str, sku: str, unit: str) -> tuple[StockKey, ...]:
        """The keys of goods in all bins where any of them ever were."""
        ...

    def story(self, key: StockKey) -> tuple[int, list[tuple[int, str, int]]]:
        """What was folded of a key, and what has changed it since, in order: when, by which kind, by how much."""
        ...


class World(NamedTuple):
    """What is asked beside the receipts: keys, which parties are warehouses, stock, what is missing, the register that
    this is, and when the act was handed in."""

    keys: KeyRing
    warehouses: Collection[str]
    stock: Stock
    missing_milli: Missing
    register: str
    heard_ms: int


def check_stated(receipt: Receipt) -> None:
    """The goods of a receipt have come in, and no two lines of it claim the same. Raises ActError."""
    if receipt.received_ms > receipt.at_ms:
        raise ActError(
            "received: the goods come in after the act is signed", "sign it when they are there, or correct the window"
        )
    lines: dict[str, int] = {}
    for claim in claims_of(receipt.warehouse, receipt.goods, receipt.received):
        if lines.setdefault(claim.text, claim.line) != claim.line:
            raise ActError(
                f"goods[{lines[claim.text]}] and goods[{claim.line}] claim the same by their {claim.kind}",
                "make them one line, or correct the one that is wrong",
            )


def claimed(receipts: ReceiptBook, receipt: Receipt, act: Act, world: World) -> list[Receipt]:
    """A receipt that claims its goods by an act, and then the others that it comes close to; all of them with the asks
    that were passed over, ever. Raises ActError."""
    check_stated(receipt)
    if receipts.marks > MARKS_MAX:
        raise ActError(
            f"live receipts are found by {receipts.marks} marks, and {MARKS_MAX} are the most",
            "issue none until some have ended",
        )
    clashes = _clashes(receipts, receipt)
    if clashes:
        marks = ", ".join(sorted({clash.ask for clash in clashes}))
        raise ActError(
            f"these goods are claimed by another live receipt: {marks}",
            "correct the mark if it is wrong; else there can be no receipt before the other one has ended",
            clashes,
        )
    _check_stock(receipts, receipt, world)
    _check_came(receipts, receipt, world)
    consenting = consents(act, world)
    near = _sorted([*_near(receipts, receipt), *_short_elsewhere(receipts, receipt, world)])
    asked = sorted({clash.ask for clash in near} - set(act.body.get("overrides", ())))
    if asked:
        raise ActError(
            f"these goods come close to those of another live receipt: {', '.join(asked)}",
            "look at the goods; if they are others, sign anew with these as overrides, a reason, and the consent of "
            "whoever controls the other receipt",
            near,
            asks=True,
        )
    if not asked_of(receipts, near) <= consenting:
        raise ActError(
            f"{', '.join(sorted({clash.ask for clash in near}))}: not all have consented that this is passed over",
            "add the consent of whoever controls each of the other receipts",
            near,
            asks=True,
        )
    return [_passed_over(receipt, {clash.ask for clash in near}), *_beside(receipts, receipt)]


def consents(act: Act, world: World) -> frozenset[str]:
    """The parties that have consented to an act. Raises ActError for a consent that is none to this act."""
    for number, one in enumerate(act.consents):
        if one.receipt != act.receipt or one.to != act.says:
            raise ActError(
                f"consents[{number}]: {one.by} has consented to something else", "have this very act consented to"
            )
        key = world.keys(one.by).get(one.kid)
        if key is None or not jose.verifies(key, one.signed):
            raise ActError(
                f"consents[{number}]: the signature is not by a key {one.kid} of {one.by} that the book has",
                "have it signed again with a key of the book",
            )
    return frozenset(one.by for one in act.consents)


def asked_of(receipts: ReceiptBook, clashes: Iterable[Clash]) -> frozenset[str]:
    """The parties that have to consent, that clashes may be passed over: who controls the other receipts."""
    found = (receipts.get(name) for name in {clash.receipt for clash in clashes})
    return frozenset(one.controller for one in found if one is not None)


def _clashes(receipts: ReceiptBook, receipt: Receipt) -> tuple[Clash, ...]:
    return _sorted(
        Clash(claim.kind, claim.line, name)
        for claim in claims_of(receipt.warehouse, receipt.goods, receipt.received)
        for name in receipts.found_by(claim.text)
        if name != receipt.id
    )


def _near(receipts: ReceiptBook, receipt: Receipt) -> Iterator[Clash]:
    return (Clash(why, claim.line, other.id) for why, claim, other in _met(receipts, receipt))


def _beside(receipts: ReceiptBook, receipt: Receipt) -> Iterator[Receipt]:
    """The receipts that one comes close to, each with the asks that were passed over, by its own lines."""
    asks: dict[str, set[str]] = {}
    for why, claim, other in _met(receipts, receipt):
        own = kept_of(other.warehouse, other.goods, other.received)
        some = {Clash(why, one.line, other.id).ask for one in own if one.text == claim.text}
        asks.setdefault(other.id, set()).update(some)
    for name, some in sorted(asks.items()):
        if (known := receipts.get(name)) is not None:
            yield _passed_over(known, some)


def _passed_over(receipt: Receipt, asks: Collection[str]) -> Receipt:
    return receipt._replace(overrides=tuple(sorted({*receipt.overrides, *asks})))


def _met(receipts: ReceiptBook, receipt: Receipt) -> Iterator[tuple[str, Claim, Receipt]]:
    """What a receipt comes close to: why, by which claim, and the other one."""
    for why, claim in near_of(receipt.warehouse, receipt.goods, receipt.received):
        for name in receipts.found_by(claim.text):
            other = receipts.get(name)
            if other is None or name == receipt.id or (why == "place" and other.depositor == receipt.depositor):
                continue
            yield why, claim, other


def _short_elsewhere(receipts: ReceiptBook, receipt: Receipt, world: World) -> Iterator[Clash]:
    """The depositor's receipts of the same SKU in other warehouses where receipts of it are short: goods may have gone
    from there to here."""
    lines: dict[str, int] = {}
    for line, goods in enumerate(receipt.goods):
        lines.setdefault(compared(goods.sku), line)
    for sku, line in lines.items():
        keys = [one for one in receipts.keys(sku) if one.owner == receipt.depositor]
        there = {one.warehouse for one in keys} - {receipt.warehouse}
        short = {one for one in there if next(_short(receipts, receipt, one, sku, world), "")}
        for key in keys:
            if key.warehouse in short:
                names = receipts.claiming(key.warehouse, key.owner, key.sku, key.unit)
                yield from (Clash("short_elsewhere", line, name) for name in names)


def _sorted(clashes: Iterable[Clash]) -> tuple[Clash, ...]:
    return tuple(sorted(set(clashes)))


def _check_stock(receipts: ReceiptBook, receipt: Receipt, world: World) -> None:
    known = receipts.get(receipt.id)
    own = known.totals_milli if known is not None and known.is_live else {}
    new = receipt.totals_milli
    for key, more in new.items():
        others = receipts.live_milli(key) - own.get(key, 0)
        there = _there(receipts, key, world)
        if others + more > there.milli:
            unbooked = (there.unbooked_milli, "were delivered and are not booked out")
            owed = (there.owed_milli, "were taken from the bin for another owner or in another spelling")
            less = "".join(f" less {milli} that {what}" for milli, what in (unbooked, owed) if milli)
            raise ActError(
                f"the stock book has {there.booked_milli} thousandths of a {key.unit} of {key.sku} for {key.owner} in "
                f"bin {key.bin}{less}, live receipts claim {others} of them, and this one asks for {more}",
                "issue it for what is there, or have the stock system report what has come in and gone out",
            )
    for sku in sorted({compared(key.sku) for key in new}):
        short = next(_short(receipts, receipt, receipt.warehouse, sku, world), "")
        if short:
            raise ActError(
                f"{short}, and while goods are missing no more receipts of that SKU are issued in the warehouse",
                "have the bin counted, and its receipts delivered or cancelled for what is not there",
            )


def _short(receipts: ReceiptBook, receipt: Receipt, warehouse: str, sku: str, world: World) -> Iterator[str]:
    """Which live receipts of an SKU in a warehouse are short, whoever's and in whichever unit: by the stock book, what
    is surrendered and has not left included, and by what was counted, measured or seen. What a receipt asks for is one
    of them, in the place of what it claims until now. Goods that were moved to another bin of the warehouse are there
    still, and stand in it for one receipt alone."""
    known = receipts.get(receipt.id)
    own = known.totals_milli if known is not None and known.is_live else {}
    keys = [key for key in receipts.keys(sku) if key.warehouse == warehouse]
    for pool in sorted({key._replace(bin="") for key in keys}):
        some = {key for key in (*keys, *receipt.totals_milli) if key._replace(bin="") == pool}
        claimed = sum(receipts.live_milli(key) - own.get(key, 0) + receipt.totals_milli.get(key, 0) for key in some)
        beside = world.stock.keys_of(pool.warehouse, pool.owner, pool.sku, pool.unit)
        some.update(key for key in beside if world.stock.on_hand_milli(key, world.heard_ms))
        short = claimed - sum(_there(receipts, key, world).milli for key in some)
        if short > 0:
            yield f"live receipts of {pool.sku} are short by {short} thousandths of a {pool.unit} with this one"
    for spelled in sorted({key.sku for key in keys}):
        missing = world.missing_milli(warehouse, spelled, receipt.id)
        if missing > 0:
            yield (
                f"live receipts of {spelled} are short by {missing} thousandths, by what was counted, measured or seen"
            )


class _There(NamedTuple):
    """What there is of a key by the stock book, and what of that nobody can have a receipt for: what was delivered and
    is not booked out, and what is less than nothing of the same in the bin, for other owners or in another spelling.
    In thousandths."""

    booked_milli: int
    unbooked_milli: int
    owed_milli: int

    @property
    def milli(self) -> int:
        """What receipts may claim."""
        return self.booked_milli - self.unbooked_milli - self.owed_milli


def _there(receipts: ReceiptBook, key: StockKey, world: World) -> _There:
    stock, heard_ms = world.stock, world.heard_ms
    same = (one for one in stock.keys_in(key.warehouse, key.bin) if one != key and _is_same(one, key))
    owed_milli = -sum(min(0, stock.on_hand_milli(one, heard_ms)) for one in same)
    return _There(stock.on_hand_milli(key, heard_ms), unbooked_milli(receipts, key, world), owed_milli)


def _is_same(one: StockKey, other: StockKey) -> bool:
    """Whether goods of two keys of a bin could be the same ones."""
    return (compared(one.sku), one.unit) == (compared(other.sku), other.unit)


class _Came(NamedTuple):
    """What is claimed of a key, how much of what is there came in within its window, and all that is there, the
    earliest first. In thousandths."""

    key: StockKey
    claimed_milli: int
    there_milli: int
    ages: list[Aged]


def _check_came(receipts: ReceiptBook, receipt: Receipt, world: World) -> None:
    for key, milli, there, ages in _turned_over(receipts, receipt, receipt.totals_milli, world):
        told = ", ".join(f"{one.milli} {_when(one)}" for one in ages[-_CAME_TOLD_MAX:])
        raise ActError(
            f"received: what came first goes first, so of what is in bin {key.bin} by the stock book, {there} "
            f"thousandths of a {key.unit} of {key.sku} came in in that window, and the receipt is for {milli}",
            "correct the window, or issue a receipt for each time that goods came in; the newest that are there "
            f"did so: {told}",
        )


def check_still_there(receipts: ReceiptBook, receipt: Receipt, world: World) -> None:
    """Enough of what is there still came in when a receipt says that its goods did, for it and the other parts of its
    whole that are pledged: who lends on it claims the goods of these days, and others may lend on those of later ones.
    Raises ActError, which does not say how much there is: who pledges need not be the one whose stock it is."""
    claims = claims_of(receipt.warehouse, receipt.goods, receipt.received)
    sharing = {name for claim in claims for name in receipts.found_by(claim.text)} - {receipt.id}
    pledged = [one for one in map(receipts.get, sharing) if one is not None and one.pledgee]
    totals = {
        key: milli + sum(one.totals_milli.get(key, 0) for one in pledged) for key, milli in receipt.totals_milli.items()
    }
    if any(True for _ in _turned_over(receipts, receipt, totals, world)):
        raise ActError(
            f"received: what came first goes first, so by the stock book not all that {receipt.id} claims is still "
            "there of what came in in its window",
            "have the warehouse substitute goods that are there, with the window in which these came in, or have the "
            "stock system put right what it has counted or booked wrongly",
        )


def _turned_over(
    receipts: ReceiptBook, receipt: Receipt, totals_milli: Mapping[StockKey, int], world: World
) -> Iterator[_Came]:
    """The keys of which, of what is there, not so much came in within the window of a receipt. Where a count or an
    adjustment is all that tells of goods, they came in before that, and after the count before, so some of that time is
    in the window. What was delivered and is not booked out left as all goods do, the earliest first."""
    window = receipt.received
    for key, milli in totals_milli.items():
        ages = _without(world.stock.ages(key, world.heard_ms), unbooked_milli(receipts, key, world))
        there_milli = sum(one.milli for one in ages if window.from_ms <= one.at_ms and one.since_ms < window.until_ms)
        if there_milli < milli:
            yield _Came(key, milli, there_milli, ages)


def _without(ages: list[Aged], milli: int) -> list[Aged]:
    """Goods less some, the earliest of them."""
    found = []
    for one in ages:
        taken = min(milli, one.milli)
        milli -= taken
        if taken < one.milli:
            found.append(one._replace(milli=one.milli - taken))
    return found


def _when(one: Aged) -> str:
    if one.since_ms == one.at_ms:
        return f"at {iso(one.at_ms)}"
    return f"at or before {iso(one.at_ms)}" + (f", from {iso(one.since_ms)} on" if one.since_ms > LONG_AGO_MS else "")


def unbooked_milli(receipts: ReceiptBook, key: StockKey, world: World) -> int:
    """What was delivered of a key and the stock system has not booked out yet, in thousandths of the unit.

    What was shipped since the surrender is the delivery, as goods are loaded before the delivery is signed; a count or
    an adjustment that finds more may have found just these. What else was booked out before a delivery was heard is
    taken for it as far as there was less than receipts claimed: the rest of it was free, and another sale. What is
    booked out from then on is the delivery, until all of it is. An adjustment that puts back what one took puts back
    the delivery too. All of it is booked out where the bin was counted since, and so is what the stock system has not
    got any more. What was delivered before the stock book's horizon is not asked about again.
    """
    deliveries = [one for one in receipts.delivered(key) if one.heard_ms >= world.stock.horizon_ms]
    if not deliveries:
        return 0
    coming = sorted(deliveries, key=lambda one: one.heard_ms)
    level, changes = world.stock.story(key)
    loaded = _Loaded()
    waiting = adjusted = lessened = 0
    for at_ms, kind, milli in changes:
        if at_ms > world.heard_ms:
            break
        while coming and coming[0].heard_ms <= at_ms:
            one = coming.pop(0)
            shipped = loaded.taken_by(one)
            booked = max(shipped, _booked_before(one, level - waiting))
            waiting += one.milli - booked
            adjusted += min(booked - shipped, lessened)
        taken = min(waiting, -milli) if milli < 0 else 0
        if kind == "shipped" and -milli > taken:
            loaded.shipped.append((at_ms, -milli - taken))
        if kind in CORRECTS:
            loaded.correct(at_ms, milli)
        if kind == "adjusted":
            taken -= max(0, min(adjusted, milli))
            adjusted += taken
            lessened = max(0, lessened - milli)
        level += milli
        waiting = min(waiting - taken, max(0, level))
        if kind == "unreconciled":
            waiting = adjusted = lessened = 0
    for one in coming:
        waiting += one.milli - max(loaded.taken_by(one), _booked_before(one, level - waiting))
    return waiting


class _Loaded:
    """What was shipped of a key, the earliest first, and is no delivery that was heard: it may be one to come."""

    def __init__(self) -> None:
        self.shipped: list[tuple[int, int]] = []
        self._lessened = (0, 0)

    def correct(self, at_ms: int, milli: int) -> None:
        """What a correction finds more is taken off the latest; but a complete count takes all before it counts, so
        what corrections take and find at one moment is one."""
        lessened = self._lessened[1] if self._lessened[0] == at_ms else 0
        self._lessened = at_ms, max(0, lessened - milli)
        if milli > lessened:
            self._take(milli - lessened, self.shipped[::-1])

    def taken_by(self, one: Delivery) -> int:
        """How much of a delivery was shipped since it was asked for; that is no other one then."""
        return self._take(one.milli, [some for some in self.shipped if some[0] >= one.ordered_ms])

    def _take(self, milli: int, some: Iterable[tuple[int, int]]) -> int:
        rest = milli
        for at_ms, shipped in some:
            if not rest:
                break
            taken = min(rest, shipped)
            rest -= taken
            place = self.shipped.index((at_ms, shipped))
            self.shipped[place : place + 1] = [(at_ms, shipped - taken)] if taken < shipped else []
        return milli - rest


def _booked_before(one: Delivery, there_milli: int) -> int:
    """What the stock system must have booked out of a delivery before that was heard, when it had so much there."""
    return max(0, min(one.milli, one.claimed_milli - there_milli))
