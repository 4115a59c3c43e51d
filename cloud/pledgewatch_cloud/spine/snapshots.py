"""Snapshots beside the commits: a state is written out by a thread of its own, piece by piece.

A state of a fleet is tens of megabytes, and a state never changes; so nothing need wait while it is written. After each
piece the thread rests several times as long as the piece took, so that of the processor the commits have most.
"""

import logging
import threading
import time
from collections.abc import Iterator

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.journal.store import Store, StoreError

log = logging.getLogger(__name__)

_REST_TIMES = 4


class Snapshots:
    """Keeps snapshots in a store, one at a time. What is asked for while one is being written is passed over."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    def keep(self, state: State) -> None:
        """Write out a committed state; returns at once."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._write, args=(state,), name="snapshot")
            self._thread.start()

    def close(self) -> None:
        """Give up what is being written, and wait until nothing is."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def _write(self, state: State) -> None:
        try:
            self._store.keep_snapshot(state.entry, self._unhurried(state))
        except _GivenUpError:
            return
        except StoreError as error:
            log.warning("no snapshot of entry %d can be kept: %s", state.entry, error)

    def _unhurried(self, state: State) -> Iterator[bytes]:
        began_s = time.monotonic()
        for piece in state_module.pieces(state):
            yield piece
            if self._ending.wait(_REST_TIMES * (time.monotonic() - began_s)):
                raise _GivenUpError
            began_s = time.monotonic()


class _GivenUpError(Exception):
    """The program ends."""
