"""What readings mean, as tables that a banker can read: what was measured minute by minute, and what was found."""

from collections.abc import Iterable
from typing import Any

import pytest
from builders import (
    AT_SEA,
    IN_LOS_ANGELES,
    IN_SHANGHAI,
    MINUTE_MS,
    NOON_MS,
    Device,
    ManualClock,
    book_document,
    position,
    temperature,
)

from pledgewatch_cloud.decide import causes, drafts
from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.events import EventType, SaidEvent, event, retraction
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import CORE, DeliveryRecord
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, Reading

SEA, PORT, ORIGIN = position(AT_SEA), position(IN_LOS_ANGELES), position(IN_SHANGHAI)
PORT_WITHOUT_FIX = position((0, 0), Quality.NO_FIX)
PORT_DOUBTFUL = position(IN_LOS_ANGELES, Quality.HIGH_HDOP)
COLD, WARM = (temperature(5_000),), (temperature(9_000),)
POWER_ON = (temperature(85_000, Quality.POWER_ON_VALUE),)
PROBE_GONE = (temperature(0, Quality.SENSOR_GONE),)


SEA_DOUBTFUL = position(AT_SEA, Quality.HIGH_HDOP)


def doubt(since: int, until: int) -> list[str]:
    """A doubt that is told from one minute to another."""
    return [f"evidence_doubted@{since}", f"evidence_restored@{until}"]


class Bench:
    """One device on one asset, over the real spine."""

    def __init__(self, **changes: Any) -> None:
        self.device = Device()
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.spine = Spine(self.store, self.clock)
        self.spine.commit(drafts.amend, book_document(self.device, **changes))

    def measure(self, minute: float, *cells: Cell, clock: Clock = Clock.GPS) -> None:
        """A reading `minute` minutes after noon, sent at once."""
        self.send(self.keep(minute, *cells, clock=clock))

    def keep(self, minute: float, *cells: Cell, clock: Clock = Clock.GPS) -> Reading:
        """A reading `minute` minutes after noon, to be sent later."""
        return self.device.measure(NOON_MS + round(minute * MINUTE_MS), *cells, clock=clock)

    def send(self, *readings: Reading) -> None:
        """Readings that arrive now, or once they can have been measured."""
        for reading in readings:
            self.clock.at_ms = max(self.clock.at_ms, reading.measured_at_ms)
            admission = self.spine.take([self.device.arrival([reading])])
            assert len(admission.accepted) == 1

    def tick(self, minute: float) -> None:
        """Time passes to `minute` minutes after noon."""
        self.clock.at_ms = NOON_MS + round(minute * MINUTE_MS)
        self.spine.tick()

    def said(self, subject: str = "asset-container-1") -> list[SaidEvent]:
        """Events about a subject, all of them."""
        return [one for one in self.store.events() if one.event.subject == subject]

    def story(self, subject: str = "asset-container-1") -> list[str]:
        """Events about a subject as `type@minute`, but for the one that says since when a condition is known."""
        return [
            f"{one.event.type}@{(one.event.at_ms - NOON_MS) / MINUTE_MS:g}"
            for one in self.said(subject)
            if "condition_known" not in (one.event.type, dict(one.event.facts).get("retracted_type"))
        ]

    def messages(self) -> list[str]:
        """Types of the messages to the core, in order; the core books each."""
        found = []
        while due := self.store.due(CORE, 2**62):
            for one in due:
                found.append(one.type)
                self.spine.commit(drafts.booked, one, "")
                self.store.delivered(one, DeliveryRecord(CORE, one.id, 0, 1))
        return found


PRESENCE = [
    # what the fixes said, minute by minute               what was found
    ("begins at sea and stays there", [SEA, SEA, SEA], []),
    ("begins in port: state, not a crossing", [PORT, PORT], []),
    ("sails in", [SEA, PORT, PORT], ["fence_entered@1"]),
    ("sails in and out", [SEA, PORT, SEA], ["fence_entered@1", "fence_left@2"]),
    ("from one port to the other", [ORIGIN, PORT], ["fence_left@1", "fence_entered@1"]),
    ("no fix is nowhere, not outside", [SEA, PORT, PORT_WITHOUT_FIX, PORT], ["fence_entered@1", *doubt(2, 3)]),
    ("a doubtful fix crosses nothing", [SEA, PORT_DOUBTFUL, SEA], doubt(1, 2)),
    ("nor does the first good one after it", [PORT_DOUBTFUL, SEA, PORT], [*doubt(0, 1), "fence_entered@2"]),
    ("whichever side it was on", [SEA_DOUBTFUL, PORT, SEA], [*doubt(0, 1), "fence_left@2"]),
]

CONDITION = [
    # limit 2 to 8 °C, grace 10 minutes: what the probe said at which minute      what was found
    ("always within", [(0, COLD), (10, COLD), (20, COLD)], []),
    ("outside for less than the grace", [(0, COLD), (1, WARM), (10, WARM), (11, COLD)], []),
    ("outside for exactly the grace", [(0, COLD), (1, WARM), (11, WARM)], ["condition_breached@11"]),
    (
        "breached and restored",
        [(0, WARM), (12, WARM), (20, WARM), (25, COLD)],
        ["condition_breached@10", "condition_restored@25"],
    ),
    ("a dip within starts the grace again", [(0, WARM), (8, COLD), (9, WARM), (18, WARM)], []),
    ("85 degrees at power-on is no temperature", [(0, COLD), (1, POWER_ON), (20, POWER_ON)], ["evidence_doubted@1"]),
    (
        "a vanished probe says neither in nor out",
        [(0, WARM), (5, PROBE_GONE), (10, WARM)],
        ["evidence_doubted@5", "evidence_restored@10", "condition_breached@10"],
    ),
]

SILENCE = [
    # silent after 60 minutes: minutes of readings, tick at the end, what was found
    ("reports in time", [0, 30, 60], 100, []),
    ("exactly at the limit is not silent", [0, 60], 120, []),
    ("newest reading too old", [0, 30], 91, ["source_fell_silent@90"]),
    ("a gap between readings", [0, 90], 100, ["source_fell_silent@60", "source_reported_again@90"]),
]


@pytest.mark.parametrize(("name", "fixes", "found"), PRESENCE, ids=[row[0] for row in PRESENCE])
def test_presence(name: str, fixes: list[tuple[Cell, ...]], found: list[str]) -> None:
    bench = Bench()
    for minute, cells in enumerate(fixes):
        bench.measure(minute, *cells)
    assert bench.story() == found


@pytest.mark.parametrize(("name", "values", "found"), CONDITION, ids=[row[0] for row in CONDITION])
def test_condition(name: str, values: list[tuple[int, tuple[Cell, ...]]], found: list[str]) -> None:
    bench = Bench()
    for minute, cells in values:
        bench.measure(minute, *cells)
    assert bench.story() == found


@pytest.mark.parametrize(("name", "minutes", "tick", "found"), SILENCE, ids=[row[0] for row in SILENCE])
def test_silence(name: str, minutes: list[int], tick: int, found: list[str]) -> None:
    bench = Bench()
    for minute in minutes:
        bench.measure(minute, *COLD)
    bench.tick(tick)
    assert bench.story() == found


def test_a_clock_that_was_never_set_is_no_evidence() -> None:
    bench = Bench()
    bench.measure(0, *SEA)
    bench.measure(1, *PORT, clock=Clock.UNSET)
    assert bench.story() == ["clock_doubted@1"]


def port_fences(grade: str) -> dict[str, Any]:
    """The fences of the book, that take places of a grade."""
    fences: dict[str, Any] = book_document(Device())["fences"]
    for feature in fences["features"]:
        feature["properties"] |= {"grade": grade}
    return fences


def off_by(uncertainty_ms: int) -> Cell:
    return Cell(Channel.CLOCK_UNCERTAINTY_MS, uncertainty_ms)


# How far off a place may be that was dated back, the grade that its fence asks for, and what is found.
BACKDATED = [
    (2_000, "fair", ["fence_entered@1"]),
    (300_000, "fair", ["fence_entered@1"]),
    (300_001, "fair", []),
    (2_000, "good", []),
    (3_600_000, "fair", []),
    (3_600_001, "fair", ["clock_doubted@1"]),
    (-1, "fair", ["clock_doubted@1"]),
    (None, "fair", ["clock_doubted@1"]),
]


@pytest.mark.parametrize(("uncertainty_ms", "grade", "found"), BACKDATED)
def test_what_was_dated_back_is_fair_at_most_by_how_far_off_it_may_be(
    uncertainty_ms: int | None, grade: str, found: list[str]
) -> None:
    bench = Bench(fences=port_fences(grade))
    bench.measure(0, *SEA)
    told = () if uncertainty_ms is None else (off_by(uncertainty_ms),)
    bench.measure(1, *PORT, *told, clock=Clock.BACKDATED)
    assert bench.story() == found


def test_a_limit_is_not_judged_by_what_was_dated_back() -> None:
    bench = Bench()
    bench.measure(0, *COLD)
    before = bench.story()
    for minute in (1, 2, 3):
        bench.measure(minute, *WARM, off_by(1_000), clock=Clock.BACKDATED)
    assert bench.story() == before


def test_the_number_of_what_was_dated_back_tells_nothing_of_a_clock() -> None:
    bench = Bench()
    readings = [bench.keep(minute, *SEA) for minute in (0, 2, 4)]
    readings += [bench.keep(minute, *SEA, off_by(1_000), clock=Clock.BACKDATED) for minute in (1, 3)]
    readings.append(bench.keep(5, *SEA))
    for one in readings:
        bench.send(one)
    assert bench.story() == []


def test_a_device_that_was_fitted_and_never_spoke_is_missed() -> None:
    device = book_document(Device())["installations"][0]
    bench = Bench(installations=[device | {"fitted_at": "2026-01-01T12:00:00Z"}])
    for minute in (1, 60, 61, 500):
        bench.tick(minute)
    bench.measure(510, *COLD)
    assert bench.story() == ["source_fell_silent@60", "source_reported_again@510"]
    # What was on its way all the time shows that there was no silence.
    late = Bench(installations=[device | {"fitted_at": "2026-01-01T12:00:00Z"}])
    first = late.keep(30, *COLD)
    late.tick(70)
    late.send(first)
    assert late.story() == ["source_fell_silent@60", "event_retracted@60"]


def test_nobody_waits_for_a_device_without_a_date_or_one_that_is_retired() -> None:
    device = book_document(Device())["installations"][0]
    for change in ({}, {"fitted_at": "2026-01-01T12:00:00Z", "retired": 1}):
        bench = Bench(installations=[device | change])
        bench.tick(500)
        assert bench.story() == []
    bench = Bench()
    bench.measure(0, *COLD)
    bench.spine.commit(drafts.amend, {"installations": [device | {"retired": 1}]})
    bench.tick(500)
    assert bench.story() == []


def test_a_backlog_that_fills_a_silence_retracts_it() -> None:
    bench = Bench()
    bench.measure(0, *COLD)
    bench.tick(120)
    for minute in (30, 80, 118):
        bench.measure(minute, *COLD)
    bench.tick(121)
    # While the backlog comes in, the silence that lasts moves on with it; each one says what it replaces.
    _, first, retracted, second, last = bench.said()
    assert [one.event.type for one in (first, second)] == ["source_fell_silent"] * 2
    assert (second.replaces, retracted.event.fact("retracted"), last.event.fact("retracted")) == (
        first.id,
        first.id,
        second.id,
    )
    assert [one.event.type for one in bench.store.standing("asset-container-1", 10**9)] == ["condition_known"]


def test_an_older_silence_that_is_told_late_does_not_hide_the_one_that_lasts() -> None:
    bench = Bench()
    early, late = bench.keep(100, *COLD), bench.keep(500, *COLD)
    bench.send(late)
    bench.tick(600)
    bench.send(early)
    bench.measure(530, *COLD)
    found = ["source_fell_silent@560", "source_fell_silent@160", "source_reported_again@500", "event_retracted@560"]
    assert sorted(bench.story()) == sorted([*found, "source_fell_silent@590"])


def test_late_news_amends_and_the_milestone_is_questioned() -> None:
    """A breach from before the gate-in that arrives after the release puts the release in question."""
    bench = Bench()
    bench.measure(0, *SEA, *COLD)
    backlog = bench.keep(20, *WARM), bench.keep(23, *COLD), bench.keep(24, *WARM)
    bench.measure(60, *PORT, *COLD)
    assert bench.messages() == ["record_base", "record_base", "release_disbursement"]
    bench.send(*backlog)
    # The first is warm up to the fix at 60, as far as is known; the second takes that back, the third says it again.
    first = ["condition_breached@30", "condition_restored@60"]
    taken_back = ["event_retracted@30", "event_retracted@60"]
    again = ["condition_breached@34", "condition_restored@60"]
    assert bench.story() == ["fence_entered@60", *first, *taken_back, *again]
    because = [one.because for one in bench.said() if one.event.type != "condition_known"]
    assert because == ["", *["late_reading"] * 6]
    told = ["raise_alert", "clear_alert", "question_release", "withdraw_alert", "reaffirm_release"]
    assert bench.messages() == [*told, "raise_alert", "clear_alert", "question_release"]


def test_less_evidence_releases_less() -> None:
    """A probe that speaks for the first time at the gate, or for the last time too warm, is no ground for money."""
    late = Bench()
    late.measure(0, *SEA)
    for hour in range(6, 31, 6):
        late.measure(60 * hour, *SEA)
    late.measure(60 * 31, *SEA, *COLD)
    late.measure(60 * 31 + 1, *PORT)
    assert "release_disbursement" not in late.messages()

    silent = Bench()
    silent.measure(0, *SEA, *COLD)
    silent.measure(30, *SEA, *WARM)
    silent.measure(300, *PORT)
    assert "condition_breached@40" in silent.story()
    assert "release_disbursement" not in silent.messages()


def test_a_breach_before_the_gate_in_releases_nothing_and_one_after_it_changes_nothing() -> None:
    spoilt = Bench()
    for minute, cells in ((0, (*SEA, *WARM)), (15, (*SEA, *WARM)), (20, (*SEA, *COLD)), (30, PORT)):
        spoilt.measure(minute, *cells)
    assert "release_disbursement" not in spoilt.messages()

    sound = Bench()
    sound.measure(0, *SEA, *COLD)
    for minute, found in ((10, PORT), (11, WARM), (25, WARM)):
        sound.measure(minute, *found)
    assert sound.messages() == ["record_base", "record_base", "release_disbursement", "raise_alert"]


@pytest.mark.parametrize("facility", ["facility-1", "facility-2"])
def test_a_milestone_that_was_taken_out_and_is_put_back_releases_nothing_again(facility: str) -> None:
    bench = Bench()
    document = book_document(bench.device)
    bench.measure(0, *SEA, *COLD)
    bench.measure(10, *PORT)
    assert "release_disbursement" in bench.messages()
    bench.spine.commit(drafts.amend, {"remove": {"milestones": ["milestone-container-1"]}})
    other = document["facilities"][0] | {"id": "facility-2"}
    lot, milestone = document["lots"][0], document["milestones"][0]
    bench.spine.commit(drafts.amend, {"facilities": [other], "lots": [lot | {"facility": facility}]})
    bench.spine.commit(drafts.amend, {"milestones": [milestone | {"facility": facility}]})
    bench.measure(20, *PORT)
    assert "release_disbursement" not in bench.messages()


def test_a_facility_that_was_taken_out_and_is_put_back_numbers_its_messages_on() -> None:
    bench = Bench()
    document = book_document(bench.device)
    names = {"milestones": ["milestone-container-1"], "lots": ["lot-container-1"], "facilities": ["facility-1"]}
    # Nobody's line is closed while something is owed on it: first it is paid back.
    bench.spine.commit(drafts.amend, {"facilities": [document["facilities"][0] | {"outstanding_minor": 0}]})
    bench.spine.commit(drafts.amend, {"remove": names})
    before = len(bench.store._outbox)
    back = [document["facilities"][0] | {"outstanding_minor": 1}]
    bench.spine.commit(drafts.amend, {"facilities": back, "lots": document["lots"]})
    sequences = [one.sequence for one in bench.store._outbox.values()]
    assert before >= 2
    assert sequences == list(range(1, before + 2))


def test_one_release_however_often_the_goods_arrive() -> None:
    bench = Bench()
    fixes: list[tuple[Cell, ...]] = [(*SEA, *COLD), PORT, SEA, PORT, SEA, PORT]
    for minute, cells in enumerate(fixes):
        bench.measure(minute, *cells)
    assert bench.messages().count("release_disbursement") == 1


def test_a_milestone_rests_on_no_weaker_fix_than_it_asks_for() -> None:
    document = book_document(Device())
    for feature in document["fences"]["features"]:
        feature["properties"] |= {"grade": "fair"}
    milestone = document["milestones"][0]
    released = []
    for grade in ("good", "fair"):
        when = {
            "upon": {"fact": "gated_in", "fence": "los-angeles", "grade": grade},
            "that": {"fact": "condition_kept"},
        }
        bench = Bench(fences=document["fences"], milestones=[milestone | {"when": when}])
        bench.measure(0, *SEA, *COLD)
        bench.measure(30, *PORT_DOUBTFUL, *COLD)
        released.append("release_disbursement" in bench.messages())
        bench.measure(40, *PORT, *COLD)
        released.append("release_disbursement" in bench.messages())
    assert released == [False, True, True, False], "the fair one is taken by the milestone that takes it"


def test_what_became_known_after_the_gate_in_releases_nothing() -> None:
    bench = Bench()
    bench.measure(0, *SEA)
    bench.measure(30, *PORT)
    bench.measure(40, *PORT, *COLD)
    bench.measure(600, *PORT, *COLD)
    assert "release_disbursement" not in bench.messages()


MKT = {"channel": "temperature_mc", "high_mc": 8_000, "worst_low_mc": 0, "worst_high_mc": 30_000, "max_gap_s": 3_600}


@pytest.mark.parametrize(
    ("minutes", "releases"),
    [
        ([], False),  # never measured
        ([0], False),  # and nothing since: after two hours it may have been too warm for all that is known
        ([0, 50, 100, 119], True),
        ([0, 100, 119], False),  # one gap, and it is still uncertain at the gate
        ([0, 30, 60, 119], True),
    ],
)
def test_a_mean_kinetic_temperature_must_be_known_too(minutes: list[int], releases: bool) -> None:
    lot = book_document(Device())["lots"][0] | {"limits": [], "mkt": MKT}
    bench = Bench(lots=[lot])
    bench.measure(0, *SEA)
    for minute in minutes:
        bench.measure(minute, *COLD)
    bench.measure(120, *PORT)
    assert ("release_disbursement" in bench.messages()) is releases


def test_a_mean_kinetic_temperature_grows_uncertain_by_itself() -> None:
    """Two hours at 5 °C, then nothing: after a while 30 °C from then on would be too warm on average."""
    voyage = Bench(lots=[book_document(Device())["lots"][0] | {"limits": [], "mkt": MKT}])
    for minute in range(0, 121, 30):
        voyage.measure(minute, *COLD)
    for minute in (180, 181, 182, 600):
        voyage.tick(minute)
    (uncertain,) = [one.event for one in voyage.said() if one.event.type == "mkt_uncertain"]
    assert uncertain.at_ms == NOON_MS + 180 * MINUTE_MS, "a gap of an hour is borne"
    assert int(uncertain.fact("upper_mc")) > 8_000
    window = MKT | {"window_h": 6, "worst_high_mc": 9_500}
    moving = Bench(lots=[book_document(Device())["lots"][0] | {"limits": [], "mkt": window}])
    for minute in range(0, 601, 30):
        moving.measure(minute, *COLD)
    moving.tick(3_000)
    (uncertain,) = [one.event for one in moving.said() if one.event.type == "mkt_uncertain"]
    assert NOON_MS + 660 * MINUTE_MS < uncertain.at_ms < NOON_MS + 960 * MINUTE_MS, "as the cold hours leave the window"
    assert int(uncertain.fact("upper_mc")) > 8_000


def test_a_limit_of_a_later_leg_need_not_be_known_at_the_gate() -> None:
    legs = [
        {"id": "sea", "kind": "sea", "from": "2026-01-01T11:00:00Z", "until": "2026-01-01T14:00:00Z"},
        {"id": "road", "kind": "road", "from": "2026-01-01T14:00:00Z", "until": "2026-01-01T18:00:00Z"},
    ]
    voyages = [{"id": "voyage", "asset": "asset-container-1", "legs": legs}]
    lot = book_document(Device())["lots"][0]
    limit = lot["limits"][0]
    for leg, releases in (("road", True), ("sea", False)):
        limits = [limit | {"legs": [leg]}]
        bench = Bench(voyages=voyages, lots=[lot | {"limits": limits}])
        bench.measure(0, *SEA)
        bench.measure(60, *PORT)
        assert ("release_disbursement" in bench.messages()) is releases


def test_no_number_of_crossings_hides_a_breach() -> None:
    bench = Bench()
    bench.measure(0, *ORIGIN, *WARM)
    bench.measure(15, *ORIGIN, *WARM)
    bench.measure(20, *ORIGIN, *COLD)
    for crossing in range(600):
        bench.measure(21 + crossing, *(SEA if crossing % 2 else ORIGIN))
    bench.measure(700, *PORT, *COLD)
    messages = bench.messages()
    assert "release_disbursement" not in messages
    assert "withdraw_alert" not in messages


def test_what_there_is_no_room_for_still_stands_against_the_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "MAX_PER_KIND", 4)
    facts = AssetFacts()
    for number in range(10):
        breach = event(EventType.CONDITION_BREACHED, 100 * number, "asset", lot="lot", limit="warm", kind="grace")
        facts = causes.absorb(facts, SaidEvent(f"{number}.0", breach), now_ms=0)
    assert [one.at_ms for one in facts.causes.values()] == [0, 100, 800, 900]
    assert facts.forgotten == {"lot": 200}
    for number in range(10):
        gone = retraction(f"{number}.0", event(EventType.CONDITION_BREACHED, 0, "asset"))
        facts = causes.absorb(facts, SaidEvent(f"20.{number}", gone), now_ms=0)
    assert (facts.causes, facts.forgotten) == ({}, {"lot": 200})


TO_AND_FRO = [(EventType.FENCE_ENTERED, "yard"), (EventType.FENCE_LEFT, "yard")] * 20
ONE_AFTER_ANOTHER = [
    (kind, f"yard-{one}") for one in range(20) for kind in (EventType.FENCE_ENTERED, EventType.FENCE_LEFT)
]


@pytest.mark.parametrize("rest", [TO_AND_FRO, ONE_AFTER_ANOTHER])
def test_what_has_ended_stays_ended_though_there_is_no_room_for_all(
    monkeypatch: pytest.MonkeyPatch, rest: list[tuple[EventType, str]]
) -> None:
    """An asset that began inside one fence, was once in another, and then crosses many edges."""
    monkeypatch.setattr(causes, "MAX_PER_KIND", 4)
    facts = AssetFacts()
    story = [(EventType.FENCE_LEFT, "yard"), (EventType.FENCE_ENTERED, "army"), (EventType.FENCE_LEFT, "army"), *rest]
    for number, (kind, fence) in enumerate(story):
        one = event(kind, 1_000 * number, "asset", fence=fence, grade="good")
        facts = causes.absorb(facts, SaidEvent(f"{number}.0", one), now_ms=0)
        still = [spell.cause for spell in causes.spells(facts) if spell.ended_ms is None]
        inside = {cause.fence for cause in still if cause.kind == "fence_entered"}
        assert inside == ({fence} if kind is EventType.FENCE_ENTERED else set())
    assert max(len(facts.causes), len(facts.ends)) <= 8


@pytest.mark.parametrize("fitted_at", [None, "2026-01-01T12:00:00Z"])
def test_a_receiver_whose_weeks_have_rolled_over_tells_no_story(fitted_at: str | None) -> None:
    device = book_document(Device())["installations"][0] | ({"fitted_at": fitted_at} if fitted_at else {})
    bench = Bench(installations=[device])
    bench.measure(0, *PORT)
    rolled = bench.device.measure(NOON_MS + MINUTE_MS - 1_024 * 7 * 86_400_000, *sorted(SEA))
    bench.send(rolled)
    bench.measure(2, *PORT)
    bench.measure(3, *PORT)
    (doubted,) = bench.said()
    assert (doubted.event.type, doubted.event.fact("doubt")) == ("clock_doubted", "week_rollover")


def test_goods_of_which_nothing_is_known_release_nothing() -> None:
    """Unknown is not fine: no good value ever, and a gap of more than a day before the arrival."""
    never = Bench()
    for minute, cells in ((0, (*SEA, *PROBE_GONE)), (60, (*PORT, *PROBE_GONE))):
        never.measure(minute, *cells)
    assert never.messages() == ["record_base", "record_base"], "it is at port now, and that is all"
    dark = Bench()
    dark.measure(0, *SEA, *COLD)
    dark.measure(1_500, *SEA)
    dark.measure(1_510, *PORT, *COLD)
    assert "condition_unknown@1440" in dark.story()
    assert "release_disbursement" not in dark.messages()


VALUES = [
    # quantity, unit price, haircut, outstanding      value, loan to value in basis points
    (1_000, 20_000, 5_000, 5_000_000, 10_000_000, 5_000),
    (1_000, 20_000, 0, 5_000_000, 20_000_000, 2_500),
    (3, 333, 3_333, 100, 666, 1_502),  # 999 × 0.6667 = 666.03…, down; 100 ÷ 666 = 15.015… %, up
    (1, 1, 9_999, 0, 0, -1),  # a ten-thousandth of a cent is nothing, and nothing has no ratio
    (1_000, 20_000, 10_000, 1, 0, -1),
]


@pytest.mark.parametrize(("quantity", "price", "haircut", "outstanding", "value", "ltv"), VALUES)
def test_value_and_loan_to_value(
    quantity: int, price: int, haircut: int, outstanding: int, value: int, ltv: int
) -> None:
    document = book_document(Device())
    document["lots"][0] |= {"quantity": quantity, "haircut_bp": haircut}
    document["prices"][0]["unit_price_minor"] = price
    document["facilities"][0]["outstanding_minor"] = outstanding
    bench = Bench(**document)
    valued = bench.said("facility-1")[0]
    assert (valued.event.fact("eligible_minor"), valued.event.fact("ltv_bp")) == (value, ltv)


def test_a_new_price_is_a_new_value() -> None:
    bench = Bench()
    bench.spine.commit(drafts.amend, {"prices": [{"sku": "sofa", "unit_price_minor": 10_000, "currency": "USD"}]})
    bench.spine.commit(drafts.amend, {"prices": [{"sku": "sofa", "unit_price_minor": 8_000, "currency": "USD"}]})
    told = [one.event for one in bench.said("facility-1") if one.event.type == "base_recomputed"]
    assert [one.fact("eligible_minor") for one in told] == [10_000_000, 5_000_000, 4_000_000]
    assert [one.fact("change_price") for one in told[1:]] == [-5_000_000, -1_000_000]


def test_an_edited_fence_tells_the_story_again() -> None:
    bench = Bench()
    bench.measure(0, *SEA, *COLD)
    bench.measure(1, *PORT)
    far = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    document = book_document(bench.device)
    document["fences"]["features"][0]["geometry"]["coordinates"] = [far]
    bench.spine.commit(drafts.amend, {"fences": document["fences"]})
    assert bench.story() == ["fence_entered@1", "event_retracted@1"]
    assert [one.because for one in bench.said()[-1:]] == ["amended_book"]
    assert [one.because for one in bench.said("facility-1")][-1] == "amended_book", "what follows from it as well"
    # The core has not booked the release yet, so it is withdrawn and never sent.
    assert bench.messages() == ["record_base", "record_base", "record_base", "hold_release"]


def test_a_backlog_is_folded_from_where_the_silence_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the story before it, a piece of a backlog looks back to the reading before it and no further."""
    bench = Bench()
    for minute in range(-3_000, 0, 30):
        bench.measure(minute, *COLD)
    bench.tick(10_000)
    looked_back: list[int] = []
    look_back = bench.store.readings

    def watched(devices: Iterable[str], before_entry: int, since_ms: int) -> list[AssetReading]:
        found = look_back(devices, before_entry, since_ms)
        looked_back.append(len(found))
        return found

    monkeypatch.setattr(bench.store, "readings", watched)
    for minute in range(30, 10_000, 60):
        bench.measure(minute, *COLD)
    assert max(looked_back) <= 1
    bench.tick(10_001)
    assert [one.event.type for one in bench.store.standing("asset-container-1", 10**9)] == ["condition_known"]
