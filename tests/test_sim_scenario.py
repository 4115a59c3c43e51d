"""Scenarios: files read strictly, a world that follows from them, and stories played with the real programs."""

import asyncio
import contextlib
import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pledgewatch_cloud.decide.events import EventType
from pledgewatch_sim.__main__ import main
from pledgewatch_sim.scenario import files, script
from pledgewatch_sim.scenario.link import Link
from pledgewatch_sim.scenario.program import Counts, account, play
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
        (GOOD + '[[acts]]\nat_s = 1\nkind = "door"', "door needs is_on", False),
        (GOOD + '[[acts]]\nat_s = 1\nkind = "door"\nis_on = true\nto_c = 2.0', "door has no to_c; take it out", False),
        (
            GOOD + '[[acts]]\nat_s = 3000\nkind = "temperature"\nto_c = 2.0\nover_s = 601',
            "after the story's end",
            False,
        ),
        (GOOD + '[[acts]]\nat_s = 1\nkind = "link"\nis_on = false', "link is off at the end", False),
        (GOOD + '[expect]\nevents = ["a"]\nnever = ["a"]', "both expected and never", False),
        (GOOD.replace("2026-03-01T06:00:00Z", "2026-03-01"), "must say its zone", False),
        (GOOD.replace("2026-03-01T06:00:00Z", "soon"), "is no moment", False),
        (GOOD.replace("latitude = 33.73", "latitude = 99.0"), "latitude 99 is out of range", False),
        (GOOD + "[goods]\nlow_c = 8.0\nhigh_c = 2.0", "is not below high_c", False),
    ],
)
def test_what_cannot_be_is_refused_with_its_cure(
    tmp_path: Path, text: str, said: str, is_seen_by_the_schema: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError, match=said):
        script.read(written(tmp_path, text))
    assert main(["scenario", written(tmp_path, text), "--check"]) == 2
    assert "story.toml: " in capsys.readouterr().err
    errors = list(jsonschema.Draft202012Validator(script.schema()).iter_errors(tomllib.loads(text)))
    assert bool(errors) is is_seen_by_the_schema


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
    found = account(Expect(), measured, refused, counts, {})
    assert (found.wrong, found.measured, found.refused) == (wrong, measured, refused)


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
