"""How the core gets in the sender's way, as asked: before a message is booked, and after.

    before   late by slow_s; outage: 503; gone: 410; fail_first: 503; in a storm: 500; a share of 429 and of 500
    after    reorder: a later request is answered first; a share is answered late, never, as lost (504), or plainly

Nothing here touches what is booked: whatever is answered, and however often, 2xx is only ever said of what is on disk.
Every share is thrown with seeded dice, so a run in one order of requests can be had again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from random import Random
from typing import Any, NamedTuple

NEVER_ANSWERED_S = 3_600.0
_POLL_S = 0.05
_SHARES = (
    "answer_429_share",
    "answer_500_share",
    "lose_answer_share",
    "late_answer_share",
    "never_answer_share",
    "take_twice_share",
    "plain_answer_share",
)
_LENGTHS = ("fail_first", "slow_s", "storm_s", "storm_every_s", "late_answer_s", "reorder_wait_s", "retry_after_s")


@dataclass(frozen=True, slots=True)
class MisbehaviourSettings:
    """How the core misbehaves; by default not at all.

    `outage` answers 503 and `gone` 410 to everything; the first `fail_first` requests get 503; for `storm_s` of every
    `storm_every_s` all get 500. Shares are of requests, 0 to 1: 500, and 429 with `Retry-After: retry_after_s`, before
    anything is booked; after it, an answer that is lost (504), that comes after `late_answer_s`, or that never comes;
    `take_twice_share` are taken twice, as if a proxy had sent them on twice, and answered as the repeat is. `slow_s`
    is waited before each. With `reorder` an answer waits, up to `reorder_wait_s`, for a later request's. Of
    `plain_answer_share` the answer is 2xx and does not say whether the release is paid.
    """

    fail_first: int = 0
    answer_429_share: float = 0.0
    retry_after_s: int = 1
    answer_500_share: float = 0.0
    lose_answer_share: float = 0.0
    late_answer_share: float = 0.0
    late_answer_s: float = 30.0
    never_answer_share: float = 0.0
    take_twice_share: float = 0.0
    plain_answer_share: float = 0.0
    slow_s: float = 0.0
    storm_s: float = 0.0
    storm_every_s: float = 0.0
    reorder: bool = False
    reorder_wait_s: float = 0.5
    gone: bool = False
    outage: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; a share is 0 to 1")
        for name in _LENGTHS:
            if not 0 <= getattr(self, name) <= 1e9:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 10^9")
        if self.storm_s and self.storm_every_s <= self.storm_s:
            raise ValueError(f"storm_every_s is {self.storm_every_s}; it must be above storm_s, {self.storm_s}")


class Obstacle(NamedTuple):
    """An answer that is given instead of the true one."""

    status: HTTPStatus
    detail: str
    retry_after_s: int | None = None


class Misbehaviour:
    """What gets in the way, as it was asked for last. Times and turns count from the last change."""

    def __init__(self, settings: MisbehaviourSettings, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._last: asyncio.Event | None = None
        self._begin(settings)

    @property
    def settings(self) -> MisbehaviourSettings:
        """As it misbehaves now."""
        return self._settings

    def change(self, changes: dict[str, Any]) -> None:
        """Misbehave otherwise: only what is named changes. Raises ValueError for what is no such setting."""
        kinds = {field.name: type(field.default) for field in fields(MisbehaviourSettings)}
        for name, value in changes.items():
            if name not in kinds:
                raise ValueError(f"{name} is no setting; there are {', '.join(kinds)}")
            if type(value) is not kinds[name] and not (kinds[name] is float and type(value) is int):
                raise ValueError(f"{name} is {value!r}; it must be of the type {kinds[name].__name__}")
        self._begin(replace(self._settings, **changes))

    async def before(self) -> Obstacle | None:
        """Wait as asked, and say what gets in the way of a request before anything of it is booked."""
        asked = self._settings
        if asked.slow_s:
            await asyncio.sleep(asked.slow_s)
        self._turns += 1
        if asked.outage:
            return Obstacle(HTTPStatus.SERVICE_UNAVAILABLE, "out of order, as asked")
        if asked.gone:
            return Obstacle(HTTPStatus.GONE, "gone, as asked")
        if self._turns <= asked.fail_first:
            return Obstacle(HTTPStatus.SERVICE_UNAVAILABLE, "not open yet")
        if asked.storm_s and (self._now_s() - self._begun_s) % asked.storm_every_s < asked.storm_s:
            return Obstacle(HTTPStatus.INTERNAL_SERVER_ERROR, "in a storm, as asked")
        return self._thrown_before(asked)

    def takes_twice(self) -> bool:
        """Whether this request is taken twice."""
        return self._thrown(self._settings.take_twice_share)

    def answers_plainly(self) -> bool:
        """Whether the answer to this request keeps silent about the release."""
        return self._thrown(self._settings.plain_answer_share)

    async def after(self, is_disconnected: Callable[[], Awaitable[bool]]) -> Obstacle | None:
        """Get in the way of an answer to what is booked. Returns what is answered instead, if anything is."""
        asked = self._settings
        if self._thrown(asked.lose_answer_share):
            return Obstacle(HTTPStatus.GATEWAY_TIMEOUT, "booked, and the answer lost, as asked")
        if self._thrown(asked.never_answer_share):
            await _gone(is_disconnected, NEVER_ANSWERED_S)
            return Obstacle(HTTPStatus.GATEWAY_TIMEOUT, "booked, and never answered, as asked")
        if self._thrown(asked.late_answer_share):
            await _gone(is_disconnected, asked.late_answer_s)
        return None

    async def out_of_order(self) -> Callable[[], Awaitable[None]]:
        """With `reorder`, wait until a later request is answered. Returns what is to be awaited after the answer."""
        earlier, self._last = self._last, None
        if earlier is None and self._settings.reorder:
            self._last = own = asyncio.Event()
            try:
                async with asyncio.timeout(self._settings.reorder_wait_s):
                    await own.wait()
            except TimeoutError:
                self._last = None if self._last is own else self._last

        async def answered() -> None:
            if earlier is not None:
                earlier.set()

        return answered

    def _begin(self, settings: MisbehaviourSettings) -> None:
        self._settings = settings
        self._dice = Random(settings.seed)
        self._turns = 0
        self._begun_s = self._now_s()

    def _thrown_before(self, asked: MisbehaviourSettings) -> Obstacle | None:
        if self._thrown(asked.answer_429_share):
            return Obstacle(HTTPStatus.TOO_MANY_REQUESTS, "too many requests, as asked", asked.retry_after_s)
        if self._thrown(asked.answer_500_share):
            return Obstacle(HTTPStatus.INTERNAL_SERVER_ERROR, "misbehaving as asked")
        return None

    def _thrown(self, share: float) -> bool:
        return share > 0 and self._dice.random() < share


async def _gone(is_disconnected: Callable[[], Awaitable[bool]], wait_s: float) -> None:
    """Wait so long, or until the sender has hung up."""
    ends_s = time.monotonic() + wait_s
    while time.monotonic() < ends_s and not await is_disconnected():
        await asyncio.sleep(min(_POLL_S, max(0.0, ends_s - time.monotonic())))
