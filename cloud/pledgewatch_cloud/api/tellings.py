"""The journal's events as they are told outside, a page at a time, in the order in which they were recorded.

A token is the id of the last event that was looked at, so it is good for ever and nothing is remembered between two
requests. A page looks at so many events at most; where what is asked for is rare it is shorter than it could be, and
the token says where to go on.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cached_property
from http import HTTPStatus
from typing import NamedTuple

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.batch import Submission
from pledgewatch_cloud.decide.events import FOLDED_TYPES, EventType, SaidEvent
from pledgewatch_cloud.decide.trade import epcis, epcis_out
from pledgewatch_cloud.decide.trade.epcis import Captured
from pledgewatch_cloud.decide.trade.epcis_out import Document
from pledgewatch_cloud.decide.trade.notice import Notice
from pledgewatch_cloud.decide.trade.telling import Telling
from pledgewatch_cloud.journal import form

LOOKED_AT_MAX = 20_000
_AT_ONCE = 500
_DIGITS_MAX = 15
NOTICE = "notice"
"""The fact of a notice event that holds the notice's key."""

Tell = Callable[[SaidEvent], list[Document]]
Stamp = Callable[[Document, int], Document]
Place = tuple[int, int]


class Page(NamedTuple):
    """Events as they are told, and the token of the next page; empty where this is the last."""

    documents: list[Document]
    next_token: str


class Tellings:
    """What one request tells, of the journal up to where it stands."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._state = view.state
        self._captured: tuple[int, dict[str, Captured]] = (0, {})
        self._standing: dict[str, frozenset[str]] = {}

    def page(self, token: str, size: int, entries: range, tell: Tell, stamp: Stamp) -> Page:
        """What `tell` says of some entries' events, up to `size` or, where one event is told so often, a few more; each
        is stamped with when it was recorded.

        Raises Problem for a token that is none of ours.
        """
        after = max(_place(token), (entries.start, -1))
        documents: list[Document] = []
        last = ""
        for number, said in enumerate(self._events(after, entries.stop)):
            told = tell(said)
            if number == LOOKED_AT_MAX or (documents and len(documents) + len(told) > size):
                return Page(documents, last)
            if told:
                at_ms = self._view.recorded_at_ms(_place(said.id)[0])
                documents += [stamp(document, at_ms) for document in told]
            last = said.id
        return Page(documents, "")

    def entries(self, from_ms: int | None, until_ms: int | None) -> range:
        """The numbers of the entries that were recorded from a moment on and before another."""
        every = range(1, self._state.entry + 1)
        first = 0 if from_ms is None else bisect_left(every, from_ms, key=self._view.recorded_at_ms)
        stop = len(every) if until_ms is None else bisect_left(every, until_ms, key=self._view.recorded_at_ms)
        return range(first + 1, max(first, stop) + 1)

    def telling(self, said: SaidEvent) -> Telling:
        """An event with what its telling needs."""
        key = dict(said.event.facts).get(NOTICE)
        notice = self._state.notices.get(key) if isinstance(key, str) else None
        return Telling(self._view.journal, said, notice)

    def in_epcis(self, said: SaidEvent) -> list[Document]:
        """An event as EPCIS has it; what it takes back, as it was told, declared wrong.

        What a sender took back is told and declared wrong at its own place too: that it is wrong may have been said
        before it.
        """
        if said.event.type is EventType.EVENT_RETRACTED:
            return self._retraction(said)
        one = self.telling(said)
        captured = self._captured_in(_place(said.id)[0]) if one.notice is not None else {}
        document = epcis_out.told(one, captured.get(one.notice.key) if one.notice is not None else None)
        found = [] if document is None else [document]
        if one.notice is not None:
            touched = self._state.notices.touched_by(one.notice)
            wrong = {notice.key: notice for notice in (*touched, one.notice)}
            some = [self._declared_wrong(notice, captured.get(notice.key)) for notice in wrong.values()]
            found += [again for again in some if again is not None]
        return found

    def stands(self, one: Telling) -> bool:
        """Whether what was said still counts."""
        said = one.said
        if said.event.type in FOLDED_TYPES:
            subject = said.event.subject
            if subject not in self._standing:
                standing = self._view.standing(subject)
                self._standing[subject] = frozenset(each.id for each in standing)
            return said.id in self._standing[subject]
        return one.notice is None or self._state.notices.fate(one.notice.key) == "standing"

    def carried(self, asset: str, at_ms: int) -> set[str] | None:
        """The references of the shipments that an asset carries lots of at a moment; None where it carries no lots."""
        lots = self._state.book.lots_in(asset, at_ms)
        return {reference for lot in lots for reference in self._references.get(lot.id, ())} if lots else None

    @cached_property
    def _references(self) -> dict[str, set[str]]:
        """By lot: the references of the shipments that it is in."""
        found: dict[str, set[str]] = {}
        for shipment in self._state.book.shipments.values():
            for lot in shipment.lots:
                found.setdefault(lot, set()).update(shipment.references)
        return found

    def _events(self, after: Place, stop_entry: int) -> Iterator[SaidEvent]:
        entry, place = after
        while True:
            some = self._view.events(entry - 1, _AT_ONCE)
            for said in some:
                at = _place(said.id)
                if at[0] >= stop_entry:
                    return
                if at > (entry, place):
                    yield said
            if not some:
                return
            entry, place = _place(some[-1].id)[0] + 1, -1

    def _retraction(self, said: SaidEvent) -> list[Document]:
        retracted = str(said.event.fact("retracted"))
        original = next((one for one in self._view.events_of(_place(retracted)[0]) if one.id == retracted), None)
        document = epcis_out.told(self.telling(original)) if original is not None else None
        if document is None:
            return []
        news = [one.id for one in self._view.events_of(_place(said.id)[0]) if one.replaces == retracted]
        stead = [epcis_out.event_id(self._view.journal, one) for one in news]
        return [epcis_out.declared_wrong(document, stead)]

    def _captured_in(self, entry: int) -> dict[str, Captured]:
        """The events that an entry captured as EPCIS, by their notices' keys."""
        if self._captured[0] != entry:
            match form.read_entry(next(iter(self._view.entries(entry - 1)))).content:
                case Submission(sender, "epcis", text):
                    self._captured = entry, epcis.captured(sender, text)
                case _:
                    self._captured = entry, {}
        return self._captured[1]

    def _declared_wrong(self, notice: Notice, captured: Captured | None) -> Document | None:
        against = self._state.notices.against(notice.key)
        document = epcis_out.notice_told(notice, captured) if against else None
        if document is None:
            return None
        return epcis_out.declared_wrong(document, sorted(epcis_out.notice_id(one.key) for one in against if one.kind))


def _place(said_id: str) -> Place:
    """The entry and the place in it that an event's id names; before everything where there is none."""
    entry, _, place = said_id.partition(".")
    if not said_id:
        return 0, -1
    # More digits are no number of an entry, nor one that a database knows.
    if not all(one.isascii() and one.isdigit() and len(one) <= _DIGITS_MAX for one in (entry, place)):
        raise Problem(HTTPStatus.BAD_REQUEST, f"{said_id[:40]!r} is no token that was given here")
    return int(entry), int(place)
