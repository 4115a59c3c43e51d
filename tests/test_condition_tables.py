"""Condition, silence, plausibility and presence as tables that a banker can read, and real temperature series."""

import csv
from typing import Any

import pytest
from builders import MINUTE_MS, NOON_MS, Device, ManualClock, book_document
from folding import box, feature, fix, fold
from needed import DATA, needs
from real_temperatures import MOTES, clock, machine, mote

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.events import Event, EventType
from pledgewatch_cloud.decide.plausibility import SHUFFLED_MS, SHUFFLED_READINGS
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.reading import Cell, Channel, Quality


def degrees(celsius: float) -> tuple[Cell, ...]:
    return (Cell(Channel.TEMPERATURE_MC, round(celsius * 1_000)),)


def doubted(cells: tuple[Cell, ...], quality: Quality) -> tuple[Cell, ...]:
    return tuple(one._replace(quality=quality) for one in cells)


def story(events: list[Event], *facts: str) -> list[str]:
    """Events as `type@minute` with some facts behind."""
    told = []
    for one in events:
        known = dict(one.facts)
        words = [str(known[name]) for name in facts if name in known]
        told.append(" ".join([f"{one.type}@{(one.at_ms - NOON_MS) / MINUTE_MS:g}", *words]))
    return told


LIMIT = {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "max_gap_s": 3_600}
LOADING = [{"from": "2026-01-01T12:10:00Z", "until": "2026-01-01T15:10:00Z"}]
CONDITIONS: list[tuple[str, list[dict[str, Any]], list[tuple[int, float]], list[str]]] = [
    # what, limits, (minute, °C), what is found
    ("grace", [LIMIT | {"grace_s": 600}], [(0, 5), (1, 9), (11, 9), (20, 5)],
     ["condition_breached@11", "condition_restored@20"]),
    ("a dip begins the grace anew", [LIMIT | {"grace_s": 600}], [(0, 9), (9, 9), (10, 5), (11, 9), (20, 9)], []),
    (
        "all spells added up",
        [LIMIT | {"grace_s": 3_600, "cumulative_s": 1_200}],
        [(0, 9), (10, 5), (20, 9), (29, 9), (31, 9), (40, 5)],
        ["condition_breached@30"],
    ),
    (
        # 20 °C is twelve degrees too warm: 96 degree-minutes after eight minutes, 100 after another third
        "stability budget",
        [LIMIT | {"grace_s": 3_600, "budget": 100_000}],
        [(0, 20), (5, 20), (8, 20), (9, 20), (20, 5)],
        ["condition_breached@8.33333"],
    ),
    (
        "two bounds at once, one of them worse",
        [LIMIT | {"severity": "warning"}, LIMIT | {"id": "frozen", "low": 0, "high": 99_000}],
        [(0, 5), (1, 1), (2, -1), (3, 1), (4, 5)],
        ["condition_breached@1 temperature_mc", "condition_breached@2 frozen", "condition_restored@3 frozen",
         "condition_restored@4 temperature_mc"],
    ),
    (
        "a gap is neither in nor out",
        [LIMIT],
        [(0, 5), (59, 5), (180, 5), (181, 5)],
        ["condition_unknown@119", "condition_known_again@180"],
    ),
    (
        "a spell does not reach over a gap",
        [LIMIT | {"grace_s": 7_201}],
        [(0, 9), (59, 9), (180, 9), (220, 9)],
        ["condition_unknown@119", "condition_known_again@180"],
    ),
    (
        "but up to where it is one",
        [LIMIT | {"grace_s": 7_140}],
        [(0, 9), (59, 9), (180, 9), (220, 5)],
        ["condition_breached@119", "condition_unknown@119", "condition_known_again@180", "condition_restored@220"],
    ),
    (
        "a probe that falls silent outside has breached its limit when the grace is over",
        [LIMIT | {"grace_s": 600}],
        [(0, 5), (5, 25), (400, 5)],
        ["condition_breached@15", "condition_unknown@65", "condition_known_again@400", "condition_restored@400"],
    ),
    (
        "loading is not judged",
        [LIMIT | {"ignore": [{"from": "2026-01-01T12:10:00Z", "until": "2026-01-01T12:40:00Z"}]}],
        [(0, 5), (10, 20), (30, 20), (39, 20), (45, 5)],
        [],
    ),
    (
        # 9 °C until the next value, two hours later: it lasted, and had after ten minutes
        "a spell that no second value saw",
        [LIMIT | {"grace_s": 600, "max_gap_s": 10_800}],
        [(0, 9), (120, 5)],
        ["condition_breached@10", "condition_restored@120"],
    ),
    ("but not one that lasted just the grace", [LIMIT | {"grace_s": 600}], [(0, 9), (10, 5)], []),
    (
        # 20 °C is twelve degrees too warm, 10 °C two: ten minutes of the second, then of the first
        "the first of two values holds in between",
        [LIMIT | {"grace_s": 3_600, "budget": 100_000}],
        [(0, 10), (10, 20), (11, 20), (18, 20), (19, 5)],
        ["condition_breached@16.6667"],
    ),
    (
        "what lies in a time of loading counts for nothing",
        [LIMIT | {"grace_s": 10**6, "cumulative_s": 3_600, "max_gap_s": 10**6, "ignore": LOADING}],
        [(9, 9), (300, 5), (301, 5)],
        [],
    ),
    (
        "and breaks the spell, though no value lies in it",
        [LIMIT | {"grace_s": 1_800, "max_gap_s": 10**6, "ignore": LOADING}],
        [(0, 9), (200, 9), (229, 9), (231, 9)],
        ["condition_breached@230"],
    ),
    ("loading is over at its last moment", [LIMIT | {"ignore": LOADING}], [(5, 5), (20, 9), (190, 9)],
     ["condition_breached@190"]),
    (
        # loading ends at 12:10 + 3 h; the probe has an hour from then on
        "after loading a value is waited for",
        [LIMIT | {"ignore": LOADING}],
        [(5, 5), (20, 5), (400, 5)],
        ["condition_unknown@250", "condition_known_again@400"],
    ),
    (
        "a breach that loading interrupts",
        [LIMIT | {"ignore": [{"from": "2026-01-01T12:10:00Z", "until": "2026-01-01T12:40:00Z"}]}],
        [(0, 9), (20, 9), (41, 9)],
        ["condition_breached@0", "condition_restored@20", "condition_breached@41"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "limits", "values", "found"), CONDITIONS, ids=[row[0] for row in CONDITIONS])
def test_condition(name: str, limits: list[dict[str, Any]], values: list[tuple[int, float]], found: list[str]) -> None:
    events = fold([(NOON_MS + minute * MINUTE_MS, degrees(value)) for minute, value in values], limits=limits)
    facts = ("limit",) if len(limits) > 1 else ()
    assert story(events, *facts) == found


def test_unknown_time_is_between_nothing_and_all() -> None:
    """An hour after the second value nobody knows any more, for half an hour."""
    values = [(0, 9), (30, 9), (120, 9), (150, 9)]
    limit = LIMIT | {"grace_s": 10**6, "cumulative_s": 6_000}
    (breach,) = (
        one
        for one in fold([(NOON_MS + minute * MINUTE_MS, degrees(value)) for minute, value in values], limits=[limit])
        if one.type is EventType.CONDITION_BREACHED
    )
    assert breach.at_ms == NOON_MS + 130 * MINUTE_MS
    assert (breach.fact("outside_ms"), breach.fact("outside_ms_at_most")) == (100 * MINUTE_MS, 130 * MINUTE_MS)


def test_a_limit_holds_in_its_leg_only() -> None:
    legs = [
        {"id": "road", "kind": "road", "from": "2026-01-01T12:00:00Z", "until": "2026-01-01T13:00:00Z"},
        {"id": "sea", "kind": "sea", "from": "2026-01-01T13:00:00Z", "until": "2026-01-01T15:00:00Z"},
    ]
    voyages = [{"id": "voyage", "asset": "asset-container-1", "legs": legs}]
    values = [(NOON_MS + minute * MINUTE_MS, degrees(9)) for minute in range(0, 180, 10)]
    events = fold(values, limits=[LIMIT | {"legs": ["sea"]}], voyages=voyages)
    assert story(events) == ["condition_breached@60"]
    # A probe that has said nothing since the road is unknown at sea an hour after that begins, if it lasts so long.
    for until, found in (("13:50", []), ("15:00", ["condition_unknown@120"])):
        legs[1]["until"] = f"2026-01-01T{until}:00Z"
        readings = [values[0], (NOON_MS + 300 * MINUTE_MS, fix(0, 0))]
        assert story(fold(readings, limits=[LIMIT | {"legs": ["sea"]}], voyages=voyages)) == found


SEA, PORT, DARK = (40.0, 170.0), (33.7, -118.27), "2026-01-01T"
SILENCES: list[tuple[str, dict[str, Any], list[int], list[str]]] = [
    # what, plan, minutes of readings, what is found
    ("heard in time", {}, [0, 60, 120], []),
    ("overdue, then silent, then back", {}, [0, 200], ["source_overdue@60", "source_silent@120", "back@200"]),
    ("overdue only", {}, [0, 100], ["source_overdue@60", "back@100"]),
    ("dark is normal at sea", {"dark": ("12:30", "18:00")}, [0, 20, 370], []),
    ("after the dark the waiting starts anew", {"dark": ("12:30", "18:00")}, [0, 20, 430],
     ["source_overdue@420", "back@430"]),
    ("silent before the dark began", {"dark": ("15:00", "18:00")}, [0, 400],
     ["source_overdue@60", "source_silent@120", "back@400"]),
    ("late when the dark began", {"dark": ("13:30", "18:00")}, [0, 400], ["source_overdue@60", "back@400"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "plan", "minutes", "found"), SILENCES, ids=[row[0] for row in SILENCES])
def test_silence_by_the_voyage_plan(name: str, plan: dict[str, Any], minutes: list[int], found: list[str]) -> None:
    installation = book_document(Device())["installations"][0] | {"overdue_after_s": 3_600, "silent_after_s": 7_200}
    voyages = []
    if plan:
        since, until = plan["dark"]
        leg = {
            "id": "sea",
            "kind": "sea",
            "signal": "dark",
            "from": f"{DARK}{since}:00Z",
            "until": f"{DARK}{until}:00Z",
        }
        voyages = [{"id": "voyage", "asset": "asset-container-1", "legs": [leg]}]
    readings = [(NOON_MS + minute * MINUTE_MS, degrees(5)) for minute in minutes]
    events = fold(readings, installations=[installation], voyages=voyages)
    words = {"source_fell_silent": "source_silent", "source_reported_again": "back"}
    assert [f"{words.get(one.type, one.type)}@{(one.at_ms - NOON_MS) / MINUTE_MS:g}" for one in events] == found


def test_a_probe_that_dies_under_a_living_device_is_missed() -> None:
    sensors = [{"channel": "temperature_mc", "silent_after_s": 3_600}]
    installation = book_document(Device())["installations"][0] | {"silent_after_s": 7_200, "sensors": sensors}
    gone = (Cell(Channel.TEMPERATURE_MC, 0, Quality.SENSOR_GONE),)
    readings = [(NOON_MS + minute * MINUTE_MS, degrees(5) if minute < 60 else gone) for minute in range(0, 240, 30)]
    events = fold(readings, installations=[installation])
    assert story(events, "channel", "doubt") == [
        "evidence_doubted@60 temperature_mc sensor_gone",
        "source_fell_silent@90 temperature_mc",
    ]


def series(values: list[tuple[int, float]], limit: dict[str, Any]) -> list[Event]:
    """Events of a temperature series of (Unix ms, °C)."""
    return fold([(at_ms, degrees(value)) for at_ms, value in values], limits=[limit])


@needs("temp-nab")
def test_the_failures_of_a_real_machine_are_found() -> None:
    """`make bench ARGS="--only condition"` reports the figures."""
    found = machine()
    precision, recall = found.precision(found.breaches), found.recall(found.breaches)
    assert precision is not None
    assert recall is not None
    assert precision >= 0.9, found
    assert recall >= 0.5, found
    plain = found.precision(found.plain)
    assert plain is not None
    assert plain < precision


@needs("temp-wsn-labeled")
@pytest.mark.parametrize("name", MOTES)
def test_steam_at_a_real_sensor_is_found(name: str) -> None:
    """Told of where there was steam, and nowhere else."""
    found = mote(name)
    assert found.recall(found.breaches) in (1, None)
    assert found.precision(found.breaches) in (1, None)
    assert bool(found.breaches) == bool(found.labelled)


@needs("temp-occupancy")
def test_a_calm_office_breaches_nothing() -> None:
    with (DATA / "temp-occupancy" / "datatest.txt").open() as file:
        rows = list(csv.reader(file))[1:]
    readings = [
        (
            clock(row[1]),
            (
                Cell(Channel.TEMPERATURE_MC, round(float(row[2]) * 1_000)),
                Cell(Channel.HUMIDITY_CPERCENT, round(float(row[3]) * 100)),
            ),
        )
        for row in rows
    ]
    limits = [
        {"channel": "temperature_mc", "low": 15_000, "high": 26_000, "grace_s": 600},
        {"channel": "humidity_cpercent", "low": 1_000, "high": 6_000, "grace_s": 600},
    ]
    assert fold(readings, limits=limits) == []


DOUBTS: list[tuple[str, list[tuple[float, tuple[Cell, ...]]], list[str]]] = [
    (
        "28 km in 82 seconds at berth are no voyage",
        [(0, fix(33.7, -118.27)), (82 / 60, fix(33.95, -118.27)), (3, fix(33.7, -118.27))],
        ["evidence_doubted@1.36667 impossible_speed", "evidence_restored@3 impossible_speed"],
    ),
    ("28 km in an hour are one", [(0, fix(33.7, -118.27)), (60, fix(33.95, -118.27))], []),
    (
        "a jump and back",
        [(0, fix(33.7, -118.27)), (1, fix(33.95, -118.27)), (2, fix(33.7, -118.27))],
        ["evidence_doubted@1 impossible_speed", "evidence_restored@2 impossible_speed"],
    ),
    (
        "a jump that stays is believed the third time, after ten minutes",
        [(0, fix(33.7, -118.27)), *[(minute, fix(34.7, -118.27)) for minute in (1, 6, 11, 12)]],
        ["evidence_doubted@1 impossible_speed", "fence_left@11", "evidence_restored@11 impossible_speed"],
    ),
    (
        "but not within seconds, however often it is said",
        [(0, fix(33.7, -118.27)), *[(1 + second / 60, fix(34.7, -118.27)) for second in range(599)]],
        ["evidence_doubted@1 impossible_speed"],
    ),
    (
        "a jump over the date line is none",
        [(0, fix(10, 179.9999)), (1, fix(10, -179.9999))],
        [],
    ),
    (
        "a place from two satellites, and one with a dilution of 21",
        [
            (0, fix(33.7, -118.27)),
            (1, (*fix(33.7, -118.27), Cell(Channel.SATELLITES, 2))),
            (2, (*fix(33.7, -118.27), Cell(Channel.SATELLITES, 3))),
            (3, fix(33.7, -118.27, hdop=20.01)),
            (4, fix(33.7, -118.27, hdop=20)),
        ],
        [
            "evidence_doubted@1 few_satellites",
            "evidence_restored@2 few_satellites",
            "evidence_doubted@3 high_hdop",
            "evidence_restored@4 high_hdop",
        ],
    ),
    (
        "spoofed and jammed are told of",
        [
            (0, doubted(fix(33.7, -118.27), Quality.SPOOFED)),
            (1, doubted(fix(33.7, -118.27), Quality.JAMMED)),
            (2, fix(33.7, -118.27)),
        ],
        [
            "evidence_doubted@0 spoofed",
            "evidence_restored@1 spoofed",
            "evidence_doubted@1 jammed",
            "evidence_restored@2 jammed",
        ],
    ),
    (
        "a humidity above all, and a speed that nothing has",
        [(0, (Cell(Channel.HUMIDITY_CPERCENT, 10_001),)), (1, (Cell(Channel.SPEED_MMPS, 400_001),))],
        ["evidence_doubted@0 out_of_range", "evidence_doubted@1 out_of_range"],
    ),
    (
        "frozen while it moves",
        [(minute, fix(33.7, -118.27, speed_mmps=9_000)) for minute in range(4)],
        ["evidence_doubted@2 frozen_position"],
    ),
    ("at rest is not frozen", [(minute, fix(33.7, -118.27, speed_mmps=0)) for minute in range(9)], []),
    (
        "85 °C out of nowhere, and what no probe can measure",
        [(0, degrees(5)), (1, degrees(85)), (2, degrees(-127)), (3, degrees(5))],
        [
            "evidence_doubted@1 power_on_value",
            "evidence_restored@2 power_on_value",
            "evidence_doubted@2 out_of_range",
            "evidence_restored@3 out_of_range",
        ],
    ),
    ("85 °C after 80 °C is 85 °C", [(0, degrees(80)), (1, degrees(85)), (2, degrees(86))], []),
    ("and stays it", [(0, degrees(84.9)), *[(minute, degrees(85)) for minute in (1, 2, 3)], (4, degrees(20))], []),
    (
        "three outliers that do not agree with each other",
        [(0, fix(33.7, -118.27)), *[(minute, fix(33.7 + minute, -118.27)) for minute in (1, 2, 3, 4)]],
        ["evidence_doubted@1 impossible_speed"],
    ),
    (
        "what is weak can be told of, each kind by its name",
        [
            (0, (*fix(33.7, -118.27), *degrees(5))),
            (1, doubted(fix(0, 0), Quality.NO_FIX)),
            (2, doubted(fix(33.7, -118.27), Quality.FEW_SATELLITES)),
            (3, doubted(fix(33.7, -118.27), Quality.HIGH_HDOP)),
            (4, doubted(degrees(0), Quality.CHECKSUM_FAILED)),
            (5, (*fix(33.7, -118.27), *degrees(5))),
        ],
        [
            *("evidence_doubted@1 no_fix", "evidence_restored@2 no_fix"),
            *("evidence_doubted@2 few_satellites", "evidence_restored@3 few_satellites"),
            *("evidence_doubted@3 high_hdop", "evidence_restored@5 high_hdop"),
            *("evidence_doubted@4 checksum_failed", "evidence_restored@5 checksum_failed"),
        ],
    ),
]


@pytest.mark.parametrize(("name", "readings", "found"), DOUBTS, ids=[row[0] for row in DOUBTS])
def test_what_a_reading_is_worth(name: str, readings: list[tuple[float, tuple[Cell, ...]]], found: list[str]) -> None:
    fences = [box("harbour", -118.8, 33.2, -117.8, 34.2)]
    events = fold(
        [(NOON_MS + round(minute * MINUTE_MS), cells) for minute, cells in readings],
        fences=fences,
        asset={"kind": "container"},
    )
    assert sorted(story(events, "doubt")) == sorted(found)


@pytest.mark.parametrize("calibrated_until", [None, "2025-12-31T00:00:00Z"])
def test_a_calibration_is_about_sensors_and_not_about_the_receiver(calibrated_until: str | None) -> None:
    """An expired one weakens temperatures; an HDOP still widens the circle, a speed still shows a frozen place."""
    installation = {} if calibrated_until is None else {"calibrated_until": calibrated_until}
    fences = [box("harbour", -10, -10, 0, 10, accuracy_aware=True)]
    near_the_edge = fix(0, -20 / 111_320, hdop=10)
    crossing = [(NOON_MS, (*fix(0, 1), *degrees(5))), (NOON_MS + MINUTE_MS, near_the_edge)]
    crossed = [one for one in fold(crossing, fences=fences, installation=installation) if one.type.startswith("fence")]
    assert crossed == []
    frozen = [(NOON_MS + minute * MINUTE_MS, (*fix(1, 1, speed_mmps=9_000), *degrees(5))) for minute in range(3)]
    doubts = [one.fact("doubt") for one in fold(frozen, installation=installation)]
    assert doubts == [*(["calibration_expired"] if calibrated_until else []), "frozen_position"]


def test_a_sequence_that_goes_back_while_time_goes_on_is_told_of() -> None:
    device = Device()
    spine = Spine(store := MemoryStore(), ManualClock(NOON_MS + 60 * MINUTE_MS))
    spine.commit(drafts.amend, book_document(device) | {"milestones": []})
    told = [device.measure(NOON_MS + minute * MINUTE_MS, *degrees(5)) for minute in (0, 20, 10, 30)]
    spine.take([device.arrival(told)])
    events = [one.event for one in store.standing("asset-container-1", 10**9)]
    assert "evidence_doubted@20 clock_backwards" in story(events, "doubt")


def test_a_reading_dated_ahead_is_doubted_however_often_its_device_speaks() -> None:
    device = Device()
    spine = Spine(store := MemoryStore(), ManualClock(NOON_MS + 60 * MINUTE_MS))
    spine.commit(drafts.amend, book_document(device) | {"milestones": []})
    second_ms = 5_000
    moments = [NOON_MS + number * second_ms for number in range(60)]
    moments[2] = NOON_MS + 2_500 + (3 + SHUFFLED_READINGS) * second_ms  # its clock ran ahead by a little over a minute
    moments[20] = NOON_MS + 2_500 + (20 + SHUFFLED_READINGS) * second_ms  # and a little less
    spine.take([device.arrival([device.measure(at_ms, *degrees(5)) for at_ms in moments])])
    doubted = [one.event for one in store.standing("asset-container-1", 10**9)]
    began = [one.at_ms for one in doubted if one.type is EventType.EVIDENCE_DOUBTED]
    assert began == [moments[2]]


@pytest.mark.parametrize(("apart_ms", "is_doubted"), [(400, False), (SHUFFLED_MS, False), (SHUFFLED_MS + 1, True)])
def test_numbers_shuffled_within_a_cycle_of_the_receiver_are_no_doubt(apart_ms: int, is_doubted: bool) -> None:
    """A fix is heard after its moment: what a probe has said meanwhile has the lower number and the later time."""
    device = Device()
    spine = Spine(store := MemoryStore(), ManualClock(NOON_MS + 60 * MINUTE_MS))
    spine.commit(drafts.amend, book_document(device) | {"milestones": []})
    for minute in range(15):
        probe = device.measure(NOON_MS + minute * MINUTE_MS + apart_ms, *degrees(9 if minute else 5))
        late = device.measure(NOON_MS + minute * MINUTE_MS, *fix(33.7, -118.27))
        spine.take([device.arrival([probe, late])])
    story_of = [one.event.type.value for one in store.standing("asset-container-1", 10**9)]
    assert ("evidence_doubted" in story_of) is is_doubted
    assert ("condition_breached" in story_of) is not is_doubted


EXTREMES = [
    (Channel.DOOR_OPEN, 0, 0, 0, 1),
    (Channel.LIGHT_MLX, 0, 50_000, 10_000, 60_000),
    (Channel.SHOCK_MG, 0, 3_000, 100, 8_000),
    (Channel.HUMIDITY_CPERCENT, 3_000, 7_000, 5_000, 2_000),
]


@pytest.mark.parametrize(("channel", "low", "high", "fine", "bad"), EXTREMES)
def test_every_channel_of_the_goods_can_be_limited(channel: Channel, low: int, high: int, fine: int, bad: int) -> None:
    limit = {"channel": channel.name.lower(), "low": low, "high": high}
    values = [
        (NOON_MS + minute * MINUTE_MS, (Cell(channel, value),)) for minute, value in ((0, fine), (1, bad), (2, fine))
    ]
    assert story(fold(values, limits=[limit])) == ["condition_breached@1", "condition_restored@2"]


def test_what_too_cold_uses_up_of_a_budget() -> None:
    """Four degrees too cold: 100 degree-minutes in 25."""
    limit = LIMIT | {"grace_s": 10**6, "budget": 100_000}
    values = [(NOON_MS + minute * MINUTE_MS, degrees(-2)) for minute in (0, 20, 40)]
    assert story(fold(values, limits=[limit])) == ["condition_breached@25"]


def test_a_first_value_is_waited_for_from_the_beginning() -> None:
    """Of a unit that was fitted, or has said something else, no value for longer than a gap may be is unknown time."""
    silent_of_it = [(NOON_MS, fix(0, 0)), (NOON_MS + 90 * MINUTE_MS, degrees(5))]
    found = ["condition_unknown@60", "condition_known_again@90"]
    assert story(fold(silent_of_it, limits=[LIMIT])) == found
    fitted = {"fitted_at": "2026-01-01T11:00:00Z"}
    assert story(fold(silent_of_it[1:], limits=[LIMIT], installation=fitted)) == ["condition_unknown@0", found[1]]
    assert story(fold(silent_of_it[1:], limits=[LIMIT])) == [], "nobody knows of anything before"


def test_a_value_that_never_moves_is_doubted() -> None:
    limit = LIMIT | {"stuck_after_s": 3_600}
    events = fold([(NOON_MS + minute * MINUTE_MS, degrees(5)) for minute in range(0, 90, 10)], limits=[limit])
    assert "evidence_doubted@70 stuck_value" in story(events, "doubt")


WINDOW = {"active": [{"from": "2026-01-01T12:02:00Z", "until": "2026-01-01T12:04:00Z"}]}
RULED: list[tuple[dict[str, Any], list[int], list[str]]] = [
    # rules of the fence, fixes east of its edge in metres minute by minute, what is found
    ({}, [-500, 500, -500], ["fence_left@1", "fence_entered@2"]),
    ({"margin_m": 600}, [-500, 500, 700, -500], ["fence_left@2", "fence_entered@3"]),
    ({"enter_margin_m": 600}, [500, -500, -700], ["fence_entered@2"]),
    ({"dwell_s": 120}, [500, -500, -500, -500, 500], ["fence_entered@3", "fence_left@4"]),
    ({"dwell_s": 120}, [500, -500, -500, 500, -500], []),
    ({"leave_after_s": 60}, [-500, 500, -500, 500, 500], ["fence_left@4"]),
    (WINDOW, [500, -500, -500, 500, -500], ["fence_left@3"]),
    ({"grade": "good"}, [-500, 500, 500], ["fence_left@1"]),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "metres", "found"), RULED)
def test_how_a_fence_is_crossed(rules: dict[str, Any], metres: list[int], found: list[str]) -> None:
    fence = box("west", -10, -10, 0, 10, **rules)
    track = [(NOON_MS + minute * MINUTE_MS, fix(0, east / 111_320)) for minute, east in enumerate(metres)]
    assert story(fold(track, fences=[fence])) == found


@pytest.mark.parametrize(
    ("again", "rules", "track", "found"),
    [
        ("12:06", {}, [(2, -500), (3, -500), (8, 500), (9, -500)], ["fence_entered@9"]),
        ("12:06", {"dwell_s": 120}, [(2, 500), (3, -500), (8, -500), (9, -500), (12, 500)], ["fence_left@12"]),
        ("12:04", {}, [(2, -500), (3, -500), (8, 500)], ["fence_left@8"]),
        ("12:04", {"dwell_s": 120}, [(2, 500), (3, -500), (8, -500)], ["fence_entered@8"]),
    ],
)
def test_a_fence_that_was_closed_in_between_begins_anew(
    again: str, rules: dict[str, Any], track: list[tuple[int, int]], found: list[str]
) -> None:
    """Open from 12:02 to 12:04, and from `again` on; no fix falls into the time between, if there is any."""
    fence = box("west", -10, -10, 0, 10, **rules)
    later = {"from": f"2026-01-01T{again}:00Z", "until": "2026-01-01T13:00:00Z"}
    fence["properties"] |= {"active": [*WINDOW["active"], later]}
    fixes = [(NOON_MS + minute * MINUTE_MS, fix(0, east / 111_320)) for minute, east in track]
    assert story(fold(fixes, fences=[fence])) == found


def test_a_fix_that_straddles_the_edge_changes_nothing() -> None:
    """HDOP 20 is an accuracy of 100 m: a first fix 50 m inside tells nothing, and one 50 m outside neither."""
    fence = box("west", -10, -10, 0, 10)
    blurred = [
        (NOON_MS + n * MINUTE_MS, fix(0, east / 111_320, hdop=20)) for n, east in enumerate([-50, 50, 500, -50, 50])
    ]
    assert story(fold(blurred, fences=[fence])) == []
    unaware = [feature("west", "Polygon", fence["geometry"]["coordinates"], accuracy_aware=0)]
    assert story(fold(blurred, fences=unaware)) == ["fence_left@1", "fence_entered@3", "fence_left@4"]


def test_a_fair_fix_enters_only_where_the_fence_takes_it_and_a_good_one_confirms() -> None:
    few = tuple(one._replace(quality=Quality.FEW_SATELLITES) for one in fix(0, -1))
    track = [(NOON_MS, fix(0, 1)), (NOON_MS + MINUTE_MS, few), (NOON_MS + 2 * MINUTE_MS, fix(0, -1))]
    fences = [box("good", -10, -10, 0, 10), box("fair", -10, -10, 0, 10, grade="fair")]
    events = [one for one in fold(track, fences=fences) if one.type.startswith("fence")]
    assert story(events, "fence", "grade") == [
        "fence_entered@1 fair fair",
        "fence_confirmed@2 fair good",
        "fence_entered@2 good good",
    ]
