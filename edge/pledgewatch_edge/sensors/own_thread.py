"""A call that may never return, such as a reading from a bus of the kernel: in a thread of its own, waited for so long.

No pool of threads is lent for it: a call that hangs would keep its place for ever, and after a few of them nobody else
would get one. The thread is a daemon, so that the process ends without it. While a call is under way no other is begun,
however often it is asked and whoever gave up waiting: what hangs, hangs once.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class OwnThread(Generic[T]):
    """One call, made again and again. Belongs to one event loop."""

    def __init__(self, name: str, call: Callable[[], T], answer_s: float) -> None:
        """`answer_s` is how long an answer may take; `name` is the thread's."""
        self._name, self._call, self._answer_s = name, call, answer_s
        self._answer: asyncio.Future[T] | None = None
        self._due_s = 0.0

    def afterwards(self, tidy: Callable[[], None]) -> None:
        """Do this now, or as soon as the call under way has returned; before any other is begun."""
        if self._answer is None or self._answer.done():
            tidy()
        else:
            self._answer.add_done_callback(lambda _: tidy())

    async def ask(self) -> T | None:
        """What the call gives, or raises; None where there is no answer in time, and then at once for as long as that
        call hangs."""
        if self._answer is not None and not await self._has_ended(self._answer):
            return None
        self._answer = answer = self._begun()
        return answer.result() if await self._has_ended(answer) else None

    def _begun(self) -> asyncio.Future[T]:
        found: Future[T] = Future()
        found.set_running_or_notify_cancel()  # whoever gives up does not take it back
        context = contextvars.copy_context()

        def run() -> None:
            try:
                found.set_result(context.run(self._call))
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                found.set_exception(error)

        self._due_s = asyncio.get_running_loop().time() + self._answer_s
        threading.Thread(target=run, name=self._name, daemon=True).start()
        return asyncio.wrap_future(found)

    async def _has_ended(self, answer: asyncio.Future[T]) -> bool:
        left_s = max(self._due_s - asyncio.get_running_loop().time(), 0.0)
        await asyncio.wait([answer], timeout=left_s)
        return answer.done()
