"""Live values in the terminal: each thing that was found is measured by its own sensor, once a second.

On a terminal the table stands still and its rows change: the cursor goes up by as many lines as there are, and each is
written anew. That is three escape sequences that every terminal knows, so it works over SSH and needs no curses. No
line is wider than the terminal, and what is measured is never cut for that: long places lose their beginnings, since
things of one kind differ at the end, and what even then has no room stands beneath its place. A cursor goes no higher
than the first line that is shown, so of a table that is higher than the terminal so much is shown as has room, and how
many lines there are beneath it; at the end it is written whole. Meanwhile the terminal does not show what is typed:
Enter would move the cursor. Anywhere else a row is written once, when its first value has come.
"""

import asyncio
import contextlib
import dataclasses
import shutil
import termios
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.install.finding import Found
from pledgewatch_edge.install.folding import COLUMNS_LEAST, parted
from pledgewatch_edge.install.values import sample_words
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import SensorSettings

REFRESH_S: Final = 1.0
WAITING: Final = "..."
LINES_LEAST: Final = 2
"""A lower terminal is written to as if it had a line more than these."""
PLACE_LEAST: Final = 15
"""So much of a place is always shown: a probe's whole name."""
_CUT: Final = "..."
_GAP: Final = "  "
Row = tuple[str, str, str]


def quick(settings: SensorSettings) -> SensorSettings:
    """The same sensor, measuring each second."""
    one: Any = settings
    interval_s = getattr(one, "interval_s", None)
    return settings if interval_s is None else dataclasses.replace(one, interval_s=min(interval_s or 1.0, 1.0))


class Watch:
    """The latest sample of each thing that was found and can be measured."""

    def __init__(self, found: Sequence[Found]) -> None:
        self._found = found
        self.latest: dict[Found, Sample] = {}

    async def run(self) -> None:
        """Measure until cancelled. What a sensor may not open says so in its row, not here."""
        clock = AgentClock()
        async with asyncio.TaskGroup() as group:
            for one in self._found:
                if one.settings is not None:
                    group.create_task(self._measure(one, one.settings, clock), name=f"live {one.place}")

    async def _measure(self, one: Found, settings: SensorSettings, clock: AgentClock) -> None:
        async with contextlib.aclosing(quick(settings).sensor(clock).samples()) as samples:
            async for sample in samples:
                self.latest[one] = sample

    def rows(self) -> list[Row]:
        """Section, place and what is said of each."""
        return [(one.section, one.place, self._words(one)) for one in self._found]

    def _words(self, one: Found) -> str:
        if one.settings is None:
            return one.note
        sample = self.latest.get(one)
        return WAITING if sample is None else sample_words(sample)


class Table:
    """Rows on a stream; in place where it is a terminal."""

    def __init__(self, out: TextIO, *, in_place: bool) -> None:
        self._out = out
        self._in_place = in_place
        self._lines = 0
        self._said: set[tuple[str, str]] = set()

    def show(self, rows: Sequence[Row], *, is_last: bool = False) -> None:
        """Show them as they are now; all of them where nothing is shown in their place afterwards."""
        if self._in_place:
            columns, height = shutil.get_terminal_size()
            lines, room = _fitted(rows, columns - 1), max(height - 1, LINES_LEAST)  # the last line is the cursor's
            if len(lines) > room and not is_last:
                beneath = len(lines) - room + 1
                lines = [*lines[: room - 1], f"{_GAP}and {beneath} lines more"]
            up = f"\x1b[{self._lines}A" if self._lines else ""
            self._out.write(up + "".join(f"\r\x1b[K{line}\n" for line in lines) + "\x1b[J")
            self._lines = len(lines)
        else:
            widths = [_widest(row[column] for row in rows) for column in range(2)]
            for row in rows:
                if row[2] != WAITING and row[:2] not in self._said:
                    self._said.add(row[:2])
                    self._out.write(f"{_line(row, widths)}\n")
        self._out.flush()

    def end(self, rows: Sequence[Row]) -> None:
        """Show what has said nothing as well."""
        silent = "has said nothing"
        said_last = [(section, place, silent if said == WAITING else said) for section, place, said in rows]
        self.show(said_last, is_last=True)


def _line(row: Row, widths: Sequence[int]) -> str:
    return f"{_GAP}{row[0]:<{widths[0]}}{_GAP}{row[1]:<{widths[1]}}{_GAP}{row[2]}"


def _fitted(rows: Sequence[Row], columns: int) -> list[str]:
    """The rows as lines of at most so many columns, with all of what is said of each."""
    columns = max(columns, COLUMNS_LEAST)
    section = _widest(row[0] for row in rows)
    room = columns - section - 3 * len(_GAP)
    beside = [row for row in rows if len(row[2]) <= room - PLACE_LEAST]
    place = min(_widest(row[1] for row in rows), max(1, room - _widest(row[2] for row in beside)))
    lines: list[str] = []
    for row in rows:
        shortened = row[1] if len(row[1]) <= place else (_CUT + row[1][-max(1, place - len(_CUT)) :])[-place:]
        if row in beside:
            lines.append(_line((row[0], shortened, row[2]), (section, place)))
        else:
            lines.append(_line((row[0], shortened, ""), (section, place)).rstrip())
            lines += [_GAP + part for part in parted(row[2], columns - len(_GAP))]
    return lines


def _widest(texts: Iterable[str]) -> int:
    return max((len(text) for text in texts), default=0)


async def show_live(
    found: Sequence[Found], out: TextIO, *, in_place: bool, seconds: float, typed: TextIO | None
) -> Mapping[Found, Sample]:
    """Show what is measured for so long, or until Enter is pressed where `typed` is a terminal; what was measured
    last. Raises EOFError where the terminal was ended instead (Ctrl-D)."""
    with _unseen(typed):
        return await _shown(found, out, in_place=in_place, seconds=seconds, typed=typed)


@contextlib.contextmanager
def _unseen(typed: TextIO | None) -> Iterator[None]:
    """A terminal that does not show what is typed."""
    if typed is None:
        yield
        return
    before = termios.tcgetattr(typed.fileno())
    unseen = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(typed.fileno(), termios.TCSANOW, unseen)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # it is gone
            termios.tcsetattr(typed.fileno(), termios.TCSANOW, before)


async def _shown(
    found: Sequence[Found], out: TextIO, *, in_place: bool, seconds: float, typed: TextIO | None
) -> Mapping[Found, Sample]:
    watch, table, enough = Watch(found), Table(out, in_place=in_place), asyncio.Event()
    loop = asyncio.get_running_loop()
    if typed is not None:
        loop.add_reader(typed.fileno(), enough.set)
    measuring = asyncio.create_task(watch.run(), name="live")
    line = ""
    try:
        until = loop.time() + seconds
        while not enough.is_set() and not measuring.done() and (left := until - loop.time()) > 0:
            table.show(watch.rows())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(REFRESH_S, left)):
                    await enough.wait()
        table.end(watch.rows())
    finally:
        if typed is not None:
            loop.remove_reader(typed.fileno())
            if enough.is_set():
                line = typed.readline()
        measuring.cancel()
        await asyncio.gather(measuring, return_exceptions=True)
    if enough.is_set() and not line:
        raise EOFError
    return watch.latest
