"""What one may break in the demo: a sensor, a price, the broker. No beat of the story is about these."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pledgewatch_sim.demo.stage import Poke
from pledgewatch_sim.demo.story import BIRCH, SHOCKED_LINE, SHOCKED_SKU, price
from pledgewatch_sim.demo.trackers import Tracker
from pledgewatch_sim.demo.troupe import Troupe
from pledgewatch_sim.demo.words import Words

BROKER = "broker"
BROKER_DOWN_S = 4.0
SHOCK_BP = 7_000
"""What a price that is shocked comes to, in basis points of what it was."""


class Pokes:
    """Breaks things. `trackers` are known once the story sets out; `amend` changes the book."""

    def __init__(
        self,
        troupe: Troupe,
        trackers: Mapping[str, Tracker],
        amend: Callable[[dict[str, Any]], Awaitable[object]],
    ) -> None:
        self._troupe = troupe
        self._trackers = trackers
        self._amend = amend
        self._raising: asyncio.Task[None] | None = None

    def all(self) -> dict[str, Poke]:
        """By their names at the stage."""
        return {
            "sensor": Poke(
                Words(f"Break {BIRCH.name}'s thermometer", f"弄坏 {BIRCH.name} 的温度计"), self._break_sensor
            ),
            "price": Poke(Words("Let coffee lose 30 %", "让咖啡跌价 30 %"), self._shock_price),
            "broker": Poke(Words("Kill the broker", "杀死消息代理"), self._kill_broker),
        }

    async def until_mended(self) -> None:
        """Wait until a broker that was killed is back."""
        if self._raising is not None:
            await self._raising

    async def _break_sensor(self) -> Words:
        self._trackers[BIRCH.name].is_broken = True
        return Words(
            f"{BIRCH.name}'s thermometer says 85 °C, as one that has just been powered: no evidence of anything.",
            f"{BIRCH.name} 的温度计读数为 85 °C，与刚上电时一样：不能作为任何证据。",
        )

    async def _shock_price(self) -> Words:
        minor = BIRCH.unit_price_minor * SHOCK_BP // 10_000
        await self._amend({"prices": [price(SHOCKED_SKU, minor)]})
        worth = f"{minor / 100:,.2f} USD"
        return Words(
            f"A bag of coffee is worth {worth} from now on; look at {SHOCKED_LINE}.",
            f"一袋咖啡从现在起值 {worth}；请看 {SHOCKED_LINE}。",
        )

    async def _kill_broker(self) -> Words:
        if BROKER not in self._troupe.resting:
            await self._troupe.kill(BROKER)
            self._raising = asyncio.create_task(self._raise_broker(), name="broker comes back")
        return Words(
            f"The broker is killed and back in {BROKER_DOWN_S:.0f} s. Devices keep what they measure; "
            "nobody is missed.",
            f"消息代理已被杀死，{BROKER_DOWN_S:.0f} 秒后恢复。设备保留其测量数据；没有设备会被判为失联。",
        )

    async def _raise_broker(self) -> None:
        await asyncio.sleep(BROKER_DOWN_S)
        await self._troupe.wake(BROKER)
