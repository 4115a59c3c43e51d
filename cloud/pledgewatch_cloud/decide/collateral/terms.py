"""The terms of a facility: its policy, what it lends on each class of goods, and what it takes off.

All shares are basis points, all amounts minor units of the facility's currency, all waits seconds or days as their
names say. What they mean is docs/BORROWING_BASE.md. A policy without anything said tests only that goods have not ended
and lie in no forbidden place, takes nothing off and lends all of the value.
"""

from typing import NamedTuple

from pledgewatch_cloud.decide.money import BASIS_POINTS

CLASSES = ("in_transit", "at_port", "bonded", "warehouse")
"""Where goods are, as advance rates ask."""
DIMENSIONS = ("sku", "buyer", "country", "vessel", "warehouse")
"""What concentration is counted by, in the order in which it is."""
DARK = ("fresh", "ageing", "stale")
EVIDENCE_BY = ("reading", "fix")
BREACH = ("loss", "ineligible")
RESERVE_KINDS = ("freight", "duty", "rent", "dilution", "other")


class EvidencePolicy(NamedTuple):
    """How old evidence may be. `stale_s` 0: its age is not asked. `dark`: the worst that it counts as while no signal
    is expected."""

    by: str = "reading"
    fresh_s: int = 0
    stale_s: int = 0
    ageing_bp: int = 0
    dark: str = "stale"


class Band(NamedTuple):
    """A haircut from some number of days on."""

    from_days: int
    bp: int


class Swing(NamedTuple):
    """A haircut for what may change: `bp` as it is, or, with a `window` of quotes, from the series' own history."""

    bp: int = 0
    window: int = 0
    horizon_days: int = 0
    z_milli: int = 0


class Reserve(NamedTuple):
    """Held back of the advance: a fixed amount, and a share of what is left before haircuts, rounded up."""

    id: str
    kind: str
    amount_minor: int
    bp: int


class SubLimit(NamedTuple):
    """A limit on what some classes are lent, within another one or, where `within` is empty, within the facility's."""

    id: str
    within: str
    classes: tuple[str, ...]
    limit_minor: int


class Covenants(NamedTuple):
    """Levels of loan to value, 0: not asked. What was reached is left only `clear_bp` below its level. `cure_s`: how
    long a margin call may stay unanswered before it is a default. `minimum`: (SKU, quantity) that must be eligible."""

    warning_bp: int = 0
    call_bp: int = 0
    default_bp: int = 0
    clear_bp: int = 0
    cure_s: int = 0
    minimum: tuple[tuple[str, int], ...] = ()


class Policy(NamedTuple):
    """What a facility asks of its goods. `advance_bp` by class, in the order of CLASSES, 0: nothing is lent on it;
    `cap_bp` by dimension, in the order of DIMENSIONS."""

    id: str
    advance_bp: tuple[int, ...] = (BASIS_POINTS,) * len(CLASSES)
    evidence: EvidencePolicy = EvidencePolicy()
    price_stale_days: int = 0
    rate_stale_days: int = 0
    appraisal: bool = False
    receipt: bool = False
    stock_count: bool = False
    count_stale_s: int = 0
    fences: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    breach: str = "loss"
    papers: tuple[str, ...] = ()
    age_max_days: int = 0
    expiry_min_days: int = 0
    age_bands: tuple[Band, ...] = ()
    on_hand_max_days: int = 0
    on_hand_bands: tuple[Band, ...] = ()
    fx: Swing = Swing()
    price: Swing = Swing()
    cap_bp: tuple[int, ...] = (BASIS_POINTS,) * len(DIMENSIONS)
    reserves: tuple[Reserve, ...] = ()
    sub_limits: tuple[SubLimit, ...] = ()
    covenants: Covenants = Covenants()


class Line(NamedTuple):
    """A facility as the base needs it. `outstanding_minor` is what is drawn and accrued as of now; `limit_minor` 0:
    none."""

    id: str
    currency: str
    policy: Policy
    limit_minor: int
    outstanding_minor: int
