"""Goods that go from one asset into another: what they went through in each is theirs, and nothing else is.

The tables are a lender's: a container at sea, a hall ashore, and what a move makes of the base.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from builders import AT_SEA, IN_LOS_ANGELES, NOON_MS, position, temperature
from hypothesis import given
from hypothesis import strategies as st
from lending import COLD, EVIDENCE, HOUR_MS, LINE, MS, Bench, at_ms, lot, moment
from milestoning import COLD as INSIDE
from milestoning import FIRST, PORT, SEA, SECOND, WARM, Trade, fact, milestone
from milestoning import moment as minute

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.alert_half import alerts_by_facility
from pledgewatch_cloud.decide.events import Event, EventType
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.items.lots import EarlierStay, Stay
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.spine.base_at import BaseAt, amendments, base_at
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.reading import Cell

LIMIT = {"id": "cold", "channel": "temperature_mc", "low": 2_000, "high": 8_000, "max_gap_s": 86_400}
MKT = {
    "channel": "temperature_mc",
    "high_mc": 30_000,
    "worst_low_mc": 0,
    "worst_high_mc": 30_000,
    "activation_j_mol": 83_144,
    "max_gap_s": 86_400,
}
HOT = (temperature(20_000),)
CHILLED = {"limits": [LIMIT], "mkt": MKT}
SPOILT: dict[str, Any] = {"policy": {"breach": "ineligible"}}
BY_MINUTES: dict[str, Any] = {
    "products": [{"sku": "sofa", "loss": [{"kind": "outside", "points": [{"minutes": 960, "bp": 8_000}]}]}]
}
_USED = [{"consumed_bp": 10_000, "bp": 10_000}]
BY_LIFE: dict[str, Any] = {
    "products": [
        {
            "sku": "sofa",
            "loss": [{"kind": "life", "life_h": 200, "reference_mc": 5_000, "q10_milli": 2_000, "points": _USED}],
        }
    ]
}


def went(goods: dict[str, Any], asset: str, hour: float) -> dict[str, Any]:
    """A lot that has left its asset for another one."""
    stays = [*goods.get("stays", ()), {"asset": goods["asset"], "until": moment(hour)}]
    return goods | {"asset": asset, "stays": stays}


def hours(bench: Bench, until: int, **warmth: Callable[[int], tuple[Cell, ...]]) -> None:
    """Each asset's device speaks every hour, up to one, by whatever its asset is then."""
    begun = round((bench.clock.at_ms - NOON_MS) / HOUR_MS)
    for hour in range(begun, until + 1):
        bench.come_to(hour)
        for asset, told in warmth.items():
            bench.measure(asset, *told(hour))
    bench.tick()


def hot(_: int) -> tuple[Cell, ...]:
    return HOT


def cold(_: int) -> tuple[Cell, ...]:
    return COLD


def ineligible(bench: Bench) -> dict[str, dict[str, int]]:
    """By lot, what is taken of it."""
    return {one: dict(line.ineligible) for one, line in bench.lines().items()}


# What condition costs goods that have gone on, of 200,000.00. By minutes outside: 8,000 bp after sixteen hours. By
# shelf life: two hundred hours at 5 °C, and twice as fast for ten degrees more; the mean kinetic temperature of eight
# hours at 20 °C and four at 5 °C is 17.2 °C, so 12 ÷ 200 × 2 ^ 1.22 = 13.98 % are used up then, as in one place.
CONDITION: list[tuple[str, dict[str, Any], Callable[[int], tuple[Cell, ...]], Any, dict[str, int], dict[str, int]]] = [
    # terms, what the container is like for eight hours, and the hall; what is taken after eight hours and after twelve
    ("spoilt at sea, cold ashore", SPOILT, hot, cold, {"condition": 20_000_000}, {"condition": 20_000_000}),
    ("eight hours outside", BY_MINUTES, hot, cold, {"condition_loss": 8_000_000}, {"condition_loss": 8_000_000}),
    ("and four more", BY_MINUTES, hot, hot, {"condition_loss": 8_000_000}, {"condition_loss": 12_000_000}),
    ("cold all the way", SPOILT, cold, cold, {}, {}),
    ("cold at sea, warm ashore", SPOILT, cold, hot, {}, {"condition": 20_000_000}),
    ("four hours ashore", BY_MINUTES, cold, hot, {}, {"condition_loss": 4_000_000}),
    ("shelf life", BY_LIFE, hot, cold, {"condition_loss": 2_264_000}, {"condition_loss": 2_796_000}),
]


@pytest.mark.parametrize(
    ("name", "terms", "at_sea", "ashore", "then", "later"), CONDITION, ids=[r[0] for r in CONDITION]
)
def test_goods_keep_what_they_went_through(
    name: str,
    terms: dict[str, Any],
    at_sea: Callable[[int], tuple[Cell, ...]],
    ashore: Callable[[int], tuple[Cell, ...]],
    then: dict[str, int],
    later: dict[str, int],
) -> None:
    goods = lot("sofas", "box", **CHILLED)
    bench = Bench(assets=("box", "hall"), lots=[goods], **terms)
    hours(bench, 8, box=at_sea, hall=cold)
    assert ineligible(bench)["sofas"] == then
    bench.amend({"lots": [went(goods, "hall", 8)]})
    assert ineligible(bench)["sofas"] == then, "a move by itself takes nothing and gives nothing back"
    assert [one for one in bench.said if one.type is EventType.BASE_RECOMPUTED] == []
    hours(bench, 12, box=hot, hall=ashore)
    assert ineligible(bench)["sofas"] == later, "what the container goes through after that is not theirs"


def until_four(hour: int) -> tuple[Cell, ...]:
    return HOT if hour < 4 else COLD


def test_what_the_hall_went_through_before_is_not_theirs() -> None:
    goods = lot("sofas", "box", **CHILLED)
    bench = Bench(assets=("box", "hall"), lots=[goods, lot("old", "hall", **CHILLED)], **SPOILT)
    hours(bench, 10, box=cold, hall=until_four)
    bench.amend({"lots": [went(goods, "hall", 10)]})
    assert ineligible(bench) == {"sofas": {}, "old": {"condition": 20_000_000}}
    bench.amend({"lots": [lot("new", "hall", received_at=moment(9), **CHILLED)]})
    assert ineligible(bench) == {"sofas": {}, "new": {}, "old": {"condition": 20_000_000}}
    bench.amend({"lots": [lot("new", "hall", received_at=moment(3), **CHILLED)]})
    assert ineligible(bench)["new"] == {"condition": 20_000_000}, "received earlier, after all"


def test_readings_of_the_container_that_come_late_still_count() -> None:
    goods = lot("sofas", "box", **CHILLED)
    bench = Bench(assets=("box", "hall"), lots=[goods], **SPOILT)
    hours(bench, 2, box=cold, hall=cold)
    bench.keep("box", 3, *HOT)
    bench.keep("box", 4, *COLD)
    bench.keep("box", 6, *HOT)
    hours(bench, 5, hall=cold)
    bench.amend({"lots": [went(goods, "hall", 5)]})
    assert ineligible(bench)["sofas"] == {}
    bench.come_to(7)
    bench.send("box")
    assert ineligible(bench)["sofas"] == {"condition": 20_000_000}
    breaches = [one for one in bench.said if one.type is EventType.CONDITION_BREACHED]
    assert [(one.subject, one.at_ms) for one in breaches] == [("box", at_ms(3))], "at six they had left"


def test_when_they_left_may_be_corrected_and_all_is_told_again() -> None:
    goods = lot("sofas", "box", **CHILLED)
    bench = Bench(assets=("box", "hall"), lots=[goods], **SPOILT)
    hours(bench, 8, box=lambda hour: HOT if hour >= 6 else COLD, hall=cold)
    bench.amend({"lots": [went(goods, "hall", 5)]})
    assert ineligible(bench)["sofas"] == {}
    bench.amend({"lots": [went(goods, "hall", 7)]})
    assert ineligible(bench)["sofas"] == {"condition": 20_000_000}
    bench.amend({"lots": [went(goods, "hall", 6)]})
    assert ineligible(bench)["sofas"] == {}, "at six they were not there any more"


def test_a_move_may_be_said_ahead_of_its_time() -> None:
    """At six the goods are in the hall, whoever said so when; nobody has to say it again."""
    goods = lot("sofas", "box", **CHILLED)
    bench = Bench(assets=("box", "hall"), kinds={"box": "container"}, lots=[goods], **SPOILT)
    hours(bench, 3, box=cold, hall=cold)
    bench.amend({"lots": [went(goods, "hall", 6)]})
    assert bench.lines()["sofas"].in_class == "in_transit"
    bench.come_to(6 - MS)
    bench.tick()
    assert bench.lines()["sofas"].in_class == "in_transit"
    bench.come_to(6)
    bench.tick()
    assert bench.lines()["sofas"].in_class == "warehouse"


def test_what_was_measured_before_they_came_does_not_stand_for_them() -> None:
    goods = lot("sofas", "box", **CHILLED)
    bench = Bench(assets=("box", "hall"), lots=[goods], policy=EVIDENCE)
    hours(bench, 3, box=cold, hall=cold)
    bench.come_to(3.1)
    bench.amend({"lots": [went(goods, "hall", 3.05)]})
    assert ineligible(bench)["sofas"] == {"evidence": 20_000_000}
    bench.measure("box", *COLD)
    assert ineligible(bench)["sofas"] == {"evidence": 20_000_000}, "they are not there any more"
    bench.measure("hall", *COLD)
    assert ineligible(bench)["sofas"] == {}


def test_nothing_is_known_at_the_beginning_of_a_stay() -> None:
    """A first value is waited for as long as any other, and then it is unknown."""
    goods = lot("sofas", "box", limits=[LIMIT | {"max_gap_s": 3_600}])
    bench = Bench(assets=("box", "hall"), lots=[goods])
    hours(bench, 3, box=cold, hall=cold)
    bench.amend({"lots": [went(goods, "hall", 3)]})
    bench.come_to(4)
    bench.tick()
    about = [one for one in bench.said if one.type is EventType.CONDITION_UNKNOWN]
    assert about == []
    bench.amend({"lots": [went(goods, "hall", 3 + MS)]})
    bench.come_to(4.5)
    bench.tick()
    unknown = [one for one in bench.said if one.type is EventType.CONDITION_UNKNOWN]
    assert [(one.subject, one.at_ms) for one in unknown] == [("hall", at_ms(4 + MS))]


def test_goods_that_come_back_go_on_where_they_were() -> None:
    """Out of the container for three hours, in which it is warm, and in again: two hours of four are theirs."""
    goods = lot("sofas", "box", **CHILLED)
    bench = Bench(assets=("box", "hall"), lots=[went(went(goods, "hall", 3), "box", 6)], **BY_MINUTES)
    hours(bench, 8, box=lambda hour: HOT if hour in (2, 3, 4, 5, 6) else COLD, hall=cold)
    assert ineligible(bench)["sofas"] == {"condition_loss": 2_000_000}
    events = [one for one in standing(bench, "box") if one.type is EventType.CONDITION_BREACHED]
    assert [one.at_ms for one in events] == [at_ms(2), at_ms(6)]


def test_shelf_life_of_two_stays_in_one_place() -> None:
    """Four hours at 5 °C there, four elsewhere, four there: twelve of two hundred, 600 bp of 10,000, in all."""
    goods = lot("sofas", "box", **CHILLED)
    bench = Bench(assets=("box", "hall"), lots=[went(went(goods, "hall", 4), "box", 8)], **BY_LIFE)
    hours(bench, 12, box=lambda hour: HOT if 4 < hour < 8 else COLD, hall=cold)
    assert ineligible(bench)["sofas"] == {"condition_loss": 1_200_000}


def standing(bench: Bench, asset: str) -> list[Event]:
    """What stands about an asset, in order of time."""
    found = [one.event for one in bench.store.standing(asset, bench.spine.state.entry + 1)]
    return sorted(found, key=lambda one: (one.at_ms, one))


# Two clocks.


def shipped(**terms: Any) -> Bench:
    """Thirty hours on a ship and then ashore: known now, and known then."""
    goods = lot("sofas", "box", **CHILLED)
    rates = {"in_transit": 4_000, "at_port": 4_000, "bonded": 4_000, "warehouse": 8_000}
    bench = Bench(
        assets=("box", "hall"),
        kinds={"box": "container"},
        lots=[goods],
        policy={"breach": "ineligible", "advance_bp": rates} | EVIDENCE,
        **terms,
    )
    for hour in (0, 1):
        bench.come_to(hour)
        bench.measure("box", *COLD, *position(AT_SEA))
        bench.measure("hall", *HOT, *position(IN_LOS_ANGELES))
    bench.tick()
    hours(bench, 30, box=lambda _: (*COLD, *position(AT_SEA)), hall=lambda _: (*HOT, *position(IN_LOS_ANGELES)))
    bench.amend({"lots": [went(goods, "hall", 29)]})
    bench.tick()
    return bench


def told(found: BaseAt) -> str:
    """All that an answer says, but for when it was known."""
    answer = found.as_json(lots=True)
    return json.dumps({key: one for key, one in answer.items() if key not in ("known_at", "entry")}, sort_keys=True)


def test_goods_that_were_at_sea_were_at_sea() -> None:
    bench = shipped()
    then, now = base_at(bench.store, LINE, at_ms(1), at_ms(1)), base_at(bench.store, LINE, at_ms(1))
    assert (then.base.base_minor, then.lines[0].in_class) == (8_000_000, "in_transit")
    assert told(now) == told(then), "the certificate of that moment has the same lines and grounds"
    assert [one["amendment"] for one in amendments(bench.store, then, now) if "amendment" in one] == [["lots"]]
    assert bench.lines()["sofas"].in_class == "warehouse"
    assert ineligible(bench)["sofas"] == {"condition": 20_000_000}
    ashore = base_at(bench.store, LINE, at_ms(29), bench.clock.at_ms)
    assert ashore.lines[0].in_class == "warehouse", "by what is known now, they were in the hall at 29"
    assert ashore.grounds["sofas"] == bench_grounds(bench)


def bench_grounds(bench: Bench) -> tuple[str, ...]:
    """The one event that the condition rests on: the first value in the hall."""
    (one,) = (said for said in bench.store.standing("hall", 10**9) if said.event.type is EventType.CONDITION_BREACHED)
    assert one.event.at_ms == at_ms(29)
    return (f"condition: event {one.id}",)


def test_what_a_breach_rests_on_is_named_wherever_the_goods_are() -> None:
    goods = lot("sofas", "box", **CHILLED)
    bench = Bench(assets=("box", "hall"), lots=[goods], **SPOILT)
    hours(bench, 2, box=hot, hall=cold)
    before = base_at(bench.store, LINE)
    bench.amend({"lots": [went(goods, "hall", 2)]})
    hours(bench, 3, hall=cold)
    after = base_at(bench.store, LINE)
    assert after.grounds == before.grounds
    assert before.grounds["sofas"][0].startswith("condition: event ")


# What the book refuses.

BOX, HALL, YARD = "box", "hall", "yard"
MOVES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # what was, what is to be, what is said of it ("": taken)
    ("it stays", {}, {}, ""),
    ("it goes on", {}, {"asset": HALL, "stays": [(BOX, 5)]}, ""),
    ("and on", {"asset": HALL, "stays": [(BOX, 5)]}, {"asset": YARD, "stays": [(BOX, 5), (HALL, 6)]}, ""),
    ("twice at once", {}, {"asset": YARD, "stays": [(BOX, 5), (HALL, 6)]}, ""),
    ("and back", {"asset": HALL, "stays": [(BOX, 5)]}, {"asset": BOX, "stays": [(BOX, 5), (HALL, 6)]}, ""),
    ("it left earlier", {"asset": HALL, "stays": [(BOX, 5)]}, {"asset": HALL, "stays": [(BOX, 4)]}, ""),
    (
        "it is received",
        {"asset": HALL, "stays": [(BOX, 5)]},
        {"asset": HALL, "stays": [(BOX, 5)], "received_at": 1},
        "",
    ),
    (
        "nothing is left behind",
        {},
        {"asset": HALL},
        'lots sofas.asset: it is in box; add {"asset": "box", "until": …} to its stays, with when it left',
    ),
    (
        "the last is not left behind",
        {"asset": HALL, "stays": [(BOX, 5)]},
        {"asset": YARD, "stays": [(BOX, 5)]},
        'lots sofas.asset: it is in hall; add {"asset": "hall", "until": …} to its stays, with when it left',
    ),
    (
        "a stay is dropped",
        {"asset": HALL, "stays": [(BOX, 5)]},
        {"asset": HALL},
        "lots sofas.stays: it was in box, then in hall; leave those as they are, but for an until to correct",
    ),
    (
        "it never went",
        {"asset": HALL, "stays": [(BOX, 5)]},
        {"asset": BOX},
        "lots sofas.stays: it was in box, then in hall",
    ),
    (
        "it was elsewhere",
        {"asset": HALL, "stays": [(BOX, 5)]},
        {"asset": HALL, "stays": [(YARD, 5)]},
        "lots sofas.stays: it was in box, then in hall",
    ),
    (
        "an earlier stay is found",
        {},
        {"asset": BOX, "stays": [(YARD, 5)]},
        "lots sofas.stays: it was in box; leave those as they are",
    ),
    (
        "another order",
        {},
        {"asset": YARD, "stays": [(BOX, 5), (HALL, 5)]},
        "lots[0].stays[1].until: 2026-01-01T17:00:00Z is not after the until of the stay before",
    ),
    (
        "before it was received",
        {},
        {"asset": HALL, "stays": [(BOX, 5)], "received_at": 5},
        "lots[0].stays[0].until: 2026-01-01T17:00:00Z is not after received_at",
    ),
    (
        "from here to here",
        {},
        {"asset": HALL, "stays": [(BOX, 5), (HALL, 6)]},
        "lots[0].stays[1].asset: it stays in hall after that; leave this stay out",
    ),
    ("nowhere", {}, {"asset": HALL, "stays": [(BOX, 5), ("moon", 6)]}, "lots sofas.stays[1].asset: there is no 'moon'"),
    ("a key too many", {}, {"asset": HALL, "stays": [{"asset": BOX, "from": 1}]}, "lots[0].stays[0].until: is missing"),
    ("no list", {}, {"asset": HALL, "stays": {"asset": BOX}}, "lots[0].stays"),
    ("too many", {}, {"stays": [((BOX, HALL)[place % 2], place) for place in range(66)]}, "lots[0].stays: at most 64"),
]


def said_of(terms: dict[str, Any]) -> dict[str, Any]:
    """A lot of a row, as a document has it."""
    found = lot("sofas", terms.get("asset", BOX))
    if "received_at" in terms:
        found["received_at"] = moment(terms["received_at"])
    stays = terms.get("stays", ())
    if isinstance(stays, list) and all(isinstance(one, tuple) for one in stays):
        stays = [{"asset": asset, "until": moment(hour)} for asset, hour in stays]
    return found | ({"stays": stays} if stays else {})


@pytest.mark.parametrize(("name", "was", "now", "text"), MOVES, ids=[row[0] for row in MOVES])
def test_where_goods_have_been_stays(name: str, was: dict[str, Any], now: dict[str, Any], text: str) -> None:
    book = Bench(assets=(BOX, HALL, YARD), lots=[said_of(was)]).spine.state.book
    if not text:
        after = book_module.amend(book, {"lots": [said_of(now)]})
        assert book_module.amend(book_module.empty(), book_module.as_document(after)).lots == after.lots
        assert after.lots["sofas"].asset == now.get("asset", BOX)
        return
    with pytest.raises(BookError) as caught:
        book_module.amend(book, {"lots": [said_of(now)]})
    assert any(one.startswith(text) for one in caught.value.errors), caught.value.errors


def test_a_lot_that_has_left_the_book_comes_back_as_a_new_one() -> None:
    book = Bench(assets=(BOX, HALL), lots=[lot("sofas", BOX)]).spine.state.book
    gone = book_module.amend(book, {"remove": {"lots": ["sofas"]}})
    assert book_module.amend(gone, {"lots": [lot("sofas", HALL)]}).lots["sofas"].assets == (HALL,)
    with pytest.raises(BookError):
        book_module.amend(book, {"remove": {"lots": ["sofas"]}, "lots": [lot("sofas", HALL)]})


def test_the_legs_of_a_limit_may_be_of_any_voyage_that_the_goods_were_on() -> None:
    legs = [{"id": "sea", "kind": "sea", "from": moment(0), "until": moment(4)}]
    goods = lot("sofas", BOX, limits=[LIMIT | {"legs": ["sea"]}])
    bench = Bench(assets=(BOX, HALL), lots=[goods], voyages=[{"id": "v", "asset": BOX, "legs": legs}], **SPOILT)
    hours(bench, 2, box=cold, hall=hot)
    bench.amend({"lots": [went(goods, HALL, 2)]})
    hours(bench, 3, box=hot, hall=hot)
    assert ineligible(bench)["sofas"] == {}, "no leg is sailed in the hall"


def test_a_lot_tells_its_stays() -> None:
    one = Bench(assets=(BOX, HALL), lots=[went(went(lot("sofas", BOX), HALL, 2), BOX, 3)]).spine.state.book.lots[
        "sofas"
    ]
    assert one.stays == (EarlierStay(BOX, at_ms(2)), EarlierStay(HALL, at_ms(3)))
    assert one.whereabouts == (
        Stay(BOX, -NEVER, at_ms(2)),
        Stay(HALL, at_ms(2), at_ms(3)),
        Stay(BOX, at_ms(3), NEVER),
    )
    assert one.assets == (BOX, HALL)
    assert one.there(BOX) == ((-NEVER, at_ms(2)), (at_ms(3), NEVER))
    assert [one.stay_at(at_ms(hour)).asset for hour in (1.9, 2, 2.9, 3)] == [BOX, HALL, HALL, BOX]


# Money that moves upon where goods were.

UPON = milestone({"all": [fact("gated_in", fence="los-angeles"), fact("condition_kept")]})


def unloaded(trade: Trade, at_minute: int) -> None:
    """The first container's goods go into a hall that stands in no fence, and is warm."""
    stays = [{"asset": FIRST, "until": minute(at_minute)}]
    hall = {"assets": [{"id": "hall", "kind": "warehouse"}], "lots": [trade.lot(asset="hall", stays=stays)]}
    assert trade.amend(at_minute, **hall) is not None


def test_a_release_that_rests_on_the_container_rests_on_it_when_the_goods_have_left_it() -> None:
    trade = Trade(UPON)
    trade.both(0, *SEA, *INSIDE)
    trade.both(10, *PORT, *INSIDE)
    assert trade.ends() == "met@10"
    trade.deliver("booked")
    unloaded(trade, 20)
    assert trade.ends() == "released@10"
    trade.fix(30, *SEA, *WARM)
    trade.fix(60, *SEA, *WARM)
    trade.tick(5_000)
    assert (trade.ends(), trade.types()) == ("released@10", ["release_disbursement"])
    trade.send(trade.keep(-30, *SEA, *WARM))
    assert trade.ends() == "in_question@10", "it was warm at sea, as late news has it"
    trade.assert_replays()


def test_goods_that_left_the_container_before_it_came_did_not_come_in_it() -> None:
    trade = Trade(UPON)
    trade.both(0, *SEA, *INSIDE)
    unloaded(trade, 5)
    trade.both(10, *PORT, *INSIDE)
    trade.tick(20)
    assert (trade.ends(), trade.types()) == ("pending", [])


def test_a_breach_that_went_on_is_over_when_the_goods_leave() -> None:
    """From one container, where it is warm, into another, where it is not."""
    upon = fact("no_open_breach", lot=f"lot-{FIRST}")
    trade = Trade(milestone({"all": [fact("gated_in", fence="los-angeles", lot=f"lot-{FIRST}"), upon]}))
    trade.fix(0, *SEA, *WARM)
    trade.fix(0, *SEA, *INSIDE, name=SECOND)
    trade.fix(20, *PORT, *WARM)
    assert trade.ends() == "pending"
    stays = [{"asset": FIRST, "until": minute(30)}]
    trade.amend(30, lots=[trade.lot(asset=SECOND, stays=stays)])
    trade.fix(30, *SEA, *INSIDE, name=SECOND)
    trade.tick(31)
    assert trade.ends() == "met@30"
    trade.assert_replays()


def test_an_alert_of_goods_is_cleared_when_they_leave_and_is_no_business_of_who_has_none_there() -> None:
    goods, other = lot("sofas", BOX, limits=[LIMIT]), lot("theirs", BOX, facility="theirs")
    bench = Bench(assets=(BOX, HALL), lots=[goods])
    theirs = {**bench.document["facilities"][0], "id": "theirs"}
    bench.amend({"facilities": [theirs], "lots": [other]})
    bench.measure(BOX, *HOT)
    bench.come_to(1)
    bench.measure(BOX, *HOT)
    assert alerts_of(bench, LINE) == ["open"]
    bench.amend({"lots": [went(goods, HALL, 1)]})
    assert "clear_alert" in [kind for kind, _ in bench.told]
    assert alerts_of(bench, LINE) == ["cleared"]
    bench.amend({"lots": [other | {"limits": [LIMIT]}]})
    assert alerts_of(bench, "theirs")[-1] == "open"
    assert all(kind != "raise_alert" or "theirs" in data["lots"] for kind, data in bench.told)


def alerts_of(bench: Bench, facility: str) -> list[str]:
    """The states of the alerts that concern a facility's goods."""
    state = bench.spine.state
    found = alerts_by_facility(state.book, state.alerts, state.recorded_at_ms).get(facility, [])
    return [one.state.value for one in found]


# Laws. Assets speak at some hours of some warmth; a lot goes its way among them.


class Way(NamedTuple):
    """The assets that a lot is in, one after the other, and when it leaves each but the last, in hours."""

    assets: list[str]
    left: list[int]

    def lot(self, stays: int, **terms: Any) -> dict[str, Any]:
        """The lot as it is known after so many moves."""
        goods = lot("sofas", self.assets[0], **terms)
        for asset, hour in list(zip(self.assets[1:], self.left, strict=True))[:stays]:
            goods = went(goods, asset, hour)
        return goods

    def at(self, hour: int) -> str:
        """The asset that it is in."""
        return self.assets[sum(one <= hour for one in self.left)]


ASSETS = (BOX, HALL, YARD)
END = 40


@st.composite
def ways(draw: st.DrawFn) -> Way:
    """A way of up to three moves."""
    left = sorted(draw(st.sets(st.integers(1, END - 1), max_size=3)))
    assets = [draw(st.sampled_from(ASSETS))]
    for _ in left:
        assets.append(draw(st.sampled_from([one for one in ASSETS if one != assets[-1]])))
    return Way(assets, left)


WARMTH = st.sampled_from([5_000, 5_000, 7_000, 12_000, 20_000])
TOLD = st.dictionaries(st.tuples(st.integers(0, END - 1), st.sampled_from(ASSETS)), WARMTH, max_size=24)
WORST = {"kind": "outside", "unknown": "outside", "points": [{"minutes": 60 * END, "bp": 10_000}]}
GOING_BAD: dict[str, Any] = {"products": [{"sku": "sofa", "loss": [WORST, *BY_LIFE["products"][0]["loss"]]}]}
TIGHT: dict[str, Any] = {
    "limits": [LIMIT | {"max_gap_s": 14_400, "grace_s": 3_600, "cumulative_s": 30_000}],
    "mkt": MKT | {"high_mc": 9_000, "max_gap_s": 10_800},
}


def seen_of(bench: Bench) -> tuple[dict[str, list[Event]], dict[str, Any]]:
    """What stands of the assets, and what became of the goods."""
    return {one: standing(bench, one) for one in ASSETS}, {one: line._asdict() for one, line in bench.lines().items()}


@given(ways(), TOLD, st.randoms(use_true_random=False), st.sampled_from([0, 3]))
def test_in_whatever_order_readings_and_moves_are_said(
    way: Way, told: dict[tuple[int, str], int], dice: Any, window_h: int
) -> None:
    """All of it known from the first, or each thing some time: the same stands, and the same is taken. The journal
    leads there again."""
    terms = TIGHT | {"mkt": TIGHT["mkt"] | {"window_h": window_h}} if window_h else TIGHT
    known, learnt = (
        Bench(assets=ASSETS, hour=END, lots=[way.lot(stays, **terms)], **GOING_BAD) for stays in (len(way.left), 0)
    )
    for (hour, asset), value_mc in sorted(told.items()):
        known.keep(asset, hour, temperature(value_mc))
    for asset in ASSETS:
        if known.waits(asset):
            known.send(asset)
    known.tick()
    happenings: list[Any] = [*sorted(told.items())]
    readings = [(key[1], learnt.devices[key[1]].measure(at_ms(key[0]), temperature(one))) for key, one in happenings]
    dice.shuffle(readings)
    moves = sorted(dice.randint(0, len(readings)) for _ in way.left)
    for place in range(len(readings) + 1):
        for move, when in enumerate(moves):
            if when == place:
                learnt.amend({"lots": [way.lot(move + 1, **terms)]})
        if place < len(readings):
            asset, reading = readings[place]
            learnt.send(asset, [reading])
    learnt.tick()
    assert seen_of(learnt) == seen_of(known)
    assert state_module.to_bytes(recover(learnt.store)) == state_module.to_bytes(learnt.spine.state)


@given(ways(), TOLD, st.lists(WARMTH, min_size=4, max_size=4))
def test_goods_that_are_moved_are_as_goods_that_stay(
    way: Way, told: dict[tuple[int, str], int], first: list[int]
) -> None:
    """Where each asset speaks at the very moment at which the goods come into it, they lose by minutes outside, and by
    unknown ones, what they would have lost in one asset that had said what theirs have said."""
    told = told | {(hour, way.at(hour)): one for hour, one in zip((0, *way.left), first, strict=False)}
    terms: dict[str, Any] = {"limits": [LIMIT | {"max_gap_s": 14_400}]}
    by_minutes: dict[str, Any] = {"products": [{"sku": "sofa", "loss": [WORST]}]}
    moved = Bench(assets=ASSETS, hour=END, lots=[way.lot(len(way.left), **terms)], **by_minutes)
    stayed = Bench(assets=("one",), hour=END, lots=[lot("sofas", "one", **terms)], **by_minutes)
    for (hour, asset), value_mc in sorted(told.items()):
        moved.keep(asset, hour, temperature(value_mc))
        if way.at(hour) == asset:
            stayed.keep("one", hour, temperature(value_mc))
    for bench in (moved, stayed):
        for asset in bench.devices:
            if bench.waits(asset):
                bench.send(asset)
        bench.tick()
    assert ineligible(moved) == ineligible(stayed)
