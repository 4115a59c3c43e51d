"""The demo as a newcomer runs it: it ends by itself with both ends agreeing, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pledgewatch_sim.demo import _make_room


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
    folder, report = tmp_path / "demo", tmp_path / "report.json"
    running = demo(folder, "--seconds", "25", "--report", str(report))
    told, _ = running.communicate(timeout=180)
    assert running.returncode == 0, told
    counted = json.loads(report.read_text(encoding="utf-8"))
    readings, messages = counted["readings"], counted["messages"]
    assert readings == {"measured": readings["measured"], "committed": readings["measured"], "lost": 0, "duplicated": 0}
    assert readings["measured"] > 200
    assert messages["sent"] == messages["delivered"] == messages["verified"] >= 7
    assert messages["duplicated"] == 0
    assert counted["events"]["milestone_met"] == 2
    assert counted["events"]["condition_breached"] == 1
    # On a busy machine a reading may come hours of the story too late: a silence is told, and taken back.
    assert counted["events"]["source_fell_silent"] - counted["events"].get("event_retracted", 0) <= 1
    assert counted["events"]["alert_opened"] >= 2
    assert counted["events"]["fence_entered"] == 3
    assert "console and API: http://127.0.0.1:" in told
    assert "the bank is asked to release" in told
    assert children_of_the_demo(folder) == []


@pytest.mark.parametrize(("number", "after_s"), [(signal.SIGTERM, 12.0), (signal.SIGKILL, 12.0)])
def test_whenever_it_is_ended_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, after_s: float) -> None:
    folder = tmp_path / "demo"
    running = demo(folder, "--seconds", "60")
    time.sleep(after_s)
    assert len(children_of_the_demo(folder)) >= 4, "the bank, the cloud and agents run"
    os.kill(running.pid, number)
    running.communicate(timeout=120)
    assert running.returncode == (0 if number == signal.SIGTERM else -number)
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


def wait_for_the_children(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while children_of_the_demo(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children_of_the_demo(folder) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seconds", "nan"), "--seconds is nan; the story takes from 20 to 86400"),
        (("--seconds", "inf"), "--seconds is inf; the story takes from 20 to 86400"),
        (("--folder", "{file}"), "{file} cannot be used: File exists"),
        (("--report", "{file}/report.json"), "{file}/report.json cannot be used: Not a directory"),
    ],
)
def test_what_cannot_be_done_is_said_before_it_begins(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    file = tmp_path / "file"
    file.touch()
    said, _ = demo(tmp_path / "demo", *(one.format(file=file) for one in arguments)).communicate(timeout=60)
    assert said.strip() == words.format(file=file)


def test_what_an_earlier_demo_left_is_kept_and_not_counted_again(tmp_path: Path) -> None:
    for _ in range(2):
        _make_room(tmp_path)
        (tmp_path / "cloud.toml").touch()
        (tmp_path / "data").mkdir()
    _make_room(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["earlier"]
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("earlier/*/*")}
    assert kept == {"earlier/1/cloud.toml", "earlier/1/data", "earlier/2/cloud.toml", "earlier/2/data"}
