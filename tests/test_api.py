"""The API over a running spine: what it says, what it refuses and how."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from builders import (
    AT_SEA,
    IN_LOS_ANGELES,
    MINUTE_MS,
    NOON_MS,
    Device,
    ManualClock,
    book_document,
    position,
    temperature,
)
from fastapi.testclient import TestClient

from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.api.app import create_app
from pledgewatch_cloud.clock import SystemClock
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import SubscriberCounts
from pledgewatch_cloud.journal.outbox import CORE
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import Quarantined
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.series.feeder import Feeder
from pledgewatch_cloud.service import ServiceError, token_in
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer

TOKEN = "not-a-secret"


class Cloud:
    """The API and what is behind it."""

    def __init__(self, folder: Path, token: str | None) -> None:
        self.device = Device()
        self.store = SqliteStore(folder)
        self.spine = Spine(self.store, ManualClock(NOON_MS + 60 * MINUTE_MS))
        self.writer = Writer(self.spine, lambda: None)
        self.series = EmbeddedSeries(folder, self.store.journal)
        self.feeder = Feeder(self.store, self.series)
        self.woken: list[int] = []
        service = Service(
            store=self.store,
            writer=self.writer,
            series=self.series,
            metrics=Metrics(),
            delivery_clock=SystemClock(),
            wake_relay=lambda: self.woken.append(1),
            broker_connected=lambda: True,
            broker_counts=SubscriberCounts,
            token=token,
        )
        self.client = TestClient(create_app(service))

    def tell(self) -> None:
        """A container sails into port, and its condition is breached there."""
        self.spine.amend(book_document(self.device))
        story = [(0, (*position(AT_SEA), temperature(5_000))), (1, position(IN_LOS_ANGELES))]
        story += [(2, (temperature(9_000),)), (20, (temperature(9_100),))]
        for minute, cells in story:
            reading = self.device.measure(NOON_MS + minute * MINUTE_MS, *cells)
            self.spine.take([self.device.arrival([reading], [self.device.checkpoint()])])
        self.feeder.catch_up()

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path, None)
    yield made
    made.store.close()
    made.series.close()


def problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem details of an answer."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    return found


def test_the_story_is_told_by_every_noun(cloud: Cloud) -> None:
    cloud.tell()
    (feature,) = cloud.get("/assets")["features"]
    assert feature["geometry"]["coordinates"] == [-118.27, 33.7]
    assert feature["properties"]["fences"] == ["los-angeles"]
    assert feature["properties"]["conditions"] == [
        {"lot": "lot-container-1", "limit": "temperature_mc", "state": "breached", "breaches": 1}
    ]
    assert cloud.get("/assets/asset-container-1") == feature
    (facility,) = cloud.get("/facilities")
    assert facility["base"]["eligible_minor"] == 10_000_000
    assert facility["milestones"][0]["state"] == "met"
    assert list(facility["alerts"].values()) == ["open"]
    (device,) = cloud.get("/devices")
    assert device["epochs"][0] | {"chain_hash": ""} == {
        "epoch": 1,
        "contiguous": 4,
        "received": 4,
        "missing": [],
        "signed": 4,
        "chain_hash": "",
        "suspicions": 0,
    }
    kinds = [one["type"] for one in cloud.get("/events")["events"]]
    assert kinds == [
        "base_recomputed",
        "condition_known",
        "fence_entered",
        "base_recomputed",
        "milestone_met",
        "condition_breached",
        "alert_opened",
    ]
    status = cloud.get("/status")
    assert (status["entry"], status["readings"], status["series_entry"]) == (5, 4, 5)
    assert cloud.get("/healthz") == {"status": "ok"}


def test_series_come_back_in_order_of_time(cloud: Cloud) -> None:
    cloud.tell()
    path = "/assets/asset-container-1/series/temperature_mc"
    points = cloud.get(path)["points"]
    assert points == [
        [NOON_MS, 5_000, "good"],
        [NOON_MS + 2 * MINUTE_MS, 9_000, "good"],
        [NOON_MS + 20 * MINUTE_MS, 9_100, "good"],
    ]
    assert cloud.get(f"{path}?limit=1")["points"] == points[-1:]
    assert cloud.get(f"{path}?from_ms={NOON_MS + 1}&to_ms={NOON_MS + 3 * MINUTE_MS}")["points"] == points[1:2]


def test_last_values_and_steps_are_there_and_a_clock_far_ahead_is_not_yet_the_newest(cloud: Cloud) -> None:
    cloud.tell()
    ahead = cloud.device.measure(NOON_MS + 2 * 86_400_000, temperature(1_000))
    cloud.spine.take([cloud.device.arrival([ahead])])
    cloud.feeder.catch_up()
    last = cloud.get("/assets/asset-container-1/last")["last"]
    assert last["temperature_mc"] == {"measured_at_ms": NOON_MS + 20 * MINUTE_MS, "value": 9_100, "quality": "good"}
    assert last["latitude_e7"]["measured_at_ms"] == NOON_MS + MINUTE_MS
    path = "/assets/asset-container-1/series/temperature_mc/stretches"
    span = f"from_ms={NOON_MS}&to_ms={NOON_MS + 60 * MINUTE_MS}"
    (one,) = cloud.get(f"{path}?{span}&step_ms={60 * MINUTE_MS}")["stretches"]
    assert (one["from_ms"], one["readings"], one["low"], one["high"]) == (NOON_MS, 3, 5_000, 9_100)
    assert cloud.client.get(f"{path}?from_ms=0&to_ms={NOON_MS}&step_ms=1000").status_code == 400


def test_series_of_another_journal_are_dropped_and_built_again(cloud: Cloud, tmp_path: Path) -> None:
    cloud.tell()
    again = EmbeddedSeries(tmp_path, "another journal")
    assert again.cursor == 0
    again.close()


def test_events_are_paged_by_entry(cloud: Cloud) -> None:
    cloud.tell()
    everything = cloud.get("/events")["events"]
    found, after = [], 0
    while page := cloud.get(f"/events?after_entry={after}&limit=1")["events"]:
        found += page
        after = cloud.get(f"/events?after_entry={after}&limit=1")["next_after_entry"]
    assert found == everything


def test_the_book_is_amended_whole_or_refused_whole(cloud: Cloud) -> None:
    answer = cloud.client.post("/book/amendments", json=book_document(cloud.device))
    assert answer.json() == {"entry": 1, "changed": True}
    assert cloud.client.post("/book/amendments", json=book_document(cloud.device)).json()["changed"] is False
    in_force = cloud.get("/book")
    bad = {"prices": [{"sku": "sofa", "unit_price_minor": -1, "currency": "USD"}], "facilities": [{}]}
    refused = problem(cloud.client.post("/book/amendments", json=bad), 422)
    assert refused["errors"][0].startswith("prices[0].unit_price_minor: -1")
    assert refused["errors"][1] == "facilities[0].id: is missing"
    assert cloud.get("/book") == in_force
    assert cloud.store.counts().entries == 1


@pytest.mark.parametrize(("body", "status"), [(b"", 422), (b"{", 422), (b"[]", 422), (b'"book"', 422), (b"\xff", 422)])
def test_what_is_no_amendment_is_a_problem(cloud: Cloud, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    refused = problem(cloud.client.post("/book/amendments", content=body, headers=headers), status)
    assert refused["title"]
    assert (cloud.store.counts().entries, cloud.get("/book")["lots"]) == (0, []), "nothing of it was taken"


def test_what_is_not_there_is_a_problem(cloud: Cloud) -> None:
    cloud.tell()
    for path in ("/nothing", "/assets/ghost", "/assets/asset-container-1/series/smell"):
        problem(cloud.client.get(path), 404)
    assert cloud.client.get("/assets/asset-container-1").status_code == 200, "what is there is found"
    assert cloud.client.get("/assets/asset-container-1/series/temperature_mc").status_code == 200
    problem(cloud.client.post("/outbox/dead/ghost/send"), 404)
    problem(cloud.client.get("/events?limit=0"), 422)
    problem(cloud.client.delete("/book"), 405)


def test_dead_letters_are_listed_and_sent_again(cloud: Cloud) -> None:
    cloud.tell()
    (first,) = cloud.store.due(CORE, 0)
    cloud.store.buried(CORE, first, "HTTP 422: no")
    (dead,) = cloud.get("/outbox/dead")
    assert (dead["id"], dead["error"]) == (first.id, "HTTP 422: no")
    assert cloud.client.post(f"/outbox/dead/{first.id}/send").json() == {
        "id": first.id,
        "endpoint": CORE,
        "state": "pending",
    }
    assert cloud.get("/outbox/dead") == []
    assert cloud.woken
    cloud.store.buried(CORE, first, "HTTP 422: no")
    assert cloud.client.post(f"/outbox/dead/{first.id}/pass-over").json() == {
        "id": first.id,
        "endpoint": CORE,
        "state": "passed_over",
    }
    problem(cloud.client.post(f"/outbox/dead/{first.id}/pass-over"), 404)
    problem(cloud.client.post(f"/outbox/dead/{first.id}/send"), 404)


def test_quarantine_is_shown_with_its_bytes(cloud: Cloud) -> None:
    cloud.store.quarantine([Quarantined("pw/1/a/b/up", NOON_MS, "too large", "300000 bytes", b"\x00\xff")])
    found = cloud.get("/quarantine")
    assert found["counts"] == {"too large": 1}
    assert found["items"][0]["raw"] == "AP8="


def test_the_console_is_served(cloud: Cloud) -> None:
    answer = cloud.client.get("/")
    assert answer.status_code == 200
    assert "<title>pledgewatch</title>" in answer.text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_ask_no_other_host(cloud: Cloud, path: str) -> None:
    page = cloud.client.get(path)
    assert page.status_code == 200
    assert "//" not in page.text
    assert cloud.get("/openapi.json")["paths"]["/outbox/dead/{message_id}/send"]["post"]["description"]


def test_who_writes_shows_the_token(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path, TOKEN)
    document = book_document(cloud.device)
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": TOKEN},
    ):
        problem(cloud.client.post("/book/amendments", json=document, headers=headers), 401)
    assert cloud.get("/book")["lots"] == []
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert cloud.client.post("/book/amendments", json=document, headers=headers).json()["changed"] is True
    cloud.store.close()
    cloud.series.close()


def test_a_token_that_is_too_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "api.token"
    file.write_text("x" * 15, encoding="ascii")
    with pytest.raises(ServiceError, match="holds no token of at least 16 characters"):
        token_in(file)
    file.write_text("x" * 16 + "\n", encoding="ascii")
    assert token_in(file) == "x" * 16
    assert token_in(None) is None
