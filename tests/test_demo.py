"""The demo as a newcomer runs it: it ends by itself with both ends agreeing, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_sim.demo import _make_room
from pledgewatch_sim.story import CHARACTERS
from pledgewatch_sim.teller import Teller


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


def test_the_demo_tells_its_story_and_counts_at_both_ends(tmp_path: Path) -> None:
    folder, report = tmp_path / 'the "demo" [1]', tmp_path / "report.json"
    running = demo(folder, "--seconds", "25", "--report", str(report))
    told, _ = running.communicate(timeout=180)
    assert running.returncode == 0, told
    counted = json.loads(report.read_text(encoding="utf-8"))
    readings, messages = counted["readings"], counted["messages"]
    none = {"lost": 0, "duplicated": 0, "refused": 0}
    assert readings == {"measured": readings["measured"], "committed": readings["measured"], **none}
    assert readings["measured"] > 200
    assert messages["sent"] == messages["delivered"] == messages["verified"] >= 7
    assert messages["duplicated"] == 0
    assert_money_is_known_at_both_ends(counted, told)
    assert counted["journal"]["digest"] == counted["journal"]["service_digest"] != ""
    assert counted["events"]["milestone_met"] == 2
    assert counted["events"]["condition_breached"] == 1
    assert_silences_are_true(folder)
    assert counted["events"]["alert_opened"] >= 2
    assert counted["events"]["fence_entered"] == 3
    assert counted["events"]["margin_called"] >= 1, "nothing is lent on goods that were not heard of for too long"
    assert counted["events"]["cover_restored"] >= 1, "and the backlog brings it back"
    assert "console and API: http://127.0.0.1:" in told
    assert "the bank is asked to release" in told
    assert "Both ends agree." in told
    assert counted["milestones"]["gated-in-coral"]["state"] == "pending"
    assert "condition_kept" in counted["milestones"]["gated-in-coral"]["missing"][0]
    assert children_of_the_demo(folder) == []


def assert_money_is_known_at_both_ends(counted: dict[str, Any], told: str) -> None:
    """Two are paid for on arrival, one buyer pays a part; and what is lent is what the bank has moved."""
    moved = {"amber": (5_220_000, 2_610_000), "coral": (0, 0), "jade": (4_000_000, 0)}
    for name, (drawn_minor, repaid_minor) in moved.items():
        one = counted["money"][f"facility-{name}"]
        assert one["bank"] == one["pledgewatch"]
        assert (one["bank"]["drawn_minor"], one["bank"]["repaid_minor"]) == (drawn_minor, repaid_minor)
        assert one["untold"] == 0
    assert "facility-amber: the bank pays 52,200.00 USD" in told
    assert "facility-amber: the bank receives 26,100.00 USD" in told
    assert "lent 91,350.00" in told, "the base follows: 65,250 before, 52,200 drawn, 26,100 repaid"


def assert_silences_are_true(folder: Path) -> None:
    """On a busy machine a reading may come hours of the story too late: a silence is told, and taken back. What stands
    in the end is what the readings themselves show: nothing measured for so long."""
    patience_ms = {
        one["asset"]: one["silent_after_s"] * 1_000
        for one in json.loads((folder / "book.json").read_text(encoding="utf-8"))["installations"]
    }
    store = SqliteStore(folder / "data", read_only=True)
    told: dict[str, int] = {}
    for asset, allowed_ms in patience_ms.items():
        measured = [one.measured_at_ms for one in store.readings([f"container-{asset}"], 2**62)]
        for said in store.standing(asset, 2**62):
            if said.event.type is EventType.SOURCE_FELL_SILENT:
                told[asset] = told.get(asset, 0) + 1
                last_ms = max(one for one in measured if one <= said.event.at_ms)
                assert said.event.at_ms - last_ms >= allowed_ms, said
    store.close()
    assert told["jade"] >= 1, "its device had no power"


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
    Teller(CHARACTERS, headless=True).news([], messages, movements)
    told = [line.strip().removeprefix("↳ f: ") for line in capsys.readouterr().out.splitlines()]
    assert [line.split(",")[0] for line in told] == [
        "the bank receives 10.00 USD",
        "the bank pays 10.00 USD",
        "the bank is asked to release 10.00 USD to Sofa Works",
        "the bank pays 10.00 USD",
        "eligible 0.00 USD",
        "the bank is told that a release stands",
    ]


@pytest.mark.parametrize(("number", "after_s"), [(signal.SIGTERM, 12.0), (signal.SIGHUP, 12.0), (signal.SIGKILL, 12.0)])
def test_whenever_it_is_ended_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, after_s: float) -> None:
    folder = tmp_path / "demo"
    running = demo(folder, "--seconds", "60")
    time.sleep(after_s)
    assert len(children_of_the_demo(folder)) >= 4, "the bank, the cloud and agents run"
    os.kill(running.pid, number)
    told, _ = running.communicate(timeout=120)
    assert running.returncode == (-number if number == signal.SIGKILL else 0), told
    wait_for_the_children(folder)
    assert children_of_the_demo(folder) == []


@pytest.mark.parametrize("moments_s", [(1.0,), (1.8, 0.3), (4.0, 0.2, 0.2), (11.0, 0.5, 0.5, 0.5)])
def test_control_c_at_a_terminal_ends_it_in_order(tmp_path: Path, moments_s: tuple[float, ...]) -> None:
    """A terminal's Ctrl-C goes to the whole group of processes, and a person presses it more than once."""
    folder = tmp_path / "demo"
    running = demo(folder, "--seconds", "60", start_new_session=True)
    for moment_s in moments_s:
        time.sleep(moment_s)
        os.killpg(running.pid, signal.SIGINT)
    told, _ = running.communicate(timeout=120)
    assert "Traceback" not in told, told
    # A busy machine may still be starting Python after a second; then the signal ends it without a word.
    assert running.returncode == 0 or (not told and running.returncode == -signal.SIGINT), told
    wait_for_the_children(folder)


def test_asked_once_it_counts_and_asked_twice_it_ends_at_once(tmp_path: Path) -> None:
    running = demo(tmp_path / "demo", "--seconds", "60")
    assert running.stdout is not None
    for line in running.stdout:
        if "enters" in line or "value" in line:
            break
    running.send_signal(signal.SIGINT)
    said = next(line for line in running.stdout if line.startswith(("Ending", "Traceback")) or "Ending" in line)
    assert "Ctrl-C again ends at once" in said
    running.send_signal(signal.SIGINT)
    began_s = time.monotonic()
    rest, _ = running.communicate(timeout=60)
    assert rest.splitlines()[-1] == "Ended at once: nothing was counted."
    assert time.monotonic() - began_s < 8, "killed, not asked to end"
    assert running.returncode == 0
    assert children_of_the_demo(tmp_path / "demo") == []


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


def wait_for_the_children(folder: Path) -> None:
    deadline = time.monotonic() + 20
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


def test_what_an_earlier_demo_left_is_kept_and_not_counted_again(tmp_path: Path) -> None:
    for _ in range(2):
        _make_room(tmp_path)
        (tmp_path / "cloud.toml").touch()
        (tmp_path / "data").mkdir()
    _make_room(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["earlier"]
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("earlier/*/*")}
    assert kept == {"earlier/1/cloud.toml", "earlier/1/data", "earlier/2/cloud.toml", "earlier/2/data"}
