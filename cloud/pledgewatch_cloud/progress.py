"""How far a long job has come, for whoever watches it on a terminal."""

import sys


class Progress:
    """Says how much of `total` is done; in a pipe or a file it says nothing."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._shown = -1

    def __call__(self, done: int) -> None:
        """So much is done."""
        share = 100 * done // max(1, self._total)
        if share != self._shown and sys.stderr.isatty():
            end = "\n" if done >= self._total else ""
            print(f"\r{share:3} % ({done} of {self._total} {self._what})", end=end, file=sys.stderr, flush=True)
        self._shown = share
