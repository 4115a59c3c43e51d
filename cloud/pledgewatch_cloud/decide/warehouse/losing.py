"""The losses of pools after an entry: found anew as far as what is kept or claimed of them is another than before."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse import losses
from pledgewatch_cloud.decide.warehouse.course import NOTHING, Ceiling, Course
from pledgewatch_cloud.decide.warehouse.shortfall import Claims, Kept, Pool, name_of

Since = Callable[[], Iterable[tuple[int, int]]]
"""Since when how much more, or less, was claimed of a pool."""


class Losing:
    """The ceilings of pools under which goods are kept, with their losses. `before` are those before the entry, and
    `known` the courses of then; None where nothing is known of what has changed since."""

    def __init__(
        self,
        kept: Kept,
        ceilings: Mapping[Pool, Ceiling],
        before: Mapping[Pool, Ceiling],
        known: Shelves[Course] | None,
        now_ms: int,
    ) -> None:
        self.ceilings = ceilings
        self._kept, self._before, self._known, self._now_ms = kept, before, known, now_ms

    def of(self, pools: Iterable[Pool]) -> list[Pool]:
        """Those of some pools of which a count has missed goods."""
        return [pool for pool in pools if pool in self.ceilings and self.ceilings[pool].short_ms < NEVER]

    def find(self, pool: Pool, claims: Claims, claimed_since: Since, *, is_missed: bool) -> bool:
        """Find the losses of a pool of which a count has missed goods, one of this entry where `is_missed`; whether
        something else is kept of it now."""
        one = self.ceilings[pool]
        if one.claimed:
            milli = claims.staying_milli if claims.of else None
            one = losses.claimed(one, milli, self._now_ms, is_missed=is_missed)
        else:
            now_milli = claims.staying_milli if claims.of else None
            one = losses.begun(one, claimed_since(), now_milli, self._now_ms)
        return self._put(pool, losses.found(one, partial(self._kept.courses, pool), self._since_ms(pool, one)))

    def hear(self, pool: Pool, *, is_short: bool) -> bool:
        """Note whether a pool is known to be short; whether what comes in from now on may count otherwise."""
        is_other = False
        for one in self.of([pool]):
            after = losses.heard(self.ceilings[one], self._now_ms, is_short=is_short)
            if after is not self.ceilings[one]:
                is_other = self._put(one, losses.found(after, partial(self._kept.courses, one), self._now_ms))
        return is_other

    def _since_ms(self, pool: Pool, now: Ceiling) -> int:
        """From when on what is kept of a pool, or claimed, may be another than when its losses were found last."""
        known = self._before.get(pool)
        if self._known is None or known is None or not known.claimed or known.short_ms != now.short_ms:
            return -NEVER
        since_ms = self._now_ms if now.claimed != known.claimed else NEVER
        for key in self._kept.keys_of(pool):
            was = self._known.get(name_of(key)) or NOTHING
            since_ms = min(since_ms, self._kept.course(key).differs_ms(was))
        return since_ms

    def _put(self, pool: Pool, after: Ceiling) -> bool:
        """Keep a pool under a ceiling; of too many losses the oldest are worked out for good."""
        before = self.ceilings[pool]
        if after == before:
            return False
        is_other = after.losses != before.losses
        if is_other:
            self._kept.under(pool, after)
        until_ms = losses.settled_ms(after)
        if until_ms > -NEVER:
            some = ((key, self._kept.at(key, after, until_ms)) for key in self._kept.keys_of(pool))
            kept = {key: milli for key, milli in some if milli}
            after = losses.settled(after, kept, until_ms)
            self._kept.under(pool, after, is_settled=True)
        self.ceilings = {**self.ceilings, pool: after}
        return is_other
