"""Remote care of a station that ends, or whose link falls away, while something is being noted on the disk."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from caring import Cared, cared_for, command, settings
from edge_support import until

from pledgewatch_edge.care import ledger as ledger_module
from pledgewatch_edge.care.ledger import Ledger
from pledgewatch_wire.care import Became

SLOWER = "[uplink]\nsend_every_s = 900\n"


class SlowDisk:
    """A disk that begins to take one ledger and goes on when it may; how many were taken at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slow: Callable[[Ledger], bool]) -> None:
        self._keep, self._slow = ledger_module.keep, slow
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self._under_way, self.most = 0, 0
        self._lock = threading.Lock()
        monkeypatch.setattr(ledger_module, "keep", self.keep)

    def keep(self, folder: Path, one: Ledger) -> None:
        """As the ledger's own, later."""
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            if self._slow(one) and not self.begun.is_set():
                self.begun.set()
                assert self.may_go_on.wait(60)
            self._keep(folder, one)
        finally:
            with self._lock:
                self._under_way -= 1


@pytest.fixture
def cared(tmp_path: Path) -> Cared:
    found = Cared(cared_for(tmp_path, rollback_after_s=1.0))
    found.start()
    return found


async def ended(disk: SlowDisk, task: "asyncio.Future[Any]") -> None:
    """Cancel a task in the moment in which the disk has begun, twice; it ends once the disk has taken it."""
    await until(disk.begun.is_set, "the disk to have begun")
    for _ in range(2):
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
        assert not task.done(), "the next station would write beside it"
    disk.may_go_on.set()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()


@pytest.mark.parametrize(
    ("slow", "said"),
    [
        (lambda one: not one.unsaid and "done" in str(one.ids), "an answer that the broker has"),
        (lambda one: bool(one.unsaid) and "done" in str(one.ids), "a command that was carried out"),
    ],
)
async def test_a_station_ends_when_what_it_notes_is_on_the_disk(
    cared: Cared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: Callable[[Ledger], bool], said: str
) -> None:
    disk = SlowDisk(monkeypatch, slow)
    running = asyncio.ensure_future(cared.care.run(cared.body))
    hear = {str(kind): hear for kind, hear in cared.care.hearers.items()}
    assert await hear["command"](command(1)) is None, said
    await ended(disk, running)
    cared.start()
    assert disk.most == 1
    found = ledger_module.read(tmp_path / "state")
    assert dict(found.ids)[1].startswith("done")
    again = Cared(tmp_path / "edge.toml")
    again.start()
    answers = await again.hear(("command", command(1)))
    assert answers[-1].became is Became.REFUSED
    assert again.body.reports == 0


async def test_a_trial_that_is_proven_while_the_station_ends_is_proven(
    cared: Cared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cared.hear(("settings", settings(1, SLOWER)))
    cared.start()
    disk = SlowDisk(monkeypatch, lambda one: one.good.version == 1)
    running = asyncio.ensure_future(cared.care.run(cared.body))
    cared.body.words = 1
    await ended(disk, running)
    assert cared.start().settings.uplink.send_every_s == 900.0
    assert disk.most == 1
    assert ledger_module.read(tmp_path / "state").trial is None


async def heard(cared: Cared, disk: SlowDisk, kind: str, data: bytes) -> None:
    """Say something to whoever hears it over a link that falls away while it is noted."""
    hear: Callable[[bytes], Awaitable[str | None]] = {str(kind): hear for kind, hear in cared.care.hearers.items()}[
        kind
    ]
    await ended(disk, asyncio.ensure_future(hear(data)))


async def test_settings_are_tried_though_the_link_falls_away_while_they_are_noted(
    cared: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SlowDisk(monkeypatch, lambda one: one.trial is not None)
    await heard(cared, disk, "settings", settings(1, SLOWER))
    assert cared.care.changed.is_set(), "else they would be on trial for ever, with no station that runs with them"
    assert cared.start().settings.uplink.send_every_s == 900.0


async def test_a_command_is_carried_out_though_the_link_falls_away_while_it_is_noted(
    cared: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SlowDisk(monkeypatch, lambda one: bool(one.ids))
    await heard(cared, disk, "command", command(1))
    answers = await cared.hear()
    assert [one.became for one in answers] == [Became.DONE]
    assert cared.body.reports == 1
