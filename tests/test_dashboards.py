"""Dashboards are what their Python makes, fit Grafana's schema, and ask only for what somebody writes."""

import ast
import json
import os
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import jsonschema
import pytest
import yaml
from gauging import eventful
from needed import DATA, needs

from pledgewatch_cloud.series.feeder import Feeder
from pledgewatch_cloud.series.influxdb import InfluxSeries
from pledgewatch_cloud.series.shape import GAUGED_EVERY_MS, MEASUREMENTS
from pledgewatch_dashboards import alerting, check, made
from pledgewatch_dashboards.flux import read
from pledgewatch_dashboards.page import Page, as_json
from pledgewatch_dashboards.panels import CONSOLE, DATASOURCE
from pledgewatch_sim.programs import free_port

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "dashboards" / "pledgewatch_dashboards"
QUERIES = list(check.queries())
OF_EVERY_ROW = {"_time", "_value", "_field", "_measurement", "_start", "_stop"}
by_page = pytest.mark.parametrize("page", made.PAGES, ids=lambda page: page.name)


def test_what_is_checked_in_is_what_the_python_makes() -> None:
    for name, text in made.files().items():
        assert (ROOT / name).read_bytes() == text.encode(), f"{name} is stale: run scripts/dashboards"
    kept = {path.name for path in (ROOT / made.GENERATED).iterdir()}
    assert kept == {f"{page.name}.json" for page in made.PAGES}
    assert {"portfolio", "facility", "cold-chain", "fleet-health", "pipeline"} == {page.name for page in made.PAGES}


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "grafana" / f"{name}.jsonschema.json").read_text(encoding="utf-8"))
    return found


def dashboard_schema() -> dict[str, Any]:
    """The schema, with two places as its source has them.

    The CUE that it is made from says that the options of a matcher and the value of an override are anything; what is
    made of it says objects, which no dashboard of a real Grafana keeps to.
    """
    found = schema("dashboard")
    source = (DATA / "grafana" / "dashboard_v11.6.x.cue").read_text(encoding="utf-8")
    assert re.search(r"options\?: _\b", source)
    assert re.search(r"value\?: _\b", source)
    del found["definitions"]["MatcherConfig"]["properties"]["options"]["type"]
    del found["definitions"]["DynamicConfigValue"]["properties"]["value"]["type"]
    return found


@needs("grafana")
@by_page
def test_each_dashboard_fits_the_schema(page: Page) -> None:
    validator = jsonschema.Draft7Validator(dashboard_schema())
    written = json.loads((ROOT / made.GENERATED / f"{page.name}.json").read_text(encoding="utf-8"))
    assert [error.message for error in validator.iter_errors(written)] == []
    written["panels"][0]["span"] = 3
    assert [*validator.iter_errors(written)], "a key that it does not know is found"


@needs("grafana")
def test_alert_rules_fit_the_schema() -> None:
    definitions = schema("alerting")
    validator = jsonschema.Draft7Validator({**definitions, "$ref": "#/definitions/Rule"})
    (group,) = yaml.safe_load((ROOT / made.ALERTING).read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]:
        # A file names the folder and organisation of a group once; the schema is that of the API's rules.
        whole = rule | {"folderUID": "pledgewatch", "orgID": group["orgId"], "ruleGroup": group["name"]}
        assert [error.message for error in validator.iter_errors(whole)] == []
        assert [*validator.iter_errors(whole | {"noDataState": "Fine"})]


def asked_for(query: str) -> Iterator[tuple[str, set[str]]]:
    """What each part of a query that reads something names: a measurement, and fields and tags of it.

    Columns that the query makes itself are left out, so are those that every row has.
    """
    made_here = set(re.findall(r"(?:\(\{(?:r with )?|, )(\w+): ", query))
    for part in re.split(r"(?=from\(bucket: v\.defaultBucket\))", query)[1:]:
        (measurement,) = re.findall(r'r\._measurement == "(\w+)"', part)
        fields = set(re.findall(r'r\._field == "(\w+)"', part)) | set(re.findall(r"r\._field =~ /\^(\w+)/", part))
        columns = set(re.findall(r"\br\.(\w+)", part))
        for names in re.findall(r"(?:columns|rowKey|on): \[([^\]]*)\]", part):
            columns |= set(re.findall(r'"(\w+)"', names))
        columns |= set(re.findall(r'column: "(\w+)"', part))
        yield measurement, fields | (columns - made_here - OF_EVERY_ROW)


def unwritten(query: str) -> list[str]:
    """What a query names that nobody writes."""
    found = []
    for measurement, names in asked_for(query):
        known = MEASUREMENTS.get(measurement)
        if known is None:
            found.append(measurement)
            continue
        found += [f"{measurement}.{one}" for one in sorted(names) if one not in known.tags and not known.has(one)]
    return found


@pytest.mark.parametrize("one", QUERIES, ids=lambda one: one.whose)
def test_a_query_names_only_what_is_written(one: check.Asked) -> None:
    if "schema.tagValues" in one.query:
        ((tag, measurement),) = re.findall(r'tag: "(\w+)".*_measurement == "(\w+)"', one.query)
        assert tag in MEASUREMENTS[measurement].tags
        return
    assert list(asked_for(one.query)), "it reads something"
    assert unwritten(one.query) == []


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ('== "evidence"', '== "evidense"', "evidense"),
        ('_field == "overdue_ms"', '_field == "overdue_s"', "evidence.overdue_s"),
        ("asset: r.asset", "asset: r.vessel", "evidence.vessel"),
    ],
)
def test_a_query_of_what_nobody_writes_is_found(before: str, after: str, found: str) -> None:
    query = alerting.RULES[0].query
    assert unwritten(query) == []
    assert unwritten(query.replace(before, after)) == [found]
    with pytest.raises(KeyError):
        read("evidence", "overdue_s")


@by_page
def test_panels_say_what_they_answer_and_lie_beside_each_other(page: Page) -> None:
    written = as_json(page)
    taken: set[tuple[int, int]] = set()
    for panel, shown in zip(page.panels, written["panels"], strict=True):
        assert panel.question.endswith("?"), panel.title
        assert shown.to_json_data()["datasource"] == DATASOURCE
        assert shown.to_json_data()["fieldConfig"]["defaults"]["unit"] == panel.unit
        place = shown.gridPos
        assert 0 <= place.x < place.x + place.w <= 24
        cells = {(x, y) for x in range(place.x, place.x + place.w) for y in range(place.y, place.y + place.h)}
        assert not taken & cells, f"{panel.title} lies over another"
        taken |= cells
    numbers = [shown.id for shown in written["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert page.annotations, "events are seen on its charts"


def test_facilities_and_assets_lead_to_the_console() -> None:
    text = "".join((ROOT / made.GENERATED / f"{page.name}.json").read_text(encoding="utf-8") for page in made.PAGES)
    links = set(re.findall(r'"url": "(\$\{console_url\}[^"]*)"', text))
    assert {one.removeprefix(CONSOLE).rpartition("/")[0] for one in links} == {"", "/#/facilities", "/#/assets"}
    for uid in re.findall(r'"url": "/d/([\w-]+)', text):
        assert uid in {page.uid for page in made.PAGES}
    for page in made.PAGES:
        names = [one["name"] for one in as_json(page)["templating"]["list"]]
        assert names[0] == "console_url"
        used = set(re.findall(r"\$\{(\w+)(?::regex)?\}", "".join(text for one in page.panels for text in one.queries)))
        assert used <= set(names)


def test_alerts_rest_on_a_gauge_that_never_vanishes_alone() -> None:
    for rule in alerting.RULES:
        assert [measurement for measurement, _ in asked_for(rule.query)] == ["evidence"]
        assert rule.window_s * 1_000 >= 3 * MEASUREMENTS["evidence"].every_ms == 3 * GAUGED_EVERY_MS
    (watch,) = [one for one in alerting.RULES if (one.no_data, one.on_error) == ("Alerting", "Alerting")]
    others = [one for one in alerting.RULES if one is not watch]
    assert {(one.no_data, one.on_error) for one in others} == {("KeepLast", "KeepLast")}
    assert watch.above * 1_000 >= 2 * GAUGED_EVERY_MS, "one tick that comes late is none that is missing"


def test_provisioning_names_one_source_and_no_secret() -> None:
    folder = ROOT / "dashboards" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "pledgewatch.yaml").read_text(encoding="utf-8"))["datasources"]
    assert (source["uid"], source["type"]) == (DATASOURCE["uid"], DATASOURCE["type"])
    assert source["jsonData"]["version"] == "Flux"
    assert source["secureJsonData"]["token"].startswith("$__file{")
    (provider,) = yaml.safe_load((folder / "dashboards" / "pledgewatch.yaml").read_text(encoding="utf-8"))["providers"]
    assert provider["allowUiUpdates"] is False
    (group,) = yaml.safe_load((ROOT / made.ALERTING).read_text(encoding="utf-8"))["groups"]
    assert group["folder"] == provider["folder"]
    uids = {one["datasourceUid"] for rule in group["rules"] for one in rule["data"]}
    assert uids == {source["uid"], "__expr__"}
    assert "$" not in (ROOT / made.ALERTING).read_text(encoding="utf-8"), "Grafana puts its environment in for it"


class Store:
    """What answers like InfluxDB 2, and refuses queries that hold some text."""

    def __init__(self, refused: str = "") -> None:
        asked = self.asked = list[str]()

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]
                asked.append(query)
                is_refused = bool(refused) and refused in query
                body = b'{"code": "invalid", "message": "no such thing"}' if is_refused else b"\r\n"
                self.send_response(400 if is_refused else 200)
                self.send_header("Content-Type", "application/json" if is_refused else "text/csv")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.environment = {"INFLUXDB_URL": f"http://127.0.0.1:{self.server.server_port}", "INFLUXDB_TOKEN": "t"}

    def __enter__(self) -> Self:
        Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_the_script_asks_every_query_filled_in_and_says_which_fail(capsys: pytest.CaptureFixture[str]) -> None:
    with Store() as store:
        assert check.run(store.environment) == 0
    assert len(store.asked) == len(QUERIES)
    assert not [one for one in store.asked if re.search(r"\$\{|v\.timeRange|v\.default|v\.window", one)]
    assert f"{len(QUERIES)} queries: 0 failed, {len(QUERIES)} without an answer" in capsys.readouterr().out
    with Store("outbox_dead") as store:
        assert check.run(store.environment) == 1
    told = capsys.readouterr()
    assert told.err.count("no such thing") == 2
    assert "Pipeline: Dead letters" in told.err


def test_the_script_says_what_it_needs_and_that_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.run({}) == 2
    assert "needs INFLUXDB_URL" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is not filled in"):
        check.filled(
            'from(bucket: v.defaultBucket) |> filter(fn: (r) => r.x == "${nobody}")', "b", datetime.now(UTC), {}
        )


def test_every_query_runs_against_an_influxdb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, token = os.environ.get("INFLUXDB_URL"), os.environ.get("INFLUXDB_TOKEN")
    if not url or not token:
        pytest.skip("needs INFLUXDB_URL and INFLUXDB_TOKEN of an InfluxDB 2")
    org, bucket = os.environ.get("INFLUXDB_ORG", "pledgewatch"), f"test-{uuid.uuid4().hex}"
    series = InfluxSeries(tmp_path, "journal", url=url, token=token, org=org, bucket=bucket)
    series.init()
    fleet = eventful()
    Feeder(fleet.store, series).catch_up()
    series.close()
    until_ms = fleet.clock.at_ms + 60_000
    assert check.run({**os.environ, "INFLUXDB_BUCKET": bucket, "FACILITY": "facility-1"}, until_ms=until_ms) == 0
    told = capsys.readouterr()
    assert told.err == ""
    found = re.search(r"(\d+) without an answer", told.out)
    assert found is not None
    assert int(found[1]) < len(QUERIES) // 4, "an eventful day answers most"


def test_the_folder_keeps_to_the_houses_rules() -> None:
    for path in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{path.name} opens with its theory"
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        ours = {one for one in names if one.startswith("pledgewatch_") and not one.startswith("pledgewatch_dashboards")}
        assert ours <= {"pledgewatch_cloud.series.shape", "pledgewatch_cloud.decide.collateral.result"}


def test_nobody_answers_is_a_failure_of_every_query(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.run({"INFLUXDB_URL": f"http://127.0.0.1:{free_port()}", "INFLUXDB_TOKEN": "t"}) == 1
    assert f"{len(QUERIES)} failed" in capsys.readouterr().out
