"""Warehouses over the API: cases and the counts they ask for, and counts that are handed in, taken and refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import assert_problem, client_over
from asking import AppClient
from builders import MINUTE_MS, NOON_MS
from httpx2 import Response
from keeping import SKU, Keeping, sofas
from receipting import BANK, DEPOSITOR, FIRST, WAREHOUSE
from warehouses import KEYS, PHOTO, SURVEYOR, count_text

from pledgewatch_cloud.decide import canonical, jose
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.replay import replay
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.spine.writer import Writer

SIGNED = {"content-type": "application/jose"}


class CasesCloud:
    """The API over a warehouse that is kept."""

    def __init__(self, folder: Path, **others: Any) -> None:
        self.store = SqliteStore(folder)
        self.keeping = Keeping(store=self.store)
        self.series = EmbeddedSeries(folder, self.store.journal)
        writer = Writer(self.keeping.spine, lambda _: None)
        self.client: AppClient = client_over(self.store, writer, self.series, clock=self.keeping.clock, **others)

    def close(self) -> None:
        """Let go of the files."""
        self.series.close()
        self.store.close()

    def get(self, path: str) -> Any:
        """The JSON at a path, which is there."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, text: str, **headers: str) -> Response:
        """Hand in a count."""
        found: Response = self.client.post("/warehouses/counts", content=text, headers=SIGNED | headers)
        return found

    def short(self) -> None:
        """A receipt on 40 sofas is pledged, and 10 of them are sold from under it; a door has been open at night."""
        keeping = self.keeping
        keeping.row("received", 40)
        keeping.pledged(FIRST, sofas(40))
        keeping.at(1).row("sold", 10, minute=1)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CasesCloud]:
    made = CasesCloud(tmp_path, token="not-a-secret")
    yield made
    made.close()


def counted(units: int, minute: float = 2, **changes: Any) -> str:
    return count_text([(SKU, "A-01", units)], at=iso(NOON_MS + int(minute * MINUTE_MS)), **changes)


def test_a_case_is_told_with_its_task_its_goods_and_what_it_bears_on(cloud: CasesCloud) -> None:
    cloud.short()
    (listed,) = cloud.get(f"/warehouses/{WAREHOUSE}/cases")
    assert listed == {
        "case": "case-1",
        "kind": "stock_below_receipts",
        "warehouse": WAREHOUSE,
        "subject": [DEPOSITOR, SKU, "piece"],
        "state": "open",
        "opened": iso(NOON_MS + MINUTE_MS),
        "missing_milli": 10_000,
        "of_milli": 40_000,
        "measured": 0,
        "risk": 65,  # 25 for the kind, 10 for a quarter missing, 30 as it was never counted
        "due": iso(NOON_MS + MINUTE_MS + 25 * 3_600_000),  # 35 % of 72 hours
        "closed": None,
        "by_count": "",
    }
    key = {"warehouse": WAREHOUSE, "owner": DEPOSITOR, "sku": SKU, "bin": "A-01", "unit": "piece"}
    assert cloud.get("/warehouses/cases/case-1") == {
        **listed,
        "keys": [{**key, "claimed_milli": 40_000, "stock_milli": 30_000, "counted": None}],
        "receipts": [FIRST],
        "lots": [{"lot": "lot", "missing": 10}],
    }


def test_count_tasks_come_the_most_urgent_first_with_a_form_that_tells_no_quantity(cloud: CasesCloud) -> None:
    cloud.short()
    keeping = cloud.keeping
    keeping.row("received", 30, "A-02", sku="CHAIR-1")
    chairs = {**sofas(30, "A-02"), "sku": "CHAIR-1"}
    keeping.pledged(f"{WAREHOUSE}:0002", chairs)
    keeping.at(2).row("sold", 30, "A-02", minute=2, sku="CHAIR-1")
    tasks = cloud.get(f"/warehouses/{WAREHOUSE}/count-tasks?by={SURVEYOR}")
    assert [(one["case"], one["risk"]) for one in tasks] == [("case-2", 95), ("case-1", 65)]
    assert tasks[1] == {
        "case": "case-1",
        "kind": "stock_below_receipts",
        "risk": 65,
        "due": iso(NOON_MS + MINUTE_MS + 25 * 3_600_000),
        "state": "open",
        "form": {
            "count": "case-1",
            "warehouse": WAREHOUSE,
            "by": SURVEYOR,
            "at": None,
            "rows": [{"owner": DEPOSITOR, "sku": SKU, "bin": "A-01", "unit": "piece", "quantity_milli": None}],
            "photos": [],
        },
    }
    assert "quantity_milli" in str(tasks)
    assert "40000" not in str(tasks)
    assert "30000" not in str(tasks)


def test_the_form_filled_in_and_signed_is_a_count_that_is_taken_without_a_token(cloud: CasesCloud) -> None:
    cloud.short()
    (task,) = cloud.get(f"/warehouses/{WAREHOUSE}/count-tasks?by={SURVEYOR}")
    said = task["form"] | {"at": iso(NOON_MS + 2 * MINUTE_MS), "photos": [PHOTO]}
    said["rows"][0]["quantity_milli"] = 40_000
    covered = jose.to_sign("k1", said)
    cloud.keeping.at(2)
    answer = cloud.post(jose.compact(covered, KEYS[SURVEYOR].sign(covered)))
    assert answer.status_code == 201, answer.text
    assert answer.json()["ended"] == ["case-1"]


def test_a_count_that_finds_the_goods_ends_the_case_and_says_so_once(cloud: CasesCloud) -> None:
    cloud.short()
    cloud.keeping.at(2)
    text, before = counted(40, count="case-1"), cloud.keeping.spine.state.entry
    digest = canonical.sha256(text.encode())
    answer = cloud.post(text)
    assert (answer.status_code, answer.json()) == (
        201,
        {"entry": before + 1, "changed": True, "count": digest, "ended": ["case-1"]},
    )
    assert cloud.get(f"/warehouses/{WAREHOUSE}/cases") == []
    assert cloud.get(f"/warehouses/{WAREHOUSE}/count-tasks") == []
    (closed,) = cloud.get(f"/warehouses/{WAREHOUSE}/cases?with_closed=true")
    assert (closed["state"], closed["closed"], closed["by_count"]) == (
        "counted",
        iso(NOON_MS + 2 * MINUTE_MS),
        digest,
    )
    case = cloud.get("/warehouses/cases/case-1")
    assert case["keys"][0]["counted"] == {
        "milli": 40_000,
        "at": iso(NOON_MS + 2 * MINUTE_MS),
        "by": SURVEYOR,
        "count": digest,
    }
    assert case["lots"] == []
    again = cloud.post(text + "\n")
    assert (again.status_code, again.json()) == (
        200,
        {"entry": None, "changed": False, "count": digest, "ended": ["case-1"]},
    )
    assert cloud.keeping.spine.state.entry == before + 1


def test_a_count_that_finds_less_leaves_another_case_open(cloud: CasesCloud) -> None:
    cloud.short()
    cloud.keeping.at(2)
    assert cloud.post(counted(35)).json()["ended"] == ["case-1"]
    (found,) = cloud.get(f"/warehouses/{WAREHOUSE}/cases")
    assert (found["case"], found["kind"], found["missing_milli"], found["due"]) == (
        "case-2",
        "count_below",
        5_000,
        None,
    )
    assert cloud.get(f"/warehouses/{WAREHOUSE}/count-tasks") == []
    both = cloud.get(f"/warehouses/{WAREHOUSE}/cases?with_closed=true")
    assert [one["case"] for one in both] == ["case-2", "case-1"]


@pytest.mark.parametrize(
    ("text", "why", "cure"),
    [
        (counted(40, by=BANK), "bank-one may not count in la-1: its inspectors are surveyor", "have one of them count"),
        (counted(40, key=KEYS[BANK]), "the signature is not by the key k1 of surveyor", "sign it again"),
        (counted(40, photos=[]), "photos: [] is no list of 1 to 200 hashes", "photograph what was counted"),
        (counted(40, minute=99), "at: the count lies ahead of now", "set the signer's clock"),
        ("a.b", "count: a JWS in compact form has 3 parts", "docs/WAREHOUSES.md"),
        ("", "count: a JWS in compact form has 3 parts", "docs/WAREHOUSES.md"),
    ],
)
def test_a_count_that_is_refused_leaves_no_trace_and_says_why(
    cloud: CasesCloud, text: str, why: str, cure: str
) -> None:
    cloud.short()
    before = state_module.digest(cloud.keeping.spine.state)
    problem = assert_problem(cloud.post(text), 422)
    assert why in problem["why"]
    assert cure in problem["cure"]
    assert problem["detail"] == f"{problem['why']}; {problem['cure']}"
    assert state_module.digest(cloud.keeping.spine.state) == before


def test_what_is_no_signed_text_is_refused(cloud: CasesCloud) -> None:
    cloud.short()
    kind = {"content-type": "application/json"}
    problem = assert_problem(cloud.post("{}", **kind), 415)
    assert problem["detail"] == "send text/plain or application/jose, not application/json"
    assert_problem(cloud.post("x" * (jose.TEXT_MAX + 1)), 413)
    answer = cloud.client.post("/warehouses/counts", content=b"\xff", headers=SIGNED)
    assert "byte 0 of the body is none of a JWS" in assert_problem(answer, 422)["detail"]


def test_what_is_not_there_is_told(cloud: CasesCloud) -> None:
    for what in ("cases", "count-tasks"):
        problem = assert_problem(cloud.client.get(f"/warehouses/la-9/{what}"), 404)
        assert problem["detail"] == "there is no 'la-9' among warehouses"
        assert cloud.get(f"/warehouses/{WAREHOUSE}/{what}") == []
    problem = assert_problem(cloud.client.get("/warehouses/cases/case-9"), 404)
    assert "there is no case 'case-9'" in problem["detail"]


def test_cases_of_a_warehouse_that_has_left_the_book_are_still_there(cloud: CasesCloud) -> None:
    cloud.short()
    cloud.keeping.amend(remove={"warehouses": [WAREHOUSE], "stock_sources": ["wms"]})
    listed = cloud.get(f"/warehouses/{WAREHOUSE}/cases?with_closed=true")
    assert [one["case"] for one in listed] == ["case-1"]


def test_the_journal_with_counts_in_it_leads_to_the_same(cloud: CasesCloud, tmp_path: Path) -> None:
    cloud.short()
    cloud.keeping.at(2)
    assert cloud.post(counted(38)).status_code == 201
    assert replay(tmp_path).digest == state_module.digest(cloud.keeping.spine.state)
