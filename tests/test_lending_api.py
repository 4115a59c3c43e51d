"""The API of what is lent: facilities and their bases of any moment, exposures, stress and the market."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import JSON, TOKEN, ApiCloud, assert_problem, shown
from builders import IN_LOS_ANGELES, MINUTE_MS, NOON_MS, Device, book_document, position

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.collateral.exposure import BY

QUOTES = {
    "prices": [{"series": "steel", "date": "2025-12-31", "price": "10.00", "currency": "USD"}],
    "rates": [{"currency": "USD", "date": "2025-12-31", "rate": "1.25"}],
}
CORRECTION = {"prices": [{"series": "steel", "date": "2025-12-31", "price": "8.00", "currency": "USD"}]}


class LendingCloud(ApiCloud):
    """Two facilities, of which one is lent against what is quoted."""

    def at(self, minute: int) -> None:
        """So many minutes past noon."""
        self.clock.at_ms = NOON_MS + minute * MINUTE_MS

    def tell(self) -> None:
        """Sofas at an agreed price and steel at a quoted one, in port from 12:02; at 12:20 the quote is corrected."""
        self.spine.commit(drafts.amend, document(self.device))
        self.at(1)
        self.spine.commit(drafts.quote, QUOTES)
        self.at(2)
        self.measure(2, *position(IN_LOS_ANGELES))
        self.at(20)
        self.spine.commit(drafts.quote, CORRECTION)

    def post(self, path: str, document: object, status: int = 200) -> Any:
        """The JSON that a document is answered with."""
        answer = self.client.post(path, json=document)
        assert answer.status_code == status, answer.text
        return answer.json()


def document(device: Device) -> dict[str, Any]:
    """Two facilities. One is called as a noun of the API is, and so is a third, which has no goods."""
    made = book_document(device)
    party = {"lender": "bank", "borrower": "exporter"}
    facilities = [
        *made["facilities"],
        {"id": "exposures", **party, "currency": "EUR", "policy": "half", "outstanding_minor": 390_000},
        {"id": "stress", **party, "currency": "EUR"},
    ]
    steel = {"id": "lot-steel", "asset": "asset-container-1", "facility": "exposures", "sku": "steel"}
    return {
        **made,
        "facilities": facilities,
        "policies": [{"id": "half", "advance_bp": {"at_port": 5_000, "in_transit": 2_500}}],
        "products": [{"sku": "steel", "series": "steel"}],
        "lots": [*made["lots"], {**steel, "quantity": 1_000, "vessel": "ever-given", "corridor": "pacific"}],
    }


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LendingCloud]:
    made = LendingCloud(tmp_path)
    yield made
    made.close()


def moment(minute: int) -> str:
    return f"2026-01-01T12:{minute:02}:00Z"


# Facilities.


def test_every_facility_is_listed_with_its_base(cloud: LendingCloud) -> None:
    cloud.tell()
    found = {one["id"]: one for one in cloud.get("/facilities")}
    assert list(found) == ["exposures", "facility-1", "stress"]
    base = found["exposures"]["base"]
    assert (base["gross_minor"], base["eligible_minor"], base["advance"]) == (640_000, 640_000, {"at_port": 320_000})
    assert (base["base_minor"], base["headroom_minor"], base["availability_minor"]) == (320_000, -70_000, 0)
    assert (found["exposures"]["cover"], found["exposures"]["call_minor"]) == ("called", 70_000)
    assert found["facility-1"]["base"]["ineligible"] == {"lot_haircut": 10_000_000}
    assert found["stress"]["base"]["lots"] == 0


def test_a_facility_has_the_lines_of_its_lots(cloud: LendingCloud) -> None:
    cloud.tell()
    found = cloud.get("/facilities/exposures")
    line = {
        "id": "lot-steel",
        "value_minor": 640_000,
        "ineligible": {},
        "eligible_minor": 640_000,
        "advance_minor": 320_000,
        "in_class": "at_port",
        "is_unvalued": False,
        "grounds": [],
        "told": [],
    }
    assert found["lines"] == [line]
    (sofas,) = cloud.get("/facilities/facility-1")["lines"]
    assert (sofas["value_minor"], sofas["ineligible"]) == (20_000_000, {"lot_haircut": 10_000_000})
    assert cloud.get("/facilities/stress")["lines"] == []
    assert assert_problem(cloud.client.get("/facilities/ghost"), 404)["detail"] == "there is no facility 'ghost'"


def test_the_lines_are_there_after_a_restart_too(cloud: LendingCloud, tmp_path: Path) -> None:
    """A snapshot holds no desk."""
    cloud.tell()
    lines = cloud.get("/facilities/exposures")["lines"]
    cloud.store.keep_snapshot(cloud.spine.state.entry, state_module.pieces(cloud.spine.state))
    again = LendingCloud(tmp_path)
    assert again.spine.state.desk is None
    assert again.get("/facilities/exposures")["lines"] == lines
    assert again.post("/stress", {"shocks": [{"id": "none"}]}) == cloud.post("/stress", {"shocks": [{"id": "none"}]})
    again.close()


# The base of any moment.


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ("12:20", "12:20", 640_000, "at_port", 4)),
        (f"?known_at={moment(0)}", ("12:00", "12:00", 0, "in_transit", 1)),
        (f"?known_at={moment(1)}", ("12:01", "12:01", 800_000, "in_transit", 2)),
        (f"?known_at={moment(19)}", ("12:19", "12:19", 800_000, "at_port", 3)),
        (f"?as_of={moment(1)}", ("12:01", "12:20", 640_000, "in_transit", 4)),
        (f"?as_of={moment(5)}&known_at={moment(19)}", ("12:05", "12:19", 800_000, "at_port", 3)),
        (f"?as_of={moment(5)}&known_at={moment(20)}", ("12:05", "12:20", 640_000, "at_port", 4)),
        ("?as_of=2026-01-01T13:05:00%2B01:00", ("12:05", "12:20", 640_000, "at_port", 4)),
        (f"?as_of={moment(40)}", ("12:40", "12:40", 640_000, "at_port", 4)),
    ],
)
def test_a_base_of_any_moment_by_what_was_known_at_any_other(
    cloud: LendingCloud, query: str, expected: tuple[str, str, int, str, int]
) -> None:
    cloud.tell()
    found = cloud.get(f"/facilities/exposures/base{query}")
    (line,) = found["lines"]
    told = found["as_of"][11:16], found["known_at"][11:16], found["base"]["gross_minor"], line["in_class"]
    assert (*told, found["entry"]) == expected
    assert (found["facility"], found["currency"], line["value_minor"]) == ("exposures", "EUR", expected[2])
    assert line["is_unvalued"] == (expected[2] == 0)


def test_before_a_facility_was_in_the_book_it_had_no_base(cloud: LendingCloud) -> None:
    cloud.tell()
    found = assert_problem(cloud.client.get("/facilities/exposures/base?as_of=2025-12-30T12:05:00Z"), 422)
    text = "there was no facility 'exposures' at 2025-12-30T12:05:00Z; it was entered later; there were: none"
    assert found["detail"] == text


def test_late_readings_change_what_is_true_and_not_what_was_known(cloud: LendingCloud) -> None:
    cloud.tell()
    first = cloud.device.measure(NOON_MS + 10 * MINUTE_MS, *position((400_000_000, 1_700_000_000)))
    cloud.at(30)
    cloud.spine.take([cloud.device.arrival([first])])
    path = f"/facilities/exposures/base?as_of={moment(15)}"
    assert cloud.get(f"{path}&known_at={moment(29)}")["lines"][0]["in_class"] == "at_port"
    assert cloud.get(f"{path}&known_at={moment(30)}")["lines"][0]["in_class"] == "in_transit"


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        (
            "exposures/base?as_of=noon",
            422,
            "as_of: 'noon' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z",
        ),
        (
            "exposures/base?known_at=2026-01-01T12:00:00",
            422,
            "known_at: '2026-01-01T12:00:00' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z",
        ),
        (
            "exposures/base?as_of=2026-01-01T12:00:00.0001Z",
            422,
            "as_of: '2026-01-01T12:00:00.0001Z' is finer than a millisecond",
        ),
        ("exposures/base?as_of=", 422, "as_of: '' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z"),
        (
            f"exposures/base?as_of={moment(6)}&known_at={moment(5)}",
            422,
            "as of 2026-01-01T12:06:00Z lies after known at 2026-01-01T12:05:00Z: nobody knew then",
        ),
        (
            "exposures/base?known_at=2026-01-01T11:59:59Z",
            422,
            "there was no facility 'exposures' at 2026-01-01T11:59:59Z; there were: none",
        ),
        (
            "ghost/base",
            404,
            "there was no facility 'ghost' at 2026-01-01T12:20:00Z; there were: exposures, facility-1, stress",
        ),
        (
            "ghost/base?as_of=noon",
            422,
            "as_of: 'noon' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z",
        ),
    ],
)
def test_a_base_that_cannot_be_had_is_a_problem_with_one_sentence(
    cloud: LendingCloud, path: str, status: int, detail: str
) -> None:
    cloud.tell()
    assert assert_problem(cloud.client.get(f"/facilities/{path}"), status)["detail"] == detail


def test_the_base_of_a_facility_that_is_no_more_is_still_there(cloud: LendingCloud) -> None:
    cloud.tell()
    cloud.at(30)
    repaid = {"id": "all", "kind": "repayment", "at": moment(30), "amount_minor": 390_000}
    cloud.spine.commit(drafts.move, "exposures", {"movements": [repaid]})
    cloud.spine.commit(drafts.amend, {"remove": {"facilities": ["exposures"], "lots": ["lot-steel"]}})
    assert_problem(cloud.client.get("/facilities/exposures"), 404)
    assert_problem(cloud.client.get("/facilities/exposures/base"), 404)
    assert cloud.get(f"/facilities/exposures/base?known_at={moment(29)}")["base"]["gross_minor"] == 640_000
    assert cloud.get(f"/facilities/exposures/base?as_of={moment(29)}")["base"]["gross_minor"] == 640_000


def test_a_journal_without_entries_has_no_base(cloud: LendingCloud) -> None:
    assert cloud.get("/facilities") == []
    assert_problem(cloud.client.get("/facilities/exposures/base"), 404)
    assert cloud.get("/exposures/vessel?currency=EUR")["exposures"] == []
    assert cloud.post("/stress", {"shocks": [{"id": "none"}]}) == {"stressed": [], "unknown": []}


# Exposures.


def test_exposures_in_one_currency(cloud: LendingCloud) -> None:
    """Sofas for 10,000,000 cents eligible and 2 of advance; steel 640,000 euro cents, which are 800,000 of a dollar."""
    cloud.tell()
    assert cloud.get("/exposures/vessel?currency=USD") == {
        "by": "vessel",
        "currency": "USD",
        "exposures": [
            {
                "word": "",
                "lots": 1,
                "gross_minor": 20_000_000,
                "eligible_minor": 10_000_000,
                "advance_minor": 10_000_000,
            },
            {
                "word": "ever-given",
                "lots": 1,
                "gross_minor": 800_000,
                "eligible_minor": 800_000,
                "advance_minor": 400_000,
            },
        ],
        "next_after": "",
    }
    euros = {one["word"]: one["gross_minor"] for one in cloud.get("/exposures/vessel?currency=EUR")["exposures"]}
    assert euros == {"": 16_000_000, "ever-given": 640_000}
    for by, words in (("port", {"los-angeles"}), ("corridor", {"", "pacific"}), ("currency", {"USD", "EUR"})):
        assert {one["word"] for one in cloud.get(f"/exposures/{by}?currency=USD")["exposures"]} == words
    for by in BY:
        found = cloud.get(f"/exposures/{by}?currency=USD")["exposures"]
        assert sum(one["advance_minor"] for one in found) == 10_400_000, by


def test_exposures_that_cannot_be_had_are_problems(cloud: LendingCloud) -> None:
    cloud.tell()
    found = assert_problem(cloud.client.get("/exposures/colour?currency=USD"), 404)
    assert found["detail"] == f"exposure is by one of {', '.join(BY)}, not by 'colour'"
    found = assert_problem(cloud.client.get("/exposures/vessel?currency=ABC"), 422)
    assert found["errors"] == ["'ABC' is no currency of ISO 4217 that has a minor unit"]
    found = assert_problem(cloud.client.get("/exposures/vessel?currency=JPY"), 422)
    assert found["errors"] == ["JPY: there is no exchange rate on or before 2026-01-01"]
    found = assert_problem(cloud.client.get("/exposures/vessel"), 422)
    assert found["errors"] == ["query.currency: Field required"]


def test_no_noun_is_taken_for_a_facility(cloud: LendingCloud) -> None:
    """A facility may be called as another noun is."""
    cloud.tell()
    assert cloud.get("/facilities/exposures")["id"] == "exposures"
    assert cloud.get("/facilities/exposures/base")["facility"] == "exposures"
    assert cloud.get("/facilities/stress/base")["facility"] == "stress"
    assert_problem(cloud.client.get("/facilities/exposures/vessel?currency=USD"), 404)
    assert_problem(cloud.client.post("/facilities/stress", json={"shocks": [{"id": "none"}]}), 405)


# Stress.


def test_stress_tells_every_facility_under_every_shock_and_changes_nothing(cloud: LendingCloud) -> None:
    cloud.tell()
    before = cloud.get("/facilities")
    shocks = [
        {"id": "prices", "price_bp": -2_000},
        {"id": "sofas", "series_bp": {"=sofa": -2_000}},
        {"id": "dollar", "currency_bp": {"USD": -500}},
        {"id": "port", "lost_fences": ["los-angeles"]},
        {"id": "vessel", "lost": {"vessel": ["ever-given"]}},
    ]
    found = cloud.post("/stress", {"shocks": shocks})["stressed"]
    told = {(one["shock"], one["facility"]): (one["base"]["gross_minor"], one["call_minor"]) for one in found}
    assert told == {
        ("prices", "exposures"): (512_000, 390_000 - 256_000),
        ("prices", "facility-1"): (16_000_000, 0),
        ("prices", "stress"): (0, 0),
        ("sofas", "exposures"): (640_000, 70_000),
        ("sofas", "facility-1"): (16_000_000, 0),
        ("sofas", "stress"): (0, 0),
        ("dollar", "exposures"): (608_000, 390_000 - 304_000),
        ("dollar", "facility-1"): (20_000_000, 0),
        ("dollar", "stress"): (0, 0),
        ("port", "exposures"): (0, 390_000),
        ("port", "facility-1"): (0, 5_000_000),
        ("port", "stress"): (0, 0),
        ("vessel", "exposures"): (0, 390_000),
        ("vessel", "facility-1"): (20_000_000, 0),
        ("vessel", "stress"): (0, 0),
    }
    assert [one["lots_lost"] for one in found if one["facility"] == "exposures"] == [0, 0, 0, 1, 1]
    assert cloud.get("/facilities") == before
    assert cloud.store.counts().entries == 4


def test_shocks_that_are_none_are_refused_with_their_places(cloud: LendingCloud) -> None:
    cloud.tell()
    bad = {"shocks": [{"id": "a", "price_bp": 1.5}, {"price_bp": 1}]}
    found = assert_problem(cloud.client.post("/stress", json=bad), 422)
    assert found["detail"] == "the shocks are refused"
    assert found["errors"] == [
        "shocks[0].price_bp: 1.5 is not a whole number from -10000 to 100000",
        "shocks[1].id: is missing",
    ]
    assert_problem(cloud.client.post("/stress", content=b"{", headers=JSON), 422)
    assert_problem(cloud.client.post("/stress", content=b"{}", headers={"content-type": "text/csv"}), 415)
    assert_problem(cloud.client.get("/stress"), 405)


# The market.


def test_quotes_are_taken_known_already_or_corrected(cloud: LendingCloud) -> None:
    assert cloud.get("/market") == {"prices": [], "rates": []}
    assert cloud.post("/market/quotes", QUOTES) == {"entry": 1, "changed": True}
    assert cloud.get("/market") == {
        "prices": [{"series": "steel", "date": "2025-12-31", "price": "10.00", "currency": "USD", "per": 1}],
        "rates": [{"currency": "USD", "date": "2025-12-31", "rate": "1.25"}],
    }
    assert cloud.post("/market/quotes", QUOTES) == {"entry": None, "changed": False}
    assert cloud.post("/market/quotes", cloud.get("/market"))["changed"] is False
    assert cloud.store.counts().entries == 1
    assert cloud.post("/market/quotes", CORRECTION) == {"entry": 2, "changed": True}
    assert [one["price"] for one in cloud.get("/market")["prices"]] == ["8.00"]


def test_quotes_are_refused_whole_with_their_places(cloud: LendingCloud) -> None:
    cloud.post("/market/quotes", QUOTES)
    before = cloud.get("/market")
    good = {"series": "steel", "date": "2026-01-01", "price": "9.00", "currency": "USD"}
    bad = {"prices": [good, {**good, "date": "2026-02-30"}, {**good, "series": "tin", "price": 5.2}]}
    found = assert_problem(cloud.client.post("/market/quotes", json=bad), 422)
    assert found["detail"] == "the quotes are refused; those in force stay"
    assert found["errors"] == [
        "prices[1].date: '2026-02-30' is not a day, as 2026-01-31",
        'prices[2].price: 5.2 is a binary fraction and not what was quoted: write "5.2", as text',
    ]
    for body in (b"[]", b"7", b"{", b'{"quotes": []}'):
        assert_problem(cloud.client.post("/market/quotes", content=body, headers=JSON), 422)
    assert cloud.get("/market") == before
    assert cloud.store.counts().entries == 1


def test_quotes_move_the_bases_at_once(cloud: LendingCloud) -> None:
    cloud.tell()
    cloud.at(30)
    assert cloud.post("/market/quotes", QUOTES)["entry"] == 5
    assert cloud.get("/facilities/exposures")["base"]["gross_minor"] == 800_000
    (event,) = cloud.get("/events?after_entry=4")["events"][:1]
    assert (event["type"], event["facts"]["change_price"]) == ("base_recomputed", 80_000)


def test_who_quotes_or_computes_shows_the_token(tmp_path: Path) -> None:
    cloud = LendingCloud(tmp_path, token=TOKEN)
    del cloud.client.headers["authorization"]
    shocks = {"shocks": [{"id": "none"}]}
    for headers in ({}, {"authorization": "Bearer wrong"}):
        assert_problem(cloud.client.post("/market/quotes", json=QUOTES, headers=headers), 401)
        assert_problem(cloud.client.post("/stress", json=shocks, headers=headers), 401)
    cloud.client.headers.update(shown(TOKEN))
    assert cloud.get("/market")["prices"] == []
    assert cloud.client.post("/market/quotes", json=QUOTES).json() == {"entry": 1, "changed": True}
    assert cloud.client.post("/stress", json=shocks).status_code == 200
    cloud.close()
