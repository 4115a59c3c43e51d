"""Compares what becomes of every capture in ../shared/data/nmea-gpsd with gpsd's golden output: one line a log.

By the agent's parser alone; with --end-to-end played over a pty into the real agent, through a real broker, into the
cloud's journal (some ten minutes). Names of logs may follow: only these.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from brokers import started
from captures import play_all
from golden import EXCEPTIONS, WANTED_SHARE, Found, found_in, golden_fixes, logs, missed

AT_ONCE = 6  # logs, each with an agent of its own


def main() -> int:
    """Print the table; 1 where a log that is no exception falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--end-to-end", action="store_true")
    parser.add_argument("logs", nargs="*", metavar="LOG")
    options = parser.parse_args()
    wanted = [log for log in logs() if not options.logs or log.name in options.logs]
    short = 0
    for log, found in committed(wanted) if options.end_to_end else parsed(wanted):
        golden = golden_fixes(log)
        met = len(golden) - len(missed(golden, found))
        fails = met < WANTED_SHARE * len(golden)
        short += fails and log.name not in EXCEPTIONS
        share = f"{100 * met / len(golden):6.1f} %" if golden else "no golden fix"
        print(f"{log.name:36} {met:4} of {len(golden):4} {share:>14}  {EXCEPTIONS.get(log.name, '')}", flush=True)
    return 1 if short else 0


def parsed(wanted: list[Path]) -> Iterator[tuple[Path, list[Found]]]:
    """What the parser makes of each log."""
    for log in wanted:
        yield log, found_in(log.read_bytes(), chunk=4_096)


def committed(wanted: list[Path]) -> Iterator[tuple[Path, list[Found]]]:
    """What of each log with golden fixes comes to lie in the journal."""
    rest = iter([log for log in wanted if golden_fixes(log)])
    while some := list(islice(rest, AT_ONCE)):
        with tempfile.TemporaryDirectory() as folder:
            broker = started("mosquitto", Path(folder) / "broker")
            try:
                found = asyncio.run(play_all(Path(folder) / "station", broker, some))
            finally:
                broker.kill()
        yield from ((log, found[log.name]) for log in some)


if __name__ == "__main__":
    sys.exit(main())
