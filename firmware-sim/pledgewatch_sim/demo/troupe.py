"""The demo's programs, by name: started, watched, put to rest for a while, and never left behind."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx2

from pledgewatch_sim.programs import Program

START_PATIENCE_S = 90.0


class DemoError(Exception):
    """The demo cannot go on; the sentence says why."""


class Troupe:
    """Who plays. A program that rests is down because the story or the user has it so; any other that is down is an
    error."""

    def __init__(self, folder: Path, http: httpx2.AsyncClient) -> None:
        self._folder = folder
        self._http = http
        self._programs: dict[str, Program] = {}
        self.resting: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._programs

    async def start(self, module: str, name: str, config: str, *command: str) -> None:
        """Start a program with a configuration file of the folder."""
        await self.take(Program(name, module, [*command, "--config", str(self._folder / config)], self._folder))

    async def take(self, program: Program) -> None:
        """Start one that is there already."""
        await program.start()
        self._programs[program.name] = program

    async def until_up(self, port: int, name: str, look: Callable[[], None], path: str = "/healthz") -> None:
        """Wait until it answers well; `look` is asked in between, and may raise. Raises DemoError where it does not."""
        program = self._programs[name]
        url = f"http://127.0.0.1:{port}{path}"
        deadline = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < deadline:
            if not program.running:
                raise DemoError(f"{name} ended at once:\n{program.last_words()}")
            look()
            with contextlib.suppress(httpx2.HTTPError):
                if (await self._http.get(url)).is_success:
                    return
            await asyncio.sleep(0.1)
        raise DemoError(f"{name} does not answer at {url}:\n{program.last_words()}")

    def check(self) -> None:
        """Raise DemoError where one has ended that should not have."""
        for name, program in self._programs.items():
            if not program.running and name not in self.resting:
                raise DemoError(f"{name} has ended:\n{program.last_words()}")

    async def kill(self, name: str) -> None:
        """Its power is cut (SIGKILL); it rests."""
        self.resting.add(name)
        await self._programs[name].kill()

    async def wake(self, name: str) -> None:
        """It comes back."""
        await self._programs[name].start()
        self.resting.discard(name)

    async def stop(self, names: Iterable[str]) -> None:
        """All of them side by side: each takes its time to send what it has."""
        async with asyncio.TaskGroup() as group:
            for name in names:
                if name in self._programs:
                    self.resting.add(name)
                    group.create_task(self._programs[name].stop(), name=f"stop {name}")

    async def end(self, *, now: bool) -> None:
        """All of them, the latest first; `now`: without asking them."""
        for program in reversed(self._programs.values()):
            await (program.kill() if now else program.stop())
