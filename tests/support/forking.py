"""Our programs as processes that have imported already: what tests start again and again.

    the test ──► a nursery that has imported the program ──fork──► the program, from its first line on
             ◄── the child's number; once it has ended, its code

Most of a start is imports, a second and more of a processor and each time the same. So one process makes them, and each
start is a fork of it. What runs then is a process of its own, with memory, files, signals and a log of its own, and is
killed or asked to end as any other. That our programs start by themselves is for tests that run them by a command line.
"""

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

_NURSERY = """
import gc, importlib, json, os, signal, socket, sys, time

channel = socket.socket(fileno=int(sys.argv[1]))
told = channel.makefile("rw", encoding="utf-8")
for name in sys.argv[2:]:
    importlib.import_module(name)
gc.collect()
gc.freeze()
signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C at the tests is theirs
while line := told.readline():
    asked = json.loads(line)
    if "ended" in asked:
        number, status = os.waitpid(asked["ended"], os.WNOHANG)
        answer = os.waitstatus_to_exitcode(status) if number else None
    else:
        output = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if not (answer := os.fork()):
            break
        os.close(output)
    told.write(json.dumps(answer) + "\\n")
    told.flush()
else:
    os._exit(0)
signal.signal(signal.SIGINT, signal.default_int_handler)
told.close()
channel.close()
for number in (1, 2):
    os.dup2(output, number)
os.close(output)
os.chdir(asked["folder"])
os.environ.clear()
os.environ.update(asked["environment"])
time.tzset()
sys.argv = ["-c", *asked["arguments"]]
exec(asked["code"])
"""
_PROGRAM = """
import runpy, sys
del sys.modules["{0}.__main__"]  # which is run now, and not twice
runpy.run_module("{0}", run_name="__main__", alter_sys=True)
"""

_MORE = {"pledgewatch_cloud": ("pledgewatch_cloud.service",), "pledgewatch_edge": ("pledgewatch_edge.process",)}
"""What a program imports in any case before it does anything, but not at once."""


class Nursery:
    """A process that has imported something, and its children."""

    def __init__(self, *names: str) -> None:
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", _NURSERY, str(theirs.fileno()), *names]
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        self._told = ours.makefile("rw", encoding="utf-8")
        ours.close()

    def start(self, code: str, arguments: list[str], log: Path) -> "Child":
        """What `python -c` does with code and arguments here and now; what it says goes to the end of a file."""
        here = {"folder": str(Path.cwd()), "environment": dict(os.environ)}
        number = self._ask({"code": code, "arguments": arguments, "log": str(log), **here})
        assert number is not None
        return Child(number, self)

    def ended(self, number: int) -> int | None:
        """With which code a child has ended, less than 0 where by a signal; to be asked no more then."""
        return self._ask({"ended": number})

    def close(self) -> None:
        """End it; its children go on."""
        self._told.close()
        self._process.wait(20)

    def _ask(self, asked: dict[str, object]) -> int | None:
        with self._lock:
            self._told.write(json.dumps(asked) + "\n")
            self._told.flush()
            answer: int | None = json.loads(self._told.readline())
        return answer


class Child:
    """A process of a nursery, with what `subprocess.Popen` has for one of our own."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The code that it has ended with, if it has."""
        with self._lock:
            if self.returncode is None:
                self.returncode = self._nursery.ended(self.pid)
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Unless it has ended: until that is asked for, nobody else has its number."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        """Until it has ended; the code."""
        until_s = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until_s:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return code


def program(module: str, arguments: list[str], log: Path) -> Child:
    """What `python -m` does with one of our programs."""
    nursery = nursery_of(f"{module}.__main__", *_MORE.get(module, ()))
    return nursery.start(_PROGRAM.format(module), arguments, log)


@functools.cache
def nursery_of(*names: str) -> Nursery:
    """The one nursery that has imported this, which stays to the end of the tests."""
    made = Nursery(*names)
    atexit.register(made.close)
    return made
