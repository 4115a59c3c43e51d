"""Remote care on the device: who is obeyed, what may be set, what is tried and when it goes back."""

import asyncio
import dataclasses
import json
import logging
import os
import signal
import time
import typing
from pathlib import Path

import pytest
from caring import CARE_KEY, HOUR_MS, OTHER_KEY, Cared, cared_for, command, settings
from edge_support import PROBE, TIME_MS, new_spool, samples, station, true_word, until

from pledgewatch_edge.agent import EdgeSettings, load
from pledgewatch_edge.body import Measuring, StationBody
from pledgewatch_edge.care import acts, overlay
from pledgewatch_edge.care import care as care_module
from pledgewatch_edge.care import ledger as ledger_module
from pledgewatch_edge.care.acts import RefusedError
from pledgewatch_edge.care.care import CARE_KEY_FILE, QUEUE_MAX
from pledgewatch_edge.care.ledger import IDS_MAX, LEDGER_FILE, STARTS_MAX, Ledger
from pledgewatch_edge.config import CareSettings
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.sensors import sections
from pledgewatch_edge.uplink import Uplink
from pledgewatch_wire import afar
from pledgewatch_wire.care import RESULT_MAX, Answer, Became, What, unpack_result
from pledgewatch_wire.reading import Clock

SLOWER = "[uplink]\nsend_every_s = 900\n"
DONE, REFUSED, TAKEN = Became.DONE, Became.REFUSED, Became.TAKEN


@pytest.fixture
def cared(tmp_path: Path) -> Cared:
    found = Cared(cared_for(tmp_path, rollback_after_s=1.0))
    found.start()
    return found


def assert_refused(answers: list[Answer], *words: str) -> None:
    """One answer, which refuses and says why in these words."""
    assert [one.became for one in answers] == [REFUSED], answers
    for one in words:
        assert one in answers[0].text


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (command(1, key=OTHER_KEY), "not signed by the key that cares"),
        (b"", "unsigned"),
        (b"\xff\xff", "cannot be read"),
        (settings(1, SLOWER), "not signed by the key"),  # signed, but as settings
        (command(1, device="another"), "is for harbour-line/another"),
        (command(1, ends_ms=TIME_MS), "stale: it ended 0 s ago by this device's clock (GPS)"),
    ],
)
async def test_a_command_that_nobody_may_give_does_nothing(cared: Cared, said: bytes, words: str) -> None:
    assert_refused(await cared.hear(("command", said)), words)
    assert cared.body.reports == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (settings(1, SLOWER, key=OTHER_KEY), "not signed by the key"),
        (command(1), "not signed by the key"),
        (settings(1, SLOWER, device="another"), "is for harbour-line/another"),
        (settings(1, SLOWER, ends_ms=TIME_MS - 1), "stale"),
        (settings(1, "[device]\nname = 'x'"), "[device] may not be set from afar; there are broker"),
        (settings(1, "[care]\nidentify_command = ['/bin/sh']"), "[care] may not be set"),
        (settings(1, "[clock]\ntrust_system = false"), "[clock] may not be set"),
        (settings(1, "[broker]\nkey_file = '/tmp/k'"), "[broker] key_file may not be set from afar"),
        (settings(1, "[uplink]\nsend_evry_s = 3"), "send_evry_s is no key of this program"),
        (settings(1, "[uplink]\nsend_every_s = -3"), "out of range"),
        (settings(1, "[sht3x]\nbus = 1\n[adxl345]\nbus = 'x'"), "[adxl345]"),
        (settings(1, "uplink = ["), "are not TOML"),
        (settings(1, "uplink = [" + 4_000 * "["), "nested more than 32 deep"),
        (settings(1, "uplink.send_every_s" + 4_000 * ".a" + " = 1"), "nested more than 32 deep"),
    ],
)
async def test_settings_that_may_not_be_are_refused_with_the_reason(cared: Cared, said: bytes, words: str) -> None:
    assert_refused(await cared.hear(("settings", said)), words)
    assert not cared.care.changed.is_set()
    assert cared.start().settings.uplink.send_every_s == 0.0


async def test_without_a_key_everything_is_refused(cared: Cared, tmp_path: Path) -> None:
    (tmp_path / "state" / CARE_KEY_FILE).unlink()
    assert_refused(await cared.hear(("command", command(1))), "nobody may care for this device", "claim it")
    (tmp_path / "state" / CARE_KEY_FILE).write_text("abc", encoding="ascii")
    assert_refused(await cared.hear(("settings", settings(1, SLOWER))), "no key of 64 hexadecimal digits")


async def test_who_sends_rubbish_runs_up_no_bill(cared: Cared) -> None:
    answers = await cared.hear(*(("command", command(number, key=OTHER_KEY)) for number in range(1, 20)))
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("kind", "said", "first"),
    [
        ("command", command(1), [DONE, REFUSED]),
        ("command", command(1, ends_ms=TIME_MS - 1), [REFUSED]),
        ("settings", settings(1, SLOWER, ends_ms=TIME_MS - 1), [REFUSED]),
        ("settings", settings(1, SLOWER), [TAKEN, TAKEN]),
    ],
    ids=["done", "ended", "ended settings", "settings on trial"],
)
async def test_who_replays_what_is_signed_runs_up_no_bill_either(
    cared: Cared, monkeypatch: pytest.MonkeyPatch, kind: str, said: bytes, first: list[Became]
) -> None:
    written = list[ledger_module.Ledger]()
    keep = ledger_module.keep

    def noted(folder: Path, one: ledger_module.Ledger) -> None:
        written.append(one)
        keep(folder, one)

    monkeypatch.setattr(ledger_module, "keep", noted)
    answers = await cared.hear((kind, said), *((kind, said) for _ in range(300)))
    assert sorted(one.became for one in answers) == sorted(first)
    assert len(written) < 10, "so is the card spared"
    many = [("command", command(number, ends_ms=TIME_MS - 1)) for number in range(2, 300)]
    assert len(await cared.hear(*many)) < IDS_MAX, "nor do many that are old"
    monkeypatch.setattr(care_module, "REFUSE_EVERY_S", 0.0)
    assert len(await cared.hear((kind, said))) == 1, "but after a while it is said again"


async def test_a_command_is_carried_out_once_also_after_a_restart(cared: Cared, tmp_path: Path) -> None:
    answers = await cared.hear(("command", command(1)), ("command", command(1)))
    told = {one.became: one.text for one in answers}
    assert told[DONE] == "readings 1 to 2"
    assert told[REFUSED].startswith("replayed: command 1 was taken before (")
    again = Cared(tmp_path / "edge.toml")
    again.start()
    assert_refused(await again.hear(("command", command(1))), "replayed: command 1 was taken before (done: readings")
    assert (cared.body.reports, again.body.reports) == (1, 0)


async def test_in_1970_the_counters_alone_stand_against_a_replay(cared: Cared) -> None:
    cared.now = 5_000, Clock.UNSET
    old = command(7, ends_ms=TIME_MS - HOUR_MS), settings(3, SLOWER, ends_ms=TIME_MS - HOUR_MS)
    answers = await cared.hear(("command", old[0]), ("settings", old[1]))
    assert {one.became for one in answers} == {DONE, TAKEN}
    assert_refused(await cared.hear(("command", old[0])), "replayed")
    assert_refused(await cared.hear(("settings", settings(2, ""))), "stale: version 3 came before")


def test_ids_are_bounded_and_what_was_forgotten_is_refused() -> None:
    ledger = Ledger()
    for number in range(1, IDS_MAX + 11):
        assert ledger.knows(number) is None
        ledger = ledger.noted(number, "done")
    assert (len(ledger.ids), ledger.floor) == (IDS_MAX, 10)
    assert "older than what is remembered" in str(ledger.knows(10))
    assert "taken before" in str(ledger.knows(11))
    assert ledger.knows(500) is None


def test_a_trial_that_fails_takes_back_no_newer_version_that_was_refused_meanwhile() -> None:
    ledger = Ledger().tried(4, "a = 1").refusing(6, "no key").rolled_back("the cloud was not heard")
    assert (ledger.version, ledger.refused, ledger.trial) == (6, "no key", None)
    told = [(one.version, one.became) for one in ledger.unsaid]
    assert told == [(4, TAKEN), (6, REFUSED), (4, REFUSED)]


async def test_settings_are_tried_and_kept_when_the_cloud_is_heard(cared: Cared, tmp_path: Path) -> None:
    assert [one.became for one in await cared.hear(("settings", settings(4, SLOWER)))] == [TAKEN]
    assert cared.care.changed.is_set()
    assert cared.start().settings.uplink.send_every_s == 900.0
    cared.body.words = 1
    assert await cared.hear() == [Answer(4, 0, DONE, "in force: the cloud was heard")]
    again = Cared(tmp_path / "edge.toml")
    assert again.start().settings.uplink.send_every_s == 900.0
    assert "send_every_s" not in (tmp_path / "edge.toml").read_text(encoding="utf-8")  # the technician's file stands
    assert await again.hear(("settings", settings(4, SLOWER))) == [Answer(4, 0, DONE, "in force")]
    assert not again.care.changed.is_set()


async def test_settings_go_back_when_the_cloud_is_not_heard_and_stay_refused(cared: Cared) -> None:
    await cared.hear(("settings", settings(4, SLOWER)))
    cared.start()
    answers = await cared.hear(told=1)
    assert_refused(answers, "rolled back: the cloud was not heard within 1 s")
    assert cared.care.changed.is_set()
    assert cared.start().settings.uplink.send_every_s == 0.0
    assert_refused(await cared.hear(("settings", settings(4, SLOWER))), "rolled back: the cloud was not heard")
    assert not cared.care.changed.is_set()


async def test_a_trial_goes_on_where_it_was_killed(cared: Cared, tmp_path: Path) -> None:
    await cared.hear(("settings", settings(4, SLOWER)))
    cared.start()
    begun_s = time.monotonic()
    await cared.hear(settle_s=0.5)
    trial = ledger_module.read(tmp_path / "state").trial
    assert trial is not None
    assert 0.3 < trial.spent_s <= time.monotonic() - begun_s
    again = Cared(tmp_path / "edge.toml")  # as after kill -9: nothing but the file is left
    assert again.start().settings.uplink.send_every_s == 900.0
    assert_refused(await again.hear(told=1), "rolled back")


async def test_settings_that_bring_the_device_down_are_not_started_for_ever(cared: Cared, tmp_path: Path) -> None:
    await cared.hear(("settings", settings(4, SLOWER)))
    started = [Cared(tmp_path / "edge.toml").start().settings.uplink.send_every_s for _ in range(STARTS_MAX + 1)]
    assert started == [900.0] * STARTS_MAX + [0.0]
    last = Cared(tmp_path / "edge.toml")
    last.start()
    assert_refused([one for one in await last.hear() if one.became is REFUSED], f"started {STARTS_MAX} times")


async def test_a_newer_version_ends_a_trial_and_goes_back_to_what_was_good(cared: Cared) -> None:
    await cared.hear(("settings", settings(4, SLOWER)))
    cared.start()
    answers = await cared.hear(("settings", settings(5, "[uplink]\nsend_every_s = 60\n")))
    assert (4, REFUSED) in [(one.version, one.became) for one in answers]
    assert cared.start().settings.uplink.send_every_s == 60.0
    assert cared.care.go_back("the station ended")
    assert cared.start().settings.uplink.send_every_s == 0.0


async def test_during_a_trial_what_was_good_is_tried_like_any_other(cared: Cared, tmp_path: Path) -> None:
    await cared.hear(("settings", settings(4, SLOWER)))
    cared.start()
    answers = await cared.hear(("settings", settings(5, "")))
    assert [(one.version, one.became) for one in answers] == [(4, REFUSED), (5, TAKEN)]
    assert cared.care.changed.is_set()
    found = ledger_module.read(tmp_path / "state")
    assert (found.good.version, found.trial and found.trial.version) == (0, 5)
    assert cared.start().settings.uplink.send_every_s == 0.0


async def test_what_the_station_before_heard_proves_no_trial(cared: Cared, tmp_path: Path) -> None:
    await cared.hear(("command", command(1)), ("settings", settings(4, SLOWER)))
    cared.start()
    assert DONE not in [one.became for one in await cared.hear(settle_s=0.2)]
    found = ledger_module.read(tmp_path / "state")
    assert (found.good.version, found.trial and found.trial.version) == (0, 4)
    assert DONE not in [one.became for one in await cared.hear(("command", command(2))) if one.version]
    assert cared.body.trials > 0
    cared.body.words = 1
    assert (4, DONE) in [(one.version, one.became) for one in await cared.hear()]


async def test_more_commands_than_may_wait_are_refused(cared: Cared, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def report_now() -> str:
        begun.set()
        await may_end.wait()
        return "readings 1 to 2"

    monkeypatch.setattr(cared.body, "report_now", report_now)
    running = asyncio.create_task(cared.care.run(cared.body))
    hear = {str(kind): hear for kind, hear in cared.care.hearers.items()}["command"]
    assert await hear(command(1)) is None
    await begun.wait()
    for number in range(2, QUEUE_MAX + 2):
        assert await hear(command(number)) is None
    assert await hear(command(99)) == f"{QUEUE_MAX} commands wait already; send it again later"
    may_end.set()
    await until(lambda: len(cared.body.answers) == QUEUE_MAX + 2, "all to be answered")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    became = {one.id: one.became for one in cared.body.answers}
    assert became == {**dict.fromkeys(range(1, QUEUE_MAX + 2), DONE), 99: REFUSED}


async def test_what_no_station_was_run_with_is_proven_by_nothing(
    cared: Cared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer settings come while the disk is slow to note the trial before them, and then the cloud is heard."""
    await cared.hear(("settings", settings(1, SLOWER)))
    cared.start()
    keep, begun = ledger_module.keep, []

    def slow(folder: Path, one: Ledger) -> None:
        begun.append(one)
        time.sleep(0.3)
        keep(folder, one)

    monkeypatch.setattr(ledger_module, "keep", slow)
    running = asyncio.create_task(cared.care.run(cared.body))
    await until(lambda: bool(begun), "a tick of the trial to be noted")
    hear = {str(kind): hear for kind, hear in cared.care.hearers.items()}["settings"]
    newer = asyncio.ensure_future(hear(settings(2, "[broker]\nhost = 'nowhere.invalid'\n")))
    await asyncio.sleep(0)
    cared.body.words = 1
    await newer
    await asyncio.sleep(1.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    found = ledger_module.read(tmp_path / "state")
    assert found.good.version < 2
    assert found.trial is not None
    assert (found.trial.version, found.trial.starts) == (2, 0)
    assert cared.care.changed.is_set()


async def test_an_empty_overlay_brings_back_what_the_technician_wrote(cared: Cared) -> None:
    cared.body.words = 1
    for version, toml in ((1, SLOWER), (2, "")):
        await cared.hear(("settings", settings(version, toml)))
        cared.start()
        await cared.hear()
    assert cared.start().settings.uplink.send_every_s == 0.0


async def test_settings_that_no_longer_fit_the_file_are_left_aside(cared: Cared, tmp_path: Path) -> None:
    cared.body.words = 1
    await cared.hear(("settings", settings(1, "[uplink]\nin_flight_readings = 100\n")))
    cared.start()
    await cared.hear()
    file = tmp_path / "edge.toml"
    file.write_text(file.read_text(encoding="utf-8") + "[uplink]\nreadings_per_payload = 200\n", encoding="utf-8")
    again = Cared(file)
    assert again.start().settings.uplink.in_flight_readings == 1_200


async def test_a_damaged_ledger_refuses_all_and_says_which_file(cared: Cared, tmp_path: Path) -> None:
    (tmp_path / "state" / LEDGER_FILE).write_text("{", encoding="utf-8")
    again = Cared(tmp_path / "edge.toml")
    again.start()
    file = str(tmp_path / "state" / LEDGER_FILE)
    assert_refused(await again.hear(("command", command(1)), settle_s=0.5), file, "move it away")
    assert_refused(await again.hear(("settings", settings(1, SLOWER)), settle_s=0.5), file)
    assert again.body.reports == 0


async def test_what_the_disk_does_not_take_is_not_done(cared: Cared, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "care.json")

    monkeypatch.setattr(ledger_module, "keep", full)
    assert_refused(await cared.hear(("command", command(1)), settle_s=0.5), "the disk does not take it")
    answers = await cared.hear(("settings", settings(1, SLOWER)), settle_s=0.5)
    assert [one.became for one in answers] == [Became.POSTPONED]
    assert "the disk does not take it" in answers[0].text
    assert (cared.body.reports, cared.care.changed.is_set()) == (0, False)


@pytest.mark.parametrize("is_mended", [True, False], ids=["takes what follows", "takes nothing more"])
@pytest.mark.parametrize("kind", ["settings", "command"])
async def test_what_is_answered_and_what_a_restart_finds_are_the_same(
    cared: Cared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_mended: bool
) -> None:
    """The disk has the new ledger in its place, and then fails to take the folder."""
    keep, kept = ledger_module.keep, list[Ledger]()

    def failing(folder: Path, one: Ledger) -> None:
        if one.looked is not None:  # before anything is decided
            keep(folder, one)
            return
        if not kept:
            keep(folder, one)
        kept.append(one)
        if len(kept) == 1 or not is_mended:
            raise OSError(5, "Input/output error", "care.json")
        keep(folder, one)

    monkeypatch.setattr(ledger_module, "keep", failing)
    hear = {str(name): hear for name, hear in cared.care.hearers.items()}[kind]
    refusal = await hear(settings(1, SLOWER) if kind == "settings" else command(1))
    found = ledger_module.read(tmp_path / "state")
    assert (refusal is None) == (found.trial is not None or bool(found.ids)) == (not is_mended)
    assert found == cared.care._ledger
    assert cared.care.changed.is_set() == (kind == "settings" and not is_mended)


def light(folder: Path) -> Path:
    led = folder / "led0"
    led.mkdir(parents=True)
    for name, text in (("trigger", "none timer [mmc0] cpu\n"), ("brightness", "0\n"), ("max_brightness", "255\n")):
        (led / name).write_text(text, encoding="ascii")
    return led


async def test_it_shows_itself_and_the_light_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    led, seen = light(tmp_path / "leds"), []
    sleep = asyncio.sleep

    async def look(_: float) -> None:
        seen.append((led / "brightness").read_text(encoding="ascii"))
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", look)
    assert await acts.identify("led0", (), 2, tmp_path / "leds") == "led0 blinked for 2 s"
    assert seen == ["255", "0"] * 4
    assert [(led / name).read_text(encoding="ascii") for name in ("trigger", "brightness")] == ["mmc0", "0\n"]


async def test_it_shows_itself_by_a_command_and_refuses_without(tmp_path: Path) -> None:
    assert await acts.identify(None, ("/bin/true",), 1) == "shown by /bin/true for 1 s"
    for led, run, words in (
        (None, (), "nothing to show itself with"),
        ("led9", (), "cannot be used: No such file"),
        (None, ("/bin/false",), "ended with 1"),
        (None, ("/no/such",), "cannot be run"),
    ):
        with pytest.raises(RefusedError, match=words):
            await acts.identify(led, run, 1, tmp_path)


async def test_a_command_that_shows_it_is_ended_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, begin = list[asyncio.subprocess.Process](), asyncio.create_subprocess_exec

    async def noted(*command: str, **streams: typing.Any) -> asyncio.subprocess.Process:
        begun.append(await begin(*command, **streams))
        return begun[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    shows = ("/bin/sh", "-c", "exec sleep 3600")
    assert await acts.identify(None, shows, 0) == "shown by /bin/sh for 0 s"
    async with asyncio.timeout(60):
        assert await begun[0].wait() == -signal.SIGKILL


def test_a_ledger_is_on_the_disk_before_it_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger_module.keep(tmp_path, Ledger(version=1))
    flush, flushed = os.fsync, []

    def noted(descriptor: int) -> None:
        there = Path(f"/proc/self/fd/{descriptor}").readlink()
        text = there.read_text(encoding="utf-8") if there.is_file() else ""
        flushed.append((there.name, '"version": 2' in text, ledger_module.read(tmp_path).version))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    ledger_module.keep(tmp_path, Ledger(version=2))
    assert flushed == [(f"{LEDGER_FILE}.new", True, 1), (tmp_path.name, False, 2)]


def test_a_bundle_is_bounded_and_keeps_the_newest_lines() -> None:
    lines = [f"{number} {number * 7919 % 1_000_003:x}" * 8 for number in range(20_000)]
    packed = acts.bundle({"spool": {}}, lines)
    found = unpack_result(packed)
    assert len(packed) <= RESULT_MAX
    assert found["log"][-1] == lines[-1]
    assert found["log_lines_left_out"] == 20_000 - len(found["log"]) > 0


async def test_diagnostics_tell_the_configuration_and_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = cared_for(tmp_path)
    (tmp_path / "pw").write_text("very-secret", encoding="ascii")
    text = file.read_text(encoding="utf-8")
    text = text.replace("keep_alive_s = 5", 'keep_alive_s = 5\nusername = "u"\npassword_file = "pw"')
    file.write_text(text, encoding="utf-8")
    cared = Cared(file)
    cared.start()
    answers = await cared.hear(("command", command(1, What.DIAGNOSTICS)), settle_s=0.2)
    found = unpack_result(answers[0].result)
    assert found["configuration"]["broker"]["password_file"] == str(tmp_path / "pw")
    assert found["configuration"]["onewire"]["interval_s"] == 0.5
    assert found["clock"] == {"now_ms": TIME_MS, "source": "gps"}
    assert found["spool"] == {"spooled": 3}
    assert any("command id=1 what=diagnostics" in line for line in found["log"])
    told = json.dumps(found)
    assert "very-secret" not in told
    key = (tmp_path / "state" / CARE_KEY_FILE).read_text(encoding="ascii").strip()
    assert key == CARE_KEY.public_key().public_bytes_raw().hex()


def test_what_sounds_like_a_secret_is_left_out() -> None:
    found = acts.without_secrets(
        {"token": "a", "token_file": Path("/t"), "pin": "1", "deep": [{"api_key": "k", "n": 1}]}
    )
    assert found == {
        "token": "left out",
        "token_file": "/t",
        "pin": "left out",
        "deep": [{"api_key": "left out", "n": 1}],
    }


def test_of_a_configuration_is_told_what_is_listed_and_of_the_rest_the_names(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Others:
        login: str = "HUNTER2"
        seeds: tuple[str, ...] = ("HUNTER2",)

    more = 'identify_command = ["/bin/curl", "-H", "Authorization: Bearer HUNTER2"]'
    file = cared_for(tmp_path, more=more)
    text = file.read_text(encoding="utf-8")
    text = text.replace("[onewire]", 'username = "mqtt://user:HUNTER2@b/1@b.example/?q=HUNTER2"\n[onewire]')
    file.write_text(text, encoding="utf-8")
    found = load(file)
    named = dataclasses.make_dataclass("Named", ["broker", "care", "onewire", "others"])
    told = acts.told_of(named(found.broker, found.care, found.onewire, Others()))
    assert "HUNTER2" not in json.dumps(told)
    assert told["others"] == {"login": "left out", "seeds": "left out"}
    assert told["care"]["identify_command"] == ["/bin/curl", "left out", "left out"]
    assert told["broker"]["username"] == "mqtt://left out@b.example/?left out"
    assert told["onewire"]["probes"] == [PROBE]


def test_what_is_told_of_each_key_was_decided() -> None:
    left_out = {"device.pkcs11", "clock.simulated_start_ms", "clock.anchor_ms"}
    hints = typing.get_type_hints(EdgeSettings)
    rows = {row: next(one for one in (typing.get_args(hint) or (hint,))) for row, hint in hints.items()}
    keys = {f"{row}.{field.name}" for row, kind in rows.items() for field in dataclasses.fields(kind)}
    assert keys - {f"{row}.{key}" for row, some in acts.TOLD.items() for key in some} == left_out
    assert keys >= {f"{row}.{key}" for row, some in acts.TOLD.items() for key in some}


@pytest.mark.parametrize(
    "key", ["key", "apikey", "api-key", "wifi_key", "authorization", "bearer", "pass", "puk", "otp"]
)
def test_deep_within_a_section_too_no_secret_is_told(key: str) -> None:
    assert acts.without_secrets([{key: "HUNTER2"}]) == [{key: "left out"}]


@pytest.mark.parametrize("letter", ["a", "\x00", "\u00e9", "\U0001f600"])
def test_a_bundle_can_be_read_whatever_the_log_has(letter: str) -> None:
    packed = acts.bundle({"spool": {}}, [letter * 1_000] * 300)
    assert len(packed) <= RESULT_MAX
    assert unpack_result(packed)["log"]


async def test_a_range_that_is_gone_is_refused_with_the_reason(cared: Cared) -> None:
    said = command(3, What.RESEND_RANGE, epoch=1, first=5, last=9)
    assert_refused(await cared.hear(("command", said)), "readings 5 to 9 of 1 are gone")


async def test_a_range_is_looked_for_in_the_spool(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(20))
        spool.forget(true_word(spool, 8))
        uplink = Uplink(station(tmp_path, 1), spool)
        recorder = Recorder(spool, uplink.wake)
        async with asyncio.TaskGroup() as group:
            body = StationBody(spool, uplink, recorder, Measuring(group, recorder, []))
            assert await body.resend(1, 5, 12) == "4 of 8 are here and are sent again"
            for asked, words in (
                ((1, 1, 8), "are gone"),
                ((2, 1, 8), "epoch 2 is over"),
                ((1, 21, 30), "not measured yet"),
            ):
                with pytest.raises(RefusedError, match=words):
                    await body.resend(*asked)


def test_the_list_of_the_wire_has_all_sensors_of_the_agent() -> None:
    assert sorted(afar.SENSORS) == sorted(sections(EdgeSettings))


def test_the_overlay_wins_key_by_key(tmp_path: Path) -> None:
    over = overlay.read("[onewire]\ninterval_s = 9.0\n[broker]\nkeep_alive_s = 7\n")
    overlay.check(over, ["onewire"])
    found = load(cared_for(tmp_path), over)
    assert found.onewire is not None
    assert (found.onewire.interval_s, found.onewire.root) == (9.0, tmp_path / "w1")
    assert (found.broker.keep_alive_s, found.broker.reconnect_max_s) == (7, 0.2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"identify_led": "../x"},
        {"identify_led": ".."},
        {"identify_led": "a", "identify_command": ("b",)},
        {"rollback_after_s": 0.0},
        {"log_lines": -1},
    ],
)
def test_how_a_device_lets_itself_be_cared_for_is_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"identify_led|out of range"):
        CareSettings(**wrong)  # type: ignore[arg-type]
