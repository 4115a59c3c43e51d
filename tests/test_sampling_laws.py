"""What sampling keeps of any stream of samples: enough to know every value, and nothing urgent is lost."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby, pairwise
from math import floor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_edge.beyond import Beyond
from pledgewatch_edge.passing import CALM_MS, PASSES_MAX, STAY_MS
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import AWAY_FIXES, MOVING_MMPS, Sampler, metres
from pledgewatch_edge.sampling_settings import LimitSettings, NearSettings, RuleSettings, SamplingSettings
from pledgewatch_edge.wavering import LONGEST_STAY_MS
from pledgewatch_wire.reading import NO_VALUE_FROM, Cell, Channel, Clock, Quality

TIME_MS = 1_780_000_000_000
NUMBERS = (Channel.TEMPERATURE_MC, Channel.HUMIDITY_CPERCENT)
LOW, HIGH = -300, 300
LIMITED = Channel.TEMPERATURE_MC
LONGEST_CALM_MS = LONGEST_STAY_MS // STAY_MS * CALM_MS
qualities = st.sampled_from((*[Quality.GOOD] * 12, Quality.ESTIMATED, Quality.CHECKSUM_FAILED, Quality.SENSOR_GONE))
gaps_ms = st.sampled_from((0, 1, 9_998, 10_000, 10_001, 60_000, 60_000, 60_000, 299_999, 900_000))


@st.composite
def rules(draw: st.DrawFn) -> RuleSettings:
    """A rule about numbers, without means."""
    interval_s = draw(st.sampled_from((0.0, 10.0, 300.0)))
    change = draw(st.none() if interval_s else st.just(0)) if draw(st.booleans()) else draw(st.integers(0, 400))
    silence_s = 0.0 if change is None else draw(st.sampled_from((300.0, 660.0, 3_600.0)))
    channels = tuple(one.name.lower() for one in NUMBERS)
    return RuleSettings(channels=channels, interval_s=interval_s, change=change, max_silence_s=silence_s)


moments = st.tuples(
    gaps_ms,
    st.sampled_from((*[Clock.GPS] * 20, Clock.NTP)),
    st.sampled_from((*[(one,) for one in (*NUMBERS, Channel.DOOR_OPEN)], (*NUMBERS, Channel.DOOR_OPEN))),
    qualities,
    st.integers(-500, 500),
    st.sampled_from((False, False, False, False, True)),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Sample]:
    """Samples of one device in the order measured: numbers and a door, now and then urgent, or by another clock."""
    at_ms, found = TIME_MS, []
    for gap_ms, clock, channels, quality, drawn, is_urgent in draw(st.lists(moments, min_size=1, max_size=40)):
        at_ms += gap_ms
        cells = []
        for channel in channels:
            value = drawn & 1 if channel is Channel.DOOR_OPEN else drawn
            cells.append(Cell(channel, value if quality < NO_VALUE_FROM else 0, quality))
        found.append(Sample(at_ms, clock, tuple(cells), is_urgent))
    return found


@st.composite
def sections(draw: st.DrawFn) -> SamplingSettings:
    """A whole section."""
    states = RuleSettings(channels=("door_open",), max_silence_s=900.0)
    limits = (LimitSettings(channels=("temperature_mc",), low=LOW, high=HIGH, margin=draw(st.integers(0, 50))),)
    near = draw(st.none() | st.builds(NearSettings, interval_s=st.sampled_from((10.0, 60.0))))
    return SamplingSettings(rules=(draw(rules()), states), limits=draw(st.sampled_from(((), limits))), near=near)


class Taken(NamedTuple):
    """A cell of a stream, whether it was kept, when, and by which clock."""

    cell: Cell
    at_ms: int
    clock: int
    is_kept: bool
    door_is_open: bool


def taken(section: SamplingSettings, stream: Sequence[Sample]) -> list[Taken]:
    """Every cell of a stream, and whether it was kept; what is kept is as it was, in the order in which it was."""
    sampler, found, doors = Sampler(section), [], [0]
    for sample in stream:
        kept = sampler.take(sample)
        if kept is not None:
            assert kept.cells
            assert set(kept.cells) <= set(sample.cells)
            assert kept._replace(cells=sample.cells, is_urgent=sample.is_urgent) == sample
        doors += [cell.value for cell in sample.cells if cell[0::2] == (Channel.DOOR_OPEN, Quality.GOOD)]
        found += [
            Taken(cell, sample.measured_at_ms, sample.clock, kept is not None and cell in kept.cells, bool(doors[-1]))
            for cell in sample.cells
        ]
    return found


def by_channel(some: Sequence[Taken]) -> Iterator[tuple[int, list[Taken]]]:
    """The same, one channel after the other."""
    for channel, rows in groupby(sorted(some, key=lambda one: one.cell.channel), key=lambda one: one.cell.channel):
        yield channel, list(rows)


def trembles(rows: Sequence[Taken], until_ms: int) -> bool:
    """Whether the quality of a channel may tremble at a moment: so often has it changed without rest before."""
    changes, changed_ms = 0, -LONGEST_CALM_MS
    for before, now in pairwise(one for one in rows if one.at_ms <= until_ms):
        if before.cell.quality != now.cell.quality:
            changes = changes + 1 if now.at_ms - changed_ms < LONGEST_CALM_MS else 1
            changed_ms = now.at_ms
    return changes > PASSES_MAX


@given(sections(), streams())
def test_what_is_kept_tells_every_value_and_that_somebody_looked(
    section: SamplingSettings, stream: list[Sample]
) -> None:
    rule, states = section.rules
    for channel, rows in by_channel(taken(section, stream)):
        is_state = channel == Channel.DOOR_OPEN
        change = 0 if is_state else rule.change
        pause_ms = round(1_000 * (0.0 if is_state else rule.interval_s))
        silence_ms = round(1_000 * (states if is_state else rule).max_silence_s)
        assert rows[0].is_kept, "the first always is"
        kept, last_gap_ms = rows[0], 0
        own_kept = {kept.cell.quality: kept}
        for before, now in pairwise(rows):
            gap_ms, since_ms = now.at_ms - before.at_ms, now.at_ms - kept.at_ms
            if silence_ms and before.clock == now.clock == kept.clock:
                longest_ms = silence_ms + max(0, gap_ms - last_gap_ms)
                assert since_ms <= max(longest_ms, gap_ms), "nothing is quiet for longer, while samples come"
            last_gap_ms = gap_ms
            if now.is_kept:
                kept = own_kept[now.cell.quality] = now
                continue
            assert now.clock == before.clock
            if not trembles(rows, now.at_ms):
                assert now.cell.quality == before.cell.quality == kept.cell.quality, "what is wrong, or right, is told"
            own = own_kept[now.cell.quality]
            is_known = change is not None and abs(now.cell.value - own.cell.value) <= change
            assert is_known or now.at_ms - own.at_ms < pause_ms, "it is known to within the change, or soon"
            assert not silence_ms or since_ms <= silence_ms
            if section.near is not None and now.door_is_open:
                assert since_ms <= 1_000 * section.near.interval_s, "with an open door no sooner said than done"


@given(sections(), streams())
def test_nothing_urgent_is_dropped(section: SamplingSettings, stream: list[Sample]) -> None:
    sampler, door, side = Sampler(section), -1, 0
    passes, passed_ms = 0, 0  # of a limit, each less than CALM_MS after the one before
    for sample in stream:
        kept = sampler.take(sample)
        is_urgent, trembled = sample.is_urgent, passes > PASSES_MAX
        for channel, value, quality in sample.cells:
            if quality == Quality.GOOD and channel == Channel.DOOR_OPEN:
                is_urgent |= door not in {-1, value}
                door = value
            if quality == Quality.GOOD and channel == LIMITED and section.limits:
                before, side = side, (value > HIGH) - (value < LOW)
                if side != before:
                    passes = passes + 1 if sample.measured_at_ms - passed_ms < CALM_MS else 1
                    passed_ms = sample.measured_at_ms
                    is_urgent |= passes <= PASSES_MAX + 1
        if is_urgent:
            assert kept == sample._replace(is_urgent=True)
        if section.near is None and not trembled:  # what is urgent of that, test_sampling_trembling.py tells
            assert kept is None or kept.is_urgent == is_urgent


quick_ms = st.sampled_from((1_000, 1_000, 10_000, 10_000, 30_000, 30_001, 60_000, 60_001, 300_000, 600_000))
about = st.sampled_from((-351, -350, -301, -300, -299, 0, 249, 250, 299, 300, 301, 301, 310, 350, 351, 2_000))


@given(st.lists(st.tuples(quick_ms, about), max_size=80))
def test_every_excursion_is_told_at_once_and_so_is_its_end(walk: list[tuple[int, int]]) -> None:
    band = 50
    rule = RuleSettings(channels=("temperature_mc",), change=band, max_silence_s=3_600.0)
    limits = (LimitSettings(channels=("temperature_mc",), low=LOW, high=HIGH),)
    sampler, at_ms, before = Sampler(SamplingSettings(rules=(rule,), limits=limits)), TIME_MS, 0
    since_ms, is_told, is_excursion = TIME_MS, True, False  # of the stay
    for gap_ms, value in walk:
        at_ms += gap_ms
        kept = sampler.take(Sample(at_ms, Clock.GPS, (Cell(LIMITED, value),)))
        is_urgent = kept is not None and kept.is_urgent
        side = (value > HIGH) - (value < LOW)
        if side != before:
            if is_excursion or (before and at_ms - since_ms > STAY_MS):
                assert is_urgent, "the end of an excursion"
            before, since_ms, is_told, is_excursion = side, at_ms, False, False
        is_told |= is_urgent
        is_excursion |= bool(side) and (abs(value) > HIGH + band or at_ms - since_ms > STAY_MS)
        assert is_told or not is_excursion, "at the first value that shows it"


BAND = 50
PUSHED = (
    SamplingSettings(),
    *(
        SamplingSettings(
            rules=(RuleSettings(channels=("temperature_mc",), change=BAND, max_silence_s=3_600.0),),
            limits=(LimitSettings(channels=("temperature_mc",), low=low, high=high),),
        )
        for low, high in ((LOW, HIGH), (LOW, 250), (None, HIGH), (LOW, None))
    ),
)


class Lives:
    """A sampler from one start to the next, by the file of what it has said alone. What is told is on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hours_s = 0.0
        self.beyond = Beyond(folder)
        self.start(PUSHED[1])

    def start(self, settings: SamplingSettings, *, is_clean: bool = False) -> None:
        """Again, with settings; after an end in good order or a kill."""
        if is_clean:
            self.beyond.settle()
        self.sampler = Sampler(settings)
        self.beyond = Beyond(self._folder, lambda: self._hours_s)
        self.sampler.remember(self.beyond.told)

    def say(self, at_ms: int, value: int, killed: str) -> bool:
        """Whether a value is told at once; killed before it is stored, or as soon as it is."""
        kept = self.sampler.take(Sample(at_ms, Clock.GPS, (Cell(LIMITED, value),)))
        self._hours_s += 3_600
        if self.beyond.is_due:
            self.beyond.settle()
        if kept is None:
            return False
        self.beyond.before([kept], self.sampler.limits)
        if killed == "before":
            return False
        if killed != "after":
            self.beyond.after([kept], self.sampler.limits)
        return kept.is_urgent


deaths = st.sampled_from((*[""] * 8, "clean", "before", "after"))


@given(st.lists(st.tuples(quick_ms, about, deaths, st.sampled_from(PUSHED)), max_size=60))
def test_every_excursion_is_told_at_once_also_over_restarts_and_other_settings(
    walk: list[tuple[int, int, str, SamplingSettings]],
) -> None:
    with TemporaryDirectory() as folder:
        lives, settings, at_ms = Lives(Path(folder)), PUSHED[1], TIME_MS
        is_first, side, since_ms, is_told, is_excursion = True, 0, TIME_MS, True, False
        for gap_ms, value, killed, pushed in walk:
            at_ms += gap_ms
            is_urgent = lives.say(at_ms, value, killed)
            if settings.limits:
                low, high = settings.limits[0].low, settings.limits[0].high
                now = -1 if low is not None and value < low else int(high is not None and value > high)
                if killed != "before":  # else nobody has heard of it, nor of what it would have ended
                    if is_first:
                        was_watched = (low, 0, high)[side + 1] is not None
                        assert is_urgent or not now, "what lies beyond after a start"
                        assert is_urgent or now or not (side and is_told and was_watched), "what has ended meanwhile"
                    elif now != side and (is_excursion or (side and at_ms - since_ms > STAY_MS)):
                        assert is_urgent, "the end of an excursion"
                    if is_first or now != side:
                        side, since_ms, is_told, is_excursion = now, at_ms, False, False
                    is_told |= is_urgent
                    limit = high if side > 0 else low
                    is_deep = limit is not None and bool(side) and abs(value - limit) > BAND
                    is_excursion |= is_deep or (bool(side) and at_ms - since_ms > STAY_MS)
                    assert is_told or not is_excursion, "at the first value that shows it"
                    is_first = False
            if killed:
                lives.start(pushed, is_clean=killed == "clean")
                settings, is_first = pushed, True


@given(st.lists(st.tuples(gaps_ms, st.integers(-500, 500)), min_size=1, max_size=80), st.booleans())
def test_a_mean_is_that_of_all_since_the_one_before(walk: list[tuple[int, int]], has_extremes: bool) -> None:
    named = {"least_channel": "temperature_6_mc", "most_channel": "temperature_7_mc"} if has_extremes else {}
    rule = RuleSettings(channels=("temperature_mc",), average_s=300.0, **named)  # type: ignore[arg-type]
    sampler, at_ms, since_ms = Sampler(SamplingSettings(rules=(rule,))), TIME_MS, TIME_MS
    stretch: list[int] = []
    for place, (gap_ms, value) in enumerate(walk):
        at_ms += gap_ms
        since_ms = since_ms if place else at_ms
        stretch.append(value)
        kept = sampler.take(Sample(at_ms, Clock.GPS, (Cell(Channel.TEMPERATURE_MC, value),)))
        if kept is None:
            assert at_ms - since_ms < 300_000
            continue
        mean = floor(Fraction(sum(stretch), len(stretch)) + Fraction(1, 2))
        extremes = [min(stretch), max(stretch)] if has_extremes and place else []
        assert [cell.value for cell in kept.cells] == [mean, *extremes]
        assert kept.measured_at_ms == at_ms
        stretch, since_ms = [], at_ms


@given(
    st.sampled_from((7_000, 60_000, 100_000, 130_000, 200_000, 299_999, 400_000)),
    st.sampled_from((300.0, 500.0, 900.0, 1_300.0)),
    st.lists(st.integers(0, 5), min_size=30, max_size=120),
)
def test_means_that_do_not_change_are_never_farther_apart_than_the_silence(
    step_ms: int, silence_s: float, values: list[int]
) -> None:
    rule = RuleSettings(channels=("temperature_mc",), average_s=300.0, change=1, max_silence_s=silence_s)
    sampler = Sampler(SamplingSettings(rules=(rule,)))
    moments_ms = [TIME_MS + step_ms * number for number in range(len(values))]
    kept_ms = [
        at_ms
        for at_ms, value in zip(moments_ms, values, strict=True)
        if sampler.take(Sample(at_ms, Clock.GPS, (Cell(Channel.TEMPERATURE_MC, value),)))
    ]
    longest_ms = max(b - a for a, b in pairwise([*kept_ms, moments_ms[-1]]))
    assert longest_ms <= max(1_000 * silence_s, 300_000 + step_ms)


@given(st.lists(st.tuples(gaps_ms, st.integers(-90, 90), st.sampled_from((0, 0, 0, MOVING_MMPS))), max_size=80))
def test_a_place_is_known_to_within_the_change_but_for_leaps(walk: list[tuple[int, int, int]]) -> None:
    rule = RuleSettings(channels=("position",), change=50, max_silence_s=3_600.0)
    sampler, at_ms, kept_place, leaps = Sampler(SamplingSettings(rules=(rule,))), TIME_MS, None, 0
    for gap_ms, north_m, speed_mmps in walk:
        at_ms += gap_ms
        place = round(north_m / 0.011132), 1_799_999_000
        cells = (
            Cell(Channel.LATITUDE_E7, place[0]),
            Cell(Channel.LONGITUDE_E7, place[1]),
            Cell(Channel.SPEED_MMPS, speed_mmps),
        )
        sample = Sample(at_ms, Clock.GPS, cells)
        kept = sampler.take(sample)
        assert kept in {None, sample}
        if kept is not None:
            kept_place, leaps = place, 0
            continue
        assert kept_place is not None
        is_away = metres(kept_place, place) > 50
        leaps = leaps + 1 if is_away else 0
        assert leaps < AWAY_FIXES
        assert not (is_away and speed_mmps >= MOVING_MMPS)
