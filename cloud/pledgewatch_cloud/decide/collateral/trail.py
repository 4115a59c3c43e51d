"""The trail behind a lot's amounts: what its value is made of, what took from it and on what ground, and where the rate
comes from at which the rest is lent on. All of it is named so that it can be looked up.
"""

from collections.abc import Iterable
from typing import Any

from pledgewatch_cloud.decide.collateral import stand
from pledgewatch_cloud.decide.collateral.grounds import Case, grounds, rate_marks, rate_text
from pledgewatch_cloud.decide.collateral.terms import CLASSES
from pledgewatch_cloud.decide.market import day_text
from pledgewatch_cloud.decide.sentences import Part, Ref, Sentence, as_told, parts_of
from pledgewatch_cloud.decide.stretches import NEVER


def trail_of(case: Case) -> dict[str, Any]:
    """The trail of a lot as a JSON object; moments and amounts that are not known are null."""
    line, lot = case.line, case.lot
    said: dict[str, list[Sentence]] = {}
    for one in grounds(case):
        said.setdefault(one.step, []).append(one.said)
    unvalued = said.pop("unvalued", [])
    return {
        "currency": case.currency,
        "value": {
            "value_minor": line.value_minor,
            "quantity": lot.quantity,
            "price": _price(case),
            "rates": _rates(case),
            "cost": _cost(case),
            "appraisal": _appraisal(case),
            "unvalued": in_parts(unvalued),
            "unvalued_told": [as_told(one) for one in unvalued],
        },
        "ineligible": [
            {"step": step, "taken_minor": taken, **in_words(said.get(step, []))}
            for step, taken in line.ineligible.items()
        ],
        "eligible_minor": line.eligible_minor,
        "advance": {
            "advance_minor": line.advance_minor,
            "advance_bp": case.policy.advance_bp[CLASSES.index(line.in_class)],
            "in_class": line.in_class,
            "fences": list(stand.fences_of(case.known)),
            "policy": case.policy.id,
        },
    }


def in_words(some: Iterable[str]) -> dict[str, Any]:
    """The grounds of an ineligible: in English, as words and names, and as what these were made of."""
    every = list(some)
    return {"grounds": in_parts(every), "told": [as_told(one) for one in every]}


def in_parts(some: Iterable[str]) -> list[list[str | dict[str, str]]]:
    """Sentences as words and names that can be looked up."""
    return [[_part(part) for part in parts_of(one)] for one in some]


def _part(one: Part) -> str | dict[str, str]:
    return one._asdict() if isinstance(one, Ref) else one


def _price(case: Case) -> dict[str, Any] | None:
    """What the lot is valued by: a series' quote with its day, or the price agreed in the book, which has none."""
    if case.quote is None:
        return None
    _, price_minor, per, currency = case.quote
    return {
        "series": case.series,
        "sku": case.lot.sku,
        "is_agreed": not case.series,
        "price_minor": price_minor,
        "per": per,
        "currency": currency,
        "date": day_text(case.quote.day) if case.series else None,
    }


def _rates(case: Case) -> list[dict[str, Any]]:
    """What one euro was worth in each currency that the value is turned over."""
    if not case.currencies:
        return []
    return [
        {"currency": currency, "rate": rate_text(rate), "date": day_text(rate.day)}
        for currency, rate in rate_marks({*case.currencies, case.currency}, case)
    ]


def _cost(case: Case) -> dict[str, Any] | None:
    """What the lot cost: it is worth no more than that."""
    lot = case.lot
    if lot.cost_minor < 0:
        return None
    return {"cost_minor": lot.cost_minor, "per": lot.cost_per, "currency": lot.cost_currency or case.currency}


def _appraisal(case: Case) -> dict[str, Any] | None:
    one = case.book.appraisals.get(case.lot.sku)
    return one and {"nolv_bp": one.nolv_bp, "until_ms": None if one.until_ms == NEVER else one.until_ms}
