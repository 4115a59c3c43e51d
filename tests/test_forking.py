"""What tests start from a nursery is a process as any other: where and as it is asked for, killed or asked to end."""

import os
import signal
from pathlib import Path

import pytest
from forking import nursery_of, program


def test_it_begins_where_and_as_it_is_asked_for_and_ends_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nursery, log = nursery_of("json"), tmp_path / "log"
    log.write_text("before\n", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    code = "import os, sys, time\nprint(os.getpid(), os.getcwd(), time.timezone, sys.argv[1:])\nsys.exit(3)"
    children = [nursery.start(code, ["a", "b c"], log) for _ in range(2)]
    assert [one.wait(60) for one in children] == [3, 3]
    wanted = ["before", *(f"{one.pid} {tmp_path} -28800 ['a', 'b c']" for one in children)]
    assert sorted(log.read_text(encoding="utf-8").splitlines()) == sorted(wanted)
    assert len({one.pid for one in children} | {os.getpid()}) == 3


# One long sleep would not do: Python sees a SIGINT that comes just before the sleep begins only once that is over.
_WAITING = """
import sys, time
with open(sys.argv[1], "wb", buffering=0) as fifo:
    fifo.write(b"x")
while True:
    time.sleep(0.01)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_nobody_else(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "fifo").open("r+b", buffering=0) as fifo:
        first, second = (nursery_of("json").start(_WAITING, [str(tmp_path / "fifo")], log) for _ in range(2))
        assert [fifo.read(1) for _ in range(2)] == [b"x", b"x"], "both run"
        first.send_signal(number)
        assert first.wait(60) == -number
        first.send_signal(number)  # which is nobody's any more
        assert second.poll() is None
        second.send_signal(signal.SIGKILL)
        assert second.wait(60) == -signal.SIGKILL


def test_a_program_says_what_it_says_by_itself(tmp_path: Path) -> None:
    assert program("pledgewatch_edge", ["run"], tmp_path / "log").wait(60) == 2
    said = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert said[0].startswith("usage: pledgewatch-edge ")
    assert said[-1].endswith("error: the following arguments are required: --config")
