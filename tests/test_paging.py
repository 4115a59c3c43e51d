"""Lists in pages and by what they are asked for: nothing left out, nothing twice; and the same as tables."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import ApiCloud, assert_problem
from builders import MINUTE_MS, NOON_MS, Device

from pledgewatch_cloud.api.tables import CSV, table
from pledgewatch_cloud.decide import drafts


def key_of(seed: int) -> str:
    """A device's public key."""
    return Device("x", seed=seed).public_key


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, at_ms=NOON_MS + 60 * MINUTE_MS)
    made.sail_into_port()
    made.spine.commit(
        drafts.amend,
        {
            "alert_rules": [
                {"id": f"rule-{one}", "on": "condition_breached", "group_by": one} for one in ("lot", "asset", "device")
            ],
            "installations": [
                {
                    "device": f"more-{one}",
                    "operator": f"op-{one % 2}",
                    "asset": f"box/{one}",
                    "public_key": key_of(100 + one),
                }
                for one in range(7)
            ],
        },
    )
    yield made
    made.close()


def pages(cloud: ApiCloud, path: str, limit: int) -> list[list[Any]]:
    """Every page of a list, followed by its links."""
    found, at = [], f"{path}{'&' if '?' in path else '?'}limit={limit}"
    while at:
        answer = cloud.client.get(at)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        found.append(said["features"] if isinstance(said, dict) else said)
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        at = link[1] if link else ""
        if isinstance(said, dict):
            assert bool(said["next_after"]) == bool(at)
        assert len(found) < 100
    return found


LISTS = ("/assets", "/alerts", "/devices", "/facilities", "/milestones", "/devices?operator=op-1", "/lots", "/fences")


@pytest.mark.parametrize("path", LISTS)
def test_pages_put_together_are_the_whole(cloud: ApiCloud, path: str) -> None:
    (whole,) = pages(cloud, path, 10_000)
    for limit in (1, 2, 3):
        found = pages(cloud, path, limit)
        assert [one for page in found for one in page] == whole
        assert all(len(page) == limit for page in found[:-1])
    if path in ("/assets", "/devices"):
        assert len(whole) == 8


def test_what_comes_and_goes_between_two_pages_moves_nothing(cloud: ApiCloud) -> None:
    first = cloud.client.get("/devices?limit=3")
    (whole,) = pages(cloud, "/devices", 10_000)
    names = [one["device"] for one in whole]
    more = {"device": "aaa", "operator": "op", "asset": "box/a", "public_key": key_of(99)}
    cloud.spine.commit(drafts.amend, {"installations": [more]})
    link = re.fullmatch(r"<([^>]+)>.*", first.headers["link"])
    assert link
    assert [one["device"] for one in cloud.get(link[1])[:2]] == names[3:5]


def test_assets_are_found_by_fence_facility_and_state(cloud: ApiCloud) -> None:
    (one,) = [one for one in cloud.get("/assets")["features"] if one["properties"]["fences"]]
    fence, facility = one["properties"]["fences"][0], cloud.get("/facilities")[0]["id"]

    def found(query: str) -> list[str]:
        return [one["id"] for one in cloud.get(f"/assets?{query}")["features"]]

    assert found(f"fence={fence}") == found(f"facility={facility}") == found("state=breached") == [one["id"]]
    assert found("fence=ghost") == found("facility=ghost") == found("state=kept") == []
    assert_problem(cloud.client.get("/assets?state=wet"), 422)


def test_alerts_are_found_by_state_severity_and_facility(cloud: ApiCloud) -> None:
    every = cloud.get("/alerts")
    assert every
    for name in ("state", "severity"):
        for word in {"state": ("open", "cleared"), "severity": ("warning", "critical")}[name]:
            assert cloud.get(f"/alerts?{name}={word}") == [one for one in every if one[name] == word]
    facility = cloud.get("/facilities")[0]["id"]
    of = [one for one in every if one["assets"]]
    assert {one["id"] for one in cloud.get(f"/alerts?facility={facility}")} <= {one["id"] for one in of}
    assert cloud.get(f"/alerts?facility={facility}")
    assert cloud.get("/alerts?facility=ghost") == []
    assert_problem(cloud.client.get("/alerts?severity=loud"), 422)


def test_devices_and_facilities_are_found_by_whose_they_are(cloud: ApiCloud) -> None:
    assert {one["operator"] for one in cloud.get("/devices?operator=op-0")} == {"op-0"}
    assert [one["device"] for one in cloud.get("/devices?asset=box/3")] == ["more-3"]
    (one,) = cloud.get("/facilities")
    for name in ("lender", "borrower"):
        assert cloud.get(f"/facilities?{name}={one[name]}") == [one]
        assert cloud.get(f"/facilities?{name}=ghost") == []


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", f"after={'x' * 1025}"])
def test_a_page_that_is_none_is_refused(cloud: ApiCloud, query: str) -> None:
    assert_problem(cloud.client.get(f"/devices?{query}"), 422)


def rows(cloud: ApiCloud, path: str) -> tuple[list[str], list[dict[str, str]]]:
    """A table: its columns and its rows."""
    answer = cloud.client.get(path, headers={"accept": f"{CSV};q=0.9, */*;q=0.1"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(CSV)
    found = csv.DictReader(io.StringIO(answer.text))
    return list(found.fieldnames or ()), list(found)


def test_a_table_says_what_the_list_says(cloud: ApiCloud) -> None:
    columns, some = rows(cloud, "/assets?limit=3")
    assert columns[0] == "id"
    features = cloud.get("/assets?limit=3")["features"]
    assert [one["id"] for one in some] == [one["id"] for one in features]
    (box,) = [one for one in cloud.get("/assets")["features"] if one["geometry"]]
    (row,) = [one for one in rows(cloud, "/assets")[1] if one["id"] == box["id"]]
    assert [float(row["longitude"]), float(row["latitude"])] == box["geometry"]["coordinates"]
    assert row["breached"]
    path = f"/assets/{box['id']}/series/temperature_mc"
    points = cloud.get(path)["points"]
    assert [[int(one["measured_at_ms"]), int(one["value"]), one["quality"]] for one in rows(cloud, path)[1]] == points
    facility = cloud.get("/facilities")[0]["id"]
    lines = cloud.get(f"/facilities/{facility}")["lines"]
    assert cloud.get(f"/facilities/{facility}/lines") == lines
    columns, some = rows(cloud, f"/facilities/{facility}/lines")
    for one, line in zip(some, lines, strict=True):
        taken = {f"{name}_minor": amount for name, amount in line["ineligible"].items()}
        assert {name: int(one[name]) for name in columns if name in taken} == taken
        assert int(one["value_minor"]) == sum(taken.values()) + line["eligible_minor"]
    assert_problem(cloud.client.get("/facilities/ghost/lines", headers={"accept": CSV}), 404)
    answer = cloud.client.get("/assets?limit=3", headers={"accept": CSV})
    assert 'rel="next"' in answer.headers["link"]
    assert answer.headers["etag"] != cloud.client.get("/assets?limit=3").headers["etag"]


def test_a_word_that_looks_like_a_formula_is_none_in_a_table() -> None:
    body = bytes(table(("a", "b"), [("=1+1", -5), ('say "x"', None)]).body).decode()
    assert body == 'a,b\r\n\'=1+1,-5\r\n"say ""x""",\r\n'
