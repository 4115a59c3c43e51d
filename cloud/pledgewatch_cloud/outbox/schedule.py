"""When to try again: doubling waits with full jitter, so that a core that comes back is not met by everybody at once.

Wait n is drawn evenly from half to the whole of `first × 2ⁿ`, at most `maximum`; a longer wait that the core asked for
(`Retry-After`) is kept.
"""

from random import Random


def wait_s(attempts: int, *, first_s: float, maximum_s: float, asked_s: float, random: Random) -> float:
    """Seconds to wait after `attempts` failures (0 after the first)."""
    whole = min(maximum_s, first_s * 2.0 ** min(attempts, 32))
    return max(asked_s, random.uniform(whole / 2, whole))
