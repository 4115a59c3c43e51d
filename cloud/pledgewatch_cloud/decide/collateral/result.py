"""What a borrowing base says: of a facility, and of each of its lots."""

from collections.abc import Mapping
from typing import NamedTuple

TESTS = (
    "price_stale",
    "rate_stale",
    "appraisal",
    "receipt",
    "stock",
    "shortfall",
    "evidence",
    "place",
    "condition",
    "papers",
    "age",
    "slow",
)
CONCENTRATIONS = (
    "concentration_sku",
    "concentration_buyer",
    "concentration_country",
    "concentration_vessel",
    "concentration_warehouse",
)
HAIRCUTS = (
    "condition_loss",
    "evidence_ageing",
    "age_haircut",
    "sell_through",
    "fx_haircut",
    "volatility",
    "lot_haircut",
)
STEPS = TESTS + CONCENTRATIONS + HAIRCUTS
"""Every ineligible, in the order in which it takes."""


class Base(NamedTuple):
    """The borrowing base of a facility, in minor units of its currency.

    `ineligible` by name, only what is not nothing, in the order of STEPS; `advance` by class, likewise, before any
    sub-limit; `held_back` by `sub_limit_<id>`, what is not nothing, those within others first; `reserves` by id, all.
    `unvalued`: how many lots are worth 0 for want of a quote or a rate, or beyond a bound. Ratios are -1 where there is
    nothing to divide by.
    """

    gross_minor: int
    ineligible: Mapping[str, int]
    eligible_minor: int
    advance: Mapping[str, int]
    held_back: Mapping[str, int]
    reserves: Mapping[str, int]
    base_minor: int
    limit_minor: int
    outstanding_minor: int
    availability_minor: int
    headroom_minor: int
    ltv_bp: int
    cover_bp: int
    lots: int
    unvalued: int


NO_BASE = Base(0, {}, 0, {}, {}, {}, 0, 0, 0, 0, 0, -1, -1, 0, 0)
"""That of a facility which is no more."""


class LotLine(NamedTuple):
    """What became of one lot: its value, what each step took, what is left and what that is lent."""

    id: str
    value_minor: int
    ineligible: Mapping[str, int]
    eligible_minor: int
    advance_minor: int
    in_class: str
    is_unvalued: bool
