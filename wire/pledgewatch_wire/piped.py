"""Programs whose answer goes through a pipe: `program | head`.

Whoever reads may have had enough before all is said. That is nobody's fault, so nothing is said of it. But not all was
said either, so the exit code is the one that a shell tells of a program that ended by it: 128 and SIGPIPE's number.

Nor is it a fault that a terminal or a pipe does not know a character (it is not UTF-8, or a file's name is not): in its
place stands a question mark, and the rest is said. What comes in is read so too: a terminal that is not UTF-8 types a
byte that is none, and what was asked for is then asked again.

Who starts a program may have closed its streams (`program <&-`). What it says then goes nowhere, and it reads an end.
"""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

HAD_ENOUGH: Final = 141
_RAISING: Final = ("strict", "surrogateescape")
"""The second is Python's choice in the locale C, and takes bytes that are no characters, but no character that it does
not know."""


def piped(run: Callable[[], int]) -> int:
    """Run a program; its exit code, or HAD_ENOUGH where nobody reads its output any more."""
    _open_closed()
    if isinstance(sys.stdin, io.TextIOWrapper) and sys.stdin.errors in _RAISING:
        sys.stdin.reconfigure(errors="replace")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in _RAISING:
        sys.stdout.reconfigure(errors="replace")  # the error stream escapes what it does not know by itself
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()  # so that it shows here, and not when the interpreter ends
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where what is left unsaid goes
        return HAD_ENOUGH


def _open_closed() -> None:
    """Put nothing in the place of streams that are closed. Each takes the lowest number that is free, which is its own:
    else a file of the program gets it, and what a library says on its error stream is written into that."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as the program
