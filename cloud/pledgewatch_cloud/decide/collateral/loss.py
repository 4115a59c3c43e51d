"""Loss: what a lot's condition takes off its value, by the loss curves of its product.

A curve is a ladder of points, straight between them, from nothing at 0 and flat after the last, and one of two kinds.
*Outside* goes by the minutes that a limit was breached: the union of the spells, so that what two limits say of one
minute counts once. It begins where the limit's grace has run out and ends at the first good value inside. *Life* goes
by the share of shelf life that is used up: how long the story was, times how much faster than at the reference
temperature the product aged, at the upper bound of its mean kinetic temperature (USP <1079.2>, see kinetic):

    used = hours ÷ life_h × rate
    rate = q10 ^ ((T − T_ref) ÷ 10 K)               by the Q10 temperature coefficient (van 't Hoff), or
    rate = exp(Ea ÷ R × (1 ÷ T_ref − 1 ÷ T))        by Arrhenius, temperatures in kelvin

A lot loses by the worst of its curves. Every step rounds up, and whatever is not known goes against the lot: unknown
time counts as the declared worst case, and a curve may say the same of unknown minutes. With terms that the book takes
(see `least_activation_j_mol`) more time, and a hotter story, never lose less.

A mean kinetic temperature is a mean for one activation energy. For a product that answers less strongly to heat it is
too hot a mean, which is safe; for one that answers more strongly it is too cool. So the energy that a lot's `mkt` is
judged by must be no less than that of the curve.

`decimal` computes it with 28 digits, exp and ln rounded correctly there, so that every machine has the same result.
"""

from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

from pledgewatch_cloud.decide import kinetic
from pledgewatch_cloud.decide.causes import Spell
from pledgewatch_cloud.decide.condition import Limit
from pledgewatch_cloud.decide.kinetic import Kinetic, KineticRule
from pledgewatch_cloud.decide.money import BASIS_POINTS
from pledgewatch_cloud.decide.voyage import NEVER

UNKNOWN = ("inside", "outside")
MINUTE_MS = 60_000
USED_MAX_BP = 10_000_000
"""A thousand lives: what is used up beyond that is no longer told apart."""
_CONTEXT = Context(prec=28, rounding=ROUND_HALF_EVEN)
# What the weights of kinetic, whole numbers, cannot tell from nothing: a true 200 must not become 201 by it.
_NOISE_BP = Decimal("1e-4")
_ZERO_CELSIUS_K = Decimal(kinetic.ZERO_CELSIUS_MK) / 1_000
_MEAN_REFERENCE_K = Decimal(kinetic.REFERENCE_MK) / 1_000


class Point(NamedTuple):
    """A loss of `bp` once `at` is reached: minutes, or basis points of shelf life."""

    at: int
    bp: int


class OutsideCurve(NamedTuple):
    """Loss by minutes outside a limit (empty: any). `unknown`: what minutes that nobody knows of count as."""

    limit: str
    unknown: str
    points: tuple[Point, ...]


class LifeCurve(NamedTuple):
    """Loss by shelf life used up: `life_h` hours at the reference temperature. One of `q10_milli`, thousandths, and
    `activation_j_mol` is given, the other is 0."""

    life_h: int
    reference_mc: int
    q10_milli: int
    activation_j_mol: int
    points: tuple[Point, ...]


Curve = OutsideCurve | LifeCurve


def loss_bp(
    curves: Iterable[Curve],
    spells: Sequence[Spell],
    story: Kinetic | None,
    rule: KineticRule | None,
    as_of_ms: int,
    *,
    limits: Sequence[Limit] = (),
    begun_ms: int = NEVER,
    forgotten_ms: int = NEVER,
) -> int:
    """The loss of a lot in basis points, from 0 to 10,000, rounded up.

    `spells` are those of the lot alone; `story` what is known of its temperature under `rule`, if anything is yet.
    `limits`, those of the lot, say how long a gap is borne before it is told as unknown: that time is unknown as well.
    `begun_ms`: when the asset's story began. `forgotten_ms`: from when on doubts were forgotten (see causes); from then
    on the lot counts as outside.
    """
    lost_bp = 0
    for curve in curves:
        if isinstance(curve, OutsideCurve):
            outside_ms = _outside_ms(curve, spells, as_of_ms, {one.id: one.max_gap_s for one in limits}, forgotten_ms)
            lost_bp = max(lost_bp, _laddered(curve.points, outside_ms, MINUTE_MS))
        elif rule is not None:
            lost_bp = max(lost_bp, _laddered(curve.points, used_bp(curve, story, rule, as_of_ms, begun_ms=begun_ms), 1))
    return lost_bp


def used_bp(curve: LifeCurve, story: Kinetic | None, rule: KineticRule, as_of_ms: int, *, begun_ms: int = NEVER) -> int:
    """The share of shelf life used up, in basis points, at most USED_MAX_BP.

    Rounded to a ten-thousandth of a basis point, half to even, and then up.
    """
    doubled, length_ms = _aged(story, rule, as_of_ms, begun_ms)
    if length_ms <= 0:
        return 0
    with localcontext(_CONTEXT):
        mean = Decimal(doubled) / (2 * length_ms * kinetic.SCALE)
        # As kinetic.bounds_mc has its upper figure, but not rounded.
        inverse = 1 / _MEAN_REFERENCE_K - mean.ln() * kinetic.GAS_CONSTANT / rule.activation_j_mol
        reference_k = _ZERO_CELSIUS_K + Decimal(curve.reference_mc) / 1_000
        if curve.q10_milli:
            exponent = (Decimal(curve.q10_milli) / 1_000).ln() * (1 / inverse - reference_k) / 10
        else:
            exponent = curve.activation_j_mol / kinetic.GAS_CONSTANT * (1 / reference_k - inverse)
        lives = Decimal(length_ms) / (kinetic.HOUR_MS * curve.life_h)
        used = lives * exponent.exp() * BASIS_POINTS
        if used >= USED_MAX_BP:
            return USED_MAX_BP
        return int(used.quantize(_NOISE_BP).to_integral_value(ROUND_CEILING))


def least_activation_j_mol(curve: LifeCurve, rule: KineticRule) -> int:
    """The least activation energy for whose mean kinetic temperature a curve never loses too little, rounded up.

    By Arrhenius it is the curve's own. A Q10 answers as strongly to heat as Ea = R × ln(q10) ÷ 10 × T² does at T; the
    hottest that the rule speaks of is taken, or ten degrees above the reference where that is hotter.
    """
    if curve.activation_j_mol:
        return curve.activation_j_mol
    with localcontext(_CONTEXT):
        hottest_mc = max(rule.high_mc, rule.worst_high_mc, curve.reference_mc + 10_000)
        hottest_k = _ZERO_CELSIUS_K + Decimal(hottest_mc) / 1_000
        needed = kinetic.GAS_CONSTANT * (Decimal(curve.q10_milli) / 1_000).ln() / 10 * hottest_k**2
        return int(needed.to_integral_value(ROUND_CEILING))


def _outside_ms(
    curve: OutsideCurve, spells: Sequence[Spell], as_of_ms: int, max_gap_s: dict[str, int], forgotten_ms: int
) -> int:
    """How long the lot was outside up to a moment, by a curve's limit."""
    stretches = [(forgotten_ms, as_of_ms)]
    for _, cause, ended_ms in spells:
        _, _, limit = cause.about.partition("|")
        # A breach of a total has a third part, and never ends: of how long the lot was outside it says nothing.
        if "|" in limit or (curve.limit and limit != curve.limit):
            continue
        until_ms = as_of_ms if ended_ms is None else min(ended_ms, as_of_ms)
        if cause.kind == "condition_breached":
            stretches.append((cause.at_ms, until_ms))
        elif cause.kind == "condition_unknown" and curve.unknown == "outside":
            stretches.append((cause.at_ms - 1_000 * max_gap_s.get(limit, 0), until_ms))
    total_ms, counted_ms = 0, -NEVER
    for since_ms, until_ms in sorted(stretches):
        total_ms += max(0, until_ms - max(since_ms, counted_ms))
        counted_ms = max(counted_ms, until_ms)
    return total_ms


def _aged(story: Kinetic | None, rule: KineticRule, as_of_ms: int, begun_ms: int) -> tuple[int, int]:
    """The story up to a moment at its worst: weight times milliseconds, doubled (see kinetic), and milliseconds.

    Since the newest value it holds, until the gap is too long; then all of it is the worst case, or the newest value
    where that is hotter. Before the first value there is nothing that could hold.
    """
    worst = kinetic.weight(rule.worst_high_mc, rule.activation_j_mol)
    if story is None:
        open_ms = as_of_ms - begun_ms
        return (2 * worst * open_ms, open_ms) if open_ms > 1_000 * rule.max_gap_s else (0, 0)
    open_ms = max(0, as_of_ms - story.key[0])
    held = kinetic.weight(story.value_mc, rule.activation_j_mol)
    if open_ms > 1_000 * rule.max_gap_s:
        held = max(held, worst)
    total = story.voyage
    doubled = total.doubled + 2 * worst * total.unknown_ms + 2 * held * open_ms
    return doubled, total.known_ms + total.unknown_ms + open_ms


def _laddered(points: Sequence[Point], reached: int, unit: int) -> int:
    """The loss at what is reached, in parts of which `unit` make one of the points' own; rounded up."""
    before = Point(0, 0)
    for point in points:
        if reached < point.at * unit:
            share = (reached - before.at * unit) * (point.bp - before.bp)
            return before.bp - (-share // ((point.at - before.at) * unit))
        before = point
    return before.bp
