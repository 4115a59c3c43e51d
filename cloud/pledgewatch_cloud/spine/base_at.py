"""The borrowing base of any moment, by what was known at any other, out of the journal.

`base_at(as_of=t, known_at=t)` is what was known when it happened: the journal is folded up to t, so it is what was said
then. `base_at(as_of=t, known_at=now)` is what is true about that moment by all that has come since. `amendments` lists
what makes the difference.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.batch import Amending, Entry, Moved, Quotation, Readings, Tick
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.collateral import as_of as as_of_module
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral.grounds import Looked, grounds_of
from pledgewatch_cloud.decide.collateral.result import Base, LotLine
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.step import prepare, step
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.spine.spine import histories, recover


class BaseAtError(ValueError):
    """There is no such base; the sentence says why."""


class BaseAt(NamedTuple):
    """A base with its two moments, and its lots. `known` is what was known, the state of the journal at the last entry
    by then; `asked` is what that makes of the moment that was asked about: the book of then, its facts and its assets.
    """

    facility: str
    as_of_ms: int
    known_at_ms: int
    base: Base
    lines: list[LotLine]
    known: State
    asked: Looked

    @property
    def entry(self) -> int:
        """The last entry that was known."""
        return self.known.entry

    @property
    def currency(self) -> str:
        """The currency of the facility at the moment that was asked about."""
        return self.asked.book.facilities[self.facility].currency

    @property
    def grounds(self) -> dict[str, tuple[str, ...]]:
        """By lot, what its ineligibles rest on."""
        return grounds_of(self.asked)

    def as_json(self, *, lots: bool) -> dict[str, Any]:
        """The answer as a JSON object."""
        answer = {
            "facility": self.facility,
            "as_of": iso(self.as_of_ms),
            "known_at": iso(self.known_at_ms),
            "entry": self.entry,
            "currency": self.currency,
            "base": self.base._asdict(),
        }
        if not lots:
            return answer
        grounds = self.grounds
        lines = [{**one._asdict(), "grounds": list(grounds.get(one.id, ()))} for one in self.lines]
        return {**answer, "lines": lines}


def base_now(state: State, facility: str) -> BaseAt:
    """The base of a facility as it stands, by a state at its last entry: what `base_at` finds of a journal that ends
    there, and no journal is folded for it. Raises BaseAtError where there is none."""
    return _base_of(state, facility, max(state.recorded_at_ms, 0))


def base_at(
    store: Store,
    facility: str,
    as_of_ms: int | None = None,
    known_at_ms: int | None = None,
    *,
    newest: State | None = None,
    still: Callable[[], None] = lambda: None,
) -> BaseAt:
    """The base of a facility. By what is known by now where no `known_at_ms` is given, as of just then where no
    `as_of_ms` is. `newest` is what is known by now, where that is at hand. `still` is called before each entry that is
    folded; what it raises ends it. Raises BaseAtError where it cannot be had, DamagedError where the journal is
    damaged."""
    check_moments(as_of_ms, known_at_ms)
    if known_at_ms is None:
        state = newest or recover(store, NEVER, still)
        known_at_ms = max(state.recorded_at_ms, as_of_ms or 0)
    else:
        state = recover(store, known_at_ms, still)
    if as_of_ms is None or as_of_ms == known_at_ms:
        return _base_of(_come_to(store, state, known_at_ms), facility, known_at_ms, known=state)
    then = recover(store, as_of_ms, still)
    _check_known(facility, then.book, state.book, as_of_ms)
    book = as_of_module.book_of(then.book, state.book, as_of_ms)
    held = as_of_module.held_of(then, state)
    readings = {
        asset: store.readings([one.device for one in book.devices_of_asset(asset)], state.entry + 1)
        for asset in {asset for lot in book.lots_of_facility(facility) for asset in lot.assets}
    }
    sheet, facts, assets = as_of_module.sheet_of(state, book, held, facility, readings, as_of_ms, known_at_ms)
    base, lines = bases.base_of(sheet, facility), bases.lines_of(sheet, facility)
    asked = Looked(facility, lines, as_of_ms, book, state.market, facts, assets, held, state.facts)
    return BaseAt(facility, as_of_ms, known_at_ms, base, lines, state, asked)


def check_moments(as_of_ms: int | None, known_at_ms: int | None) -> None:
    """Raises BaseAtError where nobody can have known."""
    if as_of_ms is not None and known_at_ms is not None and as_of_ms > known_at_ms:
        text = f"as of {iso(as_of_ms)} lies after known at {iso(known_at_ms)}: nobody knew then"
        raise BaseAtError(text)


def _base_of(come: State, facility: str, at_ms: int, *, known: State | None = None) -> BaseAt:
    """The base at a moment that a state has come to, by itself or by what was `known` before nothing more was heard."""
    known = known or come
    book = known.book
    _check_known(facility, book, book, at_ms)
    sheet = as_of_module.sheet_now(come, at_ms)
    base, lines = bases.base_of(sheet, facility), bases.lines_of(sheet, facility)
    asked = Looked(facility, lines, at_ms, book, known.market, come.facts, come.assets, come.held, known.facts)
    return BaseAt(facility, at_ms, at_ms, base, lines, known, asked)


def _check_known(facility: str, then: Book, now: Book, as_of_ms: int) -> None:
    """Raises BaseAtError where a facility was not in the book then."""
    if facility in then.facilities:
        return
    known = ", ".join(sorted(then.facilities)) or "none"
    later = "; it was entered later" if facility in now.facilities else ""
    raise BaseAtError(f"there was no facility {facility!r} at {iso(as_of_ms)}{later}; there were: {known}")


def _come_to(store: Store, state: State, now_ms: int) -> State:
    """A state at a moment after its last entry, as if nothing more had been heard: what a tick would make of it."""
    if now_ms <= state.recorded_at_ms:
        return state
    entry = Entry(state.entry + 1, now_ms, Tick(now_ms))
    prepared = prepare(state, entry)
    return step(state, prepared, histories(store, state, prepared)).state


def amendments(store: Store, earlier: BaseAt, later: BaseAt) -> Iterator[dict[str, Any]]:
    """What has become known between two answers that bears on the earlier moment: readings of the facility's assets of
    that moment or before (how many of each), events about them, amendments of the book, and quotes of that day or
    before."""
    book = later.asked.book
    assets = {asset for lot in book.lots_of_facility(later.facility) for asset in lot.assets}
    for written in store.entries(earlier.entry):
        if written.number > later.entry:
            return
        entry = form.read_entry(written)
        if isinstance(entry.content, Amending):
            sections = sorted(entry.content.document)
            yield {"entry": entry.number, "known_at": iso(entry.recorded_at_ms), "amendment": sections}
        if isinstance(entry.content, Moved) and entry.content.facility == later.facility:
            moved = [one["id"] for one in entry.content.document["movements"]]
            yield {"entry": entry.number, "known_at": iso(entry.recorded_at_ms), "movements": moved}
        if isinstance(entry.content, Quotation):
            day = iso(later.as_of_ms)[:10]
            every = [one for some in entry.content.document.values() for one in some]
            quoted = sorted({one.get("series", one.get("currency")) for one in every if one["date"] <= day})
            if quoted:
                yield {"entry": entry.number, "known_at": iso(entry.recorded_at_ms), "quotes": quoted}
        if isinstance(entry.content, Readings):
            late: Counter[str] = Counter()
            for one in entry.content.arrivals:
                measured = sum(reading.measured_at_ms <= later.as_of_ms for reading in one.readings)
                late[book.installations[one.device].asset] += measured
            found = {asset: late[asset] for asset in sorted(assets & late.keys()) if late[asset]}
            if found:
                yield {"entry": entry.number, "known_at": iso(entry.recorded_at_ms), "readings": found}
        for said in store.events_of(written.number):
            if said.event.subject in assets and said.event.at_ms <= later.as_of_ms:
                told = {"because": said.because, "replaces": said.replaces} if said.because else {}
                yield {"entry": entry.number, "id": said.id, **said.event.as_json(), **told}
