"""Calls that may hang, in threads that nobody has to wait for.

A name server that is silent or a host that drops packets can hold a thread for minutes. It must not be one of the pool
that commits run in, and must not keep the program from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def aside(call: Callable[[], Result]) -> Result:
    """What `call` returns or raises, called in a thread of its own. Who is cancelled leaves the thread to itself."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(put: Callable[[Any], None], value: object) -> None:
        if not future.done():
            put(value)

    def run() -> None:
        try:
            outcome: tuple[Callable[[Any], None], object] = (future.set_result, call())
        except Exception as error:  # noqa: BLE001 - it is raised again, where it is waited for
            outcome = (future.set_exception, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await future
