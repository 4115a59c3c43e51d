"""The agent's parser against real receivers: every capture with gpsd's golden output."""

from pathlib import Path

import pytest
from golden import DATA, EXCEPTIONS, WANTED_SHARE, Found, golden_fixes, logs, missed

from pledgewatch_edge.fixes import FixAssembler

LOGS = logs()
needs_data = pytest.mark.skipif(not LOGS, reason=f"needs ../shared/data/{DATA.name}")


def found_in(data: bytes, *, chunk: int) -> list[Found]:
    """The fixes with a place that the parser finds in bytes handed over in chunks."""
    assembler = FixAssembler()
    fixes = [fix for at in range(0, len(data), chunk) for fix in assembler.feed(data[at : at + chunk])]
    fixes += assembler.flush()
    return [
        Found(fix.time_ms, fix.latitude_e7, fix.longitude_e7)
        for fix in fixes
        if fix.latitude_e7 is not None and fix.longitude_e7 is not None
    ]


@needs_data
@pytest.mark.parametrize("log", LOGS or [DATA], ids=lambda log: log.name)
def test_a_capture_gives_gpsds_fixes(log: Path) -> None:
    golden = golden_fixes(log)
    met = len(golden) - len(missed(golden, found_in(log.read_bytes(), chunk=4_096)))
    if log.name in EXCEPTIONS:
        assert met < WANTED_SHARE * len(golden), "no longer an exception: take it off the list"
    else:
        assert met >= WANTED_SHARE * len(golden), missed(golden, found_in(log.read_bytes(), chunk=4_096))[:5]


@needs_data
def test_how_bytes_are_split_changes_nothing() -> None:
    for log in LOGS[::8]:
        data = log.read_bytes()
        assert found_in(data, chunk=1) == found_in(data, chunk=7) == found_in(data, chunk=len(data))


@needs_data
def test_odd_logs_of_other_programs_are_read_without_surprise() -> None:
    files = sorted(path for path in (DATA.parent / "nmea-misc").rglob("*") if path.is_file() and path.suffix != ".md")
    assert files
    for path in files:
        assembler = FixAssembler()
        assembler.feed(path.read_bytes())
        assembler.flush()
        counts = assembler.counts
        assert counts.sentences + counts.bad_checksums + counts.skipped_bytes > 0, path
