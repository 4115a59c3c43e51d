"""Runs the seeded simulation of the whole system over many seeds.

`.venv/bin/python scripts/simulate.py --seeds 1000 [--from 0]`

Prints the seed of the first run that breaks a law, and exits with 1.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from simulation import assert_nothing_is_lost_and_nothing_acts_twice


def main() -> int:
    """Run the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--from", dest="first", type=int, default=0)
    options = parser.parse_args()
    for seed in range(options.first, options.first + options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            try:
                assert_nothing_is_lost_and_nothing_acts_twice(Path(folder), seed)
            except AssertionError as error:
                print(f"seed {seed} breaks a law: {error}", file=sys.stderr)
                return 1
    print(f"{options.seeds} seeds from {options.first}: every law holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
