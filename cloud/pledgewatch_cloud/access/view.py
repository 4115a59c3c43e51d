"""Views: what is served to somebody, and nothing else.

    who asks ─► Views.of ─► View: the state as they may see it, and what is read from disk, held to the same scope
                   └ the newest; or for a moment one of before, which only readings that led to nothing have followed

Every route reads through a view, as do the console, the stream of changes and exports; so what a party must not see is
held back here, below all of them (docs/ACCESS.md). A view is of one moment: all that it answers is of one state.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from pledgewatch_cloud.access.behind import Payload, payload_of
from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide.access import lines as lines_module
from pledgewatch_cloud.decide.access import reasons as reasons_module
from pledgewatch_cloud.decide.access.pledges import Pledge
from pledgewatch_cloud.decide.access.scope import Scope, Viewer
from pledgewatch_cloud.decide.access.told import told
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.access.visible import SeenFacts, Sight
from pledgewatch_cloud.decide.collateral.evidence import Evidence
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.events import EventType, SaidEvent
from pledgewatch_cloud.decide.milestones.explain import Explanation
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import Stretches, covers, shared
from pledgewatch_cloud.journal.form import WrittenEntry
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.series.series import Point, Series, Stretch
from pledgewatch_cloud.spine.base_at import BaseAt, BaseAtError, base_at, base_now, check_moments
from pledgewatch_cloud.spine.spine import Newest
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_wire.reading import Channel

SIGHTS_MAX = 256
"""Viewers whose sight is kept; of more, the one that was asked for longest ago is made again."""
SEEN_MAX = 200_000
"""Assets that all sights show together, each counted for each: some 5 KiB of memory."""
IDLE_S = 60.0
"""How long a sight is kept that nobody asks for."""
KEPT_S = 1.0
"""How long what is made of a state for many requests may stand for the states after it."""
BATTERY_KEPT_S = 60.0
"""How long a battery is not read again: it lasts for months, and a page of devices would ask for each."""
AT_ONCE = 500
"""Events that are looked at without a thread: some milliseconds."""
LOOKED_AT_MAX = 20_000
"""Events that are looked at for one page: where little is seen, a page is shorter than was asked for."""


_Made = TypeVar("_Made")


class Page(NamedTuple):
    """Events that may be seen, and the entry to go on from: that of the last of them, or where the journal has no more,
    the newest there is. How far was looked would tell of what is not seen."""

    events: list[SaidEvent]
    last_entry: int


class Refold(NamedTuple):
    """What folds the journal anew. Those of one name find the same, whoever asks; `make` calls what it is given before
    each entry, and what that raises ends it. `known_ms`: by what was known when."""

    name: tuple[object, ...]
    facility: str
    as_of_ms: int | None
    known_ms: int
    make: Callable[[Callable[[], None]], BaseAt]


class Views:
    """The views of a service."""

    def __init__(
        self, store: Store, writer: Writer, series: Series, clock: Clock, *, state_stands_s: float = 0.0
    ) -> None:
        """`clock` is that of the journal's entries. `state_stands_s`: how long views may be of one state while only
        readings come in that lead to no event: beside 5,000 of them a second each read would see another state, and
        nothing that was worked out for one would serve the next."""
        self._store, self._writer, self._series, self._clock = store, writer, series, clock
        self._state_stands_s = state_stands_s
        self._standing: _Standing | None = None
        self._seeing: dict[Viewer, _Seeing] = {}

    def of(self, viewer: Viewer, *, of_newest: bool = False) -> "View":
        """What somebody may see now. `of_newest`: of the newest state, for who is told beside it of what is in none:
        nothing else may be as new."""
        standing = self._found(of_newest=of_newest)
        state = standing.newest.state
        seeing, now_ms = self._seeing.pop(viewer, None), max(self._clock.now_ms(), state.recorded_at_ms)
        self._let_go_idle(standing)
        if seeing is None or not seeing.sight.fits(state, now_ms):
            standing.forget(seeing)
            retired_ms = state.identities.retired_ms
            scope = Scope(viewer, state.book, state.receipts, state.pledges, now_ms, retired_ms=retired_ms)
            seeing = _Seeing(Sight(scope), len(scope.assets(state.recorded_at_ms)))
            seen = seeing.assets + sum(one.assets for one in self._seeing.values())
            while self._seeing and (len(self._seeing) >= SIGHTS_MAX or seen > SEEN_MAX):
                seen -= self._let_go_oldest(standing)
        seeing.asked_s = time.monotonic()
        self._seeing[viewer] = seeing
        return View(self._store, self._series, standing, seeing)

    def _let_go_idle(self, standing: "_Standing") -> None:
        """Those that were asked for longest ago come first."""
        since_s = time.monotonic() - IDLE_S
        while self._seeing and next(iter(self._seeing.values())).asked_s < since_s:
            self._let_go_oldest(standing)

    def _let_go_oldest(self, standing: "_Standing") -> int:
        """How many assets it has shown."""
        gone = self._seeing.pop(next(iter(self._seeing)))
        standing.forget(gone)
        return gone.assets

    def _found(self, *, of_newest: bool) -> "_Standing":
        """The state that views are of now."""
        newest, now_s, found = self._writer.newest, time.monotonic(), self._standing
        if found is not None:
            is_calm = found.newest.changed_entry == newest.changed_entry and not of_newest
            if found.newest.state is newest.state or (is_calm and now_s - found.at_s < self._state_stands_s):
                return found
        self._standing = _Standing(newest, now_s, self._state_stands_s, {})
        return self._standing


class _Standing(NamedTuple):
    """The state that views are of, the newest at `at_s`, how long it may stand, and how each sight shows it."""

    newest: Newest
    at_s: float
    stands_s: float
    seen: dict[Sight, State]

    def forget(self, one: "_Seeing | None") -> None:
        """What a viewer sees who is not kept."""
        if one is not None:
            self.seen.pop(one.sight, None)


class _Kept(NamedTuple):
    """What was made of the state of an entry, with what it must still be true of."""

    entry: int
    said_entry: int
    assets: frozenset[str]
    at_s: float
    made: Any


class _Seeing:
    """A viewer's sight, and what was made for many requests of what it shows: for theirs alone, for what others have
    asked is nobody's to see."""

    def __init__(self, sight: Sight, assets: int) -> None:
        """`assets`: how many it shows."""
        self.sight, self.assets, self.asked_s = sight, assets, 0.0
        self.kept: dict[Callable[[State], Any], _Kept] = {}
        self.remembered: dict[Callable[[], Any], Any] = {}
        self.batteries: dict[str, tuple[float, Point | None]] = {}


class View:
    """What one viewer may see at one moment. `state` holds nothing else; reading from disk may raise StoreError, and of
    series SeriesError. `is_exact`: nothing that it has given was made of a state of before."""

    def __init__(self, store: Store, series: Series, standing: _Standing, seeing: _Seeing) -> None:
        self._store, self._series, self._standing = store, series, standing
        self._whole, self._said_entry = standing.newest.state, standing.newest.said_entry
        self._sight, self._kept, self._remembered = seeing.sight, seeing.kept, seeing.remembered
        self._batteries = seeing.batteries
        self.is_exact = True
        self._recorded: dict[int, int] = {}

    @property
    def made_of(self) -> tuple[State, Sight]:
        """What `state` follows from, by identity: everything that is known, and the viewer's sight of it."""
        return self._whole, self._sight

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
        every = self._standing.seen
        if self._sight not in every:
            every[self._sight] = self._sight.seen(self._whole)
        return every[self._sight]

    def remembered(self, make: Callable[[], _Made]) -> _Made:
        """What `make` has made, once for as long as the viewer's sight is the same: of the same book, receipts and
        pledges."""
        if make not in self._remembered:
            self._remembered[make] = make()
        made: _Made = self._remembered[make]
        return made

    def kept(self, make: Callable[[State], _Made]) -> _Made:
        """What `make` makes of the state; or of one of at most KEPT_S ago, of which the same assets were seen and since
        which no event was said: readings that change nothing but what is newest may be so late."""
        made = self.kept_already(make)
        if made is None:
            assets, entry, now_s = self.scope.assets(self._whole.recorded_at_ms), self._whole.entry, time.monotonic()
            # The state may have been followed for as long as it stands already.
            behind_s = min(now_s - self._standing.at_s, self._standing.stands_s)
            made = make(self.state)
            self._kept[make] = _Kept(entry, self._said_entry, assets, now_s - behind_s, made)
        return made

    def kept_already(self, make: Callable[[State], _Made]) -> _Made | None:
        """What `kept` would give without making it, at no cost; None where it is to be made."""
        assets, found = self.scope.assets(self._whole.recorded_at_ms), self._kept.get(make)
        if found is None or (found.said_entry, found.assets) != (self._said_entry, assets):
            return None
        if found.entry != self._whole.entry and time.monotonic() - found.at_s > KEPT_S:
            return None
        self.is_exact &= found.entry == self._whole.entry
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
        return lines_module.lines_now(self._sight, self._whole, facility, lot) if self.scope.sees_money else []

    @property
    def assets_seen(self) -> int:
        """How many assets they see."""
        return len(self.scope.assets(self._whole.recorded_at_ms))

    @property
    def has_desk(self) -> bool:
        """Whether the goods are valued already, so that the line of one lot costs next to nothing."""
        return self._whole.desk is not None

    def evidence(self, facility: str) -> list[Evidence]:
        """What stands for each lot of a facility that is pledged to who asks. The facility is seen."""
        assert facility in self.state.book.facilities, f"{facility} is not seen"
        return lines_module.evidence_now(self.scope, self._whole, self.state, facility)

    def trail(self, lot: str) -> dict[str, Any] | None:
        """What a lot's amounts rest on; None where it is not pledged to who asks, or they see no money."""
        is_told = self.scope.sees_money and self.scope.sees_lot(lot, self._whole.recorded_at_ms)
        return lines_module.trail_now(self.scope, self._whole, lot) if is_told else None

    def explained(self, milestone: str) -> Explanation:
        """Why a milestone stands as it does. It is seen."""
        return reasons_module.explained(self.scope, self._whole, self.state, milestone)

    @cached_property
    def sheet(self) -> Sheet:
        """The goods of the facilities that are seen, as they come to. For who sees money."""
        assert self.scope.sees_money, f"amounts are not for an {self.viewer.role}"
        return lines_module.sheet_seen(self.scope, self._whole, self.state)

    def when_facility(self, facility: str) -> Stretches:
        """When a facility was the viewer's own; it may be another's now."""
        return self.scope.when_facility(facility)

    def base_now(self, facility: str) -> dict[str, Any]:
        """The base as it stands. Raises BaseAtError where there is none to be seen."""
        now_ms = self._whole.recorded_at_ms
        self._check_base(facility, now_ms, now_ms)
        return self._base_told(base_now(self._whole, facility), self._sight.facts_of(now_ms))

    def refold(self, facility: str, as_of_ms: int | None, known_at_ms: int | None) -> "Refold":
        """What finds the base of a moment by what was known at another. Raises BaseAtError where there is none to be
        seen: a facility that was another's at either moment is none."""
        known_ms = max(self._whole.recorded_at_ms, as_of_ms or 0) if known_at_ms is None else known_at_ms
        self._check_moments(facility, as_of_ms, known_ms)
        check_moments(as_of_ms, known_at_ms)
        newest = self._whole if known_at_ms is None else None

        def make(still: Callable[[], None]) -> BaseAt:
            return base_at(self._store, facility, as_of_ms, known_at_ms, newest=newest, still=still)

        name = (facility, as_of_ms, known_at_ms, newest and newest.entry)
        return Refold(name, facility, as_of_ms, known_ms, make)

    def refolded(self, refold: Refold, found: BaseAt) -> dict[str, Any]:
        """What a refold has found, as far as it is seen now. Raises BaseAtError where nothing of it is any more."""
        self._check_moments(refold.facility, refold.as_of_ms, refold.known_ms)
        return self._base_told(found)

    def _check_moments(self, facility: str, as_of_ms: int | None, known_ms: int) -> None:
        self._check_base(facility, known_ms if as_of_ms is None else as_of_ms, known_ms)

    def _check_base(self, facility: str, as_of_ms: int, known_at_ms: int) -> None:
        if self.is_keeper:
            return
        own = self.scope.when_facility(facility)
        if not own or not self.scope.sees_money:
            raise BaseAtError(f"there is no facility {facility!r}")
        if as_of_ms <= known_at_ms and not covers(own, (as_of_ms, known_at_ms + 1)):
            raise BaseAtError(f"there is no facility {facility!r} at that moment")

    def _base_told(self, found: BaseAt, facts_of: SeenFacts | None = None) -> dict[str, Any]:
        lines = lines_module.lines_told(self.scope, found.asked, facts_of)
        return {**found.as_json(lots=False), "lines": lines}

    def page(self, after_entry: int, limit: int, subject: str = "", kinds: Collection[EventType] = ()) -> Page:
        """Events of the entries beyond one, whole entries only, up to the view's own: of what was committed since
        then it does not know who may see it. Of some kinds alone, where any are named."""
        return self._looked_for(after_entry, limit, subject, kinds, LOOKED_AT_MAX)

    def page_at_once(self, after_entry: int, limit: int) -> Page | None:
        """As `page`, where few events are looked at for it; None where it takes more."""
        if limit > AT_ONCE:
            return None
        page = self._looked_for(after_entry, limit, "", (), AT_ONCE - limit + 1)
        return page if len(page.events) >= limit or page.last_entry >= self._whole.entry else None

    def _looked_for(
        self, after_entry: int, limit: int, subject: str, kinds: Collection[EventType], looked_at_max: int
    ) -> Page:
        """The page for which no more is looked at once so many were; with the whole entry of the last."""
        found: list[SaidEvent] = []
        looked_at = 0
        at_entry = after_entry
        while len(found) < limit and looked_at < looked_at_max:
            said = self._store.events(at_entry, limit, subject)
            while said and _entry_of(said[-1]) > self._whole.entry:
                said.pop()
            if not said:
                return Page(found, max(after_entry, self._whole.entry))
            looked_at += len(said)
            at_entry = _entry_of(said[-1])
            found += self._told(one for one in said if not kinds or one.event.type in kinds)
        if len(found) < limit:
            return Page(found, at_entry)
        last_entry = _entry_of(found[limit - 1])
        return Page([one for one in found if _entry_of(one) <= last_entry], last_entry)

    def events(
        self, after_entry: int = 0, limit: int = 1_000, subject: str = "", kinds: Collection[EventType] = ()
    ) -> list[SaidEvent]:
        """As `page`, without how far it looked; nothing only where nothing more is seen."""
        while not (page := self.page(after_entry, limit, subject, kinds)).events and page.last_entry > after_entry:
            after_entry = page.last_entry
        return page.events

    def told_of(self, subject: str, kinds: Collection[EventType], limit: int) -> list[SaidEvent]:
        """The newest events of some kinds about a subject, in the order in which they were said."""
        found: deque[SaidEvent] = deque(maxlen=limit)
        after_entry, page = -1, self.page(0, LOOKED_AT_MAX, subject, kinds)
        while page.last_entry > after_entry:
            found += page.events
            after_entry = page.last_entry
            page = self.page(after_entry, LOOKED_AT_MAX, subject, kinds)
        return list(found)

    def events_of(self, entry: int) -> list[SaidEvent]:
        """The events of one entry."""
        return self._told(self._store.events_of(entry))

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
        return self._told(self._store.standing(asset, self._whole.entry + 1))

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

    def when_asset(self, asset: str, from_ms: int, to_ms: int) -> Stretches:
        """When an asset is seen, of some time."""
        return shared(self.scope.when_asset(asset), ((from_ms, to_ms),)) if from_ms < to_ms else ()

    def points(self, asset: str, channel: int, from_ms: int, to_ms: int, limit: int) -> list[Point]:
        """The newest points of one channel of an asset, in order of time."""
        found: list[Point] = []
        for since_ms, until_ms in reversed(self.when_asset(asset, from_ms, to_ms)):
            found = self._series.points(asset, channel, since_ms, until_ms, limit - len(found)) + found
            if len(found) >= limit:
                break
        return found

    def stretches(self, asset: str, channel: int, from_ms: int, to_ms: int, step_ms: int) -> list[Stretch]:
        """One channel's good values in steps that are seen whole."""
        if self.is_keeper:
            return self._series.stretches(asset, channel, from_ms, to_ms, step_ms)
        found: list[Stretch] = []
        for since_ms, until_ms in self.when_asset(asset, from_ms, to_ms):
            # A step that is seen in part would tell of what is not seen.
            first_ms = -(-since_ms // step_ms) * step_ms if since_ms > from_ms else since_ms
            last_ms = until_ms // step_ms * step_ms if until_ms < to_ms else until_ms
            if first_ms < last_ms:
                found += self._series.stretches(asset, channel, first_ms, last_ms, step_ms)
        return found

    def last(self, asset: str) -> dict[int, Point]:
        """The newest point of each channel of an asset that is seen now."""
        now_ms = self._whole.recorded_at_ms
        if not self.scope.sees_asset(asset, now_ms):
            return {}
        found, since_ms = self._series.last(asset, now_ms), self.scope.asset_since_ms(asset, now_ms)
        return {channel: one for channel, one in found.items() if one.measured_at_ms >= since_ms}

    def battery_mv(self, asset: str) -> int | None:
        """The newest that an asset's devices have said of their battery, as it was read at most BATTERY_KEPT_S ago."""
        now_ms, now_s = self._whole.recorded_at_ms, time.monotonic()
        if not self.scope.sees_asset(asset, now_ms):
            return None
        found = self._batteries.get(asset)
        if found is None or now_s - found[0] > BATTERY_KEPT_S:
            point = self._series.last(asset, now_ms).get(Channel.BATTERY_MV)
            found = self._batteries[asset] = now_s, point
        point, since_ms = found[1], self.scope.asset_since_ms(asset, now_ms)
        return None if point is None or point.measured_at_ms < since_ms else point.value

    def _told(self, every: Iterable[SaidEvent]) -> list[SaidEvent]:
        return [one for said in every if (one := told(self.scope, said)) is not None]


def _entry_of(said: SaidEvent) -> int:
    return int(said.id.partition(".")[0])
