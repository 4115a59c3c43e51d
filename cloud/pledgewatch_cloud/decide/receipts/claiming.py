"""Whether goods may be claimed by a receipt now: nobody else claims them, they are there, and nothing is missing.

In this order: no live receipt shares a mark; the live receipts of each stock key, with this one, are no more than the
stock book has; no live receipt of the SKU in the warehouse is short, whoever's and in whichever bin, so goods that were
moved or sold from under a receipt cannot carry a second one. Then what merely comes close is asked for. An ask is
passed over where the act names it with a reason and who controls the other receipt has consented: the party that
would be harmed if the goods were the same after all.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.receipts.act import Act, ActError, Clash
from pledgewatch_cloud.decide.receipts.claims import claims_of, near_of
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import MARKS_MAX, ReceiptBook
from pledgewatch_cloud.decide.stock.rows import StockKey

KeyRing = Callable[[str], Mapping[str, bytes]]
"""The raw Ed25519 public keys of a party by their names; empty for a party that is not known or has none."""
OnHand = Callable[[StockKey, int], int]
"""What the stock book has of a key at a moment, in thousandths of the unit."""


class World(NamedTuple):
    """What is asked beside the receipts: keys, which parties are warehouses, stock, and when the act was handed in."""

    keys: KeyRing
    warehouses: Collection[str]
    on_hand_milli: OnHand
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


def claimed(receipts: ReceiptBook, receipt: Receipt, act: Act, world: World) -> Receipt:
    """A receipt that claims its goods by an act, with the asks that were passed over. Raises ActError."""
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
    consenting = consents(act, world)
    near = _near(receipts, receipt)
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
    return receipt._replace(overrides=tuple(sorted({clash.ask for clash in near})))


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


def _near(receipts: ReceiptBook, receipt: Receipt) -> tuple[Clash, ...]:
    return _sorted(
        Clash(why, claim.line, name)
        for why, claim in near_of(receipt.warehouse, receipt.goods, receipt.received)
        for name in receipts.found_by(claim.text)
        if name != receipt.id and not (why == "place" and _is_of(receipts, name, receipt.depositor))
    )


def _sorted(clashes: Iterable[Clash]) -> tuple[Clash, ...]:
    return tuple(sorted(set(clashes)))


def _is_of(receipts: ReceiptBook, name: str, depositor: str) -> bool:
    other = receipts.get(name)
    return other is not None and other.depositor == depositor


def _check_stock(receipts: ReceiptBook, receipt: Receipt, world: World) -> None:
    known = receipts.get(receipt.id)
    own = known.totals_milli if known is not None and known.is_live else {}
    new = receipt.totals_milli
    for key, more in new.items():
        others = receipts.live_milli(key) - own.get(key, 0)
        there = world.on_hand_milli(key, world.heard_ms)
        if others + more > there:
            raise ActError(
                f"the stock book has {there} thousandths of a {key.unit} of {key.sku} for {key.owner} in bin {key.bin}"
                f", live receipts claim {others} of them, and this one asks for {more}",
                "issue it for what is there, or have the stock system report what has come in",
            )
    beside = {other for key in new for other in receipts.keys(key.warehouse, key.sku, key.unit)}
    for key in sorted(beside - new.keys()):
        short = receipts.live_milli(key) - own.get(key, 0) - world.on_hand_milli(key, world.heard_ms)
        if short > 0:
            raise ActError(
                f"live receipts of {key.sku} in bin {key.bin} are short by {short} thousandths of a {key.unit}, and "
                "while goods are missing no more receipts of that SKU are issued in the warehouse",
                "have the bin counted, and its receipts delivered or cancelled for what is not there",
            )
