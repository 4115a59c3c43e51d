"""Programs whose answer goes through a pipe: `program | head`.

Whoever reads may have had enough before all is said. That is nobody's fault, so nothing is said of it. But not all was
said either, so the exit code is the one that a shell tells of a program that ended by it: 128 and SIGPIPE's number.

Nor is it a fault that a terminal or a pipe does not know a character (it is not UTF-8, or a file's name is not): in its
place stands a question mark, and the rest is said.
"""

import io
import os
import sys
from collections.abc import Callable
from typing import Final

HAD_ENOUGH: Final = 141


def piped(run: Callable[[], int]) -> int:
    """Run a program; its exit code, or HAD_ENOUGH where nobody reads its output any more."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # the error stream escapes what it does not know by itself
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()  # so that it shows here, and not when the interpreter ends
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where what is left unsaid goes
        return HAD_ENOUGH
