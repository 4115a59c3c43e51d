"""The demo as a newcomer runs it: it ends by itself with both ends agreeing, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


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


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pledgewatch_sim", "demo", "--headless", "--folder", str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


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
    assert counted["events"]["condition_breached"] == counted["events"]["source_fell_silent"] == 1
    assert counted["events"]["alert_opened"] == 2
    assert counted["events"]["fence_entered"] == 3
    assert "console and API: http://127.0.0.1:" in told
    assert "the bank is asked to release" in told
    assert children_of_the_demo(folder) == []


@pytest.mark.parametrize(("number", "after_s"), [(signal.SIGINT, 1.0), (signal.SIGTERM, 12.0), (signal.SIGKILL, 12.0)])
def test_whenever_it_is_ended_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, after_s: float) -> None:
    folder = tmp_path / "demo"
    running = demo(folder, "--seconds", "60")
    time.sleep(after_s)
    os.kill(running.pid, number)
    running.communicate(timeout=120)
    deadline = time.monotonic() + 20
    while children_of_the_demo(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children_of_the_demo(folder) == []
