"""Remote care while the disk refuses: what was said to the cloud is what a restart finds."""

import asyncio
import threading
from pathlib import Path

import pytest
from caring import HOUR_MS, Cared, cared_for, command, settings
from edge_support import DEVICE, OPERATOR, TIME_MS, until

from pledgewatch_cloud.decide import care
from pledgewatch_cloud.decide.batch import CareAnswer, CareSettings
from pledgewatch_edge.care import care as care_module
from pledgewatch_edge.care import ledger as ledger_module
from pledgewatch_edge.care.ledger import IDS_MAX, STARTS_MAX, Ledger
from pledgewatch_wire.care import Answer, Became
from pledgewatch_wire.reading import Clock
from pledgewatch_wire.topics import Kind

SLOWER = "[uplink]\nsend_every_s = 900\n"
SLOW = "[uplink]\nsend_every_s = 60\n"
DONE, REFUSED, TAKEN, POSTPONED = Became.DONE, Became.REFUSED, Became.TAKEN, Became.POSTPONED


class Disk:
    """A disk that takes ledgers, none of them, or takes them and then fails for the folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses = self.fails_late = False
        self.refused = 0
        self._keep = ledger_module.keep
        monkeypatch.setattr(ledger_module, "keep", self.keep)

    def keep(self, folder: Path, one: Ledger) -> None:
        if not self.refuses or self.fails_late:
            self._keep(folder, one)
        if self.refuses:
            self.refused += 1
            raise OSError(28, "No space left on device", "care.json")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(care_module, "DISK_AGAIN_S", 0.1)
    return Disk(monkeypatch)


@pytest.fixture
def cared(tmp_path: Path, disk: Disk) -> Cared:
    found = Cared(cared_for(tmp_path, rollback_after_s=1.0))
    found.start()
    return found


class SlowDisk(Disk):
    """A disk that fails, and only when it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def keep(self, folder: Path, one: Ledger) -> None:
        if self.refuses:
            self.begun.set()
            assert self.may_go_on.wait(60)
        super().keep(folder, one)


def restarted(folder: Path) -> Cared:
    """As after kill -9: nothing but the file is left."""
    return Cared(folder / "edge.toml")


def pause_of(cared: Cared) -> float:
    return cared.start().settings.uplink.send_every_s


async def said(cared: Cared, for_s: float = 0.0, *, many: int = 0) -> list[Answer]:
    """What is said while a station runs, whatever the disk does: until it is so many, and for a while more."""
    running = asyncio.create_task(cared.care.run(cared.body))
    await until(lambda: len(cared.body.answers) >= many, "what is to be said")
    await asyncio.sleep(for_s)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    answers, cared.body.answers = cared.body.answers, []
    return answers


@pytest.mark.parametrize("fails_late", [False, True], ids=["takes nothing", "fails for the folder"])
async def test_settings_are_not_in_force_before_the_disk_has_it(
    cared: Cared, tmp_path: Path, disk: Disk, *, fails_late: bool
) -> None:
    await cared.hear(("settings", settings(4, SLOWER)))
    assert pause_of(cared) == 900.0
    disk.refuses, disk.fails_late, cared.body.words = True, fails_late, 1
    assert await said(cared, 2.0) == [], "neither that they are, nor that they are not, though the time is over"
    found = ledger_module.read(tmp_path / "state")
    assert (found.good.version == 4) == fails_late
    if not fails_late:
        assert restarted(tmp_path).start().settings.uplink.send_every_s == 0.0, "it cannot even be started"
    disk.refuses = False
    assert await said(cared, 0.3, many=1) == [Answer(4, 0, DONE, "in force: the cloud was heard")]
    found = ledger_module.read(tmp_path / "state")
    assert (found.good.version, found.trial, found.unsaid) == (4, None, ())


async def test_a_trial_is_given_up_at_once_and_said_when_the_disk_has_it(
    cared: Cared, tmp_path: Path, disk: Disk
) -> None:
    await cared.hear(("settings", settings(4, SLOWER)))
    assert pause_of(cared) == 900.0
    disk.refuses = True
    assert await said(cared, 2.0) == []
    assert cared.care.changed.is_set()
    for _ in range(3):
        assert pause_of(cared) == 0.0, "whatever stands on the disk yet"
        assert await said(cared, 0.3) == []
    found = ledger_module.read(tmp_path / "state")
    assert found.trial is not None, "so a restart tries it again, of which nobody was told the contrary"
    answers = await asked(cared, settings(4, SLOWER))
    assert [(one.became, one.text) for one in answers] == [(TAKEN, "given up, which the disk does not take")]
    disk.refuses = False
    answers = await said(cared, 0.3, many=1)
    assert [(one.version, one.became) for one in answers] == [(4, REFUSED)]
    assert "the cloud was not heard within 1 s" in answers[0].text
    again = restarted(tmp_path)
    assert pause_of(again) == 0.0
    assert [one.became for one in await again.hear(("settings", settings(4, SLOWER)))] == [REFUSED]


async def asked(cared: Cared, data: bytes) -> list[Answer]:
    """What is said to settings, whatever the disk does."""
    await hear_settings(cared, data)
    return await said(cared, many=1)


async def hear_settings(cared: Cared, data: bytes) -> str | None:
    return await {str(kind): hear for kind, hear in cared.care.hearers.items()}["settings"](data)


async def ended(running: "asyncio.Task[None]") -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_who_cannot_run_goes_back_though_the_disk_refuses(cared: Cared, disk: Disk) -> None:
    await cared.hear(("settings", settings(4, SLOWER)))
    assert pause_of(cared) == 900.0
    disk.refuses = True
    assert cared.care.go_back("the station cannot run")
    assert pause_of(cared) == 0.0
    assert not cared.care.go_back("nor can that of the good ones"), "so the program ends, and does not try for ever"
    assert await said(cared, 0.3) == []
    disk.refuses = False
    assert [one.became for one in await said(cared, 0.3, many=1)] == [REFUSED]


async def test_a_start_that_is_not_noted_is_none(cared: Cared, tmp_path: Path, disk: Disk) -> None:
    """Else what brings the computer down would be started for ever, on a disk that refuses."""
    await cared.hear(("settings", settings(4, SLOWER)))
    disk.refuses = True
    for _ in range(STARTS_MAX + 2):
        assert pause_of(restarted(tmp_path)) == 0.0
    assert pause_of(cared) == 0.0
    assert await said(cared, 0.3) == []
    assert not cared.care.changed.is_set()
    disk.refuses = False
    running = asyncio.create_task(cared.care.run(cared.body))
    await until(cared.care.changed.is_set, "the disk to be there again")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert pause_of(cared) == 900.0
    cared.body.words = 1
    assert [one.became for one in await cared.hear()] == [DONE]


async def test_the_good_settings_run_on_while_a_trial_that_came_has_not_begun(cared: Cared) -> None:
    await cared.hear(("settings", settings(4, SLOWER)))
    assert not cared.care.go_back("the station that ran before has failed")
    assert pause_of(cared) == 900.0, "and the trial is to be tried yet"


@pytest.mark.parametrize("toml", ["", "[uplink]\nsend_every_s = -3\n"], ids=["in force already", "not to be"])
async def test_no_version_is_decided_about_that_a_restart_does_not_know(
    cared: Cared, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, toml: str
) -> None:
    monkeypatch.setattr(care_module, "DISK_AGAIN_S", 60.0)
    disk.refuses = True
    answers = await asked(cared, settings(5, toml))
    assert [(one.version, one.became) for one in answers] == [(5, POSTPONED)]
    assert "the disk does not take it, so nothing is done" in answers[0].text
    disk.refuses = False
    assert [one.became for one in await cared.hear(("settings", settings(4, SLOW)))] == [TAKEN], "nothing came before"
    again = restarted(tmp_path)
    assert pause_of(again) == 60.0
    assert disk.refused


async def test_nothing_is_said_while_the_disk_has_yet_to_take_it(
    cared: Cared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether settings are taken, or are in force: until the disk says so, it may come to nothing."""
    disk = SlowDisk(monkeypatch)
    disk.refuses = True
    running = asyncio.create_task(cared.care.run(cared.body))
    hearing = asyncio.ensure_future(hear_settings(cared, settings(4, SLOWER)))
    await until(disk.begun.is_set, "the disk to have begun")
    cared.care._news.set()  # as when another answer waits
    await asyncio.sleep(0.1)
    assert cared.body.answers == []
    disk.may_go_on.set()
    assert "the disk does not take it" in str(await hearing)
    await until(lambda: bool(cared.body.answers), "the answer")
    assert [one.became for one in cared.body.answers] == [POSTPONED]
    await ended(running)
    disk.refuses = False
    await cared.hear(("settings", settings(5, SLOWER)))
    assert pause_of(cared) == 900.0
    disk.begun.clear()
    disk.may_go_on.clear()
    disk.refuses, cared.body.words = True, 1
    running = asyncio.create_task(cared.care.run(cared.body))
    await until(disk.begun.is_set, "the disk to have begun")
    for _ in range(8):
        await asyncio.sleep(0.05)
        cared.care._news.set()
    assert cared.body.answers == []
    disk.may_go_on.set()
    assert restarted(tmp_path).start().settings.uplink.send_every_s == 0.0
    await ended(running)
    assert cared.body.answers == []


async def test_settings_that_were_postponed_for_the_disk_and_came_into_force_are_shown_so(
    cared: Cared, tmp_path: Path, disk: Disk
) -> None:
    """The broker has the word yet when the disk is well again, as it was only postponed."""
    disk.refuses = True
    heard = await asked(cared, settings(4, SLOWER))
    disk.refuses = False
    again = restarted(tmp_path)
    assert pause_of(again) == 0.0
    heard += await again.hear(("settings", settings(4, SLOWER)))
    assert pause_of(again) == 900.0
    again.body.words = 1
    heard += await said(again, 0.3, many=1)
    assert [one.became for one in heard] == [POSTPONED, TAKEN, DONE]
    shown = care.followed({}, CareSettings(DEVICE, OPERATOR, 4, SLOWER, "keeper-kim", 1, 2**50), 1)
    told = []
    for entry, one in enumerate([*heard, *heard], 2):
        answer = CareAnswer(DEVICE, OPERATOR, one.version, one.id, one.became.name.lower(), one.text, "", 1)
        if care.is_news(shown, answer):
            shown = care.followed(shown, answer, entry)
            told.append(one.became)
    assert told == [POSTPONED, TAKEN, DONE], "each once, so that no device fills the journal"
    setting = shown[DEVICE].setting
    assert setting is not None
    assert setting.said.text == "in force: the cloud was heard"


async def test_a_device_takes_up_by_itself_what_its_disk_did_not_take(cared: Cared, disk: Disk) -> None:
    """Nobody says it again, and it stays connected: no restart and no other word bring it back."""
    disk.refuses = True
    await hear_settings(cared, settings(4, SLOWER))
    running = asyncio.create_task(cared.care.run(cared.body))
    refused = disk.refused
    await until(lambda: disk.refused > refused + 5, "the disk to have been asked now and then")
    assert [one.became for one in cared.body.answers] == [POSTPONED], "once, however long it lasts"
    disk.refuses = False
    await until(cared.care.changed.is_set, "the settings to be tried")
    await until(lambda: len(cared.body.answers) == 2, "what is said of that")
    assert [(one.version, one.became) for one in cared.body.answers] == [(4, POSTPONED), (4, TAKEN)]
    await ended(running)
    assert pause_of(cared) == 900.0


async def test_what_the_cloud_has_taken_back_meanwhile_is_not_taken_up(cared: Cared, disk: Disk) -> None:
    disk.refuses = True
    await hear_settings(cared, settings(4, SLOWER))
    await hear_settings(cared, b"")
    disk.refuses = False
    assert [one.became for one in await said(cared, 1.0, many=1)] == [POSTPONED]
    assert pause_of(cared) == 0.0


async def test_postponed_settings_that_have_ended_are_refused_once(cared: Cared, disk: Disk) -> None:
    disk.refuses = True
    await hear_settings(cared, settings(4, SLOWER))
    cared.now = TIME_MS + 2 * HOUR_MS, Clock.GPS
    disk.refuses = False
    answers = await said(cared, 1.0, many=2)
    assert [one.became for one in answers] == [POSTPONED, REFUSED]
    assert "stale" in answers[1].text


@pytest.mark.parametrize("kind", ["command", "settings"])
async def test_who_replays_what_a_full_disk_did_not_take_wears_no_card_out(
    cared: Cared, disk: Disk, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    disk.refuses = True
    hear = cared.care.hearers[Kind.COMMAND if kind == "command" else Kind.SETTINGS]
    words = [command(number) if kind == "command" else settings(number, SLOWER) for number in range(1, 70)]
    for _ in range(5):
        assert "the disk does not take it" in str(await hear(words[0]))
    assert (disk.refused, len(cared.care._ledger.unsaid)) == (2, 1)
    for one in (*words, words[-1]):
        assert "the disk does not take it" in str(await hear(one))
    assert disk.refused == 2 * IDS_MAX, "so many may be signed"
    monkeypatch.setattr(care_module, "REFUSE_EVERY_S", 0.0)
    await hear(words[-1])
    assert disk.refused == 2 * IDS_MAX + 2
    monkeypatch.setattr(care_module, "REFUSE_EVERY_S", 600.0)
    disk.refuses = False
    assert cared.care._keep(cared.care._ledger), "the disk is well"
    assert await hear(words[-1]) is None, "so it is tried again"


async def test_an_older_word_does_not_take_the_place_of_a_newer_one_that_is_postponed(cared: Cared, disk: Disk) -> None:
    disk.refuses = True
    await hear_settings(cared, settings(5, SLOWER))
    await hear_settings(cared, settings(4, SLOW))
    disk.refuses = False
    await hear_settings(cared, settings(3, SLOW))
    running = asyncio.create_task(cared.care.run(cared.body))
    await until(lambda: cared.care._ledger.version == 5, "the newer settings to be tried")
    await ended(running)
    assert pause_of(cared) == 900.0


async def test_what_was_postponed_is_taken_up_once(cared: Cared, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing is to be decided about it any more: each time would be a write to the card."""
    disk.refuses = True
    await hear_settings(cared, settings(4, SLOWER))
    cared.now = TIME_MS + 2 * HOUR_MS, Clock.GPS
    disk.refuses = False
    taken: list[Ledger] = []
    monkeypatch.setattr(ledger_module, "keep", lambda _, one: taken.append(one))
    answers = await said(cared, 0.5, many=2)
    assert [one.became for one in answers] == [POSTPONED, REFUSED]
    before = len(taken)
    assert await said(cared, 1.0) == []
    assert len(taken) == before


async def test_over_a_proof_that_the_disk_may_have_nothing_is_written(
    cared: Cared, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails for the folder, so what stands there is what a restart finds; the trial's time goes on."""
    await cared.hear(("settings", settings(4, SLOWER)))
    assert pause_of(cared) == 900.0
    disk.refuses = disk.fails_late = True
    tried, keep = list[Ledger](), ledger_module.keep

    def noted(folder: Path, one: Ledger) -> None:
        tried.append(one)
        keep(folder, one)

    monkeypatch.setattr(ledger_module, "keep", noted)
    cared.body.words = 1
    assert await said(cared, 1.0) == []
    assert len(tried) > 3
    assert [one.good.version for one in tried if one.trial is not None or one.good.version != 4] == []


async def test_it_is_said_which_file_a_full_disk_does_not_take(
    cared: Cared, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """What fails in the middle of a file has no name of one."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger_module, "keep", full)
    await hear_settings(cared, settings(4, SLOWER))
    lost = [record.getMessage() for record in caplog.records if "lost" in record.getMessage()]
    file = tmp_path / "state" / "care.json"
    assert lost == [f"disk for what is cared for lost reason='{file}: No space left on device'"]
