"""What a lot's condition costs, as tables that a banker can read: so long at what, so much lost."""

import math
from typing import Any

import pytest
from builders import Device, book_document
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import causes, drafts, kinetic
from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.causes import Cause, Spell
from pledgewatch_cloud.decide.collateral.loss import (
    LifeCurve,
    OutsideCurve,
    Part,
    Point,
    least_activation_j_mol,
    loss_bp,
    used_bp,
)
from pledgewatch_cloud.decide.condition import Limit
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.kinetic import Kinetic, KineticRule, Sum
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.reading import Cell, Channel, Reading

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
BREACHED, UNKNOWN = "condition_breached", "condition_unknown"
AS_OF_MS = 1_000 * HOUR_MS


def ladder(*points: tuple[int, int]) -> tuple[Point, ...]:
    return tuple(Point(*one) for one in points)


CHILLED = OutsideCurve("chilled", "inside", ladder((60, 0), (720, 5_000), (1_440, 10_000)))


def spell(kind: str, since_min: float, until_min: float | None, about: str = "chilled") -> Spell:
    """A spell, in minutes before or after AS_OF_MS."""
    ended_ms = None if until_min is None else AS_OF_MS + round(until_min * MINUTE_MS)
    return Spell("id", Cause(kind, f"lot|{about}", AS_OF_MS + round(since_min * MINUTE_MS), lot="lot"), ended_ms)


OUTSIDE: list[tuple[str, list[Spell], int]] = [
    # what, spells as (minutes from now, until), loss in basis points
    ("nothing", [], 0),
    ("an hour is borne", [spell(BREACHED, -60, 0)], 0),
    ("a minute more, 5,000 ÷ 660 rounded up", [spell(BREACHED, -61, 0)], 8),
    ("and a millisecond more costs, too", [spell(BREACHED, -60 - 1 / 60_000, 0)], 1),
    ("three hours: 5,000 × 120 ÷ 660", [spell(BREACHED, -180, 0)], 910),
    ("half a day", [spell(BREACHED, -720, 0)], 5_000),
    ("eighteen hours", [spell(BREACHED, -1_080, 0)], 7_500),
    ("a day", [spell(BREACHED, -1_440, 0)], 10_000),
    ("a week", [spell(BREACHED, -10_080, 0)], 10_000),
    ("it still goes on", [spell(BREACHED, -180, None)], 910),
    ("it ends later than what is asked for", [spell(BREACHED, -180, 60)], 910),
    ("it begins later", [spell(BREACHED, 1, None)], 0),
    ("two spells are added up", [spell(BREACHED, -500, -400), spell(BREACHED, -80, 0)], 910),
    ("a minute counts once", [spell(BREACHED, -180, -30), spell(BREACHED, -150, -60), spell(BREACHED, -60, 0)], 910),
    ("another limit's", [spell(BREACHED, -180, 0, "frozen")], 0),
    ("a total never ends", [spell(BREACHED, -9_000, None, "chilled|cumulative")], 0),
    ("nor does a budget", [spell(BREACHED, -9_000, None, "chilled|budget")], 0),
    ("unknown time was inside", [spell(UNKNOWN, -180, None)], 0),
    ("silence is no breach", [spell("source_silent", -180, None)], 0),
]


@pytest.mark.parametrize(("name", "spells", "bp"), OUTSIDE, ids=[row[0] for row in OUTSIDE])
def test_minutes_outside(name: str, spells: list[Spell], bp: int) -> None:
    assert loss_bp([CHILLED], [Part(spells)], AS_OF_MS) == bp


GAP = Limit("chilled", 1, 2_000, 8_000, max_gap_s=3_600)
WORST: list[tuple[str, list[Spell], int]] = [
    ("told two hours ago, unknown for three", [spell(UNKNOWN, -120, None)], 910),
    ("known again an hour ago", [spell(UNKNOWN, -180, -60)], 910),
    ("breached and then unknown", [spell(BREACHED, -180, -60), spell(UNKNOWN, -90, None)], 910),
    ("breached all the while", [spell(BREACHED, -180, None), spell(UNKNOWN, -90, -30)], 910),
]


@pytest.mark.parametrize(("name", "spells", "bp"), WORST, ids=[row[0] for row in WORST])
def test_unknown_minutes_at_their_worst(name: str, spells: list[Spell], bp: int) -> None:
    """A gap is told as unknown once it has lasted an hour; that hour was unknown as well."""
    worst = CHILLED._replace(unknown="outside")
    assert loss_bp([worst], [Part(spells)], AS_OF_MS, [GAP]) == bp


def test_any_limit_counts_where_none_is_named_and_the_worst_curve_decides() -> None:
    spells = [spell(BREACHED, -180, -60), spell(BREACHED, -120, 0, "frozen")]
    anyone, frozen = CHILLED._replace(limit=""), OutsideCurve("frozen", "inside", ladder((1, 1_000)))
    assert loss_bp([anyone], [Part(spells)], AS_OF_MS) == 910
    assert loss_bp([CHILLED], [Part(spells)], AS_OF_MS) == 455
    assert loss_bp([CHILLED, frozen], [Part(spells)], AS_OF_MS) == 1_000
    assert loss_bp([frozen, CHILLED], [Part(spells[:1])], AS_OF_MS) == 455
    assert loss_bp([frozen, CHILLED], [Part(spells)], AS_OF_MS) == 1_000
    totals = [spell(BREACHED, -9_000, None, "chilled|cumulative"), spell(BREACHED, -9_000, None, "chilled|budget")]
    assert loss_bp([anyone], [Part(spells + totals)], AS_OF_MS) == 910


def test_from_when_on_doubts_were_forgotten_counts_as_outside() -> None:
    forgotten_ms = AS_OF_MS - 180 * MINUTE_MS
    assert loss_bp([CHILLED], [Part(forgotten_ms=forgotten_ms)], AS_OF_MS) == 910
    left = ((-NEVER, AS_OF_MS - 60 * MINUTE_MS),)
    assert loss_bp([CHILLED], [Part(forgotten_ms=forgotten_ms, there=left)], AS_OF_MS) == 455, "for an hour it was away"


# Shelf life: thirty days at 5 °C, what is used up straight to what is lost.
RULE = KineticRule(Channel.TEMPERATURE_MC, high_mc=8_000, worst_low_mc=2_000, worst_high_mc=25_000)
USED = ladder((10_000, 10_000))
TWICE = LifeCurve(720, 5_000, 2_000, 0, USED)
ARRHENIUS = LifeCurve(720, 5_000, 0, 83_144, USED)


def aged(story: Kinetic | None, *, begun_ms: int = NEVER) -> list[Part]:
    """What is known of goods that were in one asset all the time."""
    return [Part((), story, RULE, begun_ms)]


def told(stretches: list[tuple[float, float]], rule: KineticRule = RULE) -> tuple[Kinetic, int]:
    """A story of (hours, °C) held for so long, a reading each half hour, and when it ends."""
    state, number, at_ms = None, 0, 0
    for hours, celsius in stretches:
        end_ms = at_ms + round(hours * HOUR_MS)
        for moment_ms in [*range(at_ms, end_ms, HOUR_MS // 2), end_ms]:
            number += 1
            one = AssetReading(moment_ms, "container-1", 1, number, Reading(number, moment_ms, 0, ()))
            state, _ = kinetic.advance("asset", "lot", rule, state, one, round(celsius * 1_000), 0)
        at_ms = end_ms
    assert state is not None
    return state, at_ms


LIFE = [
    # curve, (hours, °C), used up in basis points
    (TWICE, [(72.0, 5.0)], 1_000),  # three days of thirty
    (TWICE, [(72.0, 15.0)], 2_000),  # twice as fast
    (TWICE, [(72.0, 25.0)], 4_000),
    (TWICE, [(72.0, -5.0)], 500),
    (TWICE, [(720.0, 5.0)], 10_000),
    (TWICE, [(24.0, 65.0)], 10_000),  # 64 times as fast: 21,334, and nothing is left
    # exp(83,144 ÷ 8.3144 × (1 ÷ 278.15 − 1 ÷ 288.15)) = 3.48225; a tenth of it in basis points, rounded up
    (ARRHENIUS, [(72.0, 15.0)], 3_483),
    (ARRHENIUS, [(72.0, 5.0)], 1_000),
    (ARRHENIUS, [(36.0, 5.0), (36.0, 15.0)], 2_242),  # half and half: (1,000 + 3,482.2) ÷ 2
]


@pytest.mark.parametrize(("curve", "stretches", "bp"), LIFE)
def test_shelf_life_used_up(curve: LifeCurve, stretches: list[tuple[float, float]], bp: int) -> None:
    story, end_ms = told(stretches)
    assert loss_bp([curve], aged(story), end_ms) == bp


def test_used_up_is_what_floating_numbers_say() -> None:
    story, end_ms = told([(100.0, 12.0)])
    by_hand = 100 / 720 * 2 ** ((12 - 5) / 10) * 10_000
    assert used_bp(TWICE, aged(story), end_ms) == math.ceil(by_hand)
    by_hand = 100 / 720 * math.exp(83_144 / 8.3144 * (1 / 278.15 - 1 / 285.15)) * 10_000
    assert used_bp(ARRHENIUS, aged(story), end_ms) == math.ceil(by_hand)


def test_a_gap_counts_at_the_declared_worst() -> None:
    """Three days at 5 °C, of which two are not known: by Arrhenius as bad as a day at 5 °C and two at 25 °C."""
    known, _ = told([(24.0, 5.0)])
    total = known.voyage
    gap = known._replace(voyage=Sum(total.doubled, total.known_ms, 48 * HOUR_MS))
    bad, end_ms = told([(24.0, 5.0), (48.0, 25.0)])
    # The half hour in which 5 °C turns into 25 °C is there in the one and not in the other.
    assert used_bp(ARRHENIUS, aged(gap), known.key[0]) == pytest.approx(
        used_bp(ARRHENIUS, aged(bad), end_ms), rel=0.001
    )
    assert used_bp(ARRHENIUS, aged(gap), known.key[0]) > 4 * used_bp(ARRHENIUS, aged(known), known.key[0])


def test_an_open_gap_counts_too() -> None:
    """Thirty days at 5 °C: what holds for the hour that a gap may last, then turns into the worst."""
    story, end_ms = told([(71.0, 5.0)])
    assert used_bp(TWICE, aged(story), end_ms + HOUR_MS) == 1_000
    for late, rate in ((1, 1.0), (2, _rate(25)), (49, _rate(25))):
        by_hand = (71 + late * rate) / 720 * 10_000
        assert used_bp(ARRHENIUS, aged(story), end_ms + late * HOUR_MS) == math.ceil(round(by_hand, 4))
    hot, end_ms = told([(1.0, 45.0)])
    held, unknown = (used_bp(ARRHENIUS, aged(hot), end_ms + late) for late in (HOUR_MS, HOUR_MS + 1))
    assert unknown in (held, held + 1), "45 °C is worse than the worst that is declared, and goes on"


def _rate(celsius: float) -> float:
    return math.exp(83_144 / 8.3144 * (1 / 278.15 - 1 / (celsius + 273.15)))


def test_before_the_first_value_there_is_a_gap_as_well() -> None:
    assert loss_bp([TWICE], aged(None), 10**12) == 0, "no story has begun"
    assert used_bp(TWICE, aged(None, begun_ms=0), HOUR_MS) == 0
    assert used_bp(TWICE, aged(None, begun_ms=0), 72 * HOUR_MS) == 4_000


def test_the_energy_that_a_curve_asks_of_the_mean() -> None:
    """By hand: R × ln 2 ÷ 10 × 298.15² = 8.3144 × 0.693147 ÷ 10 × 88,893.4 = 51,230.2."""
    assert least_activation_j_mol(ARRHENIUS, RULE) == 83_144
    assert least_activation_j_mol(TWICE, RULE) == 51_231
    assert least_activation_j_mol(TWICE._replace(reference_mc=20_000), RULE) > 51_231, "ten degrees above is hotter"


SPELLS = st.lists(
    st.builds(
        lambda kind, since, lasts, about: spell(kind, since, None if lasts is None else since + lasts, about),
        st.sampled_from([BREACHED, UNKNOWN, "mkt_exceeded"]),
        st.integers(-3_000, 100),
        st.none() | st.integers(0, 2_000),
        st.sampled_from(["chilled", "frozen", "chilled|budget"]),
    ),
    max_size=6,
)


@st.composite
def ladders(draw: st.DrawFn, most: int) -> tuple[Point, ...]:
    reached = sorted(draw(st.sets(st.integers(1, most), min_size=1, max_size=4)))
    lost = sorted(draw(st.lists(st.integers(0, 10_000), min_size=len(reached), max_size=len(reached))))
    return ladder(*zip(reached, lost, strict=True))


@st.composite
def outside_curves(draw: st.DrawFn) -> OutsideCurve:
    limit, unknown = draw(st.sampled_from(["", "chilled"])), draw(st.sampled_from(["inside", "outside"]))
    return OutsideCurve(limit, unknown, draw(ladders(3_000)))


@given(curve=outside_curves(), spells=SPELLS, later_min=st.integers(0, 3_000), more=SPELLS)
def test_longer_outside_never_costs_less(
    curve: OutsideCurve, spells: list[Spell], later_min: int, more: list[Spell]
) -> None:
    found = loss_bp([curve], [Part(spells)], AS_OF_MS, [GAP])
    assert 0 <= found <= 10_000
    assert loss_bp([curve], [Part(spells)], AS_OF_MS + later_min * MINUTE_MS, [GAP]) >= found
    assert loss_bp([curve], [Part(spells + more)], AS_OF_MS, [GAP]) >= found
    worst = curve._replace(unknown="outside")
    assert loss_bp([worst], [Part(spells)], AS_OF_MS, [GAP]) >= found


@st.composite
def life_curves(draw: st.DrawFn) -> LifeCurve:
    """A curve that the book takes for RULE."""
    q10_milli, activation = draw(st.sampled_from([(1_000, 0), (2_000, 0), (3_000, 0), (0, 20_000), (0, 83_144)]))
    curve = LifeCurve(draw(st.integers(1, 2_000)), draw(st.sampled_from([-20_000, 5_000])), q10_milli, activation, USED)
    assert least_activation_j_mol(curve, RULE) <= RULE.activation_j_mol
    return curve._replace(points=draw(ladders(20_000)))


STEPS = st.lists(
    st.tuples(st.integers(1, 6 * HOUR_MS), st.integers(-30_000, 25_000)), min_size=1, max_size=8
)  # (ms since the value before, thousandths of a degree)


def folded(steps: list[tuple[int, int]]) -> Kinetic:
    state, at_ms = None, 0
    for number, (since_ms, value_mc) in enumerate(steps):
        at_ms += since_ms
        one = AssetReading(at_ms, "container-1", 1, number + 1, Reading(number + 1, at_ms, 0, ()))
        state, _ = kinetic.advance("asset", "lot", RULE, state, one, value_mc, 0)
    assert state is not None
    return state


@given(curve=life_curves(), steps=STEPS, later_ms=st.integers(0, 10 * HOUR_MS), more_ms=st.integers(0, 10 * HOUR_MS))
def test_longer_never_uses_up_less(curve: LifeCurve, steps: list[tuple[int, int]], later_ms: int, more_ms: int) -> None:
    story = folded(steps)
    moments = [story.key[0] + later_ms, story.key[0] + later_ms + more_ms]
    used = [used_bp(curve, aged(story), moment) for moment in moments]
    assert 0 <= used[0] <= used[1]
    lost = [loss_bp([curve], aged(story), moment) for moment in moments]
    assert 0 <= lost[0] <= lost[1] <= 10_000


@given(curve=life_curves(), steps=STEPS, more=STEPS)
def test_a_story_that_goes_on_never_uses_up_less(
    curve: LifeCurve, steps: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    story, longer = folded(steps), folded(steps + more)
    assert used_bp(curve, aged(longer), longer.key[0]) >= used_bp(curve, aged(story), story.key[0])


@given(curve=life_curves(), steps=STEPS, place=st.integers(0, 7), hotter_mc=st.integers(0, 20_000))
def test_hotter_never_uses_up_less(curve: LifeCurve, steps: list[tuple[int, int]], place: int, hotter_mc: int) -> None:
    place %= len(steps)
    hot = [*steps]
    hot[place] = steps[place][0], steps[place][1] + hotter_mc
    story, hotter = folded(steps), folded(hot)
    at_ms = story.key[0] + HOUR_MS
    assert used_bp(curve, aged(hotter), at_ms) >= used_bp(curve, aged(story), at_ms)


def test_it_is_told_of_what_readings_made() -> None:
    """Readings through the spine: 12 °C for three and a half hours, of which 30 minutes are borne: three hours."""
    device = Device()
    product = {"sku": "sofa", "loss": [{"kind": "outside", "limit": "temperature_mc", "points": _POINTS}]}
    document = book_document(device, products=[product], milestones=[])
    document["lots"][0]["limits"][0] |= {"grace_s": 1_800}
    store = MemoryStore()
    noon_ms = AS_OF_MS
    spine = Spine(store, _At(noon_ms + 8 * HOUR_MS))
    spine.commit(drafts.amend, document)
    for half_hour in range(12):
        value = 12_000 if half_hour < 7 else 5_000
        device.measure(noon_ms + half_hour * HOUR_MS // 2, Cell(Channel.TEMPERATURE_MC, value))
    spine.take([device.arrival()])
    lot = spine.state.book.lots["lot-container-1"]
    spells = [one for one in causes.spells(spine.state.facts["asset-container-1"]) if one.cause.lot == lot.id]
    curves = spine.state.book.products["sofa"].loss
    assert loss_bp(curves, [Part(spells)], noon_ms + 6 * HOUR_MS, lot.limits) == 910
    assert loss_bp(curves, [Part(spells)], noon_ms + 2 * HOUR_MS, lot.limits) == 228, "half way"


_POINTS: list[dict[str, Any]] = [{"minutes": one.at, "bp": one.bp} for one in CHILLED.points]


class _At:
    """A clock that stands."""

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms


def test_the_book_takes_no_curve_that_a_lot_cannot_carry() -> None:
    document = book_document(Device(), products=[{"sku": "sofa", "loss": [_LIFE]}])
    with pytest.raises(BookError, match=r"lots lot-container-1\.mkt: is missing"):
        book_module.amend(book_module.empty(), document)
    document["lots"][0]["mkt"] = _MKT
    assert book_module.amend(book_module.empty(), document).products["sofa"].loss == (ARRHENIUS,)
    document["lots"][0]["mkt"] = _MKT | {"activation_j_mol": 80_000}
    with pytest.raises(BookError, match="80000 is too little for the loss of sofa, which asks for 83144"):
        book_module.amend(book_module.empty(), document)


_LIFE = {
    "kind": "life",
    "life_h": 720,
    "reference_mc": 5_000,
    "activation_j_mol": 83_144,
    "points": [{"consumed_bp": 10_000, "bp": 10_000}],
}
_MKT = {"channel": "temperature_mc", "high_mc": 8_000, "worst_low_mc": 2_000, "worst_high_mc": 25_000}
