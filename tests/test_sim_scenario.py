"""Scenarios: files read strictly, a world that follows from them, and stories played with the real programs."""

import asyncio
import contextlib
import json
import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomlkit

from pledgewatch_cloud.book_file import read_book_file
from pledgewatch_cloud.decide import book
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_edge.agent import load as load_agent
from pledgewatch_edge.identity import load_or_create_key, public_key_hex
from pledgewatch_sim.__main__ import main
from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.scenario import files, script
from pledgewatch_sim.scenario.account import Counts, Fix, Told, account
from pledgewatch_sim.scenario.events import EventName
from pledgewatch_sim.scenario.files import Ports
from pledgewatch_sim.scenario.link import Link
from pledgewatch_sim.scenario.program import play
from pledgewatch_sim.scenario.script import Act, Expect, Kind, Scenario
from pledgewatch_sim.scenario.world import World
from pledgewatch_wire.settings import SettingsError

ROOT = Path(__file__).resolve().parent.parent
GOOD = """about = "a test"
begins = "2026-03-01T06:00:00Z"
lasts_s = 3600
speed = 60
[place]
longitude = -118.26
latitude = 33.73
"""


def written(folder: Path, text: str) -> str:
    file = folder / "story.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def of(*acts: Act, **changes: Any) -> World:
    story = {"about": "x", "begins": "2026-03-01T06:00:00Z", "lasts_s": 10_000.0, "speed": 1.0, "acts": acts, **changes}
    return World(Scenario(place=script.Place(longitude=0.0, latitude=0.0), **story))


def test_those_that_come_with_the_program_can_be_read_and_expect_what_the_cloud_can_say() -> None:
    assert {"cold-chain-breach", "theft", "spoofed-jump", "dark-ocean-leg", "thirty-days-without-broker"} <= set(
        script.names()
    )
    assert {"clock-at-1970", "card-full", "receiver-unplugged", "flapping-link"} <= set(script.names())
    check = jsonschema.Draft202012Validator(script.schema())
    for name in script.names():
        story = script.read(name)
        assert {*story.expect.events, *story.expect.never} <= set(EventType)
        text = (ROOT / "firmware-sim/pledgewatch_sim/scenario/stories" / f"{name}.toml").read_text(encoding="utf-8")
        assert not list(check.iter_errors(tomllib.loads(text)))


def test_the_schema_in_docs_is_this_one() -> None:
    """Where it differs: write `schema()` to docs/scenario.schema.json as JSON again."""
    jsonschema.Draft202012Validator.check_schema(script.schema())
    assert json.loads((ROOT / script.SCHEMA_FILE).read_text(encoding="utf-8")) == script.schema()


@pytest.mark.parametrize(
    ("text", "said", "is_seen_by_the_schema"),
    [
        (GOOD + "[goods]\nlow = 2", "is no key of this program", True),
        (GOOD.replace("lasts_s = 3600\n", ""), r"\[lasts_s\] is missing", True),
        (GOOD.replace("speed = 60", 'speed = "fast"'), "must be a number", True),
        (GOOD + '[[acts]]\nat_s = 1\nkind = "rain"', "must be one of temperature, light", True),
        (GOOD + '[expect]\nbreached_outside = ["light_present"]', "write bears_light = false in", False),
        (GOOD + '[expect]\nbreached_outside = ["door_open"]', "must be one of temperature_mc, light_present", True),
        (GOOD + '[[acts]]\nat_s = 1\nkind = "door"', "door needs is_on", False),
        (GOOD + '[[acts]]\nat_s = 1\nkind = "door"\nis_on = true\nto_c = 2.0', "door has no to_c; take it out", False),
        (
            GOOD + '[[acts]]\nat_s = 3000\nkind = "temperature"\nto_c = 2.0\nover_s = 601',
            "after the story's end",
            False,
        ),
        (GOOD.replace("= 3600", "= 4"), r"lasts_s 4 is less than fix_every_s 10 of \[fitted\]", False),
        (GOOD + "[expect]\nstood_outside_s = 0.5", "stood_outside_s 0.5 is out of range; use 1 to", True),
        (GOOD + "[expect]\nstood_outside_s = 3601", "s 3601 of .expect. is more than lasts_s 3600", False),
        (GOOD + "[fitted]\nfix_every_s = 3601", "lasts_s 3600 is less than fix_every_s 3601", False),
        (GOOD + '[[acts]]\nat_s = 1\nkind = "link"\nis_on = false', "link is off at the end", False),
        (GOOD + '[expect]\nevents = ["fence_left"]\nnever = ["fence_left"]', "both expected and never", False),
        (
            GOOD + '[expect]\nnever = ["condition_breeched"]',
            r"never\[0\] is 'condition_breeched'; it must be one",
            True,
        ),
        (GOOD.replace("2026-03-01T06:00:00Z", "2026-03-01"), "must say its zone", True),
        (GOOD.replace("2026-03-01T06:00:00Z", "soon"), "is no moment", True),
        (GOOD.replace("2026-03-01T06:00:00Z", "9999-12-31T23:00:00-05:00"), "begins '9999.*; write it as", True),
        (GOOD.replace("2026-03-01T06:00:00Z", "2025-12-31T23:00:00Z"), "begins '2025.*; write it as", True),
        (GOOD.replace("2026-03-01T06:00:00Z", "2026-01-01T01:00:00+02:00"), "begins .* in UTC; move it", False),
        (GOOD.replace("2026-03-01T06:00:00Z", "2026-02-30T06:00:00Z"), "is no moment", False),
        (GOOD.replace("latitude = 33.73", "latitude = 99.0"), "latitude 99 is out of range", True),
        (GOOD.replace("-118.26", "179.0") + "zone_deg = 2", "zone_deg 2 puts the zone across longitude 180", False),
        (GOOD + "[goods]\nlow_c = 8.0\nhigh_c = 2.0", "is not below high_c", False),
        (GOOD + "[goods]\nlow_c = 2.0001\nhigh_c = 2.0002", "is not below high_c", False),
        (GOOD + "[goods]\nhigh_c = inf", "high_c is inf; it must be a finite number", True),
        (GOOD + "[goods]\nsilent_after_s = -5", "silent_after_s -5 is out of range", True),
        (GOOD + "[goods]\ndark_until_s = 1e18", r"dark_until_s 1e\+18 is out of range; use 0 to 31622400", True),
        (GOOD + "[goods]\ndark_from_s = 5\ndark_until_s = 4", "dark_until_s is before dark_from_s; swap", False),
        (GOOD + "[goods]\ndark_from_s = 5\ndark_until_s = 5.5", "less than a second after", False),
        (GOOD + "[fitted]\nat_c = 4000", "at_c 4000 is out of range; use -55 to 125", True),
        (GOOD + '[fitted]\nfurther = "[[["', "further is not TOML", False),
        (
            GOOD + f'[fitted]\nfurther = "a = {"[" * 5_000}"',
            "further is not TOML: it is nested more than 32 deep",
            False,
        ),
        (GOOD + "[fitted]\nfurther = \"[device]\\nname = 'z'\"", r"has \[device\], which the story writes", False),
        (GOOD + '[fitted]\nfurther = "unit = 3"', "unit outside of any section", False),
        (GOOD + '[[acts]]\nat_s = 1\nkind = "flap"\nover_s = 9\nevery_s = 0', r"\[acts\]\[0\] every_s 0 is out", True),
        (
            GOOD + "".join(f'[[acts]]\nat_s = 300\nkind = "link"\nis_on = {one}\n' for one in ("true", "false")),
            "link is off at the end",
            False,
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_cure(
    tmp_path: Path, text: str, said: str, is_seen_by_the_schema: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError, match=said):
        script.read(written(tmp_path, text))
    for options in (["--check"], []):
        assert main(["scenario", written(tmp_path, text), *options]) == 2
        assert "story.toml: " in capsys.readouterr().err
    errors = list(jsonschema.Draft202012Validator(script.schema()).iter_errors(tomllib.loads(text)))
    assert bool(errors) is is_seen_by_the_schema


def test_what_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"story\.toml: is not TOML: it is nested more than 32 deep"):
        script.read(written(tmp_path, f"about = {'[' * 5_000}"))


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (
            "[host]\ninterval_s = -1",
            r"[fitted] further is refused by the agent: [host] interval_s -1.0 is out of range",
        ),
        ("[hots]", r"[fitted] further is refused by the agent: [hots] is no key of this program; there are broker"),
        ("[host]\ninterval_s = 5", ""),
    ],
)
def test_the_agent_itself_is_asked_about_what_is_added_to_its_configuration(
    tmp_path: Path, further: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, GOOD + f"[fitted]\nfurther = {json.dumps(further)}")
    assert main(["scenario", file, "--check"]) == (2 if said else 0)
    assert capsys.readouterr().err.startswith(f"{file}: {said}" if said else "")


def numbers(schema: dict[str, Any], *place: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Each number of a table and of those in it, with what the schema says of it."""
    for key, one in schema["properties"].items():
        below = one.get("items", one)
        if below["type" if "type" in below else "enum"] == "object":
            yield from numbers(below, *place, key)
        elif one.get("type") in {"number", "integer"}:
            yield (*place, key), one


def with_number(place: tuple[str, ...], value: float) -> dict[str, Any]:
    """A story that can be played but for this number."""
    story = tomllib.loads(GOOD)
    *tables, key = place
    table: dict[str, Any] = story
    for name in tables:
        table[name] = table.get(name, {"at_s": 0, "kind": "flap", "over_s": 1, "every_s": 1} if name == "acts" else {})
        table = table[name]
    if key in {"longitude", "latitude"} and "acts" in tables:
        table.update({"at_s": 0, "kind": "spoof", "longitude": 0, "latitude": 0})
        del table["over_s"], table["every_s"]
    if key == "to_c":
        table.update({"kind": "temperature"})
        del table["every_s"]
    table[key] = value
    if "acts" in story:
        story["acts"] = [story["acts"]]
    return story


def refusals(folder: Path, story: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What program and schema have against a story."""
    seen = [one.message for one in jsonschema.Draft202012Validator(script.schema()).iter_errors(story)]
    try:
        script.read(written(folder, tomlkit.dumps(story)))
    except SettingsError as error:
        return list(error.errors), seen
    return [], seen


NUMBERS = dict(numbers(script.schema()))


def test_every_number_has_bounds() -> None:
    assert len(NUMBERS) > 20
    assert [place for place, one in NUMBERS.items() if not {"minimum", "maximum"} <= one.keys()] == []


@pytest.mark.parametrize("place", NUMBERS, ids=".".join)
def test_program_and_schema_have_the_same_bounds(tmp_path: Path, place: tuple[str, ...]) -> None:
    low, high = NUMBERS[place]["minimum"], NUMBERS[place]["maximum"]
    for beyond in (low - 1, high + 1):
        said, seen = refusals(tmp_path, with_number(place, beyond))
        assert f"{place[-1]} {beyond:.12g} is out of range; use {low:.12g} to {high:.12g}" in said[0]
        assert seen
    for bound in (low, high):
        said, seen = refusals(tmp_path, with_number(place, bound))
        assert seen == []
        # What does not go with the rest of this story is no matter of bounds.
        assert [one for one in said if "out of range" in one] == []


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("2026-03-01T06:00:00Z", "2043-12-31T23:59:59Z").replace("3600", "31622400"),
        GOOD.replace("2026-03-01T06:00:00Z", "2026-01-01 00:00:00.5-08:00"),
        GOOD.replace("-118.26", "176.0").replace("33.73", "85.0") + "zone_deg = 4",
        GOOD.replace("-118.26", "-180.0").replace("33.73", "-85.0").replace("-180.0", "-179.999") + "zone_deg = 0.001",
        GOOD + "[goods]\nlow_c = -300\nhigh_c = 1000\ngrace_s = 31622400\nsilent_after_s = 31622400",
        GOOD + "[goods]\nposition_silent_after_s = 31622400\ndark_until_s = 31622400",
        GOOD + "[goods]\ndark_from_s = 0.25\ndark_until_s = 1.25",
        GOOD.replace("speed = 60", "speed = 1").replace("= 3600", "= 86400")
        + "[fitted]\nprobe_every_s = 86400\nfix_every_s = 86400",
        GOOD.replace("speed = 60", "speed = 1e6") + "[fitted]\nprobe_every_s = 1\nat_c = 125",
        GOOD + "".join(f'[[acts]]\nat_s = 300\nkind = "link"\nis_on = {one}\n' for one in ("false", "true")),
    ],
)
def test_what_both_let_pass_cloud_and_agent_can_use(tmp_path: Path, text: str) -> None:
    assert refusals(tmp_path, tomllib.loads(text)) == ([], [])
    story = script.read(written(tmp_path, text))
    document = files.book(story, public_key_hex(load_or_create_key(tmp_path / "device.key")))
    (tmp_path / "book.json").write_text(json.dumps(document), encoding="utf-8")
    book.amend(book.empty(), read_book_file(tmp_path / "book.json").document)
    clock = SimulationClock(story.begins_ms, story.speed)
    (tmp_path / "agent.toml").write_text(files.agent(story, tmp_path, Ports(1, 1, 1, 1), clock), encoding="utf-8")
    load_agent(tmp_path / "agent.toml")


def test_the_types_of_events_are_the_clouds() -> None:
    assert [*EventName] == [*EventType]


def test_of_two_acts_at_one_moment_the_one_written_last_holds() -> None:
    world = of(Act(at_s=5, kind=Kind.LINK, is_on=False), Act(at_s=5, kind=Kind.LINK, is_on=True))
    assert world.is_on(Kind.LINK, 5)
    with pytest.raises(ValueError, match="link is off at the end"):
        of(Act(at_s=5, kind=Kind.LINK, is_on=True), Act(at_s=5, kind=Kind.LINK, is_on=False))


def test_the_world_follows_from_the_file() -> None:
    world = of(
        Act(at_s=100, kind=Kind.TEMPERATURE, to_c=15.0, over_s=100),
        Act(at_s=1_000, kind=Kind.TEMPERATURE, to_c=-5.0),
        Act(at_s=100, kind=Kind.GO, longitude=1.0, latitude=0.0, over_s=1_000),
        Act(at_s=300, kind=Kind.SPOOF, longitude=50.0, latitude=20.0),
        Act(at_s=400, kind=Kind.TRUTH),
        Act(at_s=500, kind=Kind.FLAP, over_s=100, every_s=20),
        Act(at_s=700, kind=Kind.DOOR, is_on=True),
        Act(at_s=800, kind=Kind.POWER),
    )
    assert [world.temperature_mc(one) for one in (0, 100, 150, 500, 1_000)] == [5_000, 5_000, 10_000, 15_000, -5_000]
    assert [round(world.place(one).longitude, 3) for one in (0, 600, 1_100, 5_000)] == [0.0, 0.5, 1.0, 1.0]
    assert 100 < world.place(600).speed_mps < 120
    assert world.place(1_100).speed_mps == 0.0
    assert [round(world.told_place(one).longitude) for one in (299, 300, 399)] == [0, 50, 50]
    assert world.told_place(450) == world.place(450)
    assert [world.is_on(Kind.LINK, one) for one in (499, 500, 509, 510, 519, 520, 600)] == [
        *(True, False, False, True),
        *(True, False, True),
    ]
    assert [world.is_on(Kind.DOOR, one) for one in (699, 700)] == [False, True]
    assert world.powers() == [800]


def test_the_book_knows_the_dark_leg_and_the_limits() -> None:
    story = script.read("dark-ocean-leg")
    (voyage,) = files.book(story, "0" * 64)["voyages"]
    assert voyage["legs"][0]["from"] == "2026-03-01T13:00:00Z"
    (lot,) = files.book(story, "0" * 64)["lots"]
    assert (lot["limits"][0]["low"], lot["limits"][0]["high"]) == (2_000, 8_000)


async def test_a_link_that_is_cut_carries_nothing_and_lets_nobody_in() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Link(server.sockets[0].getsockname()[1]) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await link.set(is_up=False)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        await link.set(is_up=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        writer.close()


def told_by_the_cloud(received: int, thinned: int, refused: int, missing: list[list[int]]) -> dict[str, Any]:
    """A device as the API says it: in two epochs, the first of which holds ten."""
    epochs = [
        {"received": 10, "thinned": 0, "missing": []},
        {"received": received - 10, "thinned": thinned, "missing": missing},
    ]
    return {"epochs": epochs, "completeness": {"refused": refused}}


@pytest.mark.parametrize(
    ("measured", "refused", "cloud", "is_told", "wrong"),
    [
        (100, 0, (100, 0, 0, []), True, []),
        (100, 0, (60, 40, 0, []), True, []),
        (100, 0, (98, 0, 0, [[50, 51]]), False, ["of 100 readings 98 came, 0 were thinned, 2 are missing"]),
        (100, 7, (100, 0, 7, []), True, ["7 readings were refused by the device and are lost"]),
        (
            100,
            7,
            (100, 0, 5, []),
            False,
            [
                "7 readings were refused by the device and are lost",
                "the device has refused 7 readings, and the cloud knows of 5",
            ],
        ),
        (100, 0, (100, 0, 3, []), True, ["the device has refused 0 readings, and the cloud knows of 3"]),
    ],
)
def test_what_the_device_refused_is_in_the_account(
    measured: int, refused: int, cloud: tuple[int, int, int, list[list[int]]], is_told: bool, wrong: list[str]
) -> None:
    counts = Counts.of(told_by_the_cloud(*cloud))
    assert counts.tells({"measured": measured, "refused": refused}) is is_told
    found = account(Expect(), measured, refused, counts, [])
    assert (found.wrong, found.measured, found.refused) == (wrong, measured, refused)


LEFT, ENTERED = Told("fence_left", 20), Told("fence_entered", 40)


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ([Told("condition_breached", 30, "light_present"), LEFT], []),
        ([LEFT], ["no limit of light_present was passed, and outside of the zone it was expected"]),
        (
            [LEFT, Told("condition_breached", 10, "light_present")],
            ["a limit of light_present was passed inside of the zone"],
        ),
        (
            [ENTERED, LEFT, Told("condition_breached", 50, "light_present")],
            ["a limit of light_present was passed inside of the zone"],
        ),
        (
            [LEFT, *(Told("condition_breached", 30, one) for one in ("light_present", "temperature_mc"))],
            ["a limit of temperature_mc was passed, and none was expected"],
        ),
    ],
)
def test_what_must_be_found_outside_of_the_zone(told: list[Told], wrong: list[str]) -> None:
    counts = Counts.of(told_by_the_cloud(100, 0, 0, []))
    expect = Expect(breached_outside=(script.Limited.LIGHT,))
    assert account(expect, 100, 0, counts, told).wrong == wrong
    assert account(Expect(), 100, 0, counts, told).wrong == [], "who expects nothing of it is told nothing"


def fixes(*where: tuple[int, float]) -> list[Fix]:
    """Seconds, and how many metres to the north it is then."""
    return [Fix(at_s * 1_000, 1_000_000_000, round(metres / 111_195 * 10_000_000)) for at_s, metres in where]


@pytest.mark.parametrize(
    ("track", "crossed", "stood_s"),
    [
        (fixes((0, 0), (600, 40), (1_200, -90)), [(0, True)], 1_200),
        (fixes((0, 0), (600, 101), (1_200, 190)), [(0, True)], 600),
        (fixes(*((at_s, at_s * 2.0) for at_s in range(0, 1_200, 60))), [(0, True)], 0),
        (fixes((0, 0), (600, 0), (1_200, 0)), [(601, True)], 0),
        (fixes((0, 0), (600, 0), (1_200, 0)), [(0, True), (900, False)], 600),
        (fixes((0, 0), (600, 0), (1_200, 0), (1_800, 0)), [(0, True), (300, False), (900, True)], 600),
        (fixes((0, 0), (600, 0)), [], 0),
        ([], [(0, True)], 0),
    ],
)
def test_for_how_long_it_stood_outside(track: list[Fix], crossed: list[tuple[int, bool]], stood_s: int) -> None:
    told = [Told("fence_left" if is_out else "fence_entered", at_s * 1_000) for at_s, is_out in crossed]
    counts = Counts.of(told_by_the_cloud(100, 0, 0, []))
    more = f"it stood outside of the zone for {stood_s} s, and {stood_s + 1} s were expected"
    assert account(Expect(stood_outside_s=stood_s + 1), 100, 0, counts, told, track).wrong == [more]
    if stood_s:
        assert account(Expect(stood_outside_s=stood_s), 100, 0, counts, told, track).wrong == []


@pytest.mark.alone
@pytest.mark.parametrize("is_one", [True, False])
async def test_a_theft_is_no_theft_where_no_light_was_seen_and_it_never_stood(tmp_path: Path, *, is_one: bool) -> None:
    named = resources.files("pledgewatch_sim.scenario.stories") / "theft.toml"
    story = tomlkit.parse(named.read_text(encoding="utf-8"))
    story["speed"] = 600
    if not is_one:
        acts = [one for one in story.unwrap()["acts"] if one["kind"] != "light"]
        story["acts"] = [{**one, "over_s": 7_200} if one["kind"] == "go" else one for one in acts]
    found = await play(script.read(written(tmp_path, tomlkit.dumps(story))), tmp_path)
    missed = [
        "alert_opened was expected and never came",
        "no limit of light_present was passed, and outside of the zone it was expected",
    ]
    if is_one:
        assert found.wrong == []
    else:
        *others, stood = found.wrong
        assert others == missed
        assert re.fullmatch(r"it stood outside of the zone for \d\d? s, and 3600 s were expected", stood)


@pytest.mark.alone
async def test_a_story_is_played_to_its_end_and_every_reading_accounted_for(tmp_path: Path) -> None:
    found = await play(script.read("flapping-link"), tmp_path)
    assert found.wrong == []
    assert found.received == found.measured > 500
    assert (found.missing, found.refused) == (0, 0)
    told = (tmp_path / "agent.log").read_text(encoding="utf-8")
    assert told.count("pledgewatch_edge.station start ") == 2  # the power went once
    assert "uplink to 127.0.0.1" in told


@pytest.mark.alone
async def test_a_story_that_does_not_become_what_was_expected_says_so(tmp_path: Path) -> None:
    text = GOOD.replace("speed = 60", "speed = 600") + '[expect]\nevents = ["fence_left"]\nnever = ["condition_known"]'
    found = await play(script.read(written(tmp_path, text)), tmp_path)
    assert found.wrong == ["fence_left was expected and never came", "condition_known came 1 times"]


@pytest.mark.alone
async def test_a_story_is_over_at_its_end_and_not_with_its_last_fix(tmp_path: Path) -> None:
    text = GOOD.replace("speed = 60", "speed = 600") + "[fitted]\nfix_every_s = 3600\n[goods]\ngrace_s = 300\n"
    text += '[expect]\nevents = ["condition_breached"]\n[[acts]]\nat_s = 1800\nkind = "temperature"\nto_c = 30.0\n'
    found = await play(script.read(written(tmp_path, text)), tmp_path)
    assert found.wrong == [], "what happens half an hour after its only fix is measured"
