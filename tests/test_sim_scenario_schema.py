"""The schema of a scenario's file and the program take and refuse the same, but for what the schema says it cannot."""

import copy
import math
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pledgewatch_sim.scenario import script
from pledgewatch_sim.scenario.script import _NEEDS, Kind
from pledgewatch_wire.settings import SettingsError

SCHEMA: Final = script.schema()
CHECK: Final = jsonschema.Draft202012Validator(SCHEMA)
GOOD: Final[dict[str, Any]] = {
    "about": "a test",
    "begins": "2026-03-01T06:00:00Z",
    "lasts_s": 3_600,
    "speed": 60,
    "place": {"longitude": -118.26, "latitude": 33.73},
}
NUMBERS: Final = (
    *(0, -0.0, 1, 1.0, 2.0, -1, 0.001, 0.0009999, 180, 180.0000001, -180, 85, -85.0, 4, 4.0, 5, 366 * 86_400),
    *(366 * 86_400.5, 1e6, 1e18, math.inf, math.nan, -300, 1_000, 2**31, 2**31 + 1, 2**62, 59.9, 86_400, 1e-320),
)
MOMENTS: Final = (
    *("2026-03-01T06:00:00Z", "2026-03-01 06:00:00Z", "2026-03-01T06:00:00.1Z", "2026-02-30T00:00:00Z"),
    *("2043-12-31T23:59:59-05:00", "2026-01-01T00:00:00+23:59", "2026-03-01T06:00:00Z\n", "2026-03-01t06:00:00z"),
    *(
        "\uff12026-03-01T06:00:00Z",
        "2026-03-01T06:00:60Z",
        "2026-03-01T06:00:00.1234567Z",
        "",
        "2026-03-01T06:00:00,5Z",
    ),
)
TEXTS: Final = ("x", "", "\n", "a\0b", "[host]\ninterval_s = 5", "[gps]\nport = 'x'", "a = 1", "[[", "\U0001d4b3")
# What the program says of things that do not hang together; each is told of in the schema's comment.
HANGS: Final = (
    *(
        "needs ",
        "has no ",
        "after the story's end",
        "is off at the end",
        "both expected",
        "zone across",
        "is no moment",
    ),
    *(
        "in UTC",
        "not below",
        "before dark_from",
        "less than a second",
        "is less than fix_every_s",
        "is more than lasts_s",
        "further ",
        "bear light",
    ),
)


def value(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    """What may stand for a part of the file, or may not."""
    if "enum" in schema:
        return draw(st.sampled_from([*schema["enum"], "x", 3, ""]))
    match schema["type"]:
        case "number" | "integer":
            low, high = schema["minimum"], schema["maximum"]
            within = st.one_of(st.integers(math.ceil(low), math.floor(high)), st.floats(low, high))
            edges = [low, high, float(low), float(high)]
            return draw(st.one_of(st.sampled_from(edges), within, st.sampled_from([*NUMBERS, True, "1", [], {}])))
        case "boolean":
            return draw(st.sampled_from([True, False, 1, 0, "true"]))
        case "string":
            return draw(st.sampled_from(MOMENTS if "20" in schema["pattern"] else TEXTS))
        case "array":
            return [value(draw, schema["items"]) for _ in range(draw(st.integers(0, 2)))]
        case _:
            needed = schema["required"]
            keys = {key for key in schema["properties"] if key in needed or not draw(st.integers(0, 2))}
            return {key: value(draw, one) for key, one in schema["properties"].items() if key in keys}


@st.composite
def stories(draw: st.DrawFn) -> dict[str, Any]:
    """A story that can be played, changed in one place or two."""
    story = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 2))):
        key = draw(st.sampled_from(sorted(SCHEMA["properties"])))
        part = SCHEMA["properties"][key]
        if part["type"] == "object":
            inner = draw(st.sampled_from(sorted(part["properties"])))
            story[key] = {**story.get(key, {}), inner: value(draw, part["properties"][inner])}
        elif key == "acts" and draw(st.booleans()):
            acts = part["items"]["properties"]
            kind = draw(st.sampled_from(sorted(Kind)))
            story[key] = [
                {"at_s": 0, "kind": str(kind), **{one: value(draw, acts[one]) for one in sorted(_NEEDS[kind])}}
            ]
        else:
            story[key] = value(draw, part)
    if not draw(st.integers(0, 19)):
        story["rain"] = 1
    return story


def is_beyond_json(document: Any, schema: dict[str, Any]) -> bool:
    """Whether it has what the schema cannot tell: nan, or a whole number written as another."""
    if isinstance(document, float):
        return math.isnan(document) or (schema.get("type") == "integer" and document.is_integer())
    if isinstance(document, dict):
        parts = schema.get("properties", {})
        return any(is_beyond_json(one, parts.get(key, {})) for key, one in document.items())
    return isinstance(document, list) and any(is_beyond_json(one, schema.get("items", {})) for one in document)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stories") / "story.toml"


@given(story=stories())
@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_schema_and_program_take_the_same(file: Path, story: dict[str, Any]) -> None:
    file.write_text(tomlkit.dumps(story), encoding="utf-8")
    seen = [one.message for one in CHECK.iter_errors(tomlkit.loads(file.read_text(encoding="utf-8")).unwrap())]
    try:
        script.read(str(file))
    except SettingsError as error:
        said = [one for one in error.errors if not any(hangs in one for hangs in HANGS)]
        assert not said or seen or is_beyond_json(story, SCHEMA), said
    else:
        assert not seen, seen


def test_the_schema_says_what_it_does_not_tell() -> None:
    assert "nan, and 1.0 where it wants a whole number" in SCHEMA["$comment"]


@pytest.mark.parametrize(("seed", "is_taken"), [("1", True), ("1.0", False), ("nan", False)])
def test_a_whole_number_is_written_as_one(file: Path, seed: str, *, is_taken: bool) -> None:
    file.write_text(f"seed = {seed}\n{tomlkit.dumps(GOOD)}", encoding="utf-8")
    if is_taken:
        assert script.read(str(file)).seed == 1
    else:
        with pytest.raises(SettingsError, match=r"\[seed\] is .*; it must be a whole number"):
            script.read(str(file))
