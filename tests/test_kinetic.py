"""Mean kinetic temperature against worked examples, for equal and unequal sampling, with and without gaps."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_cloud.decide import kinetic
from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.events import Event
from pledgewatch_cloud.decide.kinetic import Kinetic, KineticRule
from pledgewatch_wire.reading import Channel, Reading

HOUR_MS = 3_600_000
RULE = KineticRule(Channel.TEMPERATURE_MC, high_mc=25_000, worst_low_mc=0, worst_high_mc=40_000)


def told(story: list[tuple[int, int]], rule: KineticRule = RULE) -> tuple[Kinetic, list[Event]]:
    """The story of (ms, thousandths of a degree) folded, and what was found."""
    state, found = None, []
    for number, (at_ms, value_mc) in enumerate(story):
        one = AssetReading(at_ms, "container-1", 1, number + 1, Reading(number + 1, at_ms, 0, ()))
        state, events = kinetic.advance("asset", "lot", rule, state, one, value_mc, story[0][0])
        found += events
    assert state is not None
    return state, found


def bounds(story: list[tuple[int, int]], rule: KineticRule = RULE) -> tuple[int, int]:
    state, _ = told(story, rule)
    found = kinetic.bounds_mc(kinetic.judged(state, rule), rule)
    assert found is not None
    return found


def by_hand(stretches: list[tuple[float, float]]) -> float:
    """The formula of Haynes (1971) in plain floating point: (hours, °C) held for so long. °C."""
    slope = 83_144 / 8.3144
    total = sum(hours for hours, _ in stretches)
    mean = sum(hours * math.exp(-slope / (celsius + 273.15)) for hours, celsius in stretches) / total
    return slope / -math.log(mean) - 273.15


def held(stretches: list[tuple[float, float]]) -> list[tuple[int, int]]:
    """Readings at the beginning, every half an hour, and at the end of each stretch."""
    story, at_ms = [], 0
    for hours, celsius in stretches:
        end_ms = at_ms + round(hours * HOUR_MS)
        moments = [*range(at_ms, end_ms, HOUR_MS // 2), end_ms - 1]
        story += [(moment, round(celsius * 1_000)) for moment in moments]
        at_ms = end_ms
    return story


def test_between_two_values_the_mean_of_their_weights_counts() -> None:
    """By hand: w(20 °C) is 1, w(30 °C) is exp(-10000 * (1/303.15 - 1/293.15)) = 3.08101. An hour between them, then a
    quarter at 30 °C: (2.04051 + 0.25 * 3.08101) / 1.25 = 2.24861, and 1 / (1/293.15 - ln 2.24861 / 10000) = 300.283 K.
    Had the first of the two held for the hour it were 296.17 K, had the second 303.15 K."""
    assert bounds([(0, 20_000), (HOUR_MS, 30_000), (HOUR_MS * 5 // 4, 30_000)]) == (27_133, 27_133)


def test_time_before_the_first_value_is_unknown_too() -> None:
    one = AssetReading(10 * HOUR_MS, "container-1", 1, 1, Reading(1, 10 * HOUR_MS, 0, ()))
    state, events = kinetic.advance("asset", "lot", RULE, None, one, 5_000, 0)
    assert [event.type for event in events] == ["mkt_known", "mkt_uncertain"]
    assert state.voyage == kinetic.Sum(0, 0, 10 * HOUR_MS)
    state, events = kinetic.advance("asset", "lot", RULE, None, one, 5_000, 9 * HOUR_MS)
    assert [event.type for event in events] == ["mkt_known"]
    assert state.voyage == kinetic.Sum()


EXAMPLES = [
    # seven equal stretches; 6.25 °C is the figure of the worked example of the Postgres aggregate zelti/mkt
    ([(1, 2), (1, 2), (1, 5), (1, 8), (1, 8), (1, 8), (1, 8)], 6.25),
    # by hand: exp(-10000/293.15) and exp(-10000/303.15) are 1.5320e-15 and 4.7200e-15; their mean 3.1260e-15,
    # -ln of it 33.3990, and 10000 / 33.3990 = 299.410 K
    ([(1, 20), (1, 30)], 26.26),
    # by hand, unequal: three hours of 20 °C to one of 30 °C: the mean 2.3290e-15, -ln 33.6934, 296.794 K
    ([(3, 20), (1, 30)], 23.644),
    ([(5, 25)], 25.0),
]


@pytest.mark.parametrize(("stretches", "celsius"), EXAMPLES)
def test_worked_examples(stretches: list[tuple[float, float]], celsius: float) -> None:
    assert by_hand(stretches) == pytest.approx(celsius, abs=0.006)
    lower, upper = bounds(held(stretches))
    assert lower == upper
    assert lower / 1_000 == pytest.approx(by_hand(stretches), abs=0.002)


def test_how_often_was_measured_changes_nothing() -> None:
    """Two hours of 20 °C and two of 30 °C: every minute or every hour, and unequally, it is one figure."""
    dense = [(minute * 60_000, 20_000 if minute < 120 else 30_000) for minute in range(241) if minute != 119]
    dense = sorted({**dict(dense), 120 * 60_000 - 1: 20_000}.items())
    sparse = [(0, 20_000), (HOUR_MS, 20_000), (2 * HOUR_MS - 1, 20_000), (2 * HOUR_MS, 30_000)]
    sparse += [(3 * HOUR_MS, 30_000), (4 * HOUR_MS, 30_000)]
    assert bounds(dense) == bounds(sparse)


def test_a_gap_widens_the_interval_and_is_never_taken_as_in_range() -> None:
    known = held([(10, 5)])
    gap = [*known, (14 * HOUR_MS, 5_000), *[(14 * HOUR_MS + one, 5_000) for one in range(0, 6 * HOUR_MS, HOUR_MS)][1:]]
    assert bounds(known) == (5_000, 5_000)
    lower, upper = bounds(gap)
    assert lower < 5_000 < upper
    # by hand: 15 hours of 5 °C and 4 of the worst cases
    assert lower / 1_000 == pytest.approx(by_hand([(15, 5), (4, 0)]), abs=0.01)
    assert upper / 1_000 == pytest.approx(by_hand([(15, 5), (4, 40)]), abs=0.01)


def test_certain_and_uncertain_are_told_apart() -> None:
    warm, found = told(held([(2, 20), (5, 30)]))
    assert [one.type for one in found] == ["mkt_known", "mkt_exceeded"]
    assert (found[1].fact("lower_mc"), found[1].fact("high_mc")) == (found[1].fact("upper_mc"), 25_000)
    assert warm.level == "exceeded"
    _, found = told([(0, 20_000), (5 * HOUR_MS, 20_000)])
    assert [one.type for one in found] == ["mkt_known", "mkt_uncertain"]
    _, found = told([(0, 20_000), (5 * HOUR_MS, 20_000), *[(5 * HOUR_MS + n * HOUR_MS, 10_000) for n in range(1, 60)]])
    assert [one.type for one in found] == ["mkt_known", "mkt_uncertain", "mkt_restored"]


def test_a_window_forgets_and_is_bounded() -> None:
    rule = RULE._replace(window_h=24)
    story = held([(24, 30), (24, 10)])
    assert bounds(story, rule)[0] == pytest.approx(10_000, abs=5)
    assert bounds(story, RULE)[0] > 22_000
    state, _ = told([(n * HOUR_MS, 10_000) for n in range(500)], rule)
    assert len(state.hours) <= 24


@given(
    st.lists(st.tuples(st.integers(1, 90 * 60_000), st.integers(-30_000, 60_000)), min_size=2, max_size=30),
    st.integers(1, 90),
)
def test_bounds_hold_the_truth(steps: list[tuple[int, int]], gap_minutes: int) -> None:
    """Whatever the goods went through in the gaps, within the worst cases, lies between lower and upper."""
    rule = RULE._replace(max_gap_s=gap_minutes * 60, worst_low_mc=-40_000, worst_high_mc=70_000)
    story, at_ms = [], 0
    for length_ms, value_mc in steps:
        at_ms += length_ms
        story.append((at_ms, value_mc))
    lower, upper = bounds(story, rule)
    truth_lower, truth_upper = bounds(story, rule._replace(max_gap_s=10**6))
    values = [value for _, value in story]
    assert lower - 1 <= truth_lower == truth_upper <= upper + 1
    assert min(values) - 1 <= truth_lower <= max(values) + 1


def test_weights_ascend_and_come_back() -> None:
    for value_mc in range(-80_000, 120_000, 777):
        assert kinetic.weight(value_mc) < kinetic.weight(value_mc + 777)
        # Below the freezing point of everything a step of the last digit is less than a weight can tell.
        back = kinetic.temperature_mc(2 * kinetic.weight(value_mc) * 60_000, 60_000)
        assert back == pytest.approx(value_mc, abs=1)
    with pytest.raises(ValueError, match="colder than any cargo"):
        kinetic.weight(-250_000)


@given(
    st.integers(-60_000, 80_000),
    st.integers(-60_000, 80_000),
    st.integers(1, 10**10),
    st.floats(0, 1),
    st.sampled_from([1_000, 50_000, kinetic.ACTIVATION_J_MOL, 200_000]),
)
def test_a_mean_temperature_is_what_the_fixed_precision_says(
    low_mc: int, high_mc: int, length_ms: int, share: float, activation_j_mol: int
) -> None:
    first_ms = int(length_ms * share)
    doubled = 2 * kinetic.weight(low_mc, activation_j_mol) * first_ms
    doubled += 2 * kinetic.weight(high_mc, activation_j_mol) * (length_ms - first_ms)
    exact = kinetic._exact_temperature_mc(doubled, length_ms, activation_j_mol)
    assert kinetic.temperature_mc(doubled, length_ms, activation_j_mol) == exact


def test_in_the_middle_between_two_temperatures_the_fixed_precision_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    length_ms, activation_j_mol = 10**10, kinetic.ACTIVATION_J_MOL
    exact, asked = kinetic._exact_temperature_mc, []

    def counted(doubled: int, known_ms: int, activation: int) -> int:
        asked.append(doubled)
        return exact(doubled, known_ms, activation)

    monkeypatch.setattr(kinetic, "_exact_temperature_mc", counted)
    for value_mc in range(-40_000, 60_000, 1_571):
        low, high = (2 * kinetic.weight(one) * length_ms for one in (value_mc, value_mc + 1))
        while high - low > 1:  # the two neighbours between which the whole number changes
            middle = (low + high) // 2
            if exact(middle, length_ms, activation_j_mol) > value_mc:
                high = middle
            else:
                low = middle
        for doubled in (low, high):
            assert kinetic.temperature_mc(doubled, length_ms, activation_j_mol) == exact(
                doubled, length_ms, activation_j_mol
            )
        assert asked[-2:] == [low, high], f"{value_mc}: a float was believed"
