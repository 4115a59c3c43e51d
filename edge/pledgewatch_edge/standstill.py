"""Who has the event loop and does not give it back.

All of a process takes turns in one event loop. Whoever blocks in it, as a sensor of another package may, stops all:
nothing is measured, nothing is sent, and SIGTERM is not heard. Nothing can take the loop from him; systemd kills the
program in the end, and its next life comes to the same. So it is said who it is, or nobody would ever find him: a
thread beside the loop looks whether it turns, and where it does not, tells the task whose turn it is and the lines at
which it stands.

Looks are counted and not seconds: a machine that was asleep, or a program that was stopped, stands still by nobody. It
must be the same task at each look: where many each have a little to do, a turn takes long and nobody blocks.
"""

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

LOOK_EVERY_S: Final = 1.0
LOOKS: Final = 10  # without a turn, and it stands still
_LINES_MAX: Final = 8
log = logging.getLogger(__name__)


class _Watch:
    """What the loop and the thread know of each other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, told: Callable[[str], None], back: Callable[[], None]) -> None:
        self._loop, self._told, self._back = loop, told, back
        self._of_loop = threading.get_ident()
        self._looks = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="standstill", daemon=True)
        self._next = loop.call_soon(self._turn)
        self._thread.start()

    def end(self) -> None:
        self._next.cancel()
        self._ended.set()
        self._thread.join(LOOK_EVERY_S)  # it may hang in a log or a disk that does

    def _turn(self) -> None:
        self._looks = 0
        self._next = self._loop.call_later(LOOK_EVERY_S, self._turn)

    def _look(self) -> None:
        is_still, before, same = False, None, 0
        while not self._ended.wait(LOOK_EVERY_S):
            self._looks += 1
            task = asyncio.current_task(self._loop)
            before, same = task, same + 1 if task is before else 1
            if min(self._looks, same) >= LOOKS and not is_still:
                is_still = True
                with _said():
                    by, at = self._who()
                    log.error("stands still by=%r at=%r", by, at)
                    self._told(f"{by} does not give the event loop back, at {at}")
            elif is_still and self._looks < LOOKS:
                is_still = False
                self._turns_again()
        if is_still:  # it has turned, or nobody could have ended the watch
            self._turns_again()

    def _turns_again(self) -> None:
        with _said():
            log.warning("turns again")
            self._back()

    def _who(self) -> tuple[str, str]:
        """The task whose turn it is, and where it stands, the innermost line first."""
        task = asyncio.current_task(self._loop)
        frame = sys._current_frames().get(self._of_loop)  # noqa: SLF001 - documented, whatever its name looks like
        lines: list[str] = []
        while frame is not None and len(lines) < _LINES_MAX:
            if frame.f_globals.get("__name__", "").partition(".")[0] == "asyncio":
                break
            lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
            frame = frame.f_back
        return "a callback" if task is None else task.get_name(), " < ".join(lines)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """What goes wrong within is said, and ends no watch."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whoever is told is not the watch's to know
        log.error("cannot tell who stands still error=%s %s", type(error).__name__, error)


@contextlib.contextmanager
def watched(loop: asyncio.AbstractEventLoop, told: Callable[[str], None], back: Callable[[], None]) -> Iterator[None]:
    """Look whether a loop, which is that of this thread, turns. Where it stands still that is said in the log, and
    `told` is called, from another thread, with who it is by; `back`, from there too, once it turns again."""
    watch = _Watch(loop, told, back)
    try:
        yield
    finally:
        watch.end()
