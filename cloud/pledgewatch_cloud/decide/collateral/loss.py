"""Loss: what a lot's condition takes off its value, by the loss curves of its product.

A curve is a ladder of points, straight between them, from nothing at 0 and flat after the last, and one of two kinds.
*Outside* goes by the minutes that a limit was breached: the union of the spells, so that what two limits say of one
minute counts once. It begins where the limit's grace has run out and ends at the first good value inside. *Life* goes
by the share of shelf life that is used up: how long the story was, times how much faster than at the reference
temperature the product aged, at the upper bound of its mean kinetic temperature (USP <1079.2>, see kinetic):

    used = hours ÷ life_h × rate
    rate = q10 ^ ((T − T_ref) ÷ 10 K)               by the Q10 temperature coefficient (van 't Hoff), or
    rate = exp(Ea ÷ R × (1 ÷ T_ref − 1 ÷ T))        by Arrhenius, temperatures in kelvin

What a lot went through in one asset after another adds up, the minutes as well as the sums of its temperature. A lot
loses by the worst of its curves. Every step rounds up, and whatever is not known goes against the lot: unknown
time counts as the declared worst case, and a curve may say the same of unknown minutes. With terms that the book takes
(see `least_activation_j_mol`) more time, and a hotter story, never lose less.

A mean kinetic temperature is a mean for one activation energy. For a product that answers less strongly to heat it is
too hot a mean, which is safe; for one that answers more strongly it is too cool. So the energy that a lot's `mkt` is
judged by must be no less than that of the curve.

`decimal` computes it with 28 digits, exp and ln rounded correctly there, so that every machine has the same result.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

from pledgewatch_cloud.decide import kinetic, stretches
from pledgewatch_cloud.decide.causes import Spell
from pledgewatch_cloud.decide.condition import Limit
from pledgewatch_cloud.decide.kinetic import Kinetic, KineticRule
from pledgewatch_cloud.decide.money import BASIS_POINTS
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, Stretches

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


class Part(NamedTuple):
    """What is known of a lot in one of the assets that it was in, when it was `there`.

    `spells` are those of the lot alone; `story` what is known of its temperature under `rule`, if anything is yet.
    `begun_ms`: when the asset's story began. `forgotten_ms`: from when on doubts were forgotten (see causes); from then
    on the lot counts as outside.
    """

    spells: Sequence[Spell] = ()
    story: Kinetic | None = None
    rule: KineticRule | None = None
    begun_ms: int = NEVER
    forgotten_ms: int = NEVER
    there: Stretches = ALWAYS


def loss_bp(curves: Iterable[Curve], parts: Sequence[Part], as_of_ms: int, limits: Sequence[Limit] = ()) -> int:
    """The loss of a lot in basis points, from 0 to 10,000, rounded up.

    `limits`, those of the lot, say how long a gap is borne before it is told as unknown: that time is unknown as well.
    """
    max_gap_s = {one.id: one.max_gap_s for one in limits}
    lost_bp = 0
    for curve in curves:
        if isinstance(curve, OutsideCurve):
            outside_ms = sum(_outside_ms(curve, part, as_of_ms, max_gap_s) for part in parts)
            lost_bp = max(lost_bp, _laddered(curve.points, outside_ms, MINUTE_MS))
        else:
            lost_bp = max(lost_bp, _laddered(curve.points, used_bp(curve, parts, as_of_ms), 1))
    return lost_bp


def used_bp(curve: LifeCurve, parts: Sequence[Part], as_of_ms: int) -> int:
    """The share of shelf life used up, in basis points, at most USED_MAX_BP: by the mean over all parts that have a
    rule, which is the same in each but for when the lot is there.

    Rounded to a ten-thousandth of a basis point, half to even, and then up.
    """
    aged = [(*_aged(part, part.rule, as_of_ms), part.rule) for part in parts if part.rule]
    doubled, length_ms = sum(one[0] for one in aged), sum(one[1] for one in aged)
    if not length_ms:
        return 0
    rule = aged[0][2]
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


def _outside_ms(curve: OutsideCurve, part: Part, as_of_ms: int, max_gap_s: Mapping[str, int]) -> int:
    """How long the lot was outside in an asset up to a moment, by a curve's limit."""
    found = [(part.forgotten_ms, as_of_ms)]
    for _, cause, ended_ms in part.spells:
        _, _, limit = cause.about.partition("|")
        # A breach of a total has a third part, and never ends: of how long the lot was outside it says nothing.
        if "|" in limit or (curve.limit and limit != curve.limit):
            continue
        until_ms = as_of_ms if ended_ms is None else min(ended_ms, as_of_ms)
        if cause.kind == "condition_breached":
            found.append((cause.at_ms, until_ms))
        elif cause.kind == "condition_unknown" and curve.unknown == "outside":
            found.append((cause.at_ms - 1_000 * max_gap_s.get(limit, 0), until_ms))
    outside = stretches.shared(stretches.joined(found), part.there)
    return sum(until_ms - since_ms for since_ms, until_ms in outside)


def _aged(part: Part, rule: KineticRule, as_of_ms: int) -> tuple[int, int]:
    """The story in an asset up to a moment at its worst: weight times milliseconds, doubled (see kinetic), and
    milliseconds.

    Since the newest value it holds, until the gap is too long; then all of it is the worst case, or the newest value
    where that is hotter. Before the first value of a stay there is nothing that could hold.
    """
    worst = kinetic.weight(rule.worst_high_mc, rule.activation_j_mol)
    story, from_ms, held = part.story, part.begun_ms, 0
    total = story.voyage if story else kinetic.Sum()
    if story:
        from_ms, held = story.key[0], kinetic.weight(story.value_mc, rule.activation_j_mol)
    doubled, length_ms = total.doubled + 2 * worst * total.unknown_ms, total.known_ms + total.unknown_ms
    for one in kinetic.unseen(rule, from_ms, as_of_ms, is_held=story is not None):
        open_ms = one.until_ms - one.since_ms
        is_too_long = open_ms > 1_000 * rule.max_gap_s
        if one.is_held or is_too_long:
            most = max(held if one.is_held else 0, worst if is_too_long else 0)
            doubled, length_ms = doubled + 2 * most * open_ms, length_ms + open_ms
    return doubled, length_ms


def _laddered(points: Sequence[Point], reached: int, unit: int) -> int:
    """The loss at what is reached, in parts of which `unit` make one of the points' own; rounded up."""
    before = Point(0, 0)
    for point in points:
        if reached < point.at * unit:
            share = (reached - before.at * unit) * (point.bp - before.bp)
            return before.bp - (-share // ((point.at - before.at) * unit))
        before = point
    return before.bp
