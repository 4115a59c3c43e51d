"""Local rules as tables, and switches that are kept as the rules want them."""

import asyncio
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from edge_support import until
from heard import row

from pledgewatch_edge.clock import AgentClock
from pledgewatch_gateway.roster import Roster
from pledgewatch_gateway.rules import Fact, RuleSettings, Standing, When, judge, wanted
from pledgewatch_gateway.site import Site
from pledgewatch_gateway.sources import Value
from pledgewatch_gateway.switches import OutputSettings, Watch, time_zone_of


def rule(when: str, value: int | None = None, **changes: Any) -> RuleSettings:
    told = {"name": "one", "zone": "Cold room", "channel": "temperature_mc", "outputs": ("siren",), **changes}
    return RuleSettings(when=When(when), value=value, **told)


# A second, the value that is known then (None: gone, "": nothing was ever heard), and whether the rule is active.
Row = tuple[int, int | str | None, bool | None]
TABLES: list[tuple[str, RuleSettings, list[Row]]] = [
    ("above", rule("above", -15_000), [(0, "", None), (1, -15_000, False), (2, -14_999, True), (3, -15_000, False)]),
    ("below", rule("below", 2_000), [(0, 2_000, False), (1, 1_999, True)]),
    ("is", rule("is", 1, channel="door_open"), [(0, 0, False), (1, 1, True), (2, 0, False)]),
    (
        "held for a while",
        rule("above", 5, for_s=60),
        [(0, 5, False), (1, 6, False), (60, 9, False), (61, 6, True), (62, 5, False), (63, 6, False), (123, 6, True)],
    ),
    (
        "at a start nobody knows for how long it has held",
        rule("above", 5, for_s=60),
        [(0, 6, None), (59, 9, None), (60, 6, True), (61, 5, False)],
    ),
    (
        "at a start that it holds no longer is known once it is so",
        rule("above", 5, for_s=60),
        [(0, 6, None), (59, 9, None), (60, None, None), (61, 5, False), (62, 6, False)],
    ),
    (
        "at a start it may have ended a moment ago, and be kept on",
        rule("above", 5, for_s=60, hold_s=30),
        [(0, 5, None), (29, 5, None), (30, 5, False), (31, 6, False)],
    ),
    (
        "at a start it held, not long enough to know, and is kept on from its end",
        rule("above", 5, for_s=60, hold_s=30),
        [(0, 6, None), (40, 6, None), (41, 5, None), (69, 5, None), (70, 5, False)],
    ),
    (
        "kept on",
        rule("above", 5, hold_s=30),
        [(0, 6, True), (10, 6, True), (11, 5, True), (39, 5, True), (40, 5, False)],
    ),
    (
        "a sensor that is gone ends nothing and begins nothing",
        rule("above", 5),
        [(0, None, None), (1, 6, True), (2, None, True), (900, None, True), (901, 5, False), (902, None, False)],
    ),
    (
        "missing",
        rule("missing", for_s=60),
        [
            (0, "", None),
            (59, "", None),
            (60, "", True),
            (61, 4, False),
            (120, None, False),
            (121, None, True),
            (130, 4, False),
        ],
    ),
]


@pytest.mark.parametrize(("one", "table"), [entry[1:] for entry in TABLES], ids=[entry[0] for entry in TABLES])
def test_a_rule(one: RuleSettings, table: list[Row]) -> None:
    standing, valued_ms = Standing(), None
    for second, told, active in table:
        if isinstance(told, int):
            valued_ms = second * 1_000
        fact = None if told == "" else Fact(told if isinstance(told, int) else None, valued_ms)
        standing = judge(one, standing, fact, second * 1_000, 0, 0)
        assert standing.is_active is active, (second, told)


@pytest.mark.parametrize(
    ("hours", "minute", "active"),
    [
        ("18:00-06:00", 18 * 60, True),
        ("18:00-06:00", 17 * 60 + 59, False),
        ("18:00-06:00", 5 * 60 + 59, True),
        ("18:00-06:00", 6 * 60, False),
        ("08:30-17:00", 8 * 60 + 30, True),
        ("08:30-17:00", 17 * 60, False),
        ("08:30-17:00", None, True),  # no clock to believe: always its hours
        ("", 0, True),
    ],
)
def test_hours(hours: str, minute: int | None, active: bool) -> None:
    one = rule("is", 1, channel="door_open", hours=hours)
    assert judge(one, Standing(), Fact(1, 0), 0, minute, 0).is_active is active


def test_a_rule_that_is_active_ends_with_its_hours() -> None:
    one = rule("is", 1, channel="door_open", hours="18:00-06:00")
    during = judge(one, Standing(), Fact(1, 0), 0, 18 * 60, 0)
    assert (during.is_active, judge(one, during, None, 1, 6 * 60, 0).is_active) == (True, False)


@pytest.mark.parametrize(
    ("active", "expected"),
    [((True, None), True), ((False, True), True), ((False, None), None), ((False, False), False), ((None, None), None)],
)
def test_an_output_is_wanted_off_only_where_all_is_known(
    active: tuple[bool | None, bool | None],
    expected: bool | None,
) -> None:
    rules = [rule("above", 1, name="a"), rule("above", 1, name="b"), rule("above", 1, name="c", outputs=("other",))]
    standings = {name: Standing(one) for name, one in zip("abc", (*active, True), strict=True)}
    assert wanted(["siren", "idle"], rules, standings) == {"siren": expected, "idle": None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"value": None}, "value goes with when = above, below and is"),
        ({"when": When.MISSING}, "value goes with"),
        ({"when": When.MISSING, "value": None}, "for_s 0.0 is out of range; use 1 to 86400"),
        ({"outputs": ()}, "outputs is empty"),
        ({"channel": "warmth"}, "channel 'warmth' is none"),
        ({"hours": "18-6"}, "hours '18-6' are none"),
        ({"hours": "18:00-24:00"}, "are none"),
        ({"hours": "18:00-18:00"}, "are none"),
        ({"hours": "18:60-19:00"}, "are none"),
        ({"name": " "}, "name is empty"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    told: dict[str, Any] = {"name": "one", "zone": "Cold room", "channel": "door_open", "outputs": ("siren",)}
    with pytest.raises(ValueError, match=words):
        RuleSettings(**(told | {"when": When.IS, "value": 1} | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "one of topic, coil and register"),
        ({"topic": "a", "coil": 1}, "one of topic, coil and register"),
        ({"topic": "cmnd/+/POWER"}, "one without"),
        ({"coil": 65_536}, "coil 65536 is out of range"),
        ({"register": 1, "on_value": -1}, "on_value -1 is out of range"),
    ],
)
def test_an_output_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OutputSettings(name="siren", source="hall", **changes)


def test_a_time_zone_is_known_or_refused() -> None:
    assert time_zone_of("UTC") is dt.UTC
    for name in ("Atlantis/Center", "../etc", ""):
        with pytest.raises(ValueError, match="time_zone"):
            time_zone_of(name)


class Relay:
    """A switch that keeps what it was told, and may fail."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.is_broken = False

    async def set(self, *, is_on: bool) -> None:
        if self.is_broken:
            raise OSError("no power")
        self.told.append(is_on)


async def test_a_start_silences_no_siren_of_a_condition_that_holds_already() -> None:
    site = Site(Roster([row("temperature_mc", unit="C")]), ["Cold room"], AgentClock(is_synchronised=lambda: True))
    relay = Relay()
    warm = rule("above", -15_000, for_s=300.0)
    watch = Watch(site, [warm], {"siren": (relay, 60.0)}, dt.UTC)
    running = asyncio.create_task(watch.run())
    try:
        site.hear("hall", [Value("probe", "x", Decimal(5))])
        await until(lambda: watch.standings["one"].since_ms is not None, "the rule to be judged")
        await asyncio.sleep(0.2)
        assert (relay.told, watch.wanted) == ([], {"siren": None})
        site.hear("hall", [Value("probe", "x", Decimal(-18))])
        await until(lambda: relay.told == [False], "the siren to be silenced by what is known")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_door_that_opens_and_closes_before_anybody_looks_sounds_the_siren() -> None:
    site = Site(Roster([row("door_open")]), ["Cold room"], AgentClock(is_synchronised=lambda: True))
    relay = Relay()
    night = rule("is", 1, channel="door_open", hold_s=0.5)
    watch = Watch(site, [night], {"siren": (relay, 60.0)}, dt.UTC)
    site.hear("hall", [Value("probe", "x", value=False)])
    running = asyncio.create_task(watch.run())
    try:
        await until(lambda: relay.told == [False], "the siren to be silent")
        site.hear("hall", [Value("probe", "x", value=True)])
        site.hear("hall", [Value("probe", "x", value=False)])
        assert watch.wanted == {"siren": True}
        await until(lambda: relay.told == [False, True, False], "the siren, and its end")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_switch_that_failed_is_not_known_to_be_set() -> None:
    site = Site(Roster([row("door_open")]), ["Cold room"], AgentClock(is_synchronised=lambda: True))
    relay = Relay()
    watch = Watch(site, [rule("is", 1, channel="door_open")], {"siren": (relay, 1.0)}, dt.UTC)
    running = asyncio.create_task(watch.run())
    try:
        site.hear("hall", [Value("probe", "x", value=True)])
        await until(lambda: watch.is_set == {"siren": True}, "the siren")
        relay.is_broken = True
        await until(lambda: watch.is_set == {"siren": None}, "the word that it is not known")
        assert (watch.wanted, relay.told) == ({"siren": True}, [True])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_switch_is_brought_to_what_is_wanted_and_told_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = AgentClock(is_synchronised=lambda: True)
    site = Site(Roster([row("door_open")]), ["Cold room"], clock)
    relay = Relay()
    watch = Watch(site, [rule("is", 1, channel="door_open")], {"siren": (relay, 1.5)}, dt.UTC)
    running = asyncio.create_task(watch.run())
    try:
        await asyncio.sleep(0.2)
        assert relay.told == []  # nothing is known, and nothing is silenced
        relay.is_broken = True
        site.hear("hall", [Value("probe", "x", value=True)])
        await until(lambda: "switch siren lost reason='no power'" in caplog.text, "the word that it does not answer")
        assert watch.is_set == {"siren": None}
        relay.is_broken = False
        await until(lambda: relay.told == [True], "the siren")
        await until(lambda: relay.told == [True, True], "the siren to be told again")
        site.hear("hall", [Value("probe", "x", value=False)])
        await until(lambda: relay.told[-1] is False, "silence", 1.0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert watch.is_set == {"siren": False}
    assert [line for line in caplog.messages if line.startswith("rule")] == [
        "rule 'one' is active",
        "rule 'one' is over",
    ]
