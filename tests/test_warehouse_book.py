"""What a book says of warehouses: what is refused, where and with which cure, what is kept of it, when one is open."""

import copy
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from warehouses import BOX, DOCK, GATE, HALL, PLACE, SURVEYOR, TRACKER, ZONE, book_with, document

from pledgewatch_cloud.book_schema import schema
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.moments import moment_ms
from pledgewatch_cloud.decide.warehouse.terms import GRACE_S, Hours, OpenTime, Warehouse, Zone

CHECK = jsonschema.Draft202012Validator(schema())
Document = dict[str, Any]
HOURS = {
    "utc_offset_minutes": -480,
    "changes": [
        {"from": "2026-03-08T10:00:00Z", "utc_offset_minutes": -420},
        {"from": "2026-11-01T09:00:00Z", "utc_offset_minutes": -480},
    ],
    "open": [
        {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "06:00", "until": "20:00"},
        {"days": ["sun"], "from": "22:00", "until": "24:00"},
    ],
}


def place(**changes: Any) -> Callable[[Document], None]:
    return lambda given: given["warehouses"][0].update(changes)


def zone(**changes: Any) -> Callable[[Document], None]:
    return lambda given: given["warehouses"][0]["zones"][0].update(changes)


def also(**changes: Any) -> Callable[[Document], None]:
    return lambda given: given["warehouses"].append({**PLACE, "id": "la-2", **changes})


def opened(**changes: Any) -> Callable[[Document], None]:
    """Other hours; of `open` only the first."""
    first = {**HOURS["open"][0], **changes}  # type: ignore[index]
    return place(hours={**HOURS, "open": [first]})


def seasonal_fence(given: Document) -> None:
    window = {"from": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}
    given["fences"]["features"][0]["properties"]["active"] = [window]


REFUSED: list[tuple[Callable[[Document], None], str]] = [
    (place(id="nobody"), "warehouses nobody.id: there is no 'nobody' among parties"),
    (place(fences=["moon"]), "warehouses la-1.fences: there is no 'moon' among fences"),
    (seasonal_fence, "warehouses la-1.fences: yard does not hold at all times; leave out its active and legs"),
    (place(inspectors=["nobody"]), "warehouses la-1.inspectors: there is no 'nobody' among parties"),
    (place(gates=["asset-x"]), "warehouses la-1.gates: there is no 'asset-x' among assets, and no device is fitted"),
    (zone(asset="asset-x"), "warehouses la-1.zones: there is no 'asset-x' among assets, and no device is fitted to it"),
    (also(zones=[]), f"warehouses la-2.gates: {GATE} is in la-1 already; its device can be in one place only"),
    (also(gates=[]), f"warehouses la-2.zones: {HALL} is in la-1 already"),
    (place(zones=[*PLACE["zones"], *PLACE["zones"]]), f"zones: {HALL} is in it twice; put all its bins into one zone"),
    (
        place(zones=[*PLACE["zones"], {"asset": GATE, "bins": ["A-02"]}]),
        f"bin 'A-02' is in {HALL} and in {GATE}; leave it in one of them",
    ),
    (place(zones=[{"asset": HALL, "bins": ["A-01"]}] * 1_001), "zones: at most 1000"),
    (zone(bins=[]), "zones[0].bins: a list of 1 to 10000 bins is needed, as the stock system writes them"),
    (zone(bins=[7]), "zones[0].bins[0]: 7 is no text: put it in quotes"),
    (zone(bins=["A "]), "zones[0].bins[0]: 'A ': 1 to 128 characters that can be seen"),
    (zone(weight_tolerance_g=-1), "zones[0].weight_tolerance_g: -1 is not a whole number from 0"),
    (zone(pieces_tolerance=1.5), "zones[0].pieces_tolerance: 1.5 is not a whole number from 0"),
    (zone(smell=1), "zones[0].smell: no such key"),
    (place(unit_weights_g=[1]), "unit_weights_g: an object from SKU to grams"),
    (place(unit_weights_g={"SOFA-3": 0}), "unit_weights_g.SOFA-3: 0 is not a whole number from 1"),
    (place(unit_weights_g={"": 1}), "unit_weights_g: is missing"),
    (place(grace_s=-1), "grace_s: -1 is not a whole number from 0"),
    (place(smell=1), "warehouses[0].smell: no such key"),
    (place(hours={"open": []}), "hours.utc_offset_minutes: is missing"),
    (place(hours={**HOURS, "utc_offset_minutes": 900}), "hours.utc_offset_minutes: 900 is not a whole number"),
    (
        place(hours={**HOURS, "changes": HOURS["changes"][::-1]}),  # type: ignore[index]
        "hours.changes: each must begin after the one before it",
    ),
    (opened(days=[]), "open[0].days: is missing: name some of mon, tue, wed, thu, fri, sat, sun"),
    (opened(days=["monday"]), "open[0].days: 'monday' is none of mon, tue"),
    (opened(until="06:00"), "open[0].until: is not after from; write what goes over midnight as two"),
    (opened(until="24:30"), "open[0].until: '24:30' does not match"),
    (opened(**{"from": 360}), "open[0].from: 360 does not match"),
]


@pytest.mark.parametrize(("change", "told"), REFUSED)
def test_what_is_wrong_is_refused_with_its_place(change: Callable[[Document], None], told: str) -> None:
    given = copy.deepcopy(document())
    change(given)
    with pytest.raises(BookError) as caught:
        book_module.amend(book_module.empty(), given)
    assert any(told in error for error in caught.value.errors), caught.value.errors


def test_a_warehouse_is_kept_as_it_is_said() -> None:
    warehouse = book_with(hours=HOURS, zones=[{"asset": HALL, "bins": ["B", "A", "B"]}]).warehouses["la-1"]
    weekdays = OpenTime((0, 1, 2, 3, 4), 6 * 60, 20 * 60)
    assert warehouse == Warehouse(
        "la-1",
        (Zone(HALL, ("A", "B")),),
        (GATE,),
        ("yard",),
        {"SOFA-3": 42_000},
        GRACE_S,
        (SURVEYOR,),
        Hours(
            -480,
            (weekdays, OpenTime((6,), 22 * 60, 24 * 60)),
            ((1_772_964_000_000, -420), (1_793_523_600_000, -480)),
        ),
    )


@pytest.mark.parametrize("changes", [{}, {"hours": HOURS}, {"grace_s": 0, "zones": [], "gates": [], "fences": []}])
def test_what_is_written_of_a_book_makes_the_same_book(changes: Document) -> None:
    book = book_with(**changes)
    written = book_module.as_document(book)
    assert CHECK.is_valid(written)
    assert book_module.is_same(book_module.amend(book_module.empty(), written), book)


def test_a_warehouse_of_nothing_but_its_name_is_enough() -> None:
    given = {**document(), "warehouses": [{"id": "la-1"}]}
    book = book_module.amend(book_module.empty(), given)
    assert book.warehouses["la-1"] == Warehouse("la-1")
    assert book.watched == {}


def test_devices_at_zones_and_gates_are_watched_and_no_others() -> None:
    book = book_with(zones=[{"asset": HALL, "bins": ["A"]}, {"asset": GATE, "bins": ["dock"]}])
    assert {name: (one.asset, one.is_zone, one.is_gate) for name, one in book.watched.items()} == {
        ZONE: (HALL, True, False),
        DOCK: (GATE, True, True),
    }
    assert book.installations[TRACKER].asset == BOX


def test_another_offset_counts_from_its_moment_on() -> None:
    """At 10:00 UTC clocks go from 02:00 to 03:00."""
    sunday = [{"days": ["sun"], "from": "03:00", "until": "04:00"}]
    hours = book_with(hours={**HOURS, "open": sunday}).warehouses["la-1"].hours
    assert hours is not None
    change_ms = moment_ms("at", "2026-03-08T10:00:00Z")
    assert [hours.is_open(change_ms + offset_ms) for offset_ms in (-60_000, 0)] == [False, True]


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-03-02T13:59:59Z", False),  # Monday 05:59:59 at UTC-8
        ("2026-03-02T14:00:00Z", True),
        ("2026-03-03T03:59:59Z", True),  # still Monday there, 19:59:59
        ("2026-03-03T04:00:00Z", False),
        ("2026-03-09T12:59:00Z", False),  # Monday 05:59 at UTC-7, an hour earlier than a week before
        ("2026-03-09T13:00:00Z", True),
        ("2026-03-08T05:59:00Z", False),  # Saturday 21:59 at UTC-8
        ("2026-03-08T06:00:00Z", False),  # Saturday 22:00: Sunday's hours are not its own
        ("2026-03-09T05:00:00Z", True),  # Sunday 22:00 at UTC-7
        ("2026-03-09T06:59:59Z", True),
        ("2026-03-09T07:00:00Z", False),  # Monday 00:00
        ("2026-11-01T08:59:00Z", False),
        ("2026-11-02T13:59:00Z", False),  # Monday 05:59 at UTC-8 again
        ("2026-11-02T14:00:00Z", True),
        ("1969-12-29T14:00:00Z", True),  # a Monday before 1970
        ("1969-12-28T14:00:00Z", False),
    ],
)
def test_it_is_open_by_its_own_clocks(at: str, is_open: bool) -> None:
    hours = book_with(hours=HOURS).warehouses["la-1"].hours
    assert hours is not None
    assert hours.is_open(moment_ms("at", at)) is is_open
