"""When to try again: the schedule of Standard Webhooks, with jitter, and then no more.

The attempts of one message are at once, then 5 seconds, 5 and 30 minutes, 2, 5, 10, 14, 20 and 24 hours after the one
before: ten in all, over some three days. Each pause is lengthened by chance by up to JITTER of it, so that what failed
together does not come back together. An endpoint that asks for a longer pause gets it. (Standard Webhooks
specification, "Retries".)
"""

from random import Random

PAUSES_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
ATTEMPTS_MAX = len(PAUSES_S) + 1
JITTER = 0.1
LONGEST_ASKED_S = 86_400.0
"""The most that is honoured of what an endpoint asks for."""


def pause_ms(attempts: int, asked_s: float, *, scale: float, random: Random) -> int | None:
    """How long to wait after the `attempts`-th attempt has failed, or None where that was the last.

    `asked_s` is what the endpoint asks for; `scale` shortens the schedule for simulations, and not that.
    """
    assert attempts >= 1, "nothing was tried"
    if attempts >= ATTEMPTS_MAX:
        return None
    planned_s = PAUSES_S[attempts - 1] * scale * (1 + JITTER * random.random())
    return round(1_000 * max(planned_s, asked_s))
