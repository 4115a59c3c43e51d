"""What the simulated receiver writes, read by a parser that is not ours."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from datetime import time as time_of_day

import pynmea2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_sim.nmea_writer import MPS_PER_KNOT, ReceiverState, cycle, sentence

AT_MS = round(datetime(2024, 2, 29, 23, 59, 59, 370_000, UTC).timestamp() * 1_000)
STATE = ReceiverState(
    time_ms=AT_MS,
    has_fix=True,
    latitude=-33.856784,
    longitude=151.215297,
    altitude_m=12.34,
    speed_mps=10.0,
    course_deg=275.5,
    satellites_used=9,
    satellites_in_view=14,
    hdop=0.94,
)


def parsed(state: ReceiverState) -> dict[str, list[pynmea2.NMEASentence]]:
    """The sentences of a cycle by their kind, each with its checksum checked."""
    found: dict[str, list[pynmea2.NMEASentence]] = {}
    for line in cycle(state).decode("ascii").splitlines():
        one = pynmea2.parse(line, check=True)
        found.setdefault(one.sentence_type, []).append(one)
    return found


def test_a_fix_reads_back() -> None:
    said = parsed(STATE)
    assert {kind: len(lines) for kind, lines in said.items()} == {"RMC": 1, "VTG": 1, "GGA": 1, "GSA": 1, "GSV": 4}
    rmc, vtg, gga, gsa = (said[kind][0] for kind in ("RMC", "VTG", "GGA", "GSA"))
    assert (rmc.status, rmc.datestamp, rmc.mode_indicator) == ("A", date(2024, 2, 29), "A")
    assert rmc.timestamp == gga.timestamp == time_of_day(23, 59, 59, 370_000, UTC)
    for one in (rmc, gga):
        assert one.latitude == pytest.approx(STATE.latitude, abs=1e-7)
        assert one.longitude == pytest.approx(STATE.longitude, abs=1e-7)
    assert rmc.spd_over_grnd == pytest.approx(10.0 / MPS_PER_KNOT, abs=1e-3)
    assert (rmc.true_course, vtg.true_track) == (275.5, 275.5)
    assert float(vtg.spd_over_grnd_kmph) == pytest.approx(36.0)
    assert (gga.gps_qual, gga.num_sats, gga.horizontal_dil, gga.altitude) == (1, "09", "0.94", 12.3)
    assert (gsa.mode_fix_type, gsa.hdop, gsa.sv_id09, gsa.sv_id10) == ("3", "0.94", "09", "")
    assert {one.num_sv_in_view for one in said["GSV"]} == {"14"}
    assert [len(one.data) for one in said["GSV"]] == [19, 19, 19, 11], "four satellites in each but the last"


def test_without_a_fix_nothing_is_claimed() -> None:
    said = parsed(replace(STATE, has_fix=False))
    rmc, vtg, gga, gsa = (said[kind][0] for kind in ("RMC", "VTG", "GGA", "GSA"))
    assert (rmc.status, rmc.lat, rmc.lon, rmc.mode_indicator) == ("V", "", "", "N")
    assert rmc.datestamp == date(2024, 2, 29), "the time is known before the place"
    assert (gga.gps_qual, gga.lat, gga.num_sats, gga.horizontal_dil) == (0, "", "00", "99.99")
    assert vtg.data[-1] == "N"
    assert gsa.mode_fix_type == "1"


def test_before_the_time_is_known_there_is_none() -> None:
    said = parsed(replace(STATE, has_fix=False, time_ms=None, satellites_in_view=0))
    assert (said["RMC"][0].timestamp, said["RMC"][0].datestamp) == (None, None)
    assert len(said["GSV"]) == 1


def test_field_widths_are_the_receivers() -> None:
    at_the_edge = replace(STATE, latitude=9.999999999, longitude=-0.5, course_deg=359.998)
    first = cycle(at_the_edge).splitlines()[0].decode()
    assert first.startswith("$GPRMC,235959.37,A,1000.00000,N,00030.00000,W,19.438,0.00,290224,,,A*")


def test_a_known_checksum() -> None:
    # From the NMEA 0183 literature's usual example of a position without a fix.
    assert sentence("GPGLL,5057.970,N,00146.110,E,142451,A") == b"$GPGLL,5057.970,N,00146.110,E,142451,A*27\r\n"


@given(
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    course_deg=st.floats(0, 360),
    speed_mps=st.floats(0, 60),
    time_ms=st.integers(0, 4_102_444_799_999),
)
def test_any_state_reads_back(
    latitude: float, longitude: float, course_deg: float, speed_mps: float, time_ms: int
) -> None:
    state = replace(
        STATE, latitude=latitude, longitude=longitude, course_deg=course_deg, speed_mps=speed_mps, time_ms=time_ms
    )
    rmc = parsed(state)["RMC"][0]
    assert rmc.latitude == pytest.approx(latitude, abs=1e-7)
    assert rmc.longitude == pytest.approx(longitude, abs=1e-7)
    assert 0 <= rmc.true_course < 360
    for line in cycle(state).split(b"\r\n")[:-1]:
        assert len(line) <= 80, "with CR and LF at most 82"
        assert re.fullmatch(rb"\$[A-Z]{5}(,[^,*]*)+\*[0-9A-F]{2}", line)
