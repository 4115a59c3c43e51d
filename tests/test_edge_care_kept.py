"""Settings from afar that hang or end the agent while they are looked at, or later when they were good already; and
what a trial may not destroy."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from caring import Cared, cared_for, command, settings
from edge_support import new_spool, sample, samples, until

from pledgewatch_edge.agent import EdgeSettings, load, station_of
from pledgewatch_edge.care import care as care_module
from pledgewatch_edge.care import ledger as ledger_module
from pledgewatch_edge.care.ledger import LEDGER_FILE, STARTS_MAX, Ledger, Looked
from pledgewatch_edge.config import SpoolSettings
from pledgewatch_edge.identity import StateError
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.spool.spool import Limits
from pledgewatch_edge.station import Station, keep_running
from pledgewatch_wire.care import Answer, Became

SLOWER = "[uplink]\nsend_every_s = 900\n"
SLOW = "[uplink]\nsend_every_s = 60\n"
DONE, REFUSED, TAKEN, LEFT_ASIDE = Became.DONE, Became.REFUSED, Became.TAKEN, Became.LEFT_ASIDE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return cared_for(tmp_path, rollback_after_s=1.0)


def found(file: Path) -> Ledger:
    return ledger_module.read(file.parent / "state")


def looked_at(cared: Cared, look: Callable[[str], None]) -> None:
    """Have something happen whenever settings are looked at."""
    make = cared.care._make

    def made(toml: str) -> Station:
        if toml:
            look(toml)
        return make(toml)

    cared.care._make = made


async def test_settings_that_end_the_agent_while_they_are_looked_at_are_given_up(file: Path, tmp_path: Path) -> None:
    """The broker has them ready at each start. Whoever is killed then leaves what the disk has in that moment."""
    path = tmp_path / "state" / LEDGER_FILE
    looks: list[str] = []
    kept: list[bytes] = []

    def killed(toml: str) -> None:
        looks.append(toml)
        kept.append(path.read_bytes())

    for times in range(1, STARTS_MAX + 1):
        cared = Cared(file)
        cared.start()
        looked_at(cared, killed)
        await cared.hear(("settings", settings(4, SLOWER)))
        path.write_bytes(kept.pop())
        assert found(file).looked == Looked(4, times)
    cared = Cared(file)
    cared.start()
    looked_at(cared, killed)
    answers = await cared.hear(("settings", settings(4, SLOWER)))
    assert answers == [Answer(4, 0, REFUSED, f"the agent has ended {STARTS_MAX} times while it looked at them")]
    assert len(looks) == STARTS_MAX
    assert (found(file).looked, found(file).version) == (None, 4)
    assert [one.became for one in await cared.hear(("settings", settings(5, SLOWER)))] == [TAKEN]


async def test_settings_of_which_the_check_does_not_end_are_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(care_module, "LOOK_S", 0.2)
    cared = Cared(file)
    cared.start()
    goes_on = threading.Event()

    def hangs(_: str) -> None:
        goes_on.wait(60)

    looked_at(cared, hangs)
    try:
        answers = await asyncio.wait_for(cared.hear(("settings", settings(4, SLOWER))), 20)
        assert answers == [
            Answer(4, 0, REFUSED, "they do not pass the check: it has come to no end within 0.2 s"),
        ]
        assert [one.became for one in await cared.hear(("command", command(1)))] == [DONE], "and the next is heard"
    finally:
        goes_on.set()


async def test_what_ends_a_program_while_settings_are_looked_at_ends_no_agent(file: Path) -> None:
    """As another package may, when it is imported."""
    cared = Cared(file)
    cared.start()

    def ends(_: str) -> None:
        raise SystemExit(3)

    looked_at(cared, ends)
    (answer,) = await cared.hear(("settings", settings(4, SLOWER)))
    assert answer.became is REFUSED
    assert answer.text.endswith("they are more than this program can read (SystemExit: 3)")


async def good(file: Path, version: int = 4, toml: str = SLOWER) -> None:
    """Settings that were proven."""
    cared = Cared(file)
    cared.start()
    await cared.hear(("settings", settings(version, toml)))
    cared.start()
    cared.body.words = 1
    assert [one.became for one in await cared.hear()] == [DONE]


class Broken:
    """A program that cannot run with settings from afar since it is another, and otherwise is stopped at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, *, is_of_all: bool = False) -> None:
        self.ran: list[float] = []
        self._error, self._is_of_all = error, is_of_all
        self._stop = asyncio.Event()
        monkeypatch.setattr("pledgewatch_edge.station.run_station", self._run)

    async def _run(self, settings: EdgeSettings, *_: Any, **__: Any) -> None:
        self.ran.append(settings.uplink.send_every_s)
        if settings.uplink.send_every_s or self._is_of_all:
            raise self._error
        self._stop.set()

    async def start(self, file: Path) -> bool:
        """Whether the agent could run."""
        try:
            await keep_running(station_of(load(file), file), self._stop)
        except (OverflowError, StateError, ExceptionGroup):
            return False
        return True


@pytest.mark.parametrize(
    "error", [OverflowError("no integer"), ExceptionGroup("tasks", [OverflowError("no integer")])], ids=["it", "a task"]
)
async def test_good_settings_with_which_no_station_can_run_any_more_are_left_aside(
    file: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await good(file)
    broken = Broken(monkeypatch, error)
    assert [await broken.start(file) for _ in range(STARTS_MAX)] == [False] * (STARTS_MAX - 1) + [True]
    assert broken.ran == [900.0] * STARTS_MAX + [0.0]
    (said,) = found(file).unsaid
    assert (said.version, said.became) == (4, LEFT_ASIDE)
    assert said.text.startswith(f"left aside, as the station ended {STARTS_MAX} times with them; at last: the station ")
    assert said.text.endswith("no integer")
    again = Cared(file)
    assert again.start().settings.uplink.send_every_s == 0.0
    answers = await again.hear(("settings", settings(4, SLOWER)))
    assert [(one.version, one.became) for one in answers] == [(4, LEFT_ASIDE), (4, LEFT_ASIDE)]
    assert [one.became for one in await again.hear(("settings", settings(5, SLOWER)))] == [TAKEN], "not in force"
    assert again.start().settings.uplink.send_every_s == 900.0
    again.body.words = 1
    await again.hear()
    assert (found(file).good.version, found(file).ends) == (5, 0)
    assert again.start().settings.uplink.send_every_s == 900.0


def with_more(file: Path, more: str) -> None:
    file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")


@pytest.mark.parametrize("of", ["the disk", "the technician's"])
async def test_an_end_that_is_not_of_the_settings_leaves_none_aside(
    file: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    if of == "the disk":
        await good(file)
        broken = Broken(monkeypatch, StateError("another agent runs with it"))
        assert not any([await broken.start(file) for _ in range(STARTS_MAX + 1)])
    else:
        with_more(file, SLOW)
        broken = Broken(monkeypatch, OverflowError("no integer"))
        assert not any([await broken.start(file) for _ in range(STARTS_MAX + 1)])
    assert (found(file).ends, found(file).unsaid) == (0, ())


async def test_a_station_that_has_run_for_long_could_run_with_its_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await good(file)
    cared = Cared(file)
    for _ in range(STARTS_MAX - 1):
        cared.start()
        assert not cared.care.go_back("it ended")
    assert found(file).ends == STARTS_MAX - 1
    cared.start()
    await cared.hear(settle_s=0.3)
    assert found(file).ends == STARTS_MAX - 1, "not for long"
    monkeypatch.setattr(care_module, "RUNS_S", 0.1)
    await cared.hear(settle_s=0.5)
    assert found(file).ends == 0
    assert not cared.care.go_back("it ended")


async def test_what_was_left_aside_stays_so_though_a_trial_runs_for_long_and_fails(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await good(file)
    cared = Cared(file)
    for _ in range(STARTS_MAX):
        cared.start()
        cared.care.go_back("it ended")
    assert cared.start().settings.uplink.send_every_s == 0.0
    await cared.hear(("settings", settings(5, SLOW)))
    monkeypatch.setattr(care_module, "RUNS_S", 0.2)
    assert cared.start().settings.uplink.send_every_s == 60.0
    running = asyncio.create_task(cared.care.run(cared.body))
    await until(lambda: bool(found(file).refused), "the trial to be over")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert found(file).ends == STARTS_MAX
    assert cared.start().settings.uplink.send_every_s == 0.0
    assert Cared(file).start().settings.uplink.send_every_s == 0.0, "also after a restart"


async def test_a_station_that_cannot_run_gives_up_its_own_settings_and_none_that_came_since(file: Path) -> None:
    cared = Cared(file)
    cared.start()
    await cared.hear(("settings", settings(4, SLOWER)))
    cared.start()
    await cared.hear(("settings", settings(5, SLOW)))
    assert cared.care.go_back("the station cannot run"), "another is to be run"
    trial = found(file).trial
    assert trial is not None
    assert trial.version == 5
    assert cared.start().settings.uplink.send_every_s == 60.0


async def test_a_trial_that_ends_for_the_disk_or_another_agent_is_tried_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hears(file, settings(4, SLOWER))
    broken = Broken(monkeypatch, StateError("another agent is using this folder"), is_of_all=True)
    assert not any([await broken.start(file) for _ in range(STARTS_MAX + 1)])
    assert broken.ran == [900.0, 0.0] * (STARTS_MAX + 1)
    trial = found(file).trial
    assert trial is not None, "with the good ones none can run either"
    assert (trial.version, trial.starts) == (4, 0)
    cared = Cared(file)
    assert cared.start().settings.uplink.send_every_s == 900.0
    cared.body.words = 1
    assert (await cared.hear())[-1].became == DONE


async def test_a_trial_that_alone_ends_for_the_disk_is_started_so_often_and_the_good_ones_run_between(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(care_module, "DISK_AGAIN_S", 0.05)
    await hears(file, settings(4, SLOWER))
    cared = Cared(file)
    for _ in range(STARTS_MAX):
        assert cared.start().settings.uplink.send_every_s == 900.0
        assert cared.care.go_back("no space left", is_of_disk=True), "another is to be run"
        assert cared.start().settings.uplink.send_every_s == 0.0
        running = asyncio.create_task(cared.care.run(cared.body))
        await until(cared.care.changed.is_set, "the disk to be asked again")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert cared.start().settings.uplink.send_every_s == 0.0
    assert found(file).refused == f"rolled back: the station was started {STARTS_MAX} times with it"


def noisy(count: int, start: int) -> list[Sample]:
    """Samples that nothing makes small."""
    chance = Random(start)
    return [
        one._replace(cells=tuple(cell._replace(value=chance.randrange(10**6)) for cell in one.cells))
        for one in samples(count, start)
    ]


NARROW = "[spool]\nmax_mib = 0.25\nmax_days = 3\nthin_to_s = 86400\n"


@pytest.mark.parametrize(
    ("one", "other", "wide"),
    [
        ((64.0, 0.0, 3600.0), (0.25, 3.0, 86400.0), (64.0, 0.0, 3600.0)),
        ((1.0, 5.0, 60.0), (2.0, 3.0, 30.0), (2.0, 5.0, 30.0)),
        ((1.0, 2.0, 60.0), (1.0, 2.0, 60.0), (1.0, 2.0, 60.0)),
    ],
)
def test_the_wider_of_two_spools_drops_nothing_that_either_keeps(
    one: tuple[float, ...], other: tuple[float, ...], wide: tuple[float, ...]
) -> None:
    def spool(bounds: tuple[float, ...], hold_s: float = 0.0) -> SpoolSettings:
        return SpoolSettings(max_mib=bounds[0], max_days=bounds[1], thin_to_s=bounds[2], hold_s=hold_s)

    assert spool(one, 7.0).wide_as(spool(other)) == spool(wide, 7.0)
    assert spool(other, 7.0).wide_as(spool(one)) == spool(wide, 7.0)


async def test_a_trial_has_the_wider_spool_of_both_until_it_is_proven(file: Path) -> None:
    cared = Cared(file)
    cared.start()
    await cared.hear(("settings", settings(4, NARROW)))
    tried = cared.start().settings.spool
    assert (tried.max_mib, tried.max_days, tried.thin_to_s) == (64.0, 0.0, 3600.0)
    assert cared.body.kept == []
    cared.body.words = 1
    assert [one.became for one in await cared.hear()] == [DONE]
    narrow = SpoolSettings(max_mib=0.25, max_days=3.0, thin_to_s=86400.0)
    assert cared.body.kept == [narrow]
    assert cared.start().settings.spool == narrow
    await cared.hear(("settings", settings(5, "")))
    assert cared.start().settings.spool == SpoolSettings(), "wider ones at once"


async def test_a_trial_that_is_rolled_back_has_thinned_nothing(file: Path, tmp_path: Path) -> None:
    """The broker is away, so there is a backlog, and the settings are never proven."""
    state = tmp_path / "state"
    with new_spool(state) as spool:
        for first in range(0, 40_000, 1_000):
            spool.append(noisy(1_000, first + 1))
        assert spool.spooled_bytes > 2**18
    stop = asyncio.Event()
    await hears(file, settings(4, NARROW))
    running = asyncio.create_task(keep_running(station_of(load(file), file), stop))
    await until(lambda: bool(found(file).refused), "the trial to be over")
    stop.set()
    await asyncio.wait_for(running, 60)
    told = status(state)
    assert told["thinned"] == 0
    assert isinstance(told["spooled"], int)
    assert told["spooled"] >= 40_000


async def hears(file: Path, said: bytes) -> None:
    cared = Cared(file)
    cared.start()
    await cared.hear(("settings", said))


def test_a_spool_keeps_to_other_bounds_from_the_next_reading_on(tmp_path: Path) -> None:
    with new_spool(tmp_path, Limits(2**26, 60, 1e9)) as spool:
        for first in range(0, 20_000, 1_000):
            spool.append(noisy(1_000, first + 1))
        before = spool.spooled_bytes
        spool.keep_within(2**17, 86_400.0, 0.0)
        assert spool.thinned_total == 0
        spool.append([sample(30_000)])
        assert spool.thinned_total > 1_000
        assert spool.spooled_bytes < before
        thinned = spool.thinned_total
        spool.keep_within(2**26, 86_400.0, 1.0)
        for first in range(40_000, 50_000, 1_000):
            spool.append(noisy(1_000, first + 1))
        assert spool.thinned_total > thinned, "by their age"


def reporting(file: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Cared, asyncio.Task[None], asyncio.Event]:
    """Care that runs, whose reports never end; what is set when one has begun."""
    cared = Cared(file)
    cared.start()
    begun = asyncio.Event()

    async def reported() -> str:
        begun.set()
        await asyncio.sleep(3_600)
        return ""

    monkeypatch.setattr(cared.body, "report_now", reported)
    return cared, asyncio.create_task(cared.care.run(cared.body)), begun


async def test_a_command_that_settings_cut_short_is_answered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cared, running, begun = reporting(file, monkeypatch)
    hear = {str(kind): hear for kind, hear in cared.care.hearers.items()}
    assert await hear["command"](command(5)) is None
    await asyncio.wait_for(begun.wait(), 20)
    await hear["settings"](settings(7, SLOWER))
    assert cared.care.changed.is_set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    cared.body.answers.clear()
    again = Cared(file)
    again.start()
    answers = await again.hear(("command", command(5)))
    why = "cut short: other settings came; it may have been done in part"
    assert Answer(0, 5, REFUSED, why) in [*cared.body.answers, *answers]
    assert f"replayed: command 5 was taken before (refused: {why})" in [one.text for one in answers]


async def test_commands_that_wait_when_the_agent_ends_are_carried_out_by_the_next_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cared, running, begun = reporting(file, monkeypatch)
    hear = {str(kind): hear for kind, hear in cared.care.hearers.items()}
    for number in (5, 6, 7):
        assert await hear["command"](command(number)) is None
    await asyncio.wait_for(begun.wait(), 20)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "for the next one" in str(await hear["command"](command(8))), "while the uplink ends"
    assert [(number, text.split(":")[0]) for number, text in found(file).ids] == [(5, "refused")]
    again = Cared(file)
    again.start()
    answers = await again.hear(*(("command", command(number)) for number in (6, 7, 8)))
    assert [(one.id, one.became) for one in answers] == [(5, REFUSED), (6, DONE), (7, DONE), (8, DONE)]
    assert again.body.reports == 3


async def test_a_command_that_was_carried_out_while_the_disk_is_busy_is_answered(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cared = Cared(file)
    cared.start()
    goes_on, report = asyncio.Event(), cared.body.report_now

    async def reported() -> str:
        await goes_on.wait()
        return await report()

    monkeypatch.setattr(cared.body, "report_now", reported)
    running = asyncio.create_task(cared.care.run(cared.body))
    hear = {str(kind): hear for kind, hear in cared.care.hearers.items()}
    assert await hear["command"](command(5)) is None
    async with cared.care._lock:
        goes_on.set()
        await until(lambda: cared.body.reports == 1, "it to be carried out")
        running.cancel()
        await asyncio.sleep(0.1)
    await asyncio.gather(running, return_exceptions=True)
    assert dict(found(file).ids)[5].startswith("done"), "though its station ended before that could be noted"


def test_a_ledger_of_before_there_were_looks_and_ends_is_read(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "state" / LEDGER_FILE
    path.write_text(
        '{"format": 1, "version": 3, "good": {"version": 3, "toml": ""}, "trial": null, "refused": "", "floor": 0,'
        ' "ids": [], "unsaid": []}',
        encoding="utf-8",
    )
    assert (found(file).version, found(file).looked, found(file).ends) == (3, None, 0)
    one = replace(found(file), looked=Looked(4, 2), ends=3)
    ledger_module.keep(tmp_path / "state", one)
    assert found(file) == one
