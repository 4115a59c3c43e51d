"""Measurements: `make bench`, or `make bench ARGS="--only NAME --json FILE"`.

Each measurement is a function that gives rows: name, value, unit, baseline, ratio, runs. A ratio compares with a
baseline measured in the same run, in turn, so that a machine whose speed drifts does not matter; the median is quoted.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from bench_api import SECONDS, api
from bench_condition import condition
from bench_edge import edge
from bench_fences import fences
from bench_flow import backlog, latency
from bench_ingest import ingest
from bench_revalue import revalue
from bench_step import step_cost
from bench_warehouse import warehouse

from pledgewatch_sim.fleet import Fleet

Row = dict[str, Any]


def wire() -> list[Row]:
    """Bytes a reading on the wire, live and in a backlog, checkpoints counted in, against the same as compact JSON.

    TCP, TLS and MQTT add to each payload: 40 of TCP and IPv4, 22 of TLS 1.3, and MQTT's head with the topic.
    """
    until_ms = 1_767_225_600_000
    fleet = Fleet(range(100), rounds=96, until_ms=until_ms, backlog_days=30)
    backlog_sent, live_sent = list(fleet.backlog()), list(fleet.live())
    text = (
        '{"device":"unit-99","epoch":1,"sequence":60,"measured_at_ms":1767278700099,"latitude":30.2770000,'
        '"longitude":120.1685000,"temperature":4.789,"humidity":60.09,"battery":3.841}'
    )
    rows = []
    for name, sent in (("wire-live", live_sent), ("wire-backlog", backlog_sent)):
        readings = sum(one.readings for one in sent)
        value = sum(len(one.payload) for one in sent) / readings
        # MQTT's head: fixed head, topic, packet id, properties.
        head = sum(2 + 2 + len(one.topic) + 2 + 1 for one in sent) / readings
        below = 62 * len(sent) / readings
        unit = f"bytes/reading, signatures counted in; MQTT {head:.1f} and TCP with TLS {below:.1f} beside"
        ratio = round(value / len(text), 3)
        rows.append(
            {"name": name, "value": round(value, 1), "unit": unit, "baseline": len(text), "ratio": ratio, "runs": 1}
        )
    return rows


NEED_MOSQUITTO = ("ingest", "latency", "backlog", "api", "edge")
MEASUREMENTS: dict[str, Callable[[], list[Row]]] = {
    "ingest": ingest,
    "latency": latency,
    "backlog": backlog,
    "api": api,
    "wire": wire,
    "edge": edge,
    "fences": fences,
    "step": step_cost,
    "revalue": revalue,
    "condition": condition,
    "warehouse": warehouse,
}


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=MEASUREMENTS, action="append")
    parser.add_argument(
        "--seconds", type=int, default=SECONDS, help="how long the api is asked, without ingest and beside it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    names = options.only or list(MEASUREMENTS)
    if needs := [name for name in names if name in NEED_MOSQUITTO and not shutil.which("mosquitto_sub")]:
        print(f"not measured, as mosquitto and mosquitto-clients are not installed: {', '.join(needs)}", flush=True)
        names = [name for name in names if name not in needs]
    measurements = MEASUREMENTS | {"api": partial(api, options.seconds)}
    for name in names:
        for row in measurements[name]():
            rows.append(row)
            told = f"{row['value']:>12} {row['unit']}; baseline {row['baseline']}, ratio {row['ratio']}"
            print(f"{row['name']:24} {told}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
