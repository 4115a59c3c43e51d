"""The parser on sentences made for the purpose: framing, checksums, cycles, dates, qualities, and any garbage."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pledgewatch_edge import nmea_command
from pledgewatch_edge.fixes import Fix, FixAssembler, FixKind, FixQuality
from pledgewatch_edge.framing import SENTENCE_MAX_BYTES, LineFramer, checksum
from pledgewatch_edge.ubx import sums


def sentence(body: str) -> bytes:
    return f"${body}*{checksum(body.encode()):02X}\r\n".encode()


RMC = "GPRMC,120000.00,A,3342.12345,N,11816.54321,W,10.000,90.00,010126,,,A"
GGA = "GPGGA,120000.00,3342.12345,N,11816.54321,W,1,08,0.90,12.5,M,0.0,M,,"
NOON_MS = 1_767_268_800_000


def fixes_of(*bodies: str) -> list[Fix]:
    """The fixes of sentences that go in with right checksums."""
    assembler = FixAssembler()
    return assembler.feed(b"".join(sentence(body) for body in bodies)) + assembler.flush()


def test_a_cycle_becomes_one_fix() -> None:
    (fix,) = fixes_of(RMC, "GPVTG,90.00,T,,M,10.000,N,18.520,K,A", GGA, "GPGSA,A,3,01,02,03,,,,,,,,,,1.50,0.90,1.20")
    assert fix == Fix(
        time_ms=NOON_MS,
        latitude_e7=337_020_575,  # 33° 42.12345′ = 33.702057500°
        longitude_e7=-1_182_757_202,  # 118° 16.54321′ = 118.27572016…°
        altitude_mm=12_500,
        speed_mmps=5_144,  # 10 knots = 5.1444… m/s
        course_cdeg=9_000,
        satellites=8,
        hdop_centi=90,
        fix=FixKind.THREE,
        quality=FixQuality.GOOD,
    )


def at(second: int, *, place: str = "3342.12345,N,11816.54321,W") -> str:
    return f"GPRMC,1200{second:02d}.00,A,{place},,,010126,,,A"


def test_another_time_of_day_begins_another_cycle() -> None:
    assert [fix.time_ms for fix in fixes_of(at(0), at(1), at(1), at(2))] == [NOON_MS, NOON_MS + 1_000, NOON_MS + 2_000]


def test_midnight_moves_the_date_on_where_nothing_says_it() -> None:
    before = "GPRMC,235959.00,A,3342.12345,N,11816.54321,W,,,311225,,,A"
    after = "GPGGA,000000.00,3342.12345,N,11816.54321,W,1,08,0.90,12.5,M,,M,,"
    assert [fix.time_ms for fix in fixes_of(before, after)] == [NOON_MS - 43_201_000, NOON_MS - 43_200_000]


def test_a_clock_sentence_that_runs_ahead_begins_no_cycle() -> None:
    gga = "GPGGA,1200{:02d}.00,3342.12345,N,11816.54321,W,1,08,0.90,12.5,M,,M,,"
    fixes = fixes_of(gga.format(0), "GPZDA,120013.00,01,01,2026,00,00", gga.format(1))
    assert [(fix.time_ms, fix.quality) for fix in fixes] == [(NOON_MS, "good"), (NOON_MS + 1_000, "good")]


@pytest.mark.parametrize(
    ("clock", "gga", "expected"),
    [
        ("000001.00,01,01,2026", "235959.00", "2025-12-31T23:59:59.000Z"),
        ("235959.00,31,12,2025", "000001.00", "2026-01-01T00:00:01.000Z"),
    ],
)
def test_the_date_of_a_clock_sentence_is_carried_over_midnight(clock: str, gga: str, expected: str) -> None:
    (fix,) = fixes_of(f"GPGGA,{gga},3342.12345,N,11816.54321,W,1,08,0.90,12.5,M,,M,,", f"GPZDA,{clock},00,00")
    assert nmea_command.as_json(fix)["time"] == expected


def test_cycles_without_a_time_end_where_a_sentence_comes_again() -> None:
    cold = ["GPGGA,,,,,,0,00,99.99,,,,,,", "GPRMC,,V,,,,,,,,,,N"]
    fixes = fixes_of(*cold, *cold, GGA.replace(",08,0.90", ",,"), RMC)
    assert [(fix.quality, fix.satellites, fix.hdop_centi) for fix in fixes] == [
        ("no_fix", 0, None),
        ("no_fix", 0, None),
        ("good", None, None),
    ]


def test_a_time_with_fewer_digits_is_of_the_same_cycle() -> None:
    fixes = fixes_of(RMC.replace("00.00", "00.303"), GGA.replace("00.00", "00.30"), RMC.replace("00.00", "00.403"))
    assert [(fix.time_ms, fix.satellites) for fix in fixes] == [(NOON_MS + 300, 8), (NOON_MS + 403, None)]


def test_ten_cycles_a_second_stay_apart_where_one_sentence_gives_whole_seconds() -> None:
    fixes = fixes_of(RMC.replace("00.00", "00.1"), GGA.replace("00.00", "00"), RMC.replace("00.00", "00.2"))
    assert len(fixes) == 2


@pytest.mark.parametrize(
    ("modes", "quality"), [("ES", "estimated"), ("SE", "estimated"), ("MS", "manual"), ("SA", "good")]
)
def test_of_several_systems_the_best_counts(modes: str, quality: str) -> None:
    gns = f"GNGNS,120000.00,3342.12345,N,11816.54321,W,{modes},08,0.90,12.5,,,"
    assert [fix.quality for fix in fixes_of("GPRMC,120000.00,V,,,,,,,010126,,,N", gns)] == [quality]


YEARS = [("010180", "1980"), ("311299", "1999"), ("010100", "2000"), ("311279", "2079")]


@pytest.mark.parametrize(("text", "year"), YEARS)
def test_two_digits_of_a_year_lie_in_gps_time(text: str, year: str) -> None:
    (fix,) = fixes_of(f"GPRMC,120000.00,A,3342.12345,N,11816.54321,W,,,{text},,,A")
    written = nmea_command.as_json(fix)["time"]
    assert written.startswith(year)


QUALITIES = [
    ("good", [RMC, GGA]),
    ("no_time", [GGA]),
    ("no_fix", ["GPRMC,120000.00,V,,,,,,,010126,,,N"]),
    ("no_fix", ["GPGGA,120000.00,3342.12345,N,11816.54321,W,0,00,99.99,,,,,,"]),
    ("no_fix", ["GPRMC,120000.00,A,3342.12345,N,11816.54321,W,,,010126,,,N"]),
    ("simulated", [RMC, GGA.replace("W,1,", "W,8,")]),
    ("simulated", [RMC[:-1] + "S"]),
    ("estimated", [RMC[:-1] + "E"]),
    ("estimated", [RMC, GGA.replace("W,1,", "W,6,")]),
    ("manual", [RMC[:-1] + "M"]),
    ("few_satellites", [RMC, GGA.replace(",08,", ",02,")]),
    ("high_hdop", [RMC, GGA.replace(",0.90,", ",25.00,")]),
]


@pytest.mark.parametrize(("quality", "bodies"), QUALITIES)
def test_what_is_wrong_with_a_fix(quality: str, bodies: list[str]) -> None:
    assert [fix.quality for fix in fixes_of(*bodies)] == [quality]


def test_a_fix_that_is_void_says_no_place() -> None:
    (fix,) = fixes_of("GPRMC,120000.00,V,3342.12345,N,11816.54321,W,1.0,90.0,010126,,,N")
    assert (fix.latitude_e7, fix.longitude_e7, fix.speed_mmps, fix.fix) == (None, None, None, FixKind.NONE)


BEARERS = [
    RMC,
    GGA,
    "GPGNS,120000.00,3342.12345,N,11816.54321,W,A,08,0.90,12.5,0.0,,",
    "GPGLL,3342.12345,N,11816.54321,W,120000.00,A,A",
]


@pytest.mark.parametrize("body", BEARERS, ids=lambda body: body[2:5])
@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "GB", "BD", "GQ", "QZ", "GI"])
def test_every_talker_is_heard(talker: str, body: str) -> None:
    dated = f"{talker}ZDA,120000.00,01,01,2026,00,00"
    assert [(fix.quality, fix.time_ms) for fix in fixes_of(dated, body.replace("GP", talker, 1))] == [("good", NOON_MS)]


BROKEN = [
    "GPRMC,250000.00,A,3342.12345,N,11816.54321,W,,,010126,,,A",
    "GPRMC,120000.00,A,9142.12345,N,11816.54321,W,,,010126,,,A",
    "GPRMC,120000.00,A,3342.12345,X,11816.54321,W,,,010126,,,A",
    "GPRMC,120000.00,A,3372.12345,N,11816.54321,W,,,010126,,,A",
    "GPRMC,120000.00,A,33x2.12345,N,11816.54321,W,,,010126,,,A",
    "GPRMC,120000.00,A,3342.12345,N,18116.54321,W,,,010126,,,A",
    "GPRMC,120000.00,A,3342.12345,N,11816.54321,W,,,320126,,,A",
    "GPRMC,120000.00,A,-3342.12345,N,11816.54321,W,,,010126,,,A",
    "GPRMC,120000.00,A,nan,N,11816.54321,W,,,010126,,,A",
    "GPRMC,12:00:00,A,3342.12345,N,11816.54321,W,,,010126,,,A",
    "GPRMC,120000.00,A,3342.12345,N,11816.54321,W,1e3,,010126,,,A",
    "GPRMC,120000.00,A,3342.12345,N,11816.54321,W,1_0,,010126,,,A",
    "GPRMC,120000.00,A,3342.12345,N,11816.54321,W,+1,,010126,,,A",
    "GPZDA,120000.00,01,01,0026,00,00",
    "GPZDA,120000.00,01,+1,2026,00,00",
    "GPZDA,120000.00,31,02,2026,00,00",
]


@pytest.mark.parametrize("body", BROKEN)
def test_what_no_receiver_may_say_is_broken_and_says_nothing(body: str) -> None:
    assembler = FixAssembler()
    assert assembler.feed(sentence(body)) + assembler.flush() == []
    assert (assembler.counts.sentences, assembler.counts.broken_lines) == (1, 1)


def test_a_bad_checksum_never_becomes_a_fix() -> None:
    assembler = FixAssembler()
    for bad in (f"${RMC}*00\r\n", f"${RMC}\r\n", f"${RMC}*\r\n", f"${RMC}*ZZ\r\n"):
        assert assembler.feed(bad.encode()) == []
    assert assembler.flush() == []
    assert (assembler.counts.sentences, assembler.counts.bad_checksums) == (0, 4)


def ubx(kind: tuple[int, int], place: int, value: int) -> bytes:
    """A frame of 52 zeros (two blocks of MON-RF) but for one byte."""
    payload = bytearray(52)
    payload[1] = 2
    payload[place] = value
    body = bytes(kind) + len(payload).to_bytes(2, "little") + bytes(payload)
    return b"\xb5\x62" + body + sums(body)


def nav_status(state: int) -> bytes:
    """NAV-STATUS with what the receiver thinks of spoofing."""
    return ubx((0x01, 0x03), 7, state << 3)


@given(st.integers(0, 58), st.integers(1, 255))
def test_one_changed_byte_in_a_sentence_never_moves_the_fix(place: int, change: int) -> None:
    raw = bytearray(sentence(RMC))
    assert len(fixes_in(bytes(raw))) == 1
    raw[1 + place] ^= change
    # A change that makes a new, shorter sentence with a right checksum of its own cannot come of one byte.
    assert fixes_in(bytes(raw)) == []


def fixes_in(raw: bytes) -> list[Fix]:
    assembler = FixAssembler()
    return [*assembler.feed(raw), *assembler.flush()]


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.sampled_from([sentence(RMC), sentence(GGA), sentence(at(1)), b"\xb5\x62", b"\xb5\x62\x01\x03\x10\x00"]),
            st.builds(nav_status, st.integers(0, 3)),
        ),
        max_size=12,
    ),
    st.data(),
)
@settings(max_examples=200)
def test_any_bytes_in_any_pieces_give_the_same_and_never_raise(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    one, many = FixAssembler(), FixAssembler()
    together = one.feed(whole) + one.flush()
    ends = zip([0, *cuts], [*cuts, len(whole)], strict=True)
    apart = [fix for low, high in ends for fix in many.feed(whole[low:high])]
    assert apart + many.flush() == together
    assert one.counts == many.counts


@given(st.text("GPRMCNSEW,.0123456789*$AV-", max_size=90))
@settings(max_examples=400)
def test_things_that_look_like_sentences_never_raise(body: str) -> None:
    assembler = FixAssembler()
    data = sentence("GPRMC," + body) + sentence("GPGGA," + body)
    for fix in assembler.feed(data) + assembler.flush():
        assert fix.latitude_e7 is None or abs(fix.latitude_e7) <= 900_000_000
        assert fix.longitude_e7 is None or abs(fix.longitude_e7) <= 1_800_000_000


@pytest.mark.parametrize(
    ("frames", "quality"),
    [
        ([], "good"),
        ([(0x01, 0x03, 7, 1 << 3)], "good"),
        ([(0x01, 0x03, 7, 2 << 3)], "spoofed"),
        ([(0x01, 0x03, 7, 3 << 3 | 3)], "spoofed"),
        ([(0x01, 0x03, 7, 2 << 3), (0x01, 0x03, 7, 0)], "spoofed"),  # "unknown" takes nothing back
        ([(0x01, 0x03, 7, 2 << 3), (0x01, 0x03, 7, 1 << 3)], "good"),
        ([(0x0A, 0x09, 22, 2 << 2)], "jammed"),
        ([(0x0A, 0x09, 22, 1 << 2)], "good"),
        ([(0x0A, 0x38, 5, 3)], "jammed"),
        ([(0x0A, 0x38, 29, 2)], "jammed"),
        ([(0x0A, 0x38, 29, 2), (0x0A, 0x38, 5, 1)], "good"),
        ([(0x0A, 0x38, 29, 2), (0x01, 0x03, 7, 2 << 3)], "spoofed"),
        ([(0x01, 0x07, 7, 2 << 3)], "good"),
    ],
)
def test_what_a_receiver_suspects_stands_against_its_places(
    frames: list[tuple[int, int, int, int]], quality: str
) -> None:
    data = b"".join(ubx((kind, one), place, value) for kind, one, place, value in frames)
    assembler = FixAssembler()
    fixes = assembler.feed(data + sentence(RMC) + sentence(GGA)) + assembler.flush()
    assert [str(one.quality) for one in fixes] == [quality]
    assert assembler.counts.skipped_bytes == 0


def fix_at(second: int) -> bytes:
    """A sentence of a fix, so many seconds after noon."""
    time = f"{12 + second // 3_600:02d}{second // 60 % 60:02d}{second % 60:02d}.00"
    return sentence(RMC.replace("120000.00", time))


@pytest.mark.parametrize(
    ("frame", "quality"), [(nav_status(2), "spoofed"), (ubx((0x0A, 0x38), 5, 3), "jammed")], ids=["spoofed", "jammed"]
)
def test_what_a_receiver_says_no_more_is_suspected_for_a_minute_of_its_fixes(frame: bytes, quality: str) -> None:
    assembler = FixAssembler()
    data = b"".join(frame * (second in {0, 1, 41}) + fix_at(second) for second in range(120))
    found = [str(one.quality) for one in assembler.feed(data) + assembler.flush()]
    assert found == [quality] * 100 + ["good"] * 20, "the last word came within the fix of second 40"
    # A slow one as well; a time that leaps, or goes back, is no minute; and what tells no time takes a second a fix.
    slow = b"".join(fix_at(second) for second in range(0, 300, 20))
    assert suspected(frame + slow) == 7
    assert suspected(frame + fix_at(0) + fix_at(7_200) + fix_at(60) + fix_at(3_600)) == 4
    assert suspected(frame + sentence(RMC.replace("120000.00", "")) * 100) == 60


def suspected(data: bytes) -> int:
    return sum(one.quality is not FixQuality.GOOD and one.quality is not FixQuality.NO_TIME for one in fixes_in(data))


def test_a_receiver_that_says_it_again_is_suspected_as_long_as_it_does() -> None:
    data = b"".join(nav_status(2) + fix_at(second) for second in range(3_000))
    assert suspected(data) == 3_000
    assert suspected(data + nav_status(1) + fix_at(3_000)) == 2_999, "it holds for the fix that is under way"


def test_a_frame_with_wrong_sums_says_nothing_and_hides_no_sentence() -> None:
    broken = bytearray(nav_status(2))
    broken[-1] ^= 0x80
    for noise in (bytes(broken), b"\xb5\x62\x01\x03\x20\x00", b"\xb5", b"\xb5\x62\x01\x03\xff\xff"):
        assembler = FixAssembler()
        fixes = assembler.feed(noise + sentence(RMC) + sentence(GGA)) + assembler.flush()
        assert [str(one.quality) for one in fixes] == ["good"]
        assert assembler.counts.skipped_bytes == len(noise)


def test_the_way_back_after_noise() -> None:
    ubx = bytes.fromhex("b562010714") + bytes(range(40))
    data = b"# a comment\r\n" + ubx + sentence(RMC) + b"\xff\xfe$GPRMC,cut off in the midd" + sentence(at(1)) + b"\0\0"
    assembler = FixAssembler()
    assert len(assembler.feed(data) + assembler.flush()) == 2
    assert assembler.counts.skipped_bytes > 50


def test_the_framer_holds_no_more_than_its_bound() -> None:
    framer = LineFramer()
    assert framer.feed(b"$" + b"A" * 10_000_000) == []
    assert framer._sentence is None or len(framer._sentence) <= SENTENCE_MAX_BYTES
    assert framer.feed(b"\n" + sentence(RMC))[0].is_sound


def test_the_command_prints_fixes_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "port.log"
    log.write_bytes(b"# header\n" + sentence(RMC) + sentence(GGA) + b"$GPRMC,bad*01\r\n" + sentence(BROKEN[0]))
    out = io.StringIO()
    assert nmea_command.run([log], summary=True, out=out) == 0
    first, last = (json.loads(line) for line in out.getvalue().splitlines())
    assert first == {
        "time": "2026-01-01T12:00:00.000Z",
        "latitude": 33.7020575,
        "longitude": -118.2757202,
        "altitude_m": 12.5,
        "speed_mps": 5.144,
        "course_deg": 90.0,
        "satellites": 8,
        "hdop": 0.9,
        "fix": "3d",
        "quality": "good",
    }
    assert last == {"sentences": 3, "bad_checksums": 1, "broken_lines": 1, "fixes": 1}


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "port.log"
    log.write_bytes(sentence(GGA))
    out = io.StringIO()
    assert nmea_command.run([tmp_path / "missing.log", log], summary=False, out=out) == 2
    assert json.loads(out.getvalue())["time"] is None
    assert "missing.log cannot be read: No such file" in capsys.readouterr().err
