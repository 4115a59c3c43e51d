"""Views: what is served to somebody, and nothing else.

    who asks ─► Views.of ─► View: the state as they may see it, and what is read from disk, held to the same scope

Every route reads through a view, as do the console, the stream of changes and exports; so what a party must not see is
held back here, below all of them (docs/ACCESS.md). A view is of one moment: all that it answers is of one state.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from pledgewatch_cloud.access.behind import Payload, payload_of
from pledgewatch_cloud.decide.access.pledges import Pledge
from pledgewatch_cloud.decide.access.scope import Scope, Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.access.visible import Sight, sees_event
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral.as_of import sheet_now
from pledgewatch_cloud.decide.collateral.evidence import Evidence, evidence_of
from pledgewatch_cloud.decide.collateral.grounds import Looked, cases, grounds_of
from pledgewatch_cloud.decide.collateral.trail import trail_of
from pledgewatch_cloud.decide.events import EventType, SaidEvent
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import shared
from pledgewatch_cloud.journal.form import WrittenEntry
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.series.series import Point, Series, Stretch
from pledgewatch_cloud.spine.base_at import BaseAt, BaseAtError, base_at
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_wire.reading import Channel

SIGHTS_MAX = 256
"""Viewers whose sight is kept; of more, the one that was asked for longest ago is made again."""
KEPT_S = 1.0
"""How long what is made of a state for many requests may stand for the states after it."""
BATTERY_KEPT_S = 60.0
"""How long a battery is not read again: it lasts for months, and a page of devices would ask for each."""
LOOKED_AT_MAX = 20_000
"""Events that are looked at for one page: where little is seen, a page is shorter than was asked for."""


_Made = TypeVar("_Made")
_Batteries = dict[str, tuple[float, Point | None]]


class Page(NamedTuple):
    """Events that may be seen, and the entry up to which was looked."""

    events: list[SaidEvent]
    last_entry: int


class Views:
    """The views of a service."""

    def __init__(self, store: Store, writer: Writer, series: Series) -> None:
        self._store, self._writer, self._series = store, writer, series
        self._seeing: dict[Viewer, _Seeing] = {}
        self._batteries: _Batteries = {}

    def of(self, viewer: Viewer) -> "View":
        """What somebody may see now."""
        said_entry, state = self._writer.said_entry, self._writer.state
        seeing = self._seeing.pop(viewer, None)
        if seeing is None or not seeing.sight.fits(state):
            seeing = _Seeing(Sight(Scope(viewer, state.book, state.receipts, state.pledges)))
        while len(self._seeing) >= SIGHTS_MAX:
            del self._seeing[next(iter(self._seeing))]
        self._seeing[viewer] = seeing
        return View(self._store, self._series, state, said_entry, seeing, self._batteries)


class _Kept(NamedTuple):
    """What was made of a state, with what it must still be true of."""

    said_entry: int
    assets: frozenset[str]
    at_s: float
    made: Any


class _Seeing:
    """A viewer's sight, and what was made for many requests of what it shows."""

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        self.kept: dict[Callable[[State], Any], _Kept] = {}


class View:
    """What one viewer may see at one moment. `state` holds nothing else; reading from disk may raise StoreError, and of
    series SeriesError."""

    def __init__(
        self, store: Store, series: Series, whole: State, said_entry: int, seeing: _Seeing, batteries: _Batteries
    ) -> None:
        self._store, self._series, self._whole, self._said_entry = store, series, whole, said_entry
        self._sight, self._kept = seeing.sight, seeing.kept
        self._batteries = batteries
        self._recorded: dict[int, int] = {}

    @property
    def viewer(self) -> Viewer:
        """Who asks."""
        return self._sight.scope.viewer

    @property
    def scope(self) -> Scope:
        """What they may see."""
        return self._sight.scope

    @cached_property
    def state(self) -> State:
        """The state as they may see it."""
        return self._sight.seen(self._whole)

    def kept(self, make: Callable[[State], _Made]) -> _Made:
        """What `make` makes of the state; or of one of at most KEPT_S ago, of which the same assets were seen and since
        which no event was said: readings that change nothing but what is newest may be so late."""
        assets, now_s = self.scope.assets(self._whole.recorded_at_ms), time.monotonic()
        found = self._kept.get(make)
        if (
            found is None
            or (found.said_entry, found.assets) != (self._said_entry, assets)
            or now_s - found.at_s > KEPT_S
        ):
            found = self._kept[make] = _Kept(self._said_entry, assets, now_s, make(self.state))
        made: _Made = found.made
        return made

    @property
    def pledges_by_lot(self) -> dict[str, list[Pledge]]:
        """By lot, the pledges that who asks has part in, the oldest first."""
        return self._sight.pledges_by_lot

    @property
    def is_keeper(self) -> bool:
        """Whether they see everything."""
        return self.viewer.role is Role.KEEPER

    @property
    def journal(self) -> str:
        """The name of the journal."""
        return self._whole.journal

    def lines(self, facility: str, lot: str = "") -> list[dict[str, Any]]:
        """Each lot's way through a facility's waterfall, with what its ineligibles rest on; or that of one lot alone.
        The facility is seen."""
        assert facility in self.state.book.facilities, f"{facility} is not seen"
        if not self.scope.sees_money:
            return []
        looked = self._looked(facility, lot)
        grounds = grounds_of(looked)
        return [{**one._asdict(), "grounds": list(grounds.get(one.id, ()))} for one in looked.lines]

    def evidence(self, facility: str) -> list[Evidence]:
        """What stands for each lot of a facility that is pledged to who asks. The facility is seen."""
        assert facility in self.state.book.facilities, f"{facility} is not seen"
        whole, now_ms, shown = self._whole, self._whole.recorded_at_ms, self.scope.pledged_lots
        found = evidence_of(sheet_now(whole, now_ms), whole.book, whole.assets, facility, now_ms)
        return [one for one in found if one.lot in shown]

    def trail(self, lot: str) -> dict[str, Any] | None:
        """What a lot's amounts rest on; None where it is not pledged to who asks, or they see no money."""
        if lot not in self.scope.pledged_lots or not self.scope.sees_money:
            return None
        return trail_of(next(iter(cases(self._looked(self._whole.book.lots[lot].facility, lot)))))

    def _looked(self, facility: str, lot: str) -> Looked:
        whole, now_ms = self._whole, self._whole.recorded_at_ms
        lines = [one for one in bases.lines_of(sheet_now(whole, now_ms), facility) if lot in ("", one.id)]
        return Looked(
            facility, lines, now_ms, whole.book, whole.market, whole.facts, whole.assets, whole.held, whole.facts
        )

    def base_at(self, facility: str, as_of_ms: int | None, known_at_ms: int | None) -> BaseAt:
        """The base of a moment by what was known at another. Raises BaseAtError where there is none to be seen: a
        facility that was another lender's then is none."""
        if self.is_keeper:
            return base_at(self._store, facility, as_of_ms, known_at_ms)
        if facility not in self.state.book.facilities or not self.scope.sees_money:
            raise BaseAtError(f"there is no facility {facility!r}")
        found = base_at(self._store, facility, as_of_ms, known_at_ms)
        one, party = found.asked.book.facilities[facility], self.viewer.party
        is_own = {Role.LENDER: one.lender == party, Role.BORROWER: one.borrower == party}
        if not is_own.get(self.viewer.role, True):
            raise BaseAtError(f"there is no facility {facility!r} at that moment")
        return found

    def page(self, after_entry: int, limit: int, subject: str = "") -> Page:
        """Events of the entries beyond one, whole entries only, up to the view's own: of what was committed since
        then it does not know who may see it."""
        found: list[SaidEvent] = []
        looked_at = 0
        while len(found) < limit and looked_at < LOOKED_AT_MAX:
            said = self._store.events(after_entry, limit, subject)
            while said and _entry_of(said[-1]) > self._whole.entry:
                said.pop()
            if not said:
                break
            looked_at += len(said)
            after_entry = _entry_of(said[-1])
            found += [one for one in said if self._sees(one)]
        return Page(found, after_entry)

    def events(self, after_entry: int = 0, limit: int = 1_000, subject: str = "") -> list[SaidEvent]:
        """As `page`, without how far it looked; nothing only where nothing more is seen."""
        while not (page := self.page(after_entry, limit, subject)).events and page.last_entry > after_entry:
            after_entry = page.last_entry
        return page.events

    def told_of(self, subject: str, kinds: Collection[EventType], limit: int) -> list[SaidEvent]:
        """The newest events of some kinds about a subject, in the order in which they were said."""
        found: deque[SaidEvent] = deque(maxlen=limit)
        after_entry, page = -1, self.page(0, LOOKED_AT_MAX, subject)
        while page.last_entry > after_entry:
            found += [one for one in page.events if one.event.type in kinds]
            after_entry = page.last_entry
            page = self.page(after_entry, LOOKED_AT_MAX, subject)
        return list(found)

    def events_of(self, entry: int) -> list[SaidEvent]:
        """The events of one entry."""
        return [one for one in self._store.events_of(entry) if self._sees(one)]

    def event(self, name: str) -> SaidEvent | None:
        """The event of an id."""
        entry = name.partition(".")[0]
        is_there = entry.isascii() and entry.isdecimal() and len(entry) < len(str(2**63))
        some = self.events_of(int(entry)) if is_there and int(entry) <= self._whole.entry else []
        return next((one for one in some if one.id == name), None)

    def payload(self, said: SaidEvent) -> Payload | None:
        """What brought the reading that an event names."""
        return payload_of(self._store, self.scope, said)

    def standing(self, asset: str) -> list[SaidEvent]:
        """What stands of what was found of an asset."""
        return [one for one in self._store.standing(asset, self._whole.entry + 1) if self._sees(one)]

    def entries(self, after: int = 0) -> Iterator[WrittenEntry]:
        """The journal's entries beyond one, for what an event that is seen was said in."""
        return self._store.entries(after)

    def recorded_at_ms(self, entry: int) -> int:
        """When an entry was recorded."""
        if entry not in self._recorded:
            self._recorded[entry] = next(iter(self._store.entries(entry - 1))).recorded_at_ms
        return self._recorded[entry]

    def knows_asset(self, asset: str) -> bool:
        """Whether anything of an asset is seen, of whichever time; of a keeper it is never asked."""
        return self.is_keeper or bool(self.scope.when_asset(asset))

    @property
    def series_entry(self) -> int:
        """How far series have come."""
        return self._series.cursor

    def points(self, asset: str, channel: int, from_ms: int, to_ms: int, limit: int) -> list[Point]:
        """The newest points of one channel of an asset, in order of time."""
        found: list[Point] = []
        for since_ms, until_ms in reversed(self._seen_of(asset, from_ms, to_ms)):
            found = self._series.points(asset, channel, since_ms, until_ms, limit - len(found)) + found
            if len(found) >= limit:
                break
        return found

    def stretches(self, asset: str, channel: int, from_ms: int, to_ms: int, step_ms: int) -> list[Stretch]:
        """One channel's good values in steps that are seen whole."""
        if self.is_keeper:
            return self._series.stretches(asset, channel, from_ms, to_ms, step_ms)
        found: list[Stretch] = []
        for since_ms, until_ms in self._seen_of(asset, from_ms, to_ms):
            # A step that is seen in part would tell of what is not seen.
            first_ms = -(-since_ms // step_ms) * step_ms if since_ms > from_ms else since_ms
            last_ms = until_ms // step_ms * step_ms if until_ms < to_ms else until_ms
            if first_ms < last_ms:
                found += self._series.stretches(asset, channel, first_ms, last_ms, step_ms)
        return found

    def last(self, asset: str) -> dict[int, Point]:
        """The newest point of each channel of an asset that is seen now."""
        since_ms = self._seen_since_ms(asset)
        if since_ms is None:
            return {}
        found = self._series.last(asset, self._whole.recorded_at_ms)
        return {channel: one for channel, one in found.items() if one.measured_at_ms >= since_ms}

    def _seen_since_ms(self, asset: str) -> int | None:
        """Since when an asset is seen without a break; None where it is not seen now."""
        now_ms = self._whole.recorded_at_ms
        when = self.scope.when_asset(asset)
        return max((since_ms for since_ms, until_ms in when if since_ms <= now_ms < until_ms), default=None)

    def battery_mv(self, asset: str) -> int | None:
        """The newest that an asset's devices have said of their battery, as it was read at most BATTERY_KEPT_S ago."""
        since_ms, now_s = self._seen_since_ms(asset), time.monotonic()
        if since_ms is None:
            return None
        found = self._batteries.get(asset)
        if found is None or now_s - found[0] > BATTERY_KEPT_S:
            point = self._series.last(asset, self._whole.recorded_at_ms).get(Channel.BATTERY_MV)
            found = self._batteries[asset] = now_s, point
        point = found[1]
        return None if point is None or point.measured_at_ms < since_ms else point.value

    def _seen_of(self, asset: str, from_ms: int, to_ms: int) -> tuple[tuple[int, int], ...]:
        return shared(self.scope.when_asset(asset), ((from_ms, to_ms),)) if from_ms < to_ms else ()

    def _sees(self, said: SaidEvent) -> bool:
        return sees_event(self.scope, said)


def _entry_of(said: SaidEvent) -> int:
    return int(said.id.partition(".")[0])
