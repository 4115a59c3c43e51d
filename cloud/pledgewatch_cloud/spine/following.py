"""Following a journal that another process writes.

    entries on disk ─► decided again, each held against what was recorded ─► the state is the state

Deciding again costs a fraction of taking in, and shows each time that the journal is what it says (law 5): who answers
from here answers from a state that two processes have come to.
"""

from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.spine.current import Turn
from pledgewatch_cloud.spine.spine import of_snapshot, repeat


class Following:
    """The newest of a journal, as far as it was taken up: a Current. Not for use by two threads at once, but `state`
    and `said_entry` may be read at any time."""

    def __init__(self, store: SqliteStore) -> None:
        """`store` is open for reading, and nobody else's. Raises DamagedError, StoreError."""
        self._store = store
        self.said = Turn()
        self.state: State = of_snapshot(store)
        self.said_entry = 0
        self.take_up()
        self.said_entry = self.state.entry

    def take_up(self) -> None:
        """Decide what was committed since. Raises StoreError; DamagedError where an entry is not what was written, or
        leads to something else than it did."""
        for written in self._store.entries(self.state.entry):
            entry = form.read_entry(written)
            outcome = repeat(self._store, self.state, entry, written.outcome)[1]
            self._store.follow(entry)
            self.state = outcome.state
            if outcome.events:
                self.said_entry = entry.number
