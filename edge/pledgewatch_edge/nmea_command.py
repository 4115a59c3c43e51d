"""`pledgewatch-edge nmea FILE…`: the fixes of recorded logs, by the very parser that the agent runs."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

from pledgewatch_edge.fixes import Counts, Fix, FixAssembler

UNREADABLE: Final = 2
_CHUNK_BYTES: Final = 64 * 1024


def run(files: list[Path], *, summary: bool, out: TextIO) -> int:
    """Print one JSON line for each fix, and with `summary` one last line of counts. Returns the exit code."""
    code = 0
    totals = Counts(0, 0, 0, 0, 0)
    for path in files:
        assembler = FixAssembler()
        try:
            with _opened(path) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    _print(assembler.feed(chunk), out)
        except BrokenPipeError:  # it is the answer that nobody reads, not the file that cannot be read
            raise
        except OSError as error:
            sys.stderr.write(f"{path} cannot be read: {error.strerror}\n")
            code = UNREADABLE
            continue
        _print(assembler.flush(), out)
        counts = asdict(assembler.counts)
        totals = Counts(**{name: value + counts[name] for name, value in asdict(totals).items()})
    if summary:
        counted = asdict(totals)
        del counted["skipped_bytes"]
        out.write(json.dumps(counted) + "\n")
    return code


def as_json(fix: Fix) -> dict[str, Any]:
    """A fix in degrees, metres and seconds, for people and scripts."""
    return {
        "time": _iso(fix.time_ms),
        "latitude": _scaled(fix.latitude_e7, 10_000_000),
        "longitude": _scaled(fix.longitude_e7, 10_000_000),
        "altitude_m": _scaled(fix.altitude_mm, 1_000),
        "speed_mps": _scaled(fix.speed_mmps, 1_000),
        "course_deg": _scaled(fix.course_cdeg, 100),
        "satellites": fix.satellites,
        "hdop": _scaled(fix.hdop_centi, 100),
        "fix": fix.fix,
        "quality": fix.quality,
    }


def _print(fixes: list[Fix], out: TextIO) -> None:
    for fix in fixes:
        out.write(json.dumps(as_json(fix)) + "\n")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with path.open("rb") as stream:
        yield stream


def _iso(time_ms: int | None) -> str | None:
    if time_ms is None:
        return None
    seconds, milliseconds = divmod(time_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def _scaled(value: int | None, scale: int) -> float | None:
    return None if value is None else value / scale
