"""What people do: sell and pick, take deliveries in, send loads out, forget to scan, book twice, misplace, steal.

Each deed moves goods on the floor and, where somebody scanned it, is booked in the stock system; where the two differ a
mishap goes into the ledger of truth. Deeds come from sales, from the floor's own needs (what runs low is ordered) and
from dice of one seed, so a story is the same each time. Nobody here has a clock: `advance` does the next deed, and says
when it was.

A picker takes no more than there is and than the system knows of. A day's deliveries come at seven, as far as less than
REORDER_DAYS of sales are left. Loads that are there from the beginning stay for their depositor, and leave by theft
alone; of those that come later some are sent on.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from random import Random
from typing import Final, NamedTuple

from pledgewatch_sim.warehouse import layout
from pledgewatch_sim.warehouse.layout import DEPOSITOR, HALL, LOOSE_BINS, SHOPKEEPER, SOFA
from pledgewatch_sim.warehouse.model import OUTSIDE, Load, Move, Scene
from pledgewatch_sim.warehouse.sales import DAY_MS, HOUR_MS, Sale, a_day
from pledgewatch_sim.warehouse.truth import Kind, Mishap
from pledgewatch_sim.warehouse.wms import Booking, StockSystem

REORDER_DAYS: Final = 3
ORDER_DAYS: Final = 7
LOADS_AT_FIRST: Final = 8
LOADS_MAX: Final = 14
_MINUTE_MS: Final = 60_000
_DELIVERED_MS: Final = 7 * HOUR_MS
_LOADS_COME_MS, _LOADS_GO_MS = 10 * HOUR_MS, 15 * HOUR_MS
_DOOR_MS: Final = 4 * _MINUTE_MS
_NIGHT_MS: Final = 2 * HOUR_MS
_RIGHTED_MS: Final = DAY_MS


class Story(NamedTuple):
    """What is told: `start_ms` (midnight of UTC, Unix milliseconds) and how many days from there, by which dice, and
    how many mishaps of each kind there are to be. One that finds no occasion does not happen."""

    seed: int
    start_ms: int
    days: int
    mishaps: Mapping[Kind, int] = {}

    @property
    def end_ms(self) -> int:
        """When the last day is over."""
        return self.start_ms + self.days * DAY_MS


class Deed(NamedTuple):
    """One thing that was done, with all that came of it. `came` and `left` are the seals that the dock's scanner and
    the gate's reader saw."""

    at_ms: int
    moves: tuple[Move, ...] = ()
    bookings: tuple[Booking, ...] = ()
    came: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    mishap: Mishap | None = None


class People:
    """The story as it goes on: the scene, the stock system and the ledger of truth as they are after the last deed."""

    def __init__(self, story: Story, sales: Sequence[Sale]) -> None:
        """Raises ValueError where sales are of more SKUs than there are bins."""
        self.story = story
        self.scene = Scene()
        self.stock_system = StockSystem()
        self.ledger: list[Mishap] = []
        self.a_day = a_day(sales, story.days)
        if len(self.a_day) > len(LOOSE_BINS):
            raise ValueError(f"{len(self.a_day)} SKUs are sold and there are {len(LOOSE_BINS)} bins for them")
        self.homes = dict(zip(self.a_day, LOOSE_BINS, strict=False))
        self.unit_weights_g = _weights_g(story.seed, self.a_day)
        self._dice = Random(f"{story.seed}/people")
        self._thieves = Random(f"{story.seed}/thieves")
        self._seals = count(1)
        self._first: set[str] = set()  # seals of the loads that stay
        self._order = count()
        self._due: list[tuple[int, int, Callable[[int], Iterator[Deed]]]] = []
        self._strikes = {kind: self._strike_times(kind) for kind in Kind}
        self._plan(sales)

    def next_ms(self) -> int | None:
        """When the next deed is due; None where the story is over."""
        return self._due[0][0] if self._due else None

    def advance(self) -> list[Deed]:
        """Do what is due next. Nothing comes of it where there was no occasion."""
        at_ms, _, act = heapq.heappop(self._due)
        return [self._done(deed) for deed in act(at_ms)]

    def until(self, at_ms: int) -> list[Deed]:
        """Do all that is due up to a moment."""
        done: list[Deed] = []
        while (next_ms := self.next_ms()) is not None and next_ms <= at_ms:
            done += self.advance()
        return done

    def steal_load(self, at_ms: int, *, is_read: bool) -> list[Deed]:
        """Somebody takes a load now that the dice choose; nothing where none is left."""
        return [self._done(deed) for deed in self._load_stolen(at_ms, is_read=is_read)]

    def _done(self, deed: Deed) -> Deed:
        """Book what a deed did on the floor and in the ledger."""
        scene = self.scene
        floor, stirred = scene.floor, dict(scene.stirred_until_ms)
        for move in deed.moves:
            floor = floor.moved(move)
            for zone in filter(None, (layout.zone_of(move.origin), layout.zone_of(move.destination))):
                stirred[zone.name] = deed.at_ms + _MINUTE_MS
        doors = {layout.DOCK_DOOR: deed.at_ms + _DOOR_MS} if _goes_by_the_dock(deed) else {}
        dead = scene.dead | ({deed.mishap.device} if deed.mishap and deed.mishap.device else set())
        self.scene = Scene(floor, {**scene.open_until_ms, **doors}, stirred, frozenset(dead))
        if deed.mishap:
            self.ledger.append(deed.mishap)
        return deed

    def _plan(self, sales: Sequence[Sale]) -> None:
        """Note when what is due."""
        story = self.story
        self._at(story.start_ms, self._open)
        for day in range(story.days):
            midnight_ms = story.start_ms + day * DAY_MS
            self._at(midnight_ms + _DELIVERED_MS, self._deliver)
            self._at(midnight_ms + _LOADS_COME_MS, self._take_load_in)
            self._at(midnight_ms + _LOADS_GO_MS, self._send_load_out)
        for sale in sales:
            self._at(story.start_ms + sale.after_ms, partial(self._sell, sale))
        for at_ms in self._strikes[Kind.THEFT]:
            self._at(at_ms, self._steal)
        for at_ms in self._strikes[Kind.DEAD_SENSOR]:
            self._at(at_ms, self._let_die)

    def _at(self, at_ms: int, act: Callable[[int], Iterator[Deed]]) -> None:
        if at_ms < self.story.end_ms:
            heapq.heappush(self._due, (at_ms, next(self._order), act))

    def _strike_times(self, kind: Kind) -> list[int]:
        """When the mishaps of a kind strike, or from when on the next occasion is theirs. Early enough that there is
        one, and thefts by night."""
        story, times = self.story, []
        for _ in range(story.mishaps.get(kind, 0)):
            if kind is Kind.THEFT:
                night_ms = self._dice.randrange(_NIGHT_MS, 2 * _NIGHT_MS)
                times.append(story.start_ms + self._dice.randrange(story.days) * DAY_MS + night_ms)
            else:
                times.append(story.start_ms + self._dice.randrange(max(1, story.days * DAY_MS * 2 // 3)))
        return sorted(times)

    def _strikes_now(self, kind: Kind, at_ms: int) -> bool:
        times = self._strikes[kind]
        if times and times[0] <= at_ms:
            del times[0]
            return True
        return False

    def _open(self, at_ms: int) -> Iterator[Deed]:
        """What is there on the first day."""
        for sku, pieces in self.a_day.items():
            yield self._taken_in(at_ms, sku, pieces * self._dice.randint(2, ORDER_DAYS))
        for number in range(LOADS_AT_FIRST):
            deed = self._load_taken_in(at_ms, HALL.bins[number % len(HALL.bins)])
            self._first.update(deed.came)
            yield deed

    def _sell(self, sale: Sale, at_ms: int) -> Iterator[Deed]:
        sku, place = sale.sku, self.homes[sale.sku]
        if sale.quantity < 0:
            booking = self._booked(Booking("returned", at_ms, at_ms, SHOPKEEPER, sku, place, -sale.quantity))
            yield Deed(at_ms, (Move(sku, -sale.quantity, OUTSIDE, place),), (booking,))
            return
        known = self.stock_system.on_hand().get((SHOPKEEPER, place, sku), 0)
        pieces = min(sale.quantity, known, self.scene.floor.pieces(place, sku))
        if pieces <= 0:
            return
        move = Move(sku, pieces, place, OUTSIDE)
        booking = Booking("sold", at_ms, at_ms, SHOPKEEPER, sku, place, pieces)
        if not self._strikes_now(Kind.MISSED_SCAN, at_ms):
            yield Deed(at_ms, (move,), (self._booked(booking),))
            return
        righted_ms = self._righted_ms(at_ms)
        if righted_ms:
            self._at(righted_ms, partial(self._book_late, booking))
        yield Deed(at_ms, (move,), mishap=Mishap(Kind.MISSED_SCAN, at_ms, sku, pieces, place, righted_ms=righted_ms))

    def _deliver(self, at_ms: int) -> Iterator[Deed]:
        """What runs low, by what the system knows, comes in."""
        for sku, rate in self.a_day.items():
            known = self.stock_system.on_hand().get((SHOPKEEPER, self.homes[sku], sku), 0)
            if known < REORDER_DAYS * rate:
                yield self._taken_in(at_ms, sku, ORDER_DAYS * rate - known)

    def _taken_in(self, at_ms: int, sku: str, pieces: int) -> Deed:
        """A delivery of loose pieces, at most one thing of which goes wrong."""
        home = self.homes[sku]
        booking = self._booked(Booking("received", at_ms, at_ms, SHOPKEEPER, sku, home, pieces))
        move = Move(sku, pieces, OUTSIDE, home)
        if at_ms == self.story.start_ms:
            return Deed(at_ms, (move,), (booking,))
        if self._strikes_now(Kind.WRONG_BIN, at_ms):
            others = [one for one in LOOSE_BINS if one != home and layout.zone_of(one) == layout.zone_of(home)]
            place = self._dice.choice(others)
            mishap = Mishap(Kind.WRONG_BIN, at_ms, sku, pieces, home, place)
            return Deed(at_ms, (move._replace(destination=place),), (booking,), mishap=mishap)
        if self._strikes_now(Kind.DOUBLE_IMPORT, at_ms):
            again, righted_ms = self._booked(booking), self._righted_ms(at_ms)
            if righted_ms:
                self._at(righted_ms, partial(self._take_back, again))
            mishap = Mishap(Kind.DOUBLE_IMPORT, at_ms, sku, pieces, home, righted_ms=righted_ms)
            return Deed(at_ms, (move,), (booking, again), mishap=mishap)
        return Deed(at_ms, (move,), (booking,))

    def _take_load_in(self, at_ms: int) -> Iterator[Deed]:
        standing = self.scene.floor.loads_in(HALL.bins)
        if self._dice.random() < 0.5 and len(standing) < LOADS_MAX:
            yield self._load_taken_in(at_ms, self._dice.choice(HALL.bins))

    def _load_taken_in(self, at_ms: int, place: str) -> Deed:
        seal = f"SL{self.story.seed % 1_000:03d}{next(self._seals):05d}"
        tags = tuple(f"{SOFA}.{seal}.{number}" for number in range(1, layout.CARTONS_IN_A_LOAD + 1))
        load = Load(seal, SOFA, tags)
        booking = self._booked(Booking("received", at_ms, at_ms, DEPOSITOR, SOFA, place, load.pieces, seal))
        return Deed(at_ms, (Move(SOFA, load.pieces, OUTSIDE, place, load),), (booking,), came=(seal,))

    def _send_load_out(self, at_ms: int) -> Iterator[Deed]:
        """One of the loads that came after the first ones may be sent on."""
        floor = self.scene.floor
        later = [load for load in floor.loads_in(HALL.bins) if load.seal not in self._first]
        if later and self._dice.random() < 0.4:
            load = self._dice.choice(later)
            place = floor.places[load.seal]
            booking = self._booked(Booking("shipped", at_ms, at_ms, DEPOSITOR, SOFA, place, load.pieces, load.seal))
            yield Deed(at_ms, (Move(SOFA, load.pieces, place, OUTSIDE, load),), (booking,), left=(load.seal,))

    def _steal(self, at_ms: int) -> Iterator[Deed]:
        """A load past the reader, a load around it, or loose pieces."""
        way = self._thieves.choice(("read", "read", "unread", "loose"))
        if way == "loose":
            yield from self._pieces_stolen(at_ms)
        else:
            yield from self._load_stolen(at_ms, is_read=way == "read")

    def _load_stolen(self, at_ms: int, *, is_read: bool) -> Iterator[Deed]:
        floor = self.scene.floor
        loads = floor.loads_in(HALL.bins)
        if not loads:
            return
        load = self._thieves.choice(loads)
        place = floor.places[load.seal]
        mishap = Mishap(Kind.THEFT, at_ms, SOFA, load.pieces, place, seal=load.seal, is_read=is_read)
        seen = (load.seal,) if is_read else ()
        yield Deed(at_ms, (Move(SOFA, load.pieces, place, OUTSIDE, load),), left=seen, mishap=mishap)

    def _pieces_stolen(self, at_ms: int) -> Iterator[Deed]:
        places = [key for key in sorted(self.scene.floor.stock()) if key[0] in LOOSE_BINS]
        if not places:
            return
        place, sku = self._thieves.choice(places)
        pieces = max(1, self.scene.floor.pieces(place, sku) // 2)
        mishap = Mishap(Kind.THEFT, at_ms, sku, pieces, place)
        yield Deed(at_ms, (Move(sku, pieces, place, OUTSIDE),), mishap=mishap)

    def _let_die(self, at_ms: int) -> Iterator[Deed]:
        living = [one for one in layout.MORTAL if one not in self.scene.dead]
        if living:
            yield Deed(at_ms, mishap=Mishap(Kind.DEAD_SENSOR, at_ms, device=self._dice.choice(living)))

    def _righted_ms(self, at_ms: int) -> int | None:
        """When the stock system will be told of a mishap: half of them a day later, if the story goes on till then."""
        righted_ms = at_ms + _RIGHTED_MS
        return righted_ms if self._dice.random() < 0.5 and righted_ms < self.story.end_ms else None

    def _book_late(self, booking: Booking, now_ms: int) -> Iterator[Deed]:
        yield Deed(now_ms, bookings=(self._booked(booking._replace(booked_ms=now_ms)),))

    def _take_back(self, booking: Booking, now_ms: int) -> Iterator[Deed]:
        yield Deed(now_ms, bookings=(self._booked(Booking("", now_ms, now_ms, cancels=booking.id)),))

    def _booked(self, booking: Booking) -> Booking:
        return self.stock_system.book(booking)


def _weights_g(seed: int, skus: Mapping[str, int]) -> dict[str, int]:
    """What a piece of each SKU weighs."""
    dice = Random(f"{seed}/weights")
    return {**{sku: dice.randint(100, 4_000) for sku in skus}, SOFA: layout.SOFA_WEIGHT_G}


def _goes_by_the_dock(deed: Deed) -> bool:
    """Whether the dock's door is opened for it; what customers buy they carry out by another."""
    is_theft = deed.mishap is not None and deed.mishap.kind is Kind.THEFT
    return is_theft or any(move.load or move.origin == OUTSIDE for move in deed.moves)
