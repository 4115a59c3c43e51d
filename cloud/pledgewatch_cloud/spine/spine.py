"""The spine: everything that enters the journal enters here, one entry after the other.

    admit → step → append → the new state is the state

Only when `append` has returned is anything true: the state moves on, and whoever asked may acknowledge. When it fails,
nothing has happened; the same call may be made again.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Concatenate, NamedTuple, ParamSpec

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.admission import Admission, Fleet, Refusal, Refused, admit, overlapping
from pledgewatch_cloud.decide.asset_half import AssetHistory
from pledgewatch_cloud.decide.batch import Arrival, Entry, Readings, Tick
from pledgewatch_cloud.decide.drafts import Draft
from pledgewatch_cloud.decide.identity_acts import IdentityError
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.market import MarketError
from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.step import NO_ADMISSION, Outcome, Prepared, admission_of, prepare, step
from pledgewatch_cloud.decide.stock.rows import StockError
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade.notice import NoticeError
from pledgewatch_cloud.decide.warehouse.counting import CountError
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.store import NOTHING_SAID, Quarantined, Said, Store
from pledgewatch_wire import topics
from pledgewatch_wire.topics import Kind

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")


class Newest(NamedTuple):
    """The state after the last entry, the last entry that led to events (or where the journal stood at the start), and
    the last that was more than readings that led to none: of one moment, also to who reads it beside a commit."""

    state: State
    said_entry: int
    changed_entry: int


class Spine:
    """The only writer of a journal. Not for use by two threads at once."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        snapshot_every_entries: int = 4_000,
        keep: Callable[[State], None] | None = None,
    ) -> None:
        """Take up a journal where it stands (see `recover`).

        `keep` is given the states that are due for a snapshot; None: the store keeps them at once. `readings` is how
        many the journal holds, counted as it goes; `has_posted`: whether the last entry put messages into the outbox;
        `withdrawn` are those that it withdrew.
        """
        self._store = store
        self._clock = clock
        self._snapshot_every_entries = snapshot_every_entries
        self._keep = keep or self._kept_at_once
        state = recover(store)
        self.newest = Newest(state, state.entry, state.entry)
        self.has_posted = False
        self.withdrawn: tuple[str, ...] = ()
        self.readings = sum(one.marks.total for one in self.state.devices.values())
        self._snapshot_entry = self.state.entry

    @property
    def state(self) -> State:
        """The state after the last entry."""
        return self.newest.state

    def take(
        self, arrivals: Sequence[Arrival], unreadable: Iterable[Quarantined] = (), said: Said = NOTHING_SAID
    ) -> Admission:
        """Commit what may be taken of a batch, set aside what may not, and keep what devices said of themselves."""
        stored = self._store.leaves(overlapping(self.state.devices, arrivals))
        fleet = Fleet(self.state.book.installations, self.state.identities)
        admission = admit(self.state.devices, fleet, arrivals, stored)
        aside = [*unreadable, *(_aside(one) for one in admission.refused if one.reason not in _LEFT_TO_THE_DEVICE)]
        if admission.accepted or admission.suspicions:
            self._enter(Draft(Readings(admission.accepted, admission.suspicions)), admission, aside, said)
            self.readings += len(admission.readings)
            return admission
        if said:  # before what is counted: when one of the two fails, both are done again
            self._store.keep_said(said)
        if aside:
            self._store.quarantine(aside)
        return admission

    def commit(
        self,
        asked: Callable[Concatenate[State, Arguments], Draft | None],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Outcome | None:
        """Commit what somebody asks for: `commit(waive, milestone, by, why)`; see decide/drafts.

        None where that would say nothing new. Raises the error of what refuses it: BookError, MarketError, NoticeError.
        """
        draft = asked(self.state, *args, **kwargs)
        return None if draft is None else self._enter(draft, NO_ADMISSION, ())

    def tick(self, heard_until_ms: int = NEVER) -> Outcome:
        """Commit that time has passed; see Tick."""
        return self._enter(Draft(Tick(heard_until_ms)), NO_ADMISSION, ())

    def _enter(
        self, draft: Draft, admission: Admission, aside: Iterable[Quarantined], said: Said = NOTHING_SAID
    ) -> Outcome:
        now_ms = max(self._clock.now_ms(), self.state.recorded_at_ms)
        entry = Entry(self.state.entry + 1, now_ms, draft.content)
        prepared = prepare(self.state, entry, admission, draft.worked_out)
        outcome = step(self.state, prepared, histories(self._store, self.state, prepared))
        self._store.append(entry, outcome, aside, said)
        said_entry = entry.number if outcome.events else self.newest.said_entry
        is_change = outcome.events or not isinstance(draft.content, Readings)
        changed_entry = entry.number if is_change else self.newest.changed_entry
        self.newest = Newest(outcome.state, said_entry, changed_entry)
        self.has_posted, self.withdrawn = bool(outcome.messages), outcome.withdrawn
        if entry.number - self._snapshot_entry >= self._snapshot_every_entries:
            self._snapshot_entry = entry.number
            self._keep(outcome.state)
        return outcome

    def _kept_at_once(self, state: State) -> None:
        self._store.keep_snapshot(state.entry, state_module.pieces(state))


# Refusals that need no quarantine: the device still has the readings and sends them again when there is room.
_LEFT_TO_THE_DEVICE = frozenset({Refusal.TOO_FAR_BEYOND_GAP})


def histories(store: Store, state: State, prepared: Prepared) -> dict[str, AssetHistory]:
    """What `step` needs from disk for an entry."""
    found = {}
    for asset, since_ms in prepared.work.wanted.items():
        devices = [one.device for one in state.book.devices_of_asset(asset)]
        readings = store.readings(devices, prepared.entry.number, since_ms)
        said = store.standing(asset, prepared.entry.number, since_ms)
        found[asset] = AssetHistory(since_ms, tuple(readings), tuple(said))
    return found


def recover(store: Store, until_ms: int = NEVER, still: Callable[[], None] = lambda: None) -> State:
    """The state of a journal, as it was known at a moment: the newest usable snapshot of before then, and the entries
    after it folded on. `still` is called before each entry; what it raises ends it.

    Raises DamagedError where an entry of the tail is not what was written, or leads to something else than it did.
    """
    state = state_module.first(store.journal)
    for entry, body in store.snapshots():
        try:
            found = state_module.from_bytes(body)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("snapshot of entry %d cannot be used (%s); reading further back", entry, error)
            continue
        if found.recorded_at_ms <= until_ms:
            state = found
            break
    for written in store.entries(state.entry):
        if written.recorded_at_ms > until_ms:
            break
        still()
        state = repeat(store, state, form.read_entry(written), written.outcome)[1].state
    return state


def repeat(store: Store, state: State, entry: Entry, recorded: bytes) -> tuple[Admission, Outcome]:
    """Decide an entry of the journal again. Raises DamagedError where that leads to another outcome than recorded."""
    if entry.number != state.entry + 1:
        raise form.DamagedError(state.entry + 1, f"is missing; the next one is {entry.number}")
    if entry.recorded_at_ms < state.recorded_at_ms:
        raise form.DamagedError(entry.number, "was recorded before the entry before it")
    try:
        admission = admission_of(state, entry)
        if admission.refused or admission.known:
            raise form.DamagedError(entry.number, "holds a payload that cannot have been taken")
        prepared = prepare(state, entry, admission)
        outcome = step(state, prepared, histories(store, state, prepared))
    except (ActError, BookError, CountError, IdentityError, MarketError, NoticeError, StockError, KeyError) as error:
        raise form.DamagedError(entry.number, f"cannot be decided again: {error}") from None
    if form.outcome_digest(outcome.events, outcome.messages, outcome.withdrawn) != recorded:
        raise form.DamagedError(entry.number, "leads to other events or messages than were recorded with it")
    return admission, outcome


def _aside(one: Refused) -> Quarantined:
    topic = topics.topic(one.arrival.operator, one.arrival.device, Kind.UP)
    return Quarantined(topic, one.arrival.received_at_ms, one.reason, one.detail, one.arrival.raw)
