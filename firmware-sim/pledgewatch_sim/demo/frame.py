"""What is around a demo: how it is told to end, the folder that it plays in, and its report.

A folder that was not named goes when all has gone well, or when it was ended at once; where the demo fails, it is kept
and named, for it has every program's log. It holds secrets of the demo alone, and nobody else may read it.
"""

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pledgewatch_sim.demo.troupe import DemoError

EARLIER = "earlier"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """How the story is told to end: once, and what was measured is still sent and counted; twice, and it ends at once,
    as it does when the terminal is closed."""

    def __init__(self, end: Callable[[], object]) -> None:
        """`end` ends the demo in whatever it does."""
        self.asked = asyncio.Event()
        self.is_now = False
        self._end = end

    def listen(self) -> None:
        """Hear signals."""
        loop = asyncio.get_running_loop()
        for number, heard in zip(_SIGNALS, (self.ask, self.ask, self.now), strict=True):
            signal.signal(number, lambda *_, heard=heard: loop.call_soon_threadsafe(heard))

    def deafen(self) -> None:
        """Python gives its signals back while it ends: who presses the keys once more then meets no traceback."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def ask(self) -> None:
        """SIGINT or SIGTERM."""
        if self.asked.is_set():
            self.now()
        self.asked.set()

    def now(self) -> None:
        """SIGHUP, or asked twice. What ends the programs is not itself ended by a third time."""
        if not self.is_now:
            self.is_now = True
            self._end()


class Place:
    """The folder, and the file of the report."""

    def __init__(self, folder: Path, report: Path | None, *, is_kept: bool) -> None:
        self.folder = folder
        self.is_kept = is_kept
        self._report = report

    def write(self, report: dict[str, Any]) -> None:
        """Write the report, where one is asked for."""
        if self._report is not None:
            self._report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")

    def keep(self) -> None:
        """It has failed: keep the folder, and name it."""
        self.is_kept = True
        print(f"Logs and data of this demo are kept in {self.folder}", file=sys.stderr, flush=True)


@contextmanager
def place(named: Path | None, report: Path | None) -> Iterator[Place]:
    """The folder that was named, or one that goes at the end. Raises DemoError where something cannot be used."""
    try:
        if report is not None:
            report.open("a", encoding="utf-8").close()  # found out now, not when all is told
        # The programs run in folders of their own: a name relative to this one would lead them astray.
        folder = named.resolve() if named else Path(tempfile.mkdtemp(prefix="pledgewatch-demo-"))
        if named is not None:
            make_room(folder)
    except OSError as error:
        raise DemoError(f"{error.filename} cannot be used: {error.strerror}") from None
    found = Place(folder, report, is_kept=named is not None)
    try:
        yield found
    except Exception:
        found.keep()
        raise
    finally:
        if not found.is_kept:
            shutil.rmtree(folder, ignore_errors=True)


def make_room(folder: Path) -> None:
    """Make the folder; what an earlier demo left there is kept in a folder of its own. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "cloud.toml").exists():
        kept = folder / EARLIER / str(len(list((folder / EARLIER).glob("*"))) + 1)
        kept.mkdir(parents=True)
        for one in folder.iterdir():
            if one.name != EARLIER:
                one.rename(kept / one.name)
