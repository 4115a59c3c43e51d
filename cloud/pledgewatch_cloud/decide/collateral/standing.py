"""A lot as it stands at a moment: what the book says of it, and what is known of its asset."""

from typing import NamedTuple

from pledgewatch_cloud.decide.stretches import NEVER


class LotStanding(NamedTuple):
    """One lot. Amounts and counts of -1 are not known; words that are empty say nothing; moments are Unix milliseconds.

    `series` names its price; `cost_minor` is of `cost_per` units, in `cost_currency`. `in_class` is one of CLASSES;
    `fences` those that its asset is in, `is_forbidden` whether any of them is. `evidence_ms` is when the newest reading
    that counts was measured, -NEVER where there is none; `is_dark` whether no signal is to be expected as of now.
    `is_breached`: a breach of its condition stands; `loss_bp` what its condition costs. `papers`: kind and end.
    `missing`: how many of it are not there or not covered, by what its electronic receipt and the warehouse say;
    `is_matched`: it has such a receipt, so the stock system is asked all the time, and `counted_ms` is also when that,
    or a counter, last spoke of its goods.
    `nolv_bp` of the appraisal in force until `nolv_until_ms`. `turns_ms`: when time alone may next make it stand
    otherwise than said here.
    """

    id: str
    facility: str
    sku: str
    series: str
    quantity: int
    haircut_bp: int = 0
    cost_minor: int = -1
    cost_per: int = 1
    cost_currency: str = ""
    counted: int = -1
    counted_ms: int = -NEVER
    receipt_state: str = ""
    receipt_until_ms: int = NEVER
    missing: int = 0
    is_matched: bool = False
    in_class: str = "warehouse"
    fences: tuple[str, ...] = ()
    is_forbidden: bool = False
    evidence_ms: int = -NEVER
    is_dark: bool = False
    is_breached: bool = False
    loss_bp: int = 0
    papers: tuple[tuple[str, int], ...] = ()
    received_ms: int = -NEVER
    expires_ms: int = NEVER
    sold_milli_per_day: int = -1
    nolv_bp: int = -1
    nolv_until_ms: int = NEVER
    buyer: str = ""
    country: str = ""
    vessel: str = ""
    warehouse: str = ""
    turns_ms: int = NEVER
