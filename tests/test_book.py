"""Amendments: what each fault is called, and that the book in force stays in force."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from builders import Device, book_document, fence

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.item import BookError

Change = Callable[[dict[str, Any]], object]


def ring(*positions: list[float]) -> Change:
    """A fence of one ring."""
    return lambda document: document["fences"].update(features=[fence("odd", list(positions))])


FAULTS: list[tuple[str, Change, str]] = [
    (
        "price below nothing",
        lambda d: d["prices"][0].update(unit_price_minor=-1),
        "prices[0].unit_price_minor: -1 is not",
    ),
    ("price is a fraction", lambda d: d["prices"][0].update(unit_price_minor=1.5), "prices[0].unit_price_minor: 1.5"),
    (
        "no currency",
        lambda d: d["facilities"][0].update(currency="QQQ"),
        "facilities[0].currency: 'QQQ' is no currency",
    ),
    ("price without currency", lambda d: d["prices"][0].pop("currency"), "prices[0].currency: is missing"),
    ("unknown key", lambda d: d["lots"][0].update(color="red"), "lots[0].color: no such key"),
    ("unknown section", lambda d: d.update(lot=[]), "lot: no such section"),
    ("negative quantity", lambda d: d["lots"][0].update(quantity=-5), "lots[0].quantity: -5"),
    ("haircut over the whole", lambda d: d["lots"][0].update(haircut_bp=10_001), "lots[0].haircut_bp: 10001"),
    ("low above high", lambda d: d["lots"][0]["limits"][0].update(low=9_000), "limits[0].low: 9000 is above high 8000"),
    ("unknown channel", lambda d: d["lots"][0]["limits"][0].update(channel="smell"), "channel: 'smell' is no channel"),
    (
        "two limits for a channel",
        lambda d: d["lots"][0]["limits"].append(d["lots"][0]["limits"][0]),
        "two limits share an id",
    ),
    ("no such facility", lambda d: d["lots"][0].update(facility="nobody"), "there is no 'nobody' among facilities"),
    (
        "no such fence",
        lambda d: d["milestones"][0].update(when={"fact": "gated_in", "fence": "atlantis"}),
        "there is no 'atlantis' among fences",
    ),
    (
        "no price and no series",
        lambda d: d["lots"][0].update(sku="chair"),
        "lots lot-container-1.sku: there is no 'chair' among prices, nor a product of that sku with a series",
    ),
    ("no key", lambda d: d["installations"][0].update(public_key="ab" * 31), "installations[0].public_key"),
    (
        "device name",
        lambda d: d["installations"][0].update(device="Container 1"),
        "installations[0].device: use 1 to 64",
    ),
    ("remove what is not there", lambda d: d.update(remove={"lots": ["ghost"]}), "remove.lots: there is no 'ghost'"),
    ("a list is not a list", lambda d: d.update(lots={}), "lots: a list of at most"),
    ("not GeoJSON", lambda d: d.update(fences={"type": "Fences"}), "fences: a GeoJSON FeatureCollection is needed"),
    ("ring not closed", ring([0, 0], [1, 0], [1, 1], [0, 1]), "fences.features[0]: odd: ring 0: not closed"),
    ("latitude 91", ring([0, 0], [1, 0], [1, 91], [0, 0]), "position 2: latitude 91 is not from -90 to 90"),
    ("too few positions", ring([0, 0], [1, 0], [0, 0]), "3 positions are too few"),
    ("self-crossing", ring([0, 0], [1, 1], [1, 0], [0, 1], [0, 0]), "odd: ring 0: crosses or touches itself"),
    ("empty fence", ring([0, 0], [0, 0], [0, 0], [0, 0]), "odd: "),
    (
        "a line",
        lambda d: d["fences"]["features"][0]["geometry"].update(type="LineString"),
        "needs the property half_width_m",
    ),
    (
        "unknown fence kind",
        lambda d: d["fences"]["features"][0]["properties"].update(kind="moat"),
        "kind 'moat' is none of",
    ),
    (
        "a rule by lot about what has none",
        lambda d: d.update(alert_rules=[{"id": "dark", "on": "source_silent", "group_by": "lot"}]),
        "alert_rules[0].group_by: source_silent is about no lot",
    ),
    (
        "fences of a rule about no fence",
        lambda d: d.update(alert_rules=[{"id": "warm", "on": "condition_breached", "fences": ["los-angeles"]}]),
        "alert_rules[0].fences: condition_breached is about no fence",
    ),
]


@pytest.mark.parametrize(("name", "change", "text"), FAULTS, ids=[row[0] for row in FAULTS])
def test_each_fault_names_its_place_and_the_book_stays(name: str, change: Change, text: str) -> None:
    device = Device()
    in_force = book_module.amend(book_module.empty(), book_document(device))
    before = canonical.encode(str(book_module.as_document(in_force)))
    document = copy.deepcopy(book_document(device))
    change(document)
    with pytest.raises(BookError) as caught:
        book_module.amend(in_force, document)
    assert any(text in one for one in caught.value.errors), caught.value.errors
    assert canonical.encode(str(book_module.as_document(in_force))) == before


def test_all_faults_are_named_at_once() -> None:
    document = book_document(Device())
    document["prices"][0]["unit_price_minor"] = -1
    document["lots"][0]["quantity"] = -1
    with pytest.raises(BookError) as caught:
        book_module.amend(book_module.empty(), document)
    assert len(caught.value.errors) == 2


@pytest.mark.parametrize("document", [None, [], "book", 7])
def test_what_is_no_amendment_is_refused(document: object) -> None:
    with pytest.raises(BookError, match="an amendment is a JSON object"):
        book_module.amend(book_module.empty(), document)


def test_an_installation_is_neither_moved_nor_removed() -> None:
    device = Device()
    in_force = book_module.amend(book_module.empty(), book_document(device))
    moved = book_document(device)["installations"]
    moved[0]["asset"] = "elsewhere"
    for document in ({"installations": moved}, {"remove": {"installations": [device.name]}}):
        with pytest.raises(BookError, match="container-1"):
            book_module.amend(in_force, document)
    retired = [book_document(device)["installations"][0] | {"retired": 1}]
    assert book_module.amend(in_force, {"installations": retired}).installations[device.name].retired == 1


def test_a_book_is_its_document() -> None:
    in_force = book_module.amend(book_module.empty(), book_document(Device("a"), Device("b", seed=2)))
    again = book_module.amend(book_module.empty(), book_module.as_document(in_force))
    assert book_module.as_document(again) == book_module.as_document(in_force)
