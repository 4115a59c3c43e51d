"""An amendment of the book, put in kind after kind, so that each part of what it does to a base has its reason.

The table is the whole of it: a reason, what of each lot is put in for it, and what of the rest of the book. What comes
before stays in, what comes after is as it was. A lot that is new is put in whole, with the goods; so is what is said of
an SKU that nothing was said of before, for without it the goods would come in without a value. One that is no more is
left out from the first stage on.

    quantity   which goods there are, and how many
    price      what they are worth by agreement, or which series says so
    place      which asset they are in; they take what is known of it along
    rule       everything else, also what is told otherwise of an asset because its rules have changed
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar

from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.collateral.products import Product
from pledgewatch_cloud.decide.items.facilities import Facility
from pledgewatch_cloud.decide.items.lots import Lot

Term = TypeVar("Term")
TELLING = ("fences", "assets", "installations", "voyages")
"""The sections by which assets are told."""
RESTED_ON = (*TELLING, "policies", "products", "appraisals", "prices")
"""The sections that a base rests on, besides lots and facilities."""


def stages_of(before: Book, after: Book, lots: Collection[str]) -> Iterator[tuple[str, Book]]:
    """The stages that some lots of a book come to by an amendment, as reasons with the book as it is then; those
    without any difference are left out, but for the last. A stage's book has just these lots."""
    left = before.lots.keys() - after.lots.keys()
    known = {one: before.lots[one] for one in (*lots, *left) if one in before.lots}
    was = replace(_on_old_terms(before, after), lots=known)
    fields: tuple[str, ...] = ()
    for stage in STAGES:
        fields += stage.of_lots
        mixed = {one: _mixed(before.lots.get(one), after.lots[one], fields) for one in lots}
        now = replace(stage.of_book(before, after), lots=mixed)
        if stage is STAGES[-1] or not _is_same(was, now):
            yield stage.reason, now
            was = now


def _mixed(was: Lot | None, now: Lot, fields: tuple[str, ...]) -> Lot:
    """A lot as it was, but for some fields; a new one as it is."""
    return now if was is None else was._replace(**{name: getattr(now, name) for name in fields})


def _is_same(one: Book, other: Book) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in (*RESTED_ON, "lots", "facilities"))


def _on_old_terms(before: Book, after: Book) -> Book:
    """The book as it was, but for what is new in it and for what is owed."""
    return replace(
        after,
        fences=before.fences,
        fence_index=before.fence_index,
        voyages=before.voyages,
        assets={**after.assets, **before.assets},
        installations={**after.installations, **before.installations},
        policies={**after.policies, **before.policies},
        products={**_of_new_skus(before, after.products), **before.products},
        appraisals={**_of_new_skus(before, after.appraisals), **before.appraisals},
        prices={**_of_new_skus(before, after.prices), **before.prices},
        facilities={one: _on_old_policy(before, facility) for one, facility in after.facilities.items()},
    )


def _at_new_prices(before: Book, after: Book) -> Book:
    """The book on its old terms, at the prices that are agreed now and by the series that are named now."""
    old = _on_old_terms(before, after)
    products = {}
    for sku in old.products.keys() | after.products.keys():
        known, said = old.products.get(sku), after.products.get(sku)
        products[sku] = Product(sku, said.series if said else "", known.loss if known else ())
    return replace(old, prices=after.prices, products=products)


def _amended(_: Book, after: Book) -> Book:
    return after


def _of_new_skus(before: Book, section: Mapping[str, Term]) -> dict[str, Term]:
    return {sku: one for sku, one in section.items() if sku not in before.products and sku not in before.prices}


def _on_old_policy(before: Book, facility: Facility) -> Facility:
    was = before.facilities.get(facility.id)
    return facility if was is None else facility._replace(policy=was.policy, currency=was.currency)


class Stage(NamedTuple):
    """What is put in for a reason: fields of lots, and what `of_book` makes of the book before and the one after."""

    reason: str
    of_lots: tuple[str, ...]
    of_book: Callable[[Book, Book], Book]


STAGES = (
    Stage("quantity", ("facility", "sku", "quantity", "counted", "counted_ms"), _on_old_terms),
    Stage("price", (), _at_new_prices),
    Stage("place", ("asset", "stays"), _at_new_prices),
    Stage("rule", Lot._fields, _amended),
)
