"""Runs the seeded simulation of money over many seeds.

`.venv/bin/python scripts/release_seeds.py --seeds 10000 [--from 0] [--jobs 2]`

Prints the first seed of the range that breaks a law and how to run it again, and exits with 1. With `--minutes` it
ends by then and says how far it came.
"""

import argparse
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from release_laws import live_through

PIECE = 20
EVERY = 200


def run(seeds: range) -> tuple[int, str]:
    """The first seed that breaks a law and what is wrong with it, or -1 and nothing."""
    logging.disable(logging.CRITICAL)
    for seed in seeds:
        try:
            live_through(seed)
        except Exception:  # noqa: BLE001 - whatever is raised is what is searched for
            return seed, traceback.format_exc()
    return -1, ""


def main() -> int:
    """Run the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9)
    options = parser.parse_args()
    ends_s = time.monotonic() + 60 * options.minutes
    whole = range(options.first, options.first + options.seeds)
    pieces = (whole[start : start + PIECE] for start in range(0, len(whole), PIECE))
    done = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for piece, (seed, fault) in _in_order(pool, pieces, options.jobs):
            if fault:
                print(f"{fault}\nseed {seed} breaks a law; again: scripts/release_seeds.py --from {seed} --seeds 1")
                pool.shutdown(cancel_futures=True)
                return 1
            done += len(piece)
            if done % EVERY == 0:
                print(f"{done} seeds from {options.first} so far", flush=True)
            if time.monotonic() > ends_s:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    print(f"{done} seeds from {options.first}: every law holds")
    return 0


def _in_order(pool: ProcessPoolExecutor, pieces: Iterator[range], jobs: int) -> Iterator[tuple[range, tuple[int, str]]]:
    """What comes of each piece, in order, with only a few under way."""
    under_way = [(piece, pool.submit(run, piece)) for piece in islice(pieces, 2 * jobs)]
    while under_way:
        piece, answer = under_way.pop(0)
        yield piece, answer.result()
        under_way += [(one, pool.submit(run, one)) for one in islice(pieces, 1)]


if __name__ == "__main__":
    sys.exit(main())
