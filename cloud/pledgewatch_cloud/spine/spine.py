"""The spine: everything that enters the journal enters here, one entry after the other.

    admit → step → append → the new state is the state

Only when `append` has returned is anything true: the state moves on, and whoever asked may acknowledge. When it fails,
nothing has happened; the same call may be made again.
"""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import movements
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.admission import Admission, Refusal, Refused, admit, overlapping
from pledgewatch_cloud.decide.alerts import acknowledge
from pledgewatch_cloud.decide.asset_half import AssetHistory
from pledgewatch_cloud.decide.batch import (
    Acknowledgement,
    Amendment,
    Arrival,
    Booked,
    Content,
    Entry,
    Quotation,
    Readings,
    Submission,
    Tick,
    Waiver,
)
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral.as_of import sheet_now
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.market import MarketError
from pledgewatch_cloud.decide.milestones.explain import known_of
from pledgewatch_cloud.decide.milestones.half import booking_news, said_of
from pledgewatch_cloud.decide.milestones.judge import waived
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.step import NO_ADMISSION, Outcome, Prepared, admission_of, prepare, step
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade import submission
from pledgewatch_cloud.decide.trade.notice import NoticeError
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.outbox import OutboxMessage
from pledgewatch_cloud.journal.store import Quarantined, Store
from pledgewatch_wire import topics
from pledgewatch_wire.topics import Kind

log = logging.getLogger(__name__)


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
        many the journal holds, counted as it goes; `withdrawn` are the messages that the last entry withdrew.
        """
        self._store = store
        self._clock = clock
        self._snapshot_every_entries = snapshot_every_entries
        self._keep = keep or self._kept_at_once
        self.state = recover(store)
        self.withdrawn: tuple[str, ...] = ()
        self.readings = sum(one.marks.total for one in self.state.devices.values())
        self._snapshot_entry = self.state.entry

    def take(self, arrivals: Sequence[Arrival], unreadable: Iterable[Quarantined] = ()) -> Admission:
        """Commit what may be taken of a batch, and set aside what may not."""
        stored = self._store.leaves(overlapping(self.state.devices, arrivals))
        admission = admit(self.state.devices, self.state.book, arrivals, stored)
        aside = [*unreadable, *(_aside(one) for one in admission.refused if one.reason not in _LEFT_TO_THE_DEVICE)]
        if admission.accepted or admission.suspicions:
            self._commit(Readings(admission.accepted, admission.suspicions), admission, aside)
            self.readings += len(admission.readings)
        elif aside:
            self._store.quarantine(aside)
        return admission

    def amend(self, document: dict[str, Any]) -> Outcome | None:
        """Commit an amendment of the book; None where it changes nothing. Raises BookError where it is refused."""
        after = book_module.amend(self.state.book, document)
        if book_module.is_same(after, self.state.book):
            return None
        return self._commit(Amendment(document), NO_ADMISSION, (), after)

    def amend_from_file(self, file: str, sha256: str, document: dict[str, Any]) -> Outcome | None:
        """Commit the amendment in a book file; None where just this content was the last to be taken from that file.

        So a restart brings nothing back that was amended since. Raises BookError where it is refused.
        """
        if self.state.files.get(file) == sha256:
            return None
        return self._commit(Amendment(document, file, sha256), NO_ADMISSION, ())

    def move(self, facility: str, document: dict[str, Any]) -> Outcome | None:
        """Commit that money has moved on a facility, as an amendment of the book; None where all of it is known.

        Raises BookError where it is refused; see decide/movements.
        """
        amendment = movements.amendment(self.state.book, facility, document)
        return None if amendment is None else self.amend(amendment)

    def quote(self, document: dict[str, Any]) -> Outcome | None:
        """Commit quotes of the market; None where all of them are known. Raises MarketError where they are refused."""
        if self.state.market.quoted(document) == self.state.market:
            return None
        return self._commit(Quotation(document), NO_ADMISSION, ())

    def acknowledge(self, alert: str, by: str) -> Outcome | None:
        """Commit that somebody has taken an alert on; None where no alert of that id is open."""
        known = [one for one in self.state.alerts.values() if one.id == alert]
        if not known or not acknowledge(known[0], by, 0)[1]:
            return None
        return self._commit(Acknowledgement(alert, by), NO_ADMISSION, ())

    def submit(self, sender: str, form: str, text: str) -> Outcome | None:
        """Commit what a sender handed in; None where all of it is known. Raises NoticeError where it is refused."""
        notices = submission.read(form, sender, text)
        submission.check(self.state.book.senders, sender, notices, self.state.notices)
        if not self.state.notices.fresh(notices):
            return None
        return self._commit(Submission(sender, form, text), NO_ADMISSION, ())

    def waive(self, milestone: str, by: str, why: str) -> Outcome | None:
        """Commit that somebody waives what a milestone asks for; None where there is nothing to waive: no such
        milestone, its money asked for already, sent under other terms, or an amount that is not known."""
        known, memo = self.state.book.milestones.get(milestone), self.state.milestones.get(milestone)
        if known is None or memo is None:
            return None
        value_of = partial(bases.value_of, sheet_now(self.state, self.state.recorded_at_ms))
        if waived(known_of(self.state), known, memo, by, why, value_of)[1] is None:
            return None
        return self._commit(Waiver(milestone, by, why), NO_ADMISSION, ())

    def booked(self, message: OutboxMessage, release: str, by: str = "", why: str = "") -> Outcome | None:
        """Commit that whoever pays has booked a message; None where that says nothing new of a milestone.

        `release` is what they said of the release itself, `by` and `why` who says so in their stead; see Booked.
        """
        milestone = json.loads(message.body)["data"].get("milestone", "")
        memo = self.state.milestones.get(milestone)
        word = Booked(message.id, milestone, release, by, why)
        if memo is None or booking_news(memo, word) is None:
            return None
        return self._commit(word, NO_ADMISSION, ())

    def say_booked(self, milestone: str, release: str, by: str, why: str) -> Outcome | None:
        """Commit a person's word that a milestone's release is `booked`, or not (`none`); None where that says nothing
        new (see half.nothing_new), or no such milestone is known."""
        memo = self.state.milestones.get(milestone)
        word = None if memo is None else said_of(milestone, memo, release, by, why)
        return None if word is None else self._commit(word, NO_ADMISSION, ())

    def tick(self, heard_until_ms: int = NEVER) -> Outcome:
        """Commit that time has passed; see Tick."""
        return self._commit(Tick(heard_until_ms), NO_ADMISSION, ())

    def _commit(
        self, content: Content, admission: Admission, aside: Iterable[Quarantined], amended: Book | None = None
    ) -> Outcome:
        now_ms = max(self._clock.now_ms(), self.state.recorded_at_ms)
        entry = Entry(self.state.entry + 1, now_ms, content)
        prepared = prepare(self.state, entry, admission, amended)
        outcome = step(self.state, prepared, histories(self._store, self.state, prepared))
        self._store.append(entry, outcome, aside)
        self.state, self.withdrawn = outcome.state, outcome.withdrawn
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


def recover(store: Store, until_ms: int = NEVER) -> State:
    """The state of a journal, as it was known at a moment: the newest usable snapshot of before then, and the entries
    after it folded on.

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
    except (BookError, MarketError, NoticeError, KeyError) as error:
        raise form.DamagedError(entry.number, f"cannot be decided again: {error}") from None
    if form.outcome_digest(outcome.events, outcome.messages, outcome.withdrawn) != recorded:
        raise form.DamagedError(entry.number, "leads to other events or messages than were recorded with it")
    return admission, outcome


def _aside(one: Refused) -> Quarantined:
    topic = topics.topic(one.arrival.operator, one.arrival.device, Kind.UP)
    return Quarantined(topic, one.arrival.received_at_ms, one.reason, one.detail, one.arrival.raw)
