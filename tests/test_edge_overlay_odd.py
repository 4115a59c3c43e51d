"""Settings from afar, however odd: they are a configuration, or refused with words, and nothing else comes of them."""

import asyncio
import dataclasses
import os
import re
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from caring import Cared, cared_for, settings
from edge_support import configuration
from hypothesis import HealthCheck, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from pledgewatch_edge.agent import EdgeSettings, load, station_of, with_overlay
from pledgewatch_edge.care.ledger import read
from pledgewatch_edge.station import Station, keep_running
from pledgewatch_wire.afar import BROKER_KEYS, SENSORS, SETTABLE
from pledgewatch_wire.care import Became
from pledgewatch_wire.settings import SettingsError

HUGE: Final = "1" + "0" * 400
HEX: Final = "0x" + "f" * 5_000
LONG: Final = {"HUGE": HUGE, "HEX": HEX, "MANY": 3_000 * "x", "LABEL": 70 * "a"}
# What a TOML file can hold and no key is meant for; the last are near to what some are meant for. Names are of LONG.
ODD: Final = (
    *("HUGE", "-HUGE", "HEX", "nan", "inf", "-inf", "1e308", "1e400", "0", "-1", "1", "true", "9223372036854775808"),
    *('""', '"a"', r'"a\u0000b"', '"~nobodyhere/x"', '"~"', r'"\uFFFD"', '"../../../etc/passwd"', '"MANY"'),
    *("[]", "[1]", '["a"]', "{}", "{a = 1}", "[[1]]", "[{}]", '["~nobodyhere"]', "[HUGE]", "{a = HEX}"),
    *("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", '"a..b"', '" "', '"LABEL.example"', '"/dev/null"'),
    *('"/dev/zero"', '"pipe"', '"/dev/ptmx"', '"/proc/kmsg"', '"."', '{map = "/dev/zero", host = "a"}'),
    *('{map = "pipe", host = "a"}',),
    *(
        '"1:0x44"',
        '{17 = "door_open"}',
        '[{line = 17, channel = "door_open"}]',
        '["28-000000000001"]',
        '["speed_cm_s"]',
    ),
)
WORDS: Final = st.one_of(
    st.sampled_from(ODD),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text("ab.~/\\: \t%é漢-", max_size=9).map(lambda text: f"'{text}'"),
)


def dataclass_in(hint: Any) -> Any:
    """The dataclass that a field may hold, also within None or a list."""
    if dataclasses.is_dataclass(hint):
        return hint
    return next((found for one in typing.get_args(hint) if (found := dataclass_in(one))), None)


def table(draw: st.DrawFn, kind: Any, keys: Sequence[str] = ()) -> str:
    """An inline table for a dataclass: some of its keys or all, each with what is odd, or a table where it is one."""
    hints = typing.get_type_hints(kind)
    names = draw(st.permutations(keys or tuple(hints)))
    pairs = []
    for name in names if draw(st.booleans()) else names[:2]:
        inner = dataclass_in(hints[name])
        form = "{}" if inner is None else draw(st.sampled_from(["{}", "[{}]", "odd"]))
        value = draw(WORDS) if inner is None or form == "odd" else form.format(table(draw, inner))
        pairs.append(f"{name} = {value}")
    return f"{{{', '.join(pairs)}}}"


@st.composite
def overlays(draw: st.DrawFn) -> str:
    """Overlays of one to three of the sections that may be set."""
    hints = typing.get_type_hints(EdgeSettings)
    lines = []
    for name in draw(st.lists(st.sampled_from((*SETTABLE, *SENSORS)), min_size=1, max_size=3, unique=True)):
        keys = BROKER_KEYS if name == "broker" else ()
        value = table(draw, dataclass_in(hints[name]), keys) if draw(st.integers(0, 9)) else draw(WORDS)
        lines.append(f"{name} = {value}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    os.mkfifo(folder / "pipe")
    return configuration(folder, interval_s=1.0)


@given(toml=overlays())
@fuzz(max_examples=500, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_an_overlay_is_a_configuration_or_refused_in_words(file: Path, toml: str) -> None:
    for name, long in LONG.items():
        toml = toml.replace(name, long)
    try:
        assert isinstance(with_overlay(file, toml), EdgeSettings)
    except ValueError as error:
        assert str(error).strip(), "a refusal has a reason"  # noqa: PT017 - either is right, but not without words


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (f"[uplink]\nsend_every_s = {HUGE}", "the whole number of send_every_s has more than 64 bits"),
        (f"[uplink]\nbytes_per_day = {HEX}", "the whole number of bytes_per_day has more than 64 bits"),
        (f"[onewire]\nprobes = [{HEX}]", "the whole number of a list has more than 64 bits"),
        ("[onewire]\nroot = '~nobodyhere/w1'", "after ~ comes a user of this computer"),
    ],
)
def test_it_is_said_what_is_odd(file: Path, toml: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        with_overlay(file, toml)
    assert len(str(refused.value)) < 1_000


def test_a_number_from_elsewhere_that_is_no_float_is_refused_too(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[uplink\] send_every_s is a number of thousands of digits"):
        load(file, {"uplink": {"send_every_s": 10**5_000}})


class Unforeseen:
    """A program that has a fault which some settings bring out: `is_on` from then on, for whatever has any."""

    def __init__(self, make: Callable[[str], Station]) -> None:
        self._make = make
        self.is_on = True

    def __call__(self, toml: str) -> Station:
        if toml and self.is_on:
            raise RuntimeError("dictionary changed size during iteration")
        return self._make(toml)


@pytest.fixture
def cared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cared:
    found = Cared(cared_for(tmp_path))
    monkeypatch.setattr(found.care, "_make", Unforeseen(found.care._make))
    found.start()
    return found


def broken(cared: Cared) -> Unforeseen:
    found = cared.care._make
    assert isinstance(found, Unforeseen)
    return found


SLOWER: Final = "[uplink]\nsend_every_s = 900\n"
WHY: Final = "more than this program can read (RuntimeError: dictionary changed size during iteration)"


async def test_settings_that_bring_out_a_fault_are_refused_with_what_it_was(cared: Cared) -> None:
    answers = await cared.hear(("settings", settings(4, SLOWER)))
    assert [one.became for one in answers] == [Became.REFUSED]
    assert WHY in answers[0].text
    assert cared.start().settings.uplink.send_every_s == 0.0


async def test_a_trial_that_brings_out_a_fault_is_rolled_back(cared: Cared) -> None:
    broken(cared).is_on = False
    await cared.hear(("settings", settings(4, SLOWER)))
    broken(cared).is_on = True
    assert cared.start().settings.uplink.send_every_s == 0.0
    answers = await cared.hear()
    assert [one.became for one in answers] == [Became.REFUSED]
    assert WHY in answers[0].text


async def test_good_settings_that_bring_out_a_fault_of_a_newer_program_are_left_aside(cared: Cared) -> None:
    broken(cared).is_on = False
    await cared.hear(("settings", settings(4, SLOWER)))
    assert cared.start().settings.uplink.send_every_s == 900.0
    cared.body.words = 1
    await cared.hear()
    broken(cared).is_on = True
    assert cared.start().settings.uplink.send_every_s == 0.0


async def test_a_station_that_cannot_be_made_of_its_settings_goes_back_whatever_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sensor is made of its settings only when the station is run."""
    file = cared_for(tmp_path)
    cared = Cared(file)
    cared.start()
    await cared.hear(("settings", settings(4, SLOWER)))
    agent, stop = station_of(load(file), file), asyncio.Event()
    ran: list[float] = []

    async def run(found: EdgeSettings, *_: object, **__: object) -> None:
        ran.append(found.uplink.send_every_s)
        if found.uplink.send_every_s:
            raise OverflowError("cannot convert float infinity to integer")
        stop.set()

    monkeypatch.setattr("pledgewatch_edge.station.run_station", run)
    await keep_running(agent, stop)
    assert ran == [900.0, 0.0]
    assert read(tmp_path / "state").refused == (
        "rolled back: the station cannot run: OverflowError: cannot convert float infinity to integer"
    )
