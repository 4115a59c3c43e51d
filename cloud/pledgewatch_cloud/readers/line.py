"""What the service and a reader say to each other: objects of JSON, one a line, over a pair of sockets.

    service ─► reader  {"stands": 812}                    an entry was committed
                       {"told": true}                     somebody was let in or out, though no entry says so
                       {"end": true}                      answer what is under way, then go
    reader ─► service  {"id": 1, "ask": "note", ...}  ─►  {"id": 1, ...}

What a reader asks for is what the service alone has: the one way into the journal, and who has logged in. Where the
line ends, the other has ended.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeAlias

LINE_MAX_BYTES = 2**25
"""The longest line: notes of as many requests as an audit holds."""
Said: TypeAlias = dict[str, Any]


class LostError(Exception):
    """The line has ended before the answer."""


class Line:
    """A reader's end of it."""

    def __init__(
        self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Callable[[Said], None]
    ) -> None:
        """`heard` is given what the service says of its own accord."""
        self._stream, self._writer, self._heard = stream, writer, heard
        self._asked: dict[int, asyncio.Future[Said]] = {}
        self._last = 0
        self._is_lost = False

    async def run(self) -> None:
        """Hear until the line ends."""
        try:
            while line := await self._stream.readline():
                said: Said = json.loads(line)
                if "id" not in said:
                    self._heard(said)
                elif (asked := self._asked.pop(said["id"], None)) is not None and not asked.done():
                    asked.set_result(said)
        except ConnectionError:
            pass
        finally:
            self._is_lost = True
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_exception(LostError("the service has ended"))

    async def ask(self, what: str, **more: Any) -> Said:
        """The answer to a question. Raises LostError."""
        if self._is_lost:
            raise LostError("the service has ended")
        self._last += 1
        asked = self._asked[self._last] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(written({"id": self._last, "ask": what, **more}))
            await self._writer.drain()
        except ConnectionError as error:
            raise LostError(str(error)) from None
        answer: Said = await asked
        return answer


def written(said: Said) -> bytes:
    """A line."""
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"
