"""The agent's parser against real receivers: every capture with gpsd's golden output."""

from pathlib import Path

import pytest
from golden import CAPTURES, EXCEPTIONS, WANTED_SHARE, found_in, golden_fixes, logs, missed
from needed import DATA, needs

from pledgewatch_edge.fixes import FixAssembler

LOGS = logs()


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


@needs("nmea-misc")
def test_odd_logs_of_other_programs_are_read_without_surprise() -> None:
    files = sorted(path for path in (DATA / "nmea-misc").rglob("*") if path.is_file() and path.suffix != ".md")
    assert files
    for path in files:
        assembler = FixAssembler()
        assembler.feed(path.read_bytes())
        assembler.flush()
        counts = assembler.counts
        assert counts.sentences + counts.bad_checksums + counts.skipped_bytes > 0, path
