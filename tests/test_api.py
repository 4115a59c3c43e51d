"""The API over a running spine: what it says, what it refuses and how."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import JSON, TOKEN, ApiCloud, assert_problem, shown
from builders import MINUTE_MS, NOON_MS, Device, book_document, temperature

from pledgewatch_cloud.credentials import CredentialError, token_in
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.ingest.decode import DeviceStatus
from pledgewatch_cloud.journal.outbox import CORE, Begin, Wanted
from pledgewatch_cloud.journal.store import Quarantined, StoreError
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_wire.codec import Status


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, at_ms=NOON_MS + 60 * MINUTE_MS)
    yield made
    made.close()


def test_the_story_is_told_by_every_noun(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
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
        "thinned": 0,
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


def test_series_come_back_in_order_of_time(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    path = "/assets/asset-container-1/series/temperature_mc"
    points = cloud.get(path)["points"]
    assert points == [
        [NOON_MS, 5_000, "good"],
        [NOON_MS + 2 * MINUTE_MS, 9_000, "good"],
        [NOON_MS + 20 * MINUTE_MS, 9_100, "good"],
    ]
    assert cloud.get(f"{path}?limit=1")["points"] == points[-1:]
    assert cloud.get(f"{path}?from_ms={NOON_MS + 1}&to_ms={NOON_MS + 3 * MINUTE_MS}")["points"] == points[1:2]


def test_points_of_several_devices_say_whose_they_are_and_sources_how_long_they_may_be_quiet(cloud: ApiCloud) -> None:
    """Of an asset with two thermometers: each point has the number of its own. Its sources say by their installation
    after how long they are missed."""
    cloud.sail_into_port()
    other, asset = Device("thermometer-2", seed=2), "asset-container-1"
    (fitted,) = book_document(other)["installations"]
    sensor = {"channel": "temperature_mc", "overdue_after_s": 60, "silent_after_s": 120}
    cloud.spine.commit(drafts.amend, {"installations": [fitted | {"asset": asset, "sensors": [sensor]}]})
    at_ms = NOON_MS + 2 * MINUTE_MS
    cloud.spine.take([other.arrival([other.measure(at_ms, temperature(-18_000))])])
    cloud.feeder.catch_up()
    path = f"/assets/{asset}/series/temperature_mc"
    found = cloud.get(path)
    assert found["devices"] == ["container-1", "thermometer-2"]
    assert [one[1] for one in found["points"]] == [5_000, 9_000, -18_000, 9_100]
    assert found["device_of"] == [0, 0, 1, 0]
    one = cloud.get(f"{path}?from_ms={at_ms + 1}")
    assert (one["devices"], one["device_of"]) == (["container-1"], [0]), "no more are named than have said something"
    rows = cloud.client.get(path, headers={"accept": "text/csv"}).text.splitlines()
    assert [row.split(",")[-1].strip("'\"") for row in rows] == [
        *("device", "container-1", "container-1", "thermometer-2", "container-1"),
    ]
    sources = cloud.get(f"/assets/{asset}")["properties"]["sources"]
    assert [(one["device"], one["channel"], one["overdue_after_s"], one["silent_after_s"]) for one in sources] == [
        ("container-1", None, 0, 3_600),
        ("thermometer-2", None, 0, 3_600),
        ("thermometer-2", "temperature_mc", 60, 120),
    ]


def test_last_values_and_steps_are_there_and_a_clock_far_ahead_is_not_yet_the_newest(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
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


def test_series_of_another_journal_are_dropped_and_built_again(cloud: ApiCloud, tmp_path: Path) -> None:
    cloud.sail_into_port()
    again = EmbeddedSeries(tmp_path, "another journal")
    assert again.cursor == 0
    again.close()


def test_events_are_paged_by_entry(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    everything = cloud.get("/events")["events"]
    found, after = [], 0
    while page := cloud.get(f"/events?after_entry={after}&limit=1")["events"]:
        found += page
        after = cloud.get(f"/events?after_entry={after}&limit=1")["next_after_entry"]
    assert found == everything


def test_the_book_is_amended_whole_or_refused_whole(cloud: ApiCloud) -> None:
    answer = cloud.client.post("/book/amendments", json=book_document(cloud.device))
    assert answer.json() == {"entry": 1, "changed": True}
    assert cloud.client.post("/book/amendments", json=book_document(cloud.device)).json()["changed"] is False
    in_force = cloud.get("/book")
    bad = {"prices": [{"sku": "sofa", "unit_price_minor": -1, "currency": "USD"}], "facilities": [{}]}
    refused = assert_problem(cloud.client.post("/book/amendments", json=bad), 422)
    assert refused["errors"][0].startswith("prices[0].unit_price_minor: -1")
    assert refused["errors"][1] == "facilities[0].id: is missing"
    assert cloud.get("/book") == in_force
    assert cloud.store.counts().entries == 1


@pytest.mark.parametrize(("body", "status"), [(b"", 422), (b"{", 422), (b"[]", 422), (b'"book"', 422), (b"\xff", 422)])
def test_what_is_no_amendment_is_a_problem(cloud: ApiCloud, body: bytes, status: int) -> None:
    refused = assert_problem(cloud.client.post("/book/amendments", content=body, headers=JSON), status)
    assert refused["title"]
    assert (cloud.store.counts().entries, cloud.get("/book")["lots"]) == (0, []), "nothing of it was taken"


def test_what_is_not_there_is_a_problem(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    for path in ("/nothing", "/assets/ghost", "/assets/asset-container-1/series/smell"):
        assert_problem(cloud.client.get(path), 404)
    assert cloud.client.get("/assets/asset-container-1").status_code == 200, "what is there is found"
    assert cloud.client.get("/assets/asset-container-1/series/temperature_mc").status_code == 200
    assert_problem(cloud.client.post("/outbox/dead/ghost/send"), 404)
    assert_problem(cloud.client.get("/events?limit=0"), 422)
    assert_problem(cloud.client.delete("/book"), 405)


def test_dead_letters_are_listed_and_sent_again(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
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
    assert_problem(cloud.client.post(f"/outbox/dead/{first.id}/pass-over"), 404)
    assert_problem(cloud.client.post(f"/outbox/dead/{first.id}/send"), 404)


def test_a_disk_that_fails_is_said_by_every_route(cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    cloud.sail_into_port()
    cloud.store.declare(CORE, Wanted(), Begin.FIRST)
    (alert,), (milestone,) = cloud.spine.state.alerts.values(), cloud.spine.state.milestones
    for name in ("append", "send_again", "pass_over", "resume", "set_back_to_entry", "quarantine", "dead_letters"):
        monkeypatch.setattr(cloud.store, name, full)
    told = {"by": "desk", "why": "asked"}
    quote = {"series": "sofas", "date": "2026-01-01", "price": "200", "currency": "USD"}
    drawn = {"id": "one", "kind": "drawdown", "at": "2026-01-01T12:00:00Z", "amount_minor": 700}
    asked: dict[str, dict[str, Any]] = {
        "/book/amendments": {"parties": [{"id": "onlooker", "name": "Example Onlooker"}]},
        "/market/quotes": {"prices": [quote]},
        "/facilities/facility-1/movements": {"movements": [drawn]},
        f"/alerts/{alert.id}/acknowledgement": {"by": "night watch"},
        f"/milestones/{milestone}/booking": {"release": "booked", **told},
        "/outbox/dead/j.1.0/send": {},
        "/outbox/dead/j.1.0/pass-over": told,
        "/outbox/endpoints/core/replay": {"point": "1"},
        "/outbox/endpoints/core/resume": {},
    }
    before = cloud.spine.state
    for path, body in asked.items():
        found = assert_problem(cloud.client.post(path, json=body), 503)
        assert found["detail"] == "the journal cannot be used now: the disk is full", path
    assert_problem(cloud.client.get("/outbox/dead"), 503)
    assert cloud.spine.state is before
    monkeypatch.undo()
    assert cloud.client.post("/book/amendments", json=asked["/book/amendments"]).json()["changed"] is True


def test_quarantine_is_shown_with_its_bytes(cloud: ApiCloud) -> None:
    cloud.store.quarantine([Quarantined("pw/1/a/b/up", NOON_MS, "too large", "300000 bytes", b"\x00\xff")])
    found = cloud.get("/quarantine")
    assert found["counts"] == {"too large": 1}
    assert found["items"][0]["raw"] == "AP8="


def test_the_console_is_served(cloud: ApiCloud) -> None:
    answer = cloud.client.get("/")
    assert answer.status_code == 200
    assert "<title>pledgewatch</title>" in answer.text


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_ask_no_other_host(cloud: ApiCloud, path: str) -> None:
    page = cloud.client.get(path)
    assert page.status_code == 200
    assert "//" not in page.text
    assert cloud.get("/openapi.json")["paths"]["/outbox/dead/{message_id}/send"]["post"]["description"]


def test_who_asks_shows_the_token(tmp_path: Path) -> None:
    cloud = ApiCloud(tmp_path, token=TOKEN)
    document = book_document(cloud.device)
    del cloud.client.headers["authorization"]
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": TOKEN},
    ):
        assert_problem(cloud.client.post("/book/amendments", json=document, headers=headers), 401)
        assert_problem(cloud.client.get("/book", headers=headers), 401)
    cloud.client.headers.update(shown(TOKEN))
    assert cloud.get("/book")["lots"] == []
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert cloud.client.post("/book/amendments", json=document, headers=headers).json()["changed"] is True
    cloud.close()


def test_a_token_that_is_too_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "api.token"
    file.write_text("x" * 15, encoding="ascii")
    with pytest.raises(CredentialError, match="holds no token of at least 16 characters"):
        token_in(file)
    file.write_text("x" * 16 + "\n", encoding="ascii")
    assert token_in(file) == "x" * 16
    assert token_in(None) is None


def test_facilities_and_assets_with_a_slash_in_their_names_are_found(tmp_path: Path) -> None:
    cloud = ApiCloud(tmp_path)
    document = book_document(cloud.device)
    (installation,), (line,), (lot,) = (document[one] for one in ("installations", "facilities", "lots"))
    document["installations"].append(installation | {"device": "box-9", "asset": "yard/7"})
    document["facilities"].append(line | {"id": "bank/line-1"})
    document["lots"].append(lot | {"id": "lot-9", "asset": "yard/7", "facility": "bank/line-1"})
    cloud.spine.commit(drafts.amend, document)
    for written in ("bank/line-1", "bank%2Fline-1"):
        assert cloud.get(f"/facilities/{written}")["id"] == "bank/line-1"
        assert cloud.get(f"/facilities/{written}/base")["facility"] == "bank/line-1"
    for written in ("yard/7", "yard%2F7"):
        assert cloud.get(f"/assets/{written}")["id"] == "yard/7"
        assert cloud.get(f"/assets/{written}/last") is not None
    cloud.close()


def test_what_a_device_refused_is_lost_and_never_lost_0(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    metrics = cloud.client.app.state.service.metrics
    metrics.note(metrics.hear([DeviceStatus("line", "container-1", Status(True, 1, 4, 0, "1.2", 0, 0, 5_000))]))  # noqa: FBT003
    (device,) = cloud.get("/devices")
    assert device["said"]["refused"] == 5_000
    assert device["completeness"] == {
        "expected": 5_004,
        "received": 4,
        "thinned": 0,
        "lost": 5_000,
        "lost_at_least": 5_000,
        "refused": 5_000,
        "unsure": None,
        "spooled": 0,
        "words": "received 4 of 5,004, thinned 0, lost 5,000 (5,000 of them refused by the device)",
    }


def test_services_of_one_process_share_what_routes_ask_for_and_nothing_else(tmp_path: Path) -> None:
    clouds = [ApiCloud(tmp_path / name, at_ms=NOON_MS + 60 * MINUTE_MS) for name in ("one", "other")]
    clouds[0].sail_into_port()
    assert [len(one.get("/assets")["features"]) for one in clouds] == [1, 0]
    one, other = (cloud.client.app.router.routes for cloud in clouds)
    assert [route for route in one if any(route is same for same in other)] == one[1:], "all but the app's own schema"
    for cloud in clouds:
        cloud.close()
