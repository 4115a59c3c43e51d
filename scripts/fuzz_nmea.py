"""A million random and mutated lines into the agent's parser: `scripts/fuzz_nmea.py [--lines N] [--seed N]`.

No exception, no fix that a line with a wrong checksum has made or moved, and every fix can be said on the wire. Ends
with the first line that breaks one of these, else with what was heard. tests/test_nmea_fuzz.py hears a share of it.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from fuzzing import assert_not_fooled, lines


def main() -> int:
    """Hear them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun, spent = time.monotonic(), time.process_time()
    heard = assert_not_fooled(lines(options.seed, options.lines))
    took_s, spent_s = time.monotonic() - begun, time.process_time() - spent
    print(
        f"{heard.lines} lines of seed {options.seed}, {heard.right} right sentences in them, {heard.fixes} fixes: "
        f"no exception, nothing of a wrong checksum; {took_s:.0f} s, {spent_s:.0f} s of CPU"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
