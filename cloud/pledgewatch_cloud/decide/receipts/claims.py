"""What a live receipt claims of goods: marks, of which no two live receipts may share one.

Goods that there is only once are claimed by what they are known by: `container`, `seal`, `device`, wherever they lie.
All other goods are claimed by where they lie, what they are and when they came in: `bin`, a mark for each day of UTC.
Who owns them is in no mark, so goods that were sold within a family of firms are still the same goods. The parts of a
split share the marks of the whole, which is at an end.

Two receipts may also come close without a shared mark. Somebody has to look then: seals that differ by signs that are
mistaken for each other (`seal_like`); the same SKU in the same bin a day apart (`bin_next`) or for another depositor,
whenever (`place`); the same SKU and quantity in another bin on the same day (`lot`); an identified line beside one of
the same SKU in the same bin on the same day that nothing tells from it (`beside`), as that is not identified, or known
by other kinds of things, the one by its container and the other by its seal. Lines that are known by two containers,
two seals or two devices are never close.

A mark can be blinded with a key, so that lenders who share the key can find that they were offered the same goods, and
who does not have it learns nothing. There are few enough container numbers to try them all, so whoever has both the key
and what others have blinded can read it: the key is the lenders', and whoever compares for them has none.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from pledgewatch_cloud.decide.receipts.goods import GoodsLine, Window, compared

_DOMAIN = b"pledgewatch claim 1\0"
KINDS = ("container", "seal", "device")
"""Kinds of things that there is only once."""
# What a line can be known by, all the ways.
_KINDS_TOGETHER = [frozenset(some) for count in (1, 2, 3) for some in combinations(KINDS, count)]
# Signs that are taken for each other on a seal.
_LIKE = str.maketrans("OQDILZSGB", "000112568")


class Claim(NamedTuple):
    """One mark: its kind, and what it is of, in one spelling. `line` is the number of the line that it is of."""

    kind: str
    value: str
    line: int = 0

    @property
    def text(self) -> str:
        """The mark as it is compared: without its line."""
        return f"{self.kind}:{self.value}"


def claims_of(warehouse: str, goods: Sequence[GoodsLine], window: Window) -> tuple[Claim, ...]:
    """What goods in a warehouse are claimed by; lines of nothing claim nothing."""
    return tuple(claim for number, one in _lines(goods) for claim in _claims(warehouse, number, one, window))


def shared_of(warehouse: str, goods: Sequence[GoodsLine], window: Window) -> frozenset[Claim]:
    """What is told of goods, blinded, where others compare: their claims, without lines. A device has its name from
    whoever runs it, and means something to others only together with its warehouse."""
    return frozenset(
        Claim(one.kind, _joined(warehouse, one.value) if one.kind == "device" else one.value)
        for one in claims_of(warehouse, goods, window)
    )


def kept_of(warehouse: str, goods: Sequence[GoodsLine], window: Window) -> tuple[Claim, ...]:
    """What a live receipt is found by: its claims, and what others may come close to."""
    return claims_of(warehouse, goods, window) + tuple(
        claim for number, one in _lines(goods) for claim in _closeness(warehouse, number, one, window)
    )


def near_of(warehouse: str, goods: Sequence[GoodsLine], window: Window) -> tuple[tuple[str, Claim], ...]:
    """What another receipt may be close by, as (why, what it would be found by)."""
    return tuple(one for number, line in _lines(goods) for one in _near(warehouse, number, line, window))


def blinded(claim: Claim, key: bytes) -> str:
    """HMAC-SHA256 of a mark, hexadecimal. Raises ValueError for a key of less than 32 bytes."""
    if len(key) < 32:
        raise ValueError(
            f"the key has {len(key)} bytes; at least 32 are needed: make one with `openssl rand -base64 32`"
        )
    return hmac.new(key, _DOMAIN + claim.text.encode(), hashlib.sha256).hexdigest()


def blinded_set(claims: Iterable[Claim], key: bytes) -> frozenset[str]:
    """Marks, each blinded: two of these that share a member claim the same goods."""
    return frozenset(blinded(claim, key) for claim in claims)


def _lines(goods: Sequence[GoodsLine]) -> Iterator[tuple[int, GoodsLine]]:
    return ((number, one) for number, one in enumerate(goods) if one.quantity_milli > 0)


def _claims(warehouse: str, line: int, goods: GoodsLine, window: Window) -> Iterator[Claim]:
    if not goods.is_identified:
        for day in window.days:
            yield Claim("bin", _joined(warehouse, goods.bin, goods.sku, day), line)
        return
    for kind in KINDS:
        if value := getattr(goods, kind):
            yield Claim(kind, value, line)


def _closeness(warehouse: str, line: int, goods: GoodsLine, window: Window) -> Iterator[Claim]:
    if goods.seal:
        yield Claim("seal_like", goods.seal.translate(_LIKE), line)
    if goods.is_identified:
        for day in window.days:
            yield Claim("beside", _beside(warehouse, goods, day, _known_by(goods)), line)
        return
    yield Claim("place", _joined(warehouse, goods.bin, goods.sku), line)
    for day in window.days:
        yield Claim("lot", _lot(warehouse, goods, day), line)


def _near(warehouse: str, line: int, goods: GoodsLine, window: Window) -> Iterator[tuple[str, Claim]]:
    if goods.seal:
        yield "seal_like", Claim("seal_like", goods.seal.translate(_LIKE), line)
    if goods.is_identified:
        for day in window.days:
            yield "beside", Claim("bin", _joined(warehouse, goods.bin, goods.sku, day), line)
            for kinds in _KINDS_TOGETHER:
                if not kinds & _known_by(goods):
                    yield "beside", Claim("beside", _beside(warehouse, goods, day, kinds), line)
        return
    yield "place", Claim("place", _joined(warehouse, goods.bin, goods.sku), line)
    for day in (window.days[0] - 1, window.days[-1] + 1):
        yield "bin_next", Claim("bin", _joined(warehouse, goods.bin, goods.sku, day), line)
    for day in window.days:
        yield "lot", Claim("lot", _lot(warehouse, goods, day), line)
        for kinds in _KINDS_TOGETHER:
            yield "beside", Claim("beside", _beside(warehouse, goods, day, kinds), line)


def _known_by(goods: GoodsLine) -> frozenset[str]:
    return frozenset(kind for kind in KINDS if getattr(goods, kind))


def _beside(warehouse: str, goods: GoodsLine, day: int, kinds: frozenset[str]) -> str:
    return _joined(warehouse, goods.bin, goods.sku, day, "+".join(sorted(kinds)))


def _lot(warehouse: str, goods: GoodsLine, day: int) -> str:
    return _joined(warehouse, goods.sku, goods.unit, goods.quantity_milli, day)


def _joined(*parts: str | int) -> str:
    """Parts as they are compared, in one spelling that no other parts have."""
    return "|".join(compared(str(part)).replace("%", "%25").replace("|", "%7c") for part in parts)
