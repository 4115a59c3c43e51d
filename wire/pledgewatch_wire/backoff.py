"""When to try again: doubling waits with jitter, so that what comes back is not met by everybody at once."""

from random import Random

_DOUBLINGS_MAX = 32


def jittered_backoff(attempts: int, *, maximum_s: float, random: Random, first_s: float = 1.0) -> float:
    """Seconds to wait after `attempts` failures (0 after the first): `first_s` doubled that often, at most `maximum_s`,
    of which at most half is left out by chance."""
    whole = min(maximum_s, first_s * 2.0 ** min(attempts, _DOUBLINGS_MAX))
    return random.uniform(whole / 2, whole)
