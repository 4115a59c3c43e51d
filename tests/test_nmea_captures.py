"""The agent's parser against real receivers: every capture with gpsd's golden output."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from fuzzing import bodies_in
from golden import CAPTURES, EXCEPTIONS, WANTED_SHARE, found_in, golden_fixes, logs, missed
from needed import DATA, needs

from pledgewatch_edge.fixes import FixAssembler

LOGS = logs()
MISC = sorted(path for path in (DATA / "nmea-misc").rglob("*") if path.suffix in {".log", ".txt"})
OTHERS = [*MISC, *(log for log in sorted(CAPTURES.glob("*.log")) if log not in LOGS)]
OTHERS_COUNT = 40


@needs(CAPTURES.name)
@pytest.mark.parametrize("log", LOGS or [CAPTURES], ids=lambda log: log.name)
def test_a_capture_gives_gpsds_fixes(log: Path) -> None:
    golden = golden_fixes(log)
    met = len(golden) - len(missed(golden, found_in(log.read_bytes(), chunk=4_096)))
    if log.name in EXCEPTIONS:
        assert met < WANTED_SHARE * len(golden), "no longer an exception: take it off the list"
    else:
        assert met >= WANTED_SHARE * len(golden), missed(golden, found_in(log.read_bytes(), chunk=4_096))[:5]


@needs(CAPTURES.name)
def test_how_bytes_are_split_changes_nothing() -> None:
    for log in LOGS[::8]:
        data = log.read_bytes()
        assert found_in(data, chunk=1) == found_in(data, chunk=7) == found_in(data, chunk=len(data))


# Where the degrees and minutes of a place stand in each sentence that bears one, and whether it holds them for true.
PLACES: dict[str, tuple[int, Callable[[list[str]], bool]]] = {
    "RMC": (3, lambda fields: fields[2] == "A" and fields[12:13] != ["N"]),
    "GGA": (2, lambda fields: fields[6] not in {"", "0"}),
    "GLL": (1, lambda fields: fields[6:7] == ["A"] and fields[7:8] != ["N"]),
    "GNS": (2, lambda fields: bool(set(fields[6]) - {"N"})),
}
ANGLE = re.compile(r"(\d{2,3})(\d\d\.\d+)")
UNMET = {"pygpsdata-nmea4.log": 1}
"""Places that another sentence of the same cycle takes back: an RMC whose longitude is ten thousand minutes off."""


def places_said(bodies: list[bytes]) -> list[tuple[float, float]]:
    """The places in right sentences, read from their fields alone."""
    found = []
    for body in bodies:
        fields = body.decode("latin-1").split(",")
        at, holds = PLACES.get(fields[0][2:], (0, bool))
        if fields[0].startswith("P") or not at or not holds(fields):
            continue
        latitude, longitude = ANGLE.fullmatch(fields[at]), ANGLE.fullmatch(fields[at + 2])
        if latitude and longitude:
            north, east = (int(one[1]) + float(one[2]) / 60 for one in (latitude, longitude))
            found.append((-north if fields[at + 1] == "S" else north, -east if fields[at + 3] == "W" else east))
    return found


def is_near(one: tuple[float, float], others: Iterable[tuple[float, float]], degrees: float) -> bool:
    return any(abs(one[0] - other[0]) < degrees and abs(one[1] - other[1]) < degrees for other in others)


@needs("nmea-misc")
@pytest.mark.parametrize("log", OTHERS or [DATA / "nmea-misc"], ids=lambda log: log.name)
def test_a_log_without_golden_output_gives_the_places_that_its_sentences_say(log: Path) -> None:
    """Every right sentence is heard; what it says of a place is met by a fix, to how far a receiver moves within a
    cycle; and no fix lies where no right sentence says."""
    data = log.read_bytes() + b"\r\n"
    bodies = bodies_in(data)
    assembler = FixAssembler()
    fixes = [*assembler.feed(data), *assembler.flush()]
    assert assembler.counts.sentences == len(bodies)
    said = set(places_said(bodies))
    found = {
        (fix.latitude_e7 / 1e7, fix.longitude_e7 / 1e7)
        for fix in fixes
        if fix.latitude_e7 is not None and fix.longitude_e7 is not None
    }
    assert len([one for one in said if not is_near(one, found, 2e-4)]) == UNMET.get(log.name, 0)
    assert [one for one in found if not is_near(one, said, 1e-6)] == []


@needs("nmea-misc")
def test_the_logs_without_golden_output_are_not_empty() -> None:
    places = [len(places_said(bodies_in(log.read_bytes() + b"\n"))) for log in OTHERS]
    assert (len(OTHERS), sum(places) > 3_000, sum(map(bool, places)) > 15) == (OTHERS_COUNT, True, True)
