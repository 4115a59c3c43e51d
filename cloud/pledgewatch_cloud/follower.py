"""The process that carries the journal into the series, kept alive beside the service."""

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
_AGAIN_S = 5.0


async def keep_following(config: Path) -> None:
    """Start it, and again whenever it ends, until cancelled. It ends with us: its standard input does."""
    while True:
        # In a session of its own: Ctrl-C is for us to answer.
        arguments = [sys.executable, "-m", "pledgewatch_cloud", "series", "follow", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, start_new_session=True)
        try:
            code = await process.wait()
        finally:
            await asyncio.shield(_ended(process))
        log.error("the process that follows the journal has ended (exit code %d); starting it again", code)
        await asyncio.sleep(_AGAIN_S)


async def _ended(process: Process) -> None:
    """Let it end, or end it."""
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
