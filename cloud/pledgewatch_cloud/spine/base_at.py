"""The borrowing base of any moment, by what was known at any other, out of the journal.

`base_at(as_of=t, known_at=t)` is what was known when it happened: the journal is folded up to t, so it is what was said
then. `base_at(as_of=t, known_at=now)` is what is true about that moment by all that has come since. `amendments` lists
what makes the difference.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.batch import Amending, Entry, Moved, Quotation, Readings, Tick
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.collateral import as_of as as_of_module
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral.grounds import Looked, grounds_of
from pledgewatch_cloud.decide.collateral.result import Base, LotLine
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.step import prepare, step
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


def base_at(store: Store, facility: str, as_of_ms: int | None = None, known_at_ms: int | None = None) -> BaseAt:
    """The base of a facility. By what is known by now where no `known_at_ms` is given, as of just then where no
    `as_of_ms` is. Raises BaseAtError where it cannot be had, DamagedError where the journal is damaged."""
    state = recover(store) if known_at_ms is None else recover(store, known_at_ms)
    if known_at_ms is None:
        known_at_ms = max(state.recorded_at_ms, as_of_ms or 0)
    if as_of_ms is None:
        as_of_ms = known_at_ms
    if as_of_ms > known_at_ms:
        text = f"as of {iso(as_of_ms)} lies after known at {iso(known_at_ms)}: nobody knew then"
        raise BaseAtError(text)
    facts: Mapping[str, AssetFacts]
    assets: Mapping[str, AssetState]
    if as_of_ms == known_at_ms:
        come, book = _come_to(store, state, as_of_ms), state.book
        held = come.held
        _check_known(facility, book, book, as_of_ms)
        sheet, facts, assets = as_of_module.sheet_now(come, as_of_ms), come.facts, come.assets
    else:
        then = recover(store, as_of_ms)
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
