"""What a book says of money that may move: what is refused, where and with which cure, and what is kept of it."""

import copy
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from milestoning import FIRST, SECOND, SHIPMENT, Trade, fact, milestone, moment

from pledgewatch_cloud.book_schema import schema
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.items.parties import is_iban, keys_of
from pledgewatch_cloud.decide.milestones import terms
from pledgewatch_cloud.decide.milestones.clauses import FACT_PARAMETERS, Upon
from pledgewatch_cloud.decide.moments import short

CLEARED = fact("customs_cleared")
KEY = {"kid": "k1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}  # RFC 8037, A.2
NEEDED = "32 bytes in base64url"
IBAN, LEI = "GB33BUKB20201555555555", "5493001KJTIIGC8Y1R12"
CHECK = jsonschema.Draft202012Validator(schema())
Document = dict[str, Any]


def deal() -> Document:
    """A sound amendment: two tranches, the second after the first."""
    return {
        "parties": [{"id": "exporter", "name": "Example Exporter", "iban": IBAN, "lei": LEI}],
        "shipments": [SHIPMENT | {"about": {"container": [FIRST], "bill_of_lading": ["BL-1"]}}],
        "milestones": [
            milestone({"all": [CLEARED, fact("gated_in", fence="los-angeles")]}, id="first"),
            milestone(CLEARED, id="second", after=["first"], release={"share_bp": 4_000, "of": "value"}),
        ],
    }


def first(**changes: Any) -> Callable[[Document], None]:
    return lambda document: document["milestones"][0].update(changes)


def asks(when: Document) -> Callable[[Document], None]:
    return first(when=when)


def party(**changes: Any) -> Callable[[Document], None]:
    return lambda document: document["parties"][0].update(changes)


def shipment(**changes: Any) -> Callable[[Document], None]:
    return lambda document: document["shipments"][0].update(changes)


def share(milestone_id: str, bp: int, of: str = "value", **more: Any) -> Document:
    return milestone(CLEARED, id=milestone_id, release={"share_bp": bp, "of": of}, **more)


def also(*milestones: Document) -> Callable[[Document], None]:
    return lambda document: document["milestones"].extend(milestones)


def without(section: str, key: str) -> Callable[[Document], None]:
    return lambda document: document[section][0].pop(key)


def other_facility(document: Document) -> None:
    document["facilities"] = [{"id": "facility-2", "lender": "bank", "borrower": "exporter", "currency": "USD"}]
    document["lots"] = [LOTS[SECOND] | {"facility": "facility-2"}]


def two_facilities(document: Document) -> None:
    """The goods in the second container are another facility's; the container and the booking may be shared."""
    other_facility(document)
    about = {"container": [FIRST], "bill_of_lading": ["BL-1"], "booking": ["B-1"]}
    document["shipments"] = [
        SHIPMENT | {"lots": [f"lot-{FIRST}"], "about": about},
        SHIPMENT | {"id": "shipment-2", "facility": "facility-2", "lots": [f"lot-{SECOND}"], "about": about},
    ]


def one_receipt(document: Document) -> None:
    """The goods in both containers have one receipt, and are two facilities'."""
    two_facilities(document)
    for one in document["shipments"]:
        one.pop("about")
    receipt = {"receipt": {"id": "R-1", "state": "valid"}}
    document["lots"] = [LOTS[FIRST] | receipt, LOTS[SECOND] | receipt | {"facility": "facility-2"}]


def receipt_in_a_shipment(document: Document) -> None:
    """One facility's shipment names the receipt of another one's goods."""
    one_receipt(document)
    document["lots"][0].pop("receipt")
    document["shipments"][0]["about"] = {"receipt": ["R-1"]}


def only_pays_the_bank(document: Document) -> None:
    document["facilities"] = [FACILITY | {"payees": ["bank"]}]


TRADE = Trade()
LOTS = {name: TRADE.lot(name) for name in (FIRST, SECOND)}
FACILITY = TRADE.document["facilities"][0]
CIRCLE = "let one of them wait for no other"

FAULTS: list[tuple[str, Callable[[Document], Any], list[str]]] = [
    # what is wrong, how, and every error
    (
        "an unknown fact",
        asks({"all": [{"fact": "goods_gone"}]}),
        [f"milestones[0].when.all[0].fact: 'goods_gone' is none of {', '.join(FACT_PARAMETERS)}"],
    ),
    ("no clause", without("milestones", "when"), ["milestones[0].when: is missing: say what lets the money move"]),
    ("no release", without("milestones", "release"), ["milestones[0].release: is missing: say how much moves"]),
    (
        "a fence that is none",
        asks(fact("gated_in", fence="atlantis")),
        ["milestones first.when: gated_in.fence: there is no 'atlantis' among fences"],
    ),
    (
        "a sender that is none",
        asks(fact("arrived", sender="gossip")),
        ["milestones first.when: arrived.sender: there is no 'gossip' among senders"],
    ),
    (
        "a lot that is not in the shipment",
        asks(fact("arrived", lot="lot-9")),
        ["milestones first.when: arrived.lot: the milestone is not about 'lot-9'"],
    ),
    (
        "a limit that a lot does not have",
        asks(fact("condition_kept", limit="humidity", lot=f"lot-{FIRST}")),
        [f"milestones first.when: condition_kept.limit: lot-{FIRST} has no limit 'humidity'"],
    ),
    (
        "waiting for nobody",
        first(after=["ghost"]),
        ["milestones first.after: there is no 'ghost' among milestones"],
    ),
    (
        "waiting for itself",
        first(after=["first"]),
        [f"milestones first: waits in a circle, by way of first; {CIRCLE}"],
    ),
    (
        "waiting for each other, by `after` and by a fact",
        asks({"not": fact("milestone_released", milestone="second")}),
        [
            f"milestones first: waits in a circle, by way of second; {CIRCLE}",
            f"milestones second: waits in a circle, by way of first; {CIRCLE}",
        ],
    ),
    (
        "waiting in a circle of three, and another for them",
        lambda document: (
            first(after=["third"])(document),
            also(
                milestone({"any": [fact("milestone_released", milestone="second")]}, id="third"),
                milestone(CLEARED, id="fourth", after=["third"]),
            )(document),
        ),
        [
            f"milestones first: waits in a circle, by way of third; {CIRCLE}",
            f"milestones second: waits in a circle, by way of first; {CIRCLE}",
            f"milestones third: waits in a circle, by way of second; {CIRCLE}",
        ],
    ),
    (
        "more than all of it",
        first(release={"share_bp": 10_001, "of": "value"}),
        ["milestones[0].release.share_bp: 10001 is not a whole number from 1 to 10000"],
    ),
    (
        "a share of nothing that there is",
        first(release={"share_bp": 10, "of": "hope"}),
        ["milestones[0].release.of: 'hope' is none of value, limit"],
    ),
    (
        "nothing",
        first(release={"amount_minor": 0}),
        ["milestones[0].release.amount_minor: 0 is not a whole number from 1"],
    ),
    (
        "an amount and a share",
        first(release={"amount_minor": 5, "share_bp": 5, "of": "value"}),
        ["milestones[0].release.of: no such key", "milestones[0].release.share_bp: no such key"],
    ),
    (
        "shares that come to more than all of the value",
        also(share("third", 6_001)),
        ["milestones second, third: release 10001 bp of the value of lot-CSQU3054383; let them come to 10000 at most"],
    ),
    (
        "also where one is about a lot and one about the shipment that it is in",
        also(share("third", 6_001, shipment=None, lot=f"lot-{FIRST}")),
        ["milestones second, third: release 10001 bp of the value of lot-MSKU1234565; let them come to 10000 at most"],
    ),
    (
        "shares of a limit that come to more than all of it",
        lambda document: (
            also(share("third", 9_000, "limit"), share("fourth", 1_001, "limit"))(document),
            document.update(facilities=[FACILITY | {"limit_minor": 1_000}]),
        ),
        ["milestones fourth, third: release 10001 bp of the limit of facility-1; let them come to 10000 at most"],
    ),
    (
        "a share of a limit that is none",
        first(release={"share_bp": 100, "of": "limit"}),
        ["milestones first.release.of: facility-1 has no limit that a share could be of"],
    ),
    (
        "an unknown payee",
        first(payee="stranger"),
        ["milestones first.payee: there is no 'stranger' among parties"],
    ),
    (
        "a payee that the facility does not pay",
        only_pays_the_bank,
        [
            "milestones first.payee: facility-1 pays bank only, not exporter",
            "milestones second.payee: facility-1 pays bank only, not exporter",
        ],
    ),
    (
        "payees of a facility that are none",
        lambda document: document.update(facilities=[FACILITY | {"payees": ["exporter", "stranger"]}]),
        ["facilities facility-1.payees: there is no 'stranger' among parties"],
    ),
    (
        "an account with a slip of the pen",
        party(iban="GB33BUKB20201555555556"),
        ["parties[0].iban: 'GB33BUKB20201555555556' is none: its check digits are wrong (ISO 13616)"],
    ),
    (
        "an account that is no IBAN",
        party(iban="GB33"),
        ["parties[0].iban: 'GB33' is none: its check digits are wrong (ISO 13616)"],
    ),
    ("an account that is left empty", party(iban=""), ["parties[0].iban: '' does not match [A-Z0-9]{1,34}"]),
    (
        "two accounts",
        party(account="12345678"),
        ["parties[0].account: there is an iban as well; name one of both"],
    ),
    (
        "an identifier with a slip of the pen",
        party(lei="5493001KJTIIGC8Y1R13"),
        ["parties[0].lei: '5493001KJTIIGC8Y1R13': the check digits are 13 and should be 12 (ISO 17442)"],
    ),
    (
        "two keys of one name",
        party(keys=[KEY, KEY | {"kid": "k2"}, KEY]),
        ["parties[0].keys[2].kid: 'k1' is the name of another key already; give it its own"],
    ),
    (
        "a key that is too short",
        party(keys=[KEY, {"kid": "k2", "x": "AAAA"}]),
        [
            "parties[0].keys[1].x: 'AAAA' is no public key of Ed25519 that can be used: 32 bytes in base64url",
        ],
    ),
    (
        "a key that anybody could sign with",
        party(keys=[KEY | {"x": "A" * 43}]),
        [f"parties[0].keys[0].x: {'A' * 43!r} is no public key of Ed25519 that can be used: 32 bytes in base64url"],
    ),
    (
        "a key in hexadecimal",
        party(keys=[KEY | {"x": "d7" * 32}]),
        [f"parties[0].keys[0].x: {short('d7' * 32)} is no public key of Ed25519 that can be used: {NEEDED}"],
    ),
    (
        "a key with bits too many",
        party(keys=[KEY | {"x": f"{KEY['x'][:-1]}p"}]),
        [
            "parties[0].keys[0].x: the x is not in the one spelling of its bytes: its last sign carries bits too many",
        ],
    ),
    (
        "a key without its name",
        party(keys=[{"x": KEY["x"]}]),
        ["parties[0].keys[0].kid: is missing"],
    ),
    (
        "a key with its private half",
        party(keys=[KEY | {"d": "AAAA"}]),
        ["parties[0].keys[0].d: no such key"],
    ),
    (
        "too many keys",
        party(keys=[KEY | {"kid": f"k{number}"} for number in range(21)]),
        ["parties[0].keys: there are 21; at most 20, so take out what is not signed with"],
    ),
    ("an identifier that is none", party(lei="549300"), ["parties[0].lei: '549300' is no LEI of ISO 17442"]),
    (
        "a shipment with goods that are pledged elsewhere",
        other_facility,
        [f"shipments shipment-1.lots: lot-{SECOND} is pledged to facility-2, not to facility-1"],
    ),
    (
        "a bill of lading that another facility lends on",
        two_facilities,
        [
            (
                "shipments shipment-2.about: bill_of_lading:BL-1 is in shipments shipment-1.about of facility-1 as"
                " well; take it out of one of them"
            )
        ],
    ),
    (
        "a warehouse receipt that another facility lends on",
        one_receipt,
        [
            (
                f"lots lot-{FIRST}.receipt: receipt:R-1 is in lots lot-{SECOND}.receipt of facility-2 as well;"
                " take it out of one of them"
            )
        ],
    ),
    (
        "and one that is in another facility's shipment",
        receipt_in_a_shipment,
        [f"lots lot-{SECOND}.receipt: receipt:R-1 is in shipments shipment-1.about of facility-1 as well"],
    ),
    (
        "a shipment of nothing",
        shipment(lots=[]),
        ["shipments[0].lots: name at least one lot that is in it"],
    ),
    (
        "a shipment of goods that are not in the book",
        shipment(lots=["lot-9"]),
        ["shipments shipment-1.lots: there is no 'lot-9' among lots"],
    ),
    (
        "a container number with a slip of the pen",
        shipment(about={"container": ["MSKU1234566"]}),
        ["shipments[0].about.container[0]: 'MSKU1234566': the check digit is 6 and should be 5 (ISO 6346)"],
    ),
    (
        "a word for what nobody speaks of",
        shipment(about={"pallet": ["1"]}),
        ["shipments[0].about.pallet: no such type of reference; there are container, bill_of_lading"],
    ),
    (
        "about a shipment and a lot",
        first(lot=f"lot-{FIRST}"),
        ["milestones[0].lot: a milestone is about a shipment or about a lot, one of both"],
    ),
    (
        "about neither",
        without("milestones", "shipment"),
        ["milestones[0].lot: a milestone is about a shipment or about a lot, one of both"],
    ),
    (
        "about a shipment that is none",
        first(shipment="shipment-9"),
        ["milestones first.shipment: there is no 'shipment-9' among shipments"],
    ),
    (
        "a word too many",
        first(destination="los-angeles"),
        ["milestones[0].destination: no such key"],
    ),
    (
        "no moment",
        first(expires_at="soon"),
        ["milestones[0].expires_at: 'soon' is not a time in ISO 8601 with its offset"],
    ),
    (
        "several faults at once",
        lambda document: (party(iban="GB00")(document), shipment(lots=[])(document), first(payee=7)(document)),
        [
            "parties[0].iban: 'GB00' is none",
            "shipments[0].lots: name at least one lot that is in it",
            "milestones[0].payee: 7 is no id",
        ],
    ),
]


@pytest.mark.parametrize(("change", "errors"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_a_bad_book_is_refused_with_every_fault_and_the_last_good_one_stays(
    change: Callable[[Document], Any], errors: list[str]
) -> None:
    trade = Trade()
    trade.amend(0, **deal())
    trade.say(5, "customs_cleared")
    before = state_module.digest(trade.spine.state)
    document = copy.deepcopy(deal())
    change(document)
    with pytest.raises(BookError) as caught:
        trade.amend(10, **document)
    assert len(caught.value.errors) == len(errors), caught.value.errors
    for found, expected in zip(sorted(caught.value.errors), sorted(errors), strict=True):
        assert found.startswith(expected), found
    assert state_module.digest(trade.spine.state) == before
    trade.amend(20, **deal())
    assert trade.memo("first").state == "pending"


def test_shares_may_come_to_all_of_it() -> None:
    trade = Trade()
    trade.amend(0, **deal())
    trade.amend(1, milestones=[share("third", 6_000)])
    assert {"first", "second", "third"} == {*trade.spine.state.book.milestones}


def test_what_milestones_rest_on_cannot_leave_the_book_before_them() -> None:
    trade = Trade()
    trade.amend(0, **deal())
    kept = {
        "shipments": ("shipment-1", "milestones first.shipment: there is no 'shipment-1' among shipments"),
        "parties": ("exporter", "milestones first.payee: there is no 'exporter' among parties"),
        "lots": (f"lot-{FIRST}", f"shipments shipment-1.lots: there is no 'lot-{FIRST}' among lots"),
        "milestones": ("first", "milestones second.after: there is no 'first' among milestones"),
        "facilities": ("facility-1", "milestones first.facility: there is no 'facility-1' among facilities"),
    }
    for section, (name, error) in kept.items():
        with pytest.raises(BookError) as caught:
            trade.amend(1, remove={section: [name]})
        assert error in caught.value.errors, section


def test_a_milestone_stays_with_its_facility() -> None:
    trade = Trade()
    trade.amend(0, **deal())
    document = deal()
    other_facility(document)
    lots = [one | {"facility": "facility-2"} for one in LOTS.values()]
    moved = [one | {"facility": "facility-2"} for one in document["milestones"]]
    shipments = [document["shipments"][0] | {"facility": "facility-2"}]
    with pytest.raises(BookError) as caught:
        trade.amend(1, facilities=document["facilities"], lots=lots, shipments=shipments, milestones=moved)
    assert caught.value.errors == (
        "milestones first.facility: it is facility-1's; give the new milestone an id of its own",
        "milestones second.facility: it is facility-1's; give the new milestone an id of its own",
    )


def test_a_book_of_milestones_is_its_document_and_its_schema_knows_it() -> None:
    trade = Trade()
    document = deal()
    document["milestones"][0] |= {"expires_at": moment(60)}
    document["milestones"][0]["when"] = {"upon": fact("gated_in", fence="los-angeles", dwell_s=60), "that": CLEARED}
    account = {"account": "12345678", "bic": "BUKBGB22"}
    document["parties"].append({"id": "warehouse", "name": "Example Stores", **account, "keys": [KEY]})
    assert [error.message for error in CHECK.iter_errors(document)] == []
    trade.amend(0, **document)
    book = trade.spine.state.book
    assert isinstance(book.milestones["first"].when, Upon)
    written = book_module.as_document(book)
    assert [error.message for error in CHECK.iter_errors(written)] == []
    again = book_module.amend(book_module.empty(), written)
    assert book_module.is_same(again, book)
    assert [one for one in written["milestones"] if one["id"] == "first"] == [document["milestones"][0]]
    assert [one for one in written["parties"] if one["id"] == "warehouse"] == [document["parties"][1]]
    assert keys_of(book.parties, "warehouse") == {"k1": jose.public_key(KEY["x"])}
    assert keys_of(book.parties, "exporter") == keys_of(book.parties, "nobody") == {}
    del document["milestones"][0]["when"]["that"]
    assert [*CHECK.iter_errors(document)] != []


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (IBAN, True),
        ("DE89370400440532013000", True),
        ("NO9386011117947", True),
        ("DE88370400440532013000", False),
        ("DE98370400440532013000", False),
        ("de89370400440532013000", False),
        ("DE89 3704 0044 0532 0130 00", False),
        ("", False),
    ],
)
def test_an_iban_by_its_check_digits(text: str, is_one: bool) -> None:
    assert is_iban(text) is is_one


def test_the_ways_in_which_notices_may_speak_of_goods() -> None:
    trade = Trade()
    trade.amend(0, **deal())
    book = trade.spine.state.book
    scope = terms.scope_of(book.milestones["first"], book.lots, book.shipments)
    assert {*scope.references} == {
        "shipment:shipment-1",
        f"container:{FIRST}",
        f"container:{SECOND}",
        "bill_of_lading:BL-1",
        f"lot:lot-{FIRST}",
        f"lot:lot-{SECOND}",
    }
