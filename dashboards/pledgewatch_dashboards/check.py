"""Runs each panel's, variable's, annotation's and alert's query against a real InfluxDB 2, as Grafana would ask it.

Grafana puts the range, the bucket and what was chosen into a query before it sends it; so does this. A query that is
refused is a failure. One without an answer is not: what it asks for may not have happened; it is counted.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from pledgewatch_dashboards import alerting
from pledgewatch_dashboards.made import PAGES
from pledgewatch_dashboards.page import as_json

_TIMEOUT_MS = 30_000


class Asked(NamedTuple):
    """A query and whose it is."""

    whose: str
    query: str


def queries() -> Iterator[Asked]:
    """Every query that Grafana will send."""
    for page in PAGES:
        for panel in page.panels:
            for text in panel.queries:
                yield Asked(f"{page.title}: {panel.title}", text)
        for choice in page.choices:
            yield Asked(f"{page.title}: choice of {choice.label}", choice.query)
        for one in page.annotations:
            yield Asked(f"{page.title}: annotation {one.name}", one.query)
    for rule in alerting.RULES:
        yield Asked(f"alert: {rule.title}", rule.query)


def filled(query: str, bucket: str, now: datetime, chosen: Mapping[str, str]) -> str:
    """A query as it is sent. Raises ValueError where a variable is left."""
    values = {
        "v.defaultBucket": '"' + bucket.replace("\\", "\\\\").replace('"', '\\"') + '"',
        "v.timeRangeStart": (now - timedelta(days=7)).isoformat().replace("+00:00", "Z"),
        "v.timeRangeStop": now.isoformat().replace("+00:00", "Z"),
        "v.windowPeriod": "15m",
    }
    for name, value in values.items():
        query = query.replace(name, value)
    for name, value in chosen.items():
        query = query.replace(f"${{{name}:regex}}", value).replace(f"${{{name}}}", value)
    if left := re.search(r"\$\{?\w+|\bv\.(?:default|timeRange|window)\w+", query):
        raise ValueError(f"{left[0]} is not filled in")
    return query


def chosen_by_default() -> dict[str, str]:
    """What is chosen where nobody has chosen: all, or something that is not there."""
    found: dict[str, str] = {}
    for page in PAGES:
        for variable in as_json(page)["templating"]["list"]:
            found[variable["name"]] = variable.get("allValue") or found.get(variable["name"], "nothing")
    return found


def run(environment: Mapping[str, str] = os.environ, until_ms: int = 0) -> int:
    """Ask everything about the week before `until_ms` (0: now); says what failed.

    0: nothing did; 1: some; 2: there is no InfluxDB to ask.
    """
    url, token = environment.get("INFLUXDB_URL"), environment.get("INFLUXDB_TOKEN")
    if not url or not token:
        sys.stderr.write("needs INFLUXDB_URL and INFLUXDB_TOKEN of an InfluxDB 2: no query was run\n")
        return 2
    org = environment.get("INFLUXDB_ORG", "pledgewatch")
    bucket = environment.get("INFLUXDB_BUCKET", "pledgewatch")
    chosen = chosen_by_default() | {"facility": environment.get("FACILITY", "nothing")}
    now = datetime.fromtimestamp(until_ms / 1_000, UTC) if until_ms else datetime.now(UTC)
    asked = empty = failed = 0
    with InfluxDBClient(url=url, token=token, org=org, timeout=_TIMEOUT_MS) as client:
        api = client.query_api()
        for one in queries():
            asked += 1
            try:
                tables: list[Any] = api.query(filled(one.query, bucket, now, chosen), org)
            except (ApiException, HTTPError, OSError) as error:
                failed += 1
                sys.stderr.write(f"{one.whose}: {getattr(error, 'message', None) or error}\n")
                continue
            empty += not any(table.records for table in tables)
    sys.stdout.write(f"{asked} queries: {failed} failed, {empty} without an answer\n")
    return int(failed > 0)
