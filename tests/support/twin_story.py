"""What happens in a `twin_world`, with who may know of each part of it, by a plain record of what was whose when.

    Plot(dice) ─► acts, each with whom it is hidden from, what is done, and what is done instead in the world of those

A story played for somebody (`play`) has all that they may know, and something else, or nothing, in the place of all
that they may not. So whoever it is must be answered the same in that world as in the one where everything is done.

Two things are known to everybody, and are the same in both worlds: when entries are made and how many there are, and of
each device and each receipt how many readings and acts there were. What is hidden of goods that come to somebody else
ends as it began (`settle`), for what still goes on is seen as what stands.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import warehouses
from api_cloud import shown
from builders import fence
from receipting import BANK, BUYER, DEPOSITOR, FIRST, OTHER_BANK, OTHER_WAREHOUSE, STRANGER, WAREHOUSE
from seeing import NIGHT, OPERATOR, OTHER_LINE, OTHER_OPERATOR, SECOND, USERS
from twin_world import (
    FAR,
    HALL_TWO,
    LINE,
    MIX,
    MIX_ONE,
    MIX_TWO,
    NIGHT_BOX,
    TURN,
    WIDE,
    TwinWorld,
    facility_of,
    milestone_of,
    mix_two,
    policy_of,
    price_of,
    shipment_of,
)
from warehouses import BOX, HALL

from pledgewatch_cloud.decide.alerts import AlertState
from pledgewatch_cloud.decide.moments import iso

EVERYBODY = frozenset(USERS) - {"keeper-kim"}
ONE, TWO = (
    frozenset({"lender-one", "borrower-one", "insurer-one"}),
    frozenset({"lender-two", "borrower-two", "auditor-two"}),
)
MONEY_ONE = ONE - {"insurer-one"}
WITH_MONEY = frozenset(one for one in EVERYBODY if one.startswith(("lender", "borrower", "auditor")))
IBANS = ("DE89370400440532013000", "GB82WEST12345698765432")
WORDS = ("comment", "silence", "acknowledge")

Do = Callable[[TwinWorld], object]


class Act(NamedTuple):
    """One entry of the story."""

    about: str
    hidden_from: frozenset[str]
    does: Do
    instead: Do


def play(world: TwinWorld, acts: list[Act], user: str = "") -> Iterator[int]:
    """Play a story, for a user or (empty) whole; says after each act how many were played."""
    for number, act in enumerate(acts, 1):
        world.tick()
        entry, at_ms = world.entry, world.keeping.clock.at_ms
        (act.instead if user in act.hidden_from else act.does)(world)
        if world.entry == entry:
            world.fill()
        assert (world.entry, world.keeping.clock.at_ms) == (entry + 1, at_ms), f"{act.about} is not one entry"
        yield number


class Plot:
    """A story that is drawn."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.acts: list[Act] = []
        self.line = ""
        """The facility that has the lot at sea."""
        self.held = {FIRST: "", SECOND: ""}
        self.is_turned = False
        self._number = 0
        self._suffered = set[str]()

    def who_sees(self, asset: str) -> set[str]:
        """The users who may see an asset now, keepers left out."""
        pledgees = set(self.held.values())
        hall = {"operator-one", "warehouse-one", "borrower-one"}
        hall |= {"lender-one", "insurer-one"} if BANK in pledgees else set()
        hall |= {"lender-two"} if OTHER_BANK in pledgees else set()
        seen_by: dict[str, set[str]] = {
            BOX: {"operator-one"} | ({LINE: ONE, OTHER_LINE: TWO}.get(self.line, frozenset())),
            HALL: hall,
            MIX: {"operator-one", *ONE, *TWO},
            TURN: {
                "operator-one",
                *(("lender-two", "borrower-two") if self.is_turned else ("lender-one", "borrower-one")),
            },
            HALL_TWO: {"operator-one", "warehouse-two", *TWO},
            NIGHT_BOX: {"operator-two"},
        }
        return seen_by[asset]

    def do(self, about: str, seen_by: frozenset[str] | set[str], does: Do, instead: Do = TwinWorld.fill) -> None:
        """Somebody does something, of which others may not know."""
        self.acts.append(Act(about, EVERYBODY - seen_by, does, instead))

    def amend(
        self, section: str, seen_by: frozenset[str] | set[str], does: dict[str, Any], instead: dict[str, Any]
    ) -> None:
        """The book is amended by an item, or by another in its stead."""
        self.do(section, seen_by, *(partial(_amend, {section: [item]}) for item in (does, instead)))

    def whole(self, steps: int) -> list[Act]:
        """A story with so many steps that are drawn."""
        self.begin()
        self.turn_price(5_000, 9_000)
        self.readings(TURN)
        self.sea_at_first()
        self.sea(OTHER_LINE)
        turn = self.dice.randrange(steps // 2, steps)
        for number in range(steps):
            if number == turn:
                self.hand_over()
            self.dice.choice(
                (self.sea, self.receipts, self.readings, self.mix, self.money, self.papers, self.stock, self.time)
            )()
        self.end()
        return self.acts

    def begin(self) -> None:
        """What the book has of each that is not for all."""
        for party, user in {
            BANK: "lender-one",
            OTHER_BANK: "lender-two",
            DEPOSITOR: "borrower-one",
            BUYER: "borrower-two",
        }.items():
            known = warehouses.party(party)
            self.amend("parties", {user}, *({**known, "iban": iban} for iban in IBANS))
        for which, line, seen_by in (("one", LINE, MONEY_ONE), ("two", OTHER_LINE, TWO)):
            self.amend("facilities", seen_by, facility_of(line, 1_000_000), facility_of(line, 2_000_000))
            self.amend("policies", seen_by, policy_of(f"policy-{which}", 5_000), policy_of(f"policy-{which}", 6_000))
            self.amend("milestones", seen_by, *(_milestone(which, amount) for amount in (1_500, 1_700)))
            sku = f"MIX-{which.upper()}"
            self.amend(
                "appraisals",
                seen_by,
                *({"sku": sku, "nolv_bp": one, "until": "2027-01-01T00:00:00Z"} for one in (8_000, 7_000)),
            )
        self.amend("prices", MONEY_ONE, price_of("MIX-ONE", 5_000), price_of("MIX-ONE", 6_000))
        self.amend("prices", TWO, price_of("DESK-1", 5_000), price_of("DESK-1", 6_000))
        self.amend(
            "products", TWO, {"sku": "MIX-TWO", "series": "two-goods"}, {"sku": "MIX-TWO", "series": "dear-goods"}
        )
        self.do("quotes", WITH_MONEY, *(partial(_quote, price) for price in ("70.10", "80.20")))
        self.amend("lots", TWO, mix_two(), mix_two(50_000, quantity=11))
        self.amend("lots", ONE, _mix_one(2_000, 7), _mix_one(-9_000, 8))
        self.amend("shipments", ONE, shipment_of("one", LINE, MIX_ONE), shipment_of("one", LINE, MIX_ONE, "BILL-X"))
        self.amend(
            "shipments", TWO, shipment_of("two", OTHER_LINE, MIX_TWO), shipment_of("two", OTHER_LINE, MIX_TWO, "BILL-Y")
        )
        self.amend("voyages", self.who_sees(NIGHT_BOX), _voyage(NIGHT_BOX, "sea"), _voyage(NIGHT_BOX, "air"))
        self.amend("installations", {"operator-two"}, _night(3_600), _night(0))
        self.amend("senders", set(), {"id": "broker", "grade": "fair"}, {"id": "broker", "grade": "poor"})
        self.amend("stock_sources", {"warehouse-two"}, _source(0), _source(60))
        # How a device's spool stands is told as it stands, to whoever sees the device.
        for asset in (NIGHT_BOX, HALL_TWO, MIX):
            does, instead = (partial(TwinWorld.hear_of, asset=asset, spooled=one) for one in (3, 5))
            self.do(f"{asset} says of itself", self.who_sees(asset), does, instead)
        self.do("fence", TWO | {"warehouse-two"}, *(partial(_fence, name) for name in ("yard two", "yard 2")))

    def sea(self, to: str | None = None, *, is_heard: bool = True) -> None:
        """The lot at sea comes into a facility, or leaves. Who had it before knows that it goes, and not what it is
        with the other; others know of neither."""
        self.settle(BOX)
        others = [one for one in (LINE, OTHER_LINE, "") if one != self.line]
        self.line = line = self.dice.choice(others) if to is None else to
        seen_by = {LINE: ONE, OTHER_LINE: TWO, "": EVERYBODY}[line]
        does = partial(TwinWorld.lend, line=line)
        self.do(f"sea lot to {line}", seen_by, does, partial(does, quantity=9, cost_minor=77))
        if is_heard:
            self.readings(BOX)

    def sea_at_first(self) -> None:
        """The lot at sea is with the first bank for a while, of which others know nothing at all."""
        for line, seen_by in ((LINE, ONE), ("", EVERYBODY)):
            self.settle(BOX)
            self.line = line
            self.do(f"sea lot to {line}", seen_by, partial(TwinWorld.lend, line=line))
            self.readings(BOX)

    def receipts(self) -> None:
        """A receipt is pledged, or released."""
        receipt = self.dice.choice((FIRST, SECOND))
        self.settle(HALL)
        if self.held[receipt]:
            self.release(receipt)
        else:
            self.pledge(receipt, self.dice.choice((BANK, OTHER_BANK)))
        self.readings(HALL)

    def pledge(self, receipt: str, bank: str) -> None:
        """A receipt is pledged to a bank; those who may not know of it find it pledged to another, of nobody here."""
        self.held[receipt] = bank
        does, instead = (partial(TwinWorld.pledge_to, receipt=receipt, bank=one) for one in (bank, STRANGER))
        self.do(f"{receipt} to {bank}", self._parts(bank), does, instead)

    def release(self, receipt: str) -> None:
        """A receipt is released."""
        self.held[receipt] = ""
        self.do(f"{receipt} free", EVERYBODY, partial(TwinWorld.release_it, receipt=receipt))

    def hand_over(self) -> None:
        """The facility goes to the other bank."""
        self.settle(TURN)
        self.is_turned = True
        self.do("hand over", EVERYBODY, TwinWorld.hand_over)
        self.readings(TURN)

    def settle(self, asset: str) -> None:
        """What goes on in an asset ends, at a moment and in a humidity that are for those alone who see it now."""
        self._suffered.add(asset)
        does, instead = (
            partial(TwinWorld.measure, asset=asset, value_mc=5_000, wet=wet, ago_ms=ago, east=east)
            for wet, ago, east in ((4_110, 30_000, 0), (4_220, 20_000, 900))
        )
        self.do(f"{asset} settles", self.who_sees(asset), does, instead)

    def readings(self, asset: str = "") -> None:
        """An asset's device measures, within what its goods bear or beyond it."""
        asset = asset or self.dice.choice((BOX, HALL, TURN, NIGHT_BOX, HALL_TWO))
        seen_by, value = self.who_sees(asset), 10_000 + self._next()
        if asset not in (HALL, HALL_TWO) and self.dice.random() < 0.5:
            # How far beyond its limits a lot ever was stands of it for good, so it suffers with one holder alone.
            hot = 35_000 if asset not in self._suffered else 20_000
            does, instead = (
                partial(TwinWorld.measure, asset=asset, value_mc=hot, place="forbidden"),
                partial(TwinWorld.measure, asset=asset, value_mc=20_000, place="sea"),
            )
        elif self.dice.random() < 0.3:
            does, instead = (
                partial(TwinWorld.measure_for_later, asset=asset, value_mc=one) for one in (value, value + 5_000)
            )
            self.do(f"{asset} measures for later", seen_by, does, instead)
            self.readings(asset)
            self.do(f"{asset} is heard late", EVERYBODY, partial(TwinWorld.hear_late, asset=asset))
            return
        else:
            does, instead = (partial(TwinWorld.measure, asset=asset, value_mc=one) for one in (value, value + 5_000))
        self.do(f"{asset} measures", seen_by, does, instead)

    def mix(self) -> None:
        """In the container of both, goods of one are too warm or too cold, and are told of."""
        is_two = self.dice.random() < 0.5
        value, lot, user = (12_000, MIX_TWO, "lender-two") if is_two else (1_000, MIX_ONE, "lender-one")
        seen_by = self.who_sees(MIX)
        if self.dice.random() < 0.3:
            self.do("mix is well", seen_by, partial(TwinWorld.measure, asset=MIX, value_mc=5_000))
        self.do(f"{lot} suffers", seen_by, partial(TwinWorld.measure, asset=MIX, value_mc=value))
        for word in self.dice.sample(WORDS, 2):
            does = partial(_say, user, lot, word, f"{word} {self._next()}")
            if word == "acknowledge":  # who else sees the alert sees that, and not who did
                borrower = user.replace("lender", "borrower")
                self.do(f"{user}: {word}", {user, borrower}, does, partial(_say, borrower, lot, word, ""))
            else:
                self.do(f"{user}: {word}", {user}, does)

    def money(self) -> None:
        """Money moves, or a price is agreed."""
        which = self.dice.choice(("one", "two", "turn"))
        if which == "turn":
            self.turn_price(5_000 + self._next(), 9_000)
            return
        line, seen_by = (LINE, MONEY_ONE) if which == "one" else (OTHER_LINE, TWO)
        name = f"move-{self._next()}"
        self.do(
            f"money of {line}",
            seen_by,
            *(partial(TwinWorld.move, facility=line, name=name, amount_minor=one) for one in (10_000, 20_000)),
        )

    def turn_price(self, *prices: int) -> None:
        """What the goods of the facility that is handed over are worth, for whose they are now."""
        seen_by = {"lender-two", "borrower-two"} if self.is_turned else {"lender-one", "borrower-one"}
        self.amend("prices", seen_by, *(price_of("TURN-SKU", one) for one in prices))

    def papers(self) -> None:
        """The carrier says something of a shipment."""
        which, seen_by = self.dice.choice((("one", ONE), ("two", TWO)))
        name, kind = f"notice-{self._next()}", self.dice.choice(("vessel_loaded", "departed"))
        does, instead = (
            partial(TwinWorld.notice, shipment=f"shipment-{which}", name=name, kind=kind, place=one)
            for one in ("USLAX", "CNSHA")
        )
        self.do(f"notice of {which}", seen_by, does, self.dice.choice((instead, TwinWorld.fill)))

    def stock(self) -> None:
        """Goods on no receipt come into a warehouse."""
        source, sku, place, seen_by = self.dice.choice(
            (
                ("wms", "CHAIR-1", "Z-09", {"warehouse-one", "borrower-one"}),
                ("wms-2", "LAMP-1", "B-02", {"warehouse-two", "borrower-two"}),
            )
        )
        does, instead = (partial(TwinWorld.stock, source=source, sku=sku, place=place, units=one) for one in (3, 4))
        self.do(f"{sku} comes", seen_by, does, self.dice.choice((instead, TwinWorld.fill)))

    def time(self) -> None:
        """Hours pass."""
        hours = self.dice.choice((1, 7, 30))
        self.do("time", EVERYBODY, TwinWorld.fill)
        self.acts.append(Act("hours", frozenset(), partial(_pass, hours), TwinWorld.fill))

    def end(self) -> None:
        """Goods in the hall suffer while one bank has no part in them, and then it has, of others beside them; cases
        come up in both warehouses."""
        if self.line != OTHER_LINE:
            self.sea(OTHER_LINE)
        self.settle(HALL)
        for receipt in (FIRST, SECOND):
            if self.held[receipt]:
                self.release(receipt)
        does, instead = (partial(TwinWorld.measure, asset=HALL, value_mc=one) for one in (35_000, 25_000))
        for _ in range(3):
            self.do("hall suffers", self.who_sees(HALL), does, instead)
        self.settle(HALL)
        self.pledge(SECOND, BANK)
        self.readings(HALL)
        if self.dice.random() < 0.7:
            self.pledge(FIRST, OTHER_BANK)
        for which, seen_by in (("one", ONE), ("two", TWO)):
            loaded = partial(
                TwinWorld.notice, shipment=f"shipment-{which}", name=f"loaded-{which}", kind="vessel_loaded"
            )
            self.do(f"{which} is loaded", seen_by, *(partial(loaded, place=one) for one in ("USLAX", "CNSHA")))
        short = {
            "wms": ("SOFA-3", "A-02", self._parts(*self.held.values())),
            "wms-2": ("DESK-1", "B-01", TWO | {"warehouse-two"}),
        }
        for source, (sku, place, seen_by) in short.items():
            does, instead = (
                partial(TwinWorld.stock, source=source, sku=sku, place=place, units=one, kind="sold") for one in (9, 11)
            )
            self.do(f"{sku} goes", seen_by, does, instead)
        for warehouse, owner, sku, place, seen_by in (
            (WAREHOUSE, DEPOSITOR, "SOFA-3", "A-02", short["wms"][2]),
            (OTHER_WAREHOUSE, BUYER, "DESK-1", "B-01", TWO | {"warehouse-two"}),
        ):
            does, instead = (
                partial(TwinWorld.count, warehouse=warehouse, owner=owner, sku=sku, place=place, units=one)
                for one in (10, 9)
            )
            self.do(f"count in {warehouse}", seen_by, does, instead)
        self.do("both suffer", self.who_sees(MIX), partial(TwinWorld.measure, asset=MIX, value_mc=31_000))
        for user, lot in (("lender-one", MIX_ONE), ("lender-two", MIX_TWO), ("borrower-one", MIX_ONE)):
            for word in WORDS[:2]:
                self.do(f"{user}: {word}", {user}, partial(_say, user, lot, word, f"{word} at last"))
        for asset in (BOX, TURN, NIGHT_BOX):
            self.readings(asset)
        # The last that is known of the box is of before it came to the first bank.
        self.sea(LINE, is_heard=False)
        self.silence()
        self.amend("voyages", self.who_sees(BOX), _voyage(BOX, "sea"), _voyage(BOX, "air"))

    def silence(self) -> None:
        """The container of both is not heard any more, which is its operator's to take on; each bank tries to."""
        self.acts.append(Act("hours", frozenset(), partial(_pass, 7), TwinWorld.fill))
        self.do("it is silent", EVERYBODY, TwinWorld.judge_time)
        for user in ("lender-one", "lender-two", "borrower-one", "borrower-two"):
            for word in WORDS:
                self.do(f"{user} tries: {word}", {user}, partial(_try, user, word, is_let=False))
        for word in WORDS[:2]:
            self.do(f"operator-one: {word}", {"operator-one"}, partial(_try, "operator-one", word, is_let=True))
        does = partial(_try, "operator-one", "acknowledge", is_let=True)
        self.do("operator-one: acknowledge", self.who_sees(MIX), does)

    def _parts(self, *banks: str) -> frozenset[str]:
        """Who has part in receipts that are pledged to banks."""
        of = {BANK: {"lender-one", "insurer-one"}, OTHER_BANK: {"lender-two"}}
        return frozenset({"warehouse-one", "borrower-one"}.union(*(of.get(one, set()) for one in banks)))

    def _next(self) -> int:
        self._number += 1
        return self._number


def _amend(sections: dict[str, Any], world: TwinWorld) -> None:
    world.keeping.amend(**sections)


def _pass(hours: int, world: TwinWorld) -> None:
    world.fill()
    world.minute += 60 * hours


def _quote(price: str, world: TwinWorld) -> None:
    quotes = [
        {"series": one, "date": "2026-01-01", "price": price, "currency": "USD"} for one in ("two-goods", "dear-goods")
    ]
    world.quote(prices=quotes)


def _say(user: str, lot: str, word: str, text: str, world: TwinWorld) -> None:
    """A user says something of an alert of their own goods, where there is one."""
    about = {one.id: dict(one.event.facts).get("lot") for one in world.store.events(0, 100_000)}
    for alert in sorted(world.keeping.spine.state.alerts.values()):
        if alert.state is not AlertState.CLEARED and any(about.get(cause) == lot for cause in alert.causes):
            world.say(alert, user, word, text)
            return


def _try(user: str, word: str, world: TwinWorld, *, is_let: bool) -> None:
    """A user says something of the alert of the silent container, and is let or not."""
    alert = world.alert("quiet", "mast", OPERATOR)
    assert alert is not None
    path = {"comment": "comments", "silence": "silence", "acknowledge": "acknowledgement"}[word]
    until = {"until": iso(world.keeping.clock.at_ms + 86_400_000)} if word == "silence" else {}
    text = {"comment": {"text": word}, "silence": {"why": word}}.get(word, {})
    body = {"by": user} | text | until
    answer = world.client.post(f"/alerts/{alert.id}/{path}", json=body, headers=shown(USERS[user].key))
    assert answer.status_code == (200 if is_let else 403), (user, word, answer.text)


def _milestone(which: str, amount_minor: int) -> dict[str, Any]:
    return milestone_of(f"milestone-{which}", release={"amount_minor": amount_minor})


def _mix_one(low: int, quantity: int) -> dict[str, Any]:
    named = {"id": MIX_ONE, "asset": MIX, "facility": LINE, "sku": "MIX-ONE", "quantity": quantity}
    return {**named, "limits": [{**WIDE, "low": low}]}


def _voyage(asset: str, kind: str) -> dict[str, Any]:
    leg = {"id": f"leg-of-{asset}", "kind": kind, "from": "2025-12-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}
    return {"id": f"voyage-of-{asset}", "asset": asset, "legs": [leg]}


def _night(silent_after_s: int) -> dict[str, Any]:
    more = {"operator": OTHER_OPERATOR, "asset": NIGHT_BOX, "gateway": "mast", "silent_after_s": silent_after_s}
    return warehouses.installation(NIGHT, 77, **more)


def _source(offset: int) -> dict[str, Any]:
    named = {"id": "wms-2", "warehouse": OTHER_WAREHOUSE, "means": "both", "units": {"EA": "piece"}, "owner": BUYER}
    return {**named, "utc_offset_minutes": offset}


def _fence(name: str, world: TwinWorld) -> None:
    feature = fence("yard-two", FAR, kind="warehouse")
    feature["properties"]["name"] = name
    world.keeping.amend(fences={"type": "FeatureCollection", "features": [feature]})
