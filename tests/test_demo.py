"""The demo as a newcomer runs it: every beat of its story is in the journal, both ends agree, and it leaves nothing
behind, however it is ended."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pledgewatch_cloud.decide.events import Event, EventType
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_sim.demo.frame import Ending, make_room, place
from pledgewatch_sim.demo.story import BIRCH, CONTAINERS, SHOCKED_LINE
from pledgewatch_sim.demo.teller import Teller
from pledgewatch_sim.demo.troupe import DemoError
from pledgewatch_sim.programs import output_of

BEATS = [*("fleet", "breach", "cover", "dark", "spoof", "retraction", "drawdown", "double-pledge", "theft", "silences")]


def children_of_the_demo(folder: Path) -> list[str]:
    """Command lines of processes that name the demo's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and " -m pledgewatch_" in line and "pledgewatch_sim demo" not in line:
            found.append(line)
    return found


def demo(folder: Path, *arguments: str, start_new_session: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pledgewatch_sim", "demo", "--headless", "--folder", str(folder), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=start_new_session
    )


def poke(folder: Path, name: str) -> None:
    """What a button of the banner does."""
    (stage,) = re.findall(r'stage = "(.*)"', (folder / "cloud.toml").read_text(encoding="utf-8"))
    with urllib.request.urlopen(urllib.request.Request(f"{stage}/pokes/{name}", method="POST"), timeout=10) as answer:
        assert json.load(answer)["poked"]


@pytest.mark.alone
def test_the_demo_tells_its_story_and_counts_at_both_ends(tmp_path: Path) -> None:
    """While somebody breaks a sensor and a price, and kills the broker."""
    folder, report = tmp_path / 'the "demo" [1]', tmp_path / "report.json"
    told = []
    with demo(folder, "--seconds", "60", "--report", str(report)) as running:
        assert running.stdout is not None
        for line in running.stdout:
            told.append(line)
            if "24 containers are at sea" in line:
                poke(folder, "sensor")
                poke(folder, "price")
            if "A load of sofas left" in line:
                poke(folder, "broker")
        assert running.wait(timeout=180) == 0, "".join(told)
    counted = json.loads(report.read_text(encoding="utf-8"))
    assert [(one["beat"], one["has_happened"]) for one in counted["beats"]] == [(name, True) for name in BEATS]
    (haircut, call) = next(one for one in counted["beats"] if one["beat"] == "breach")["figures"]
    assert (haircut["found"], call["found"]) == (9_601_300, 3_231_658), "worked out by hand: see docs/DEMO.md"
    readings, messages = counted["readings"], counted["messages"]
    none = {"lost": 0, "duplicated": 0, "refused": 0}
    assert readings == {"measured": readings["measured"], "committed": readings["measured"], **none}
    assert readings["measured"] > 400
    assert messages["sent"] == messages["delivered"] == messages["verified"] >= 10
    assert messages["duplicated"] == 0
    assert all(one["bank"] == one["pledgewatch"] and one["untold"] == 0 for one in counted["money"].values())
    assert counted["money"]["pacific-line"]["bank"]["drawn_minor"] == 4_001_400
    assert counted["money"]["cold-line"]["bank"]["repaid_minor"] == call["found"]
    assert counted["chains"]["missing"] == 0
    assert counted["chains"]["unsigned"] < readings["measured"] / 2, "all but each device's end is signed"
    assert counted["journal"]["digest"] == counted["journal"]["service_digest"] != ""
    assert len(counted["poked"]) == 3
    assert_pokes_are_found(folder)
    assert "Both ends agree." in told[-1]
    assert children_of_the_demo(folder) == []


def assert_pokes_are_found(folder: Path) -> None:
    """A broken sensor is doubted at once, a price that falls calls margin of its line alone."""
    store = SqliteStore(folder / "data", read_only=True)
    found: list[Event] = [one.event for one in store.events(0, 100_000)]
    store.close()
    doubts = {(one.subject, one.fact("doubt")) for one in found if one.type is EventType.EVIDENCE_DOUBTED}
    assert (BIRCH.name, "power_on_value") in doubts
    assert {one.subject for one in found if one.type is EventType.MARGIN_CALLED} == {"cold-line", SHOCKED_LINE}


def test_the_story_has_24_containers_each_on_a_lane_of_its_own_device() -> None:
    assert len({one.name for one in CONTAINERS}) == len(CONTAINERS) == 24


def test_a_payment_is_told_after_what_asked_for_it_and_before_what_follows(capsys: pytest.CaptureFixture[str]) -> None:
    def movement(identity: str, kind: str, release: str | None) -> dict[str, Any]:
        return {
            "id": identity,
            "facility": "f",
            "currency": "USD",
            "kind": kind,
            "release": release,
            "amount_minor": 1_000,
        }

    release = {"release": "j.m", "amount_minor": 1_000, "currency": "USD", "payee": {"name": "Sofa Works"}}
    messages = [
        {"facility": "f", "type": "release_disbursement", "data": release},
        {"facility": "f", "type": "record_base", "data": {"currency": "USD"}},
        {"facility": "f", "type": "reaffirm_release", "data": {"release": "j.m"}},
    ]
    movements = [movement("1", "drawdown", "j.m"), movement("2", "repayment", None), movement("3", "drawdown", "j.old")]
    Teller(headless=True).news([], messages, movements)
    told = [line.strip().removeprefix("↳ f: ") for line in capsys.readouterr().out.splitlines()]
    assert [line.split(",")[0] for line in told] == [
        "the bank receives 10.00 USD",
        "the bank pays 10.00 USD",
        "the bank is asked to release 10.00 USD to Sofa Works",
        "the bank pays 10.00 USD",
        "eligible 0.00 USD",
        "the bank is told that a release stands",
    ]


def wait_for_programs(folder: Path, number: int) -> None:
    """Until so many run."""
    deadline = time.monotonic() + 60
    while len(children_of_the_demo(folder)) < number:
        assert time.monotonic() < deadline, children_of_the_demo(folder)
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whenever_it_is_ended_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "demo"
    running = demo(folder, "--seconds", "60")
    wait_for_programs(folder, 5)
    os.kill(running.pid, number)
    told, _ = running.communicate(timeout=120)
    assert running.returncode == (-number if number == signal.SIGKILL else 0), told
    wait_until_nothing_is_left(folder)


def wait_until_it_listens(running: subprocess.Popen[str]) -> None:
    """Until signals are its own to answer. Python by itself catches no SIGHUP."""
    deadline = time.monotonic() + 60
    while not _catches(running.pid, signal.SIGHUP):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _catches(process: int, number: signal.Signals) -> bool:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    caught = int(next(line for line in lines if line.startswith("SigCgt:")).split()[1], 16)
    return bool(caught >> (number - 1) & 1)


@pytest.mark.parametrize("moments_s", [(0.5,), (1.3, 0.3), (3.5, 0.2, 0.2)])
def test_control_c_at_a_terminal_ends_it_in_order(tmp_path: Path, moments_s: tuple[float, ...]) -> None:
    """A terminal's Ctrl-C goes to the whole group of processes, and a person presses it more than once."""
    folder = tmp_path / "demo"
    running = demo(folder, "--seconds", "60", start_new_session=True)
    wait_until_it_listens(running)  # where a shell has the tests ignore SIGINT, Python does not hear it until then
    for moment_s in moments_s:
        time.sleep(moment_s)
        os.killpg(running.pid, signal.SIGINT)
    told, _ = running.communicate(timeout=120)
    assert "Traceback" not in told, told
    assert running.returncode == 0, told
    wait_until_nothing_is_left(folder)


def test_asked_once_it_counts_and_asked_twice_it_ends_at_once(tmp_path: Path) -> None:
    running = demo(tmp_path / "demo", "--seconds", "60")
    assert running.stdout is not None
    for line in running.stdout:
        if "value" in line:
            break
    running.send_signal(signal.SIGINT)
    said = next(line for line in running.stdout if line.startswith("Traceback") or "Ending" in line)
    assert "Ctrl-C again ends at once" in said
    running.send_signal(signal.SIGINT)
    began_s = time.monotonic()
    rest, _ = running.communicate(timeout=60)
    assert rest.splitlines()[-1] == "Ended at once: nothing was counted."
    assert time.monotonic() - began_s < 8, "killed, not asked to end"
    assert running.returncode == 0
    wait_until_nothing_is_left(tmp_path / "demo")  # whose parent is killed goes a moment later


def test_the_secret_of_a_demo_without_a_folder_goes_with_the_terminal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pledgewatch_sim", "demo", "--headless", "--seconds", "60"]
    running = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/webhook.secret")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.glob("*/webhook.secret"))
    running.send_signal(signal.SIGHUP)
    running.communicate(timeout=60)
    assert list(tmp_path.iterdir()) == []


def wait_until_nothing_is_left(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while children_of_the_demo(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children_of_the_demo(folder) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seconds", "nan"), "argument --seconds: nan is not from 20 to 86400"),
        (("--seconds", "inf"), "argument --seconds: inf is not from 20 to 86400"),
        (("--folder", "{file}"), "{file} cannot be used: File exists"),
        (("--report", "{file}/report.json"), "{file}/report.json cannot be used: Not a directory"),
    ],
)
def test_what_cannot_be_done_is_said_before_it_begins(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    file = tmp_path / "file"
    file.touch()
    said, _ = demo(tmp_path / "demo", *(one.format(file=file) for one in arguments)).communicate(timeout=60)
    assert said.strip().endswith(words.format(file=file))
    assert "Traceback" not in said


def test_a_folder_that_was_not_named_is_kept_and_named_where_the_demo_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def played(error: BaseException | None) -> Path:
        with place(None, None) as one:
            (one.folder / "cloud.log").write_text("why", encoding="utf-8")
            if error is not None:
                raise error
        return one.folder

    with pytest.raises(DemoError):
        played(DemoError("the cloud has ended"))
    (kept,) = tmp_path.iterdir()
    assert (kept / "cloud.log").read_text(encoding="utf-8") == "why"
    assert f"kept in {kept}" in capsys.readouterr().err
    with place(None, None) as wrong:
        wrong.keep()  # something was not found in the journal
    assert wrong.folder.is_dir()
    assert not played(None).exists()
    with pytest.raises(asyncio.CancelledError):
        played(asyncio.CancelledError())
    assert set(tmp_path.iterdir()) == {kept, wrong.folder}


async def test_asked_again_it_ends_at_once_also_where_the_first_ended_the_waiting_after_the_story() -> None:
    ends: list[str] = []
    ending = Ending(lambda: ends.append("ended"))
    ending.ask()
    await ending.asked.wait()
    assert (ends, ending.is_now) == ([], False)
    ending.ask()
    ending.ask()
    assert (ends, ending.is_now) == (["ended"], True), "once, and not again while it ends"


async def test_a_count_that_is_broken_off_leaves_no_program_behind(tmp_path: Path) -> None:
    slow, runs = tmp_path / "slow.py", tmp_path / "runs"
    slow.write_text(f"import time\nopen({str(runs)!r}, 'w').close()\ntime.sleep(60)\n", encoding="utf-8")
    waiting = asyncio.create_task(output_of("cProfile", str(slow)))
    async with asyncio.timeout(60):
        while not runs.exists():
            await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(60):
            await waiting
    assert processes_of(str(tmp_path / "slow.py")) == []


def processes_of(word: str) -> list[str]:
    """Those that have it in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word in path.read_bytes().decode(errors="replace"):
                found.append(path.parent.name)
    return found


def test_a_demo_that_fails_leaves_a_report_that_says_why(tmp_path: Path) -> None:
    """Its bank cannot begin: a folder is no ledger."""
    folder, report = tmp_path / "demo", tmp_path / "report.json"
    (folder / "ledger.sqlite").mkdir(parents=True)
    running = demo(folder, "--seconds", "60", "--report", str(report))
    told, _ = running.communicate(timeout=120)
    assert running.returncode == 1, told
    assert "Traceback" not in told
    assert f"kept in {folder}" in told
    said = json.loads(report.read_text(encoding="utf-8"))
    assert said["error"].startswith("bank ended at once:")
    assert said["beats"] == []
    assert children_of_the_demo(folder) == []


def test_what_an_earlier_demo_left_is_kept_and_not_counted_again(tmp_path: Path) -> None:
    for _ in range(2):
        make_room(tmp_path)
        (tmp_path / "cloud.toml").touch()
        (tmp_path / "data").mkdir()
    make_room(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["earlier"]
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("earlier/*/*")}
    assert kept == {"earlier/1/cloud.toml", "earlier/1/data", "earlier/2/cloud.toml", "earlier/2/data"}
