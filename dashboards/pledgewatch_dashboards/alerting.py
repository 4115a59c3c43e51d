"""Alert rules, on gauges that never vanish, and on nothing else.

A series that is missing from an answer is told to be resolved after two evaluations, and where an edge link drops, the
series of everything behind it are missing (grafana #105571). The gauge `evidence` is written in the cloud, at every
tick, for every asset in service, out of what the cloud knows: a device that is silent makes its figure grow, and cannot
make it go away. It ends when all devices of an asset are retired, which is a resolution indeed.

What can still be missing is all of it at once: the store, or who writes it. Then nothing is known of any asset, so the
rules about assets keep what they last said (KeepLast), and one rule of its own, which asks how old the newest gauge is,
alerts on no data and on errors. Overdue is judged by the voyage plan: a leg that is expected to be dark alarms nobody.
"""

from typing import Any, NamedTuple

from pledgewatch_cloud.series.shape import MEASUREMENTS
from pledgewatch_dashboards.page import TAG
from pledgewatch_dashboards.panels import DATASOURCE

FOLDER = "pledgewatch"
INTERVAL_S = 300
# Three ticks: one that comes late leaves nothing out.
WINDOW_S = 45 * 60
_DAY_S = 86_400
_EXPRESSION = "__expr__"


class Rule(NamedTuple):
    """A rule: fires where the last value of its query is above `above`, for `for_s`. Values are in seconds."""

    uid: str
    title: str
    severity: str
    query: str
    above: int
    for_s: int
    summary: str
    why: str
    window_s: int = WINDOW_S
    no_data: str = "KeepLast"
    on_error: str = "KeepLast"


def _newest(field: str) -> str:
    """A field of the evidence gauge in seconds, a series for each asset."""
    assert MEASUREMENTS["evidence"].has(field)
    return (
        "from(bucket: v.defaultBucket)\n"
        "  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
        '  |> filter(fn: (r) => r._measurement == "evidence")\n'
        f'  |> filter(fn: (r) => r._field == "{field}")\n'
        "  |> last()\n"
        "  |> map(fn: (r) => ({_time: r._time, asset: r.asset, _value: float(v: r._value) / 1000.0}))\n"
        '  |> group(columns: ["asset"])\n'
    )


_AGE_OF_GAUGES = (
    "from(bucket: v.defaultBucket)\n"
    "  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
    '  |> filter(fn: (r) => r._measurement == "evidence")\n'
    '  |> filter(fn: (r) => r._field == "age_ms")\n'
    "  |> last()\n"
    "  |> group()\n"
    '  |> sort(columns: ["_time"], desc: true)\n'
    "  |> limit(n: 1)\n"
    "  |> map(fn: (r) => ({_time: now(), _value: float(v: int(v: now()) - int(v: r._time)) / 1000000000.0}))\n"
)

RULES = (
    Rule(
        "pledgewatch-evidence-overdue",
        "Evidence is overdue",
        "warning",
        _newest("overdue_ms"),
        0,
        0,
        "{{ .Labels.asset }} was not heard from when its voyage plan expects it",
        "More was expected of one of its sources by now; what it holds counts for less from here on.",
    ),
    Rule(
        "pledgewatch-evidence-missing",
        "Evidence has been overdue for six hours",
        "critical",
        _newest("overdue_ms"),
        6 * 3_600,
        0,
        "{{ .Labels.asset }} has not been heard from for six hours longer than its voyage plan expects",
        "Somebody should go and see, or ask who has it.",
    ),
    Rule(
        "pledgewatch-evidence-old",
        "Evidence is older than 45 days",
        "critical",
        _newest("age_ms"),
        45 * _DAY_S,
        0,
        "{{ .Labels.asset }} was last heard from more than 45 days ago, whatever its plan expects",
        "No leg is dark for so long: the plan, or the device, is wrong.",
    ),
    Rule(
        "pledgewatch-gauges-stopped",
        "Gauges have stopped",
        "critical",
        _AGE_OF_GAUGES,
        WINDOW_S,
        0,
        "No gauge has been written for three ticks",
        "The cloud, the process that follows the journal, or InfluxDB has stopped: of no asset is anything known.",
        _DAY_S,
        "Alerting",
        "Alerting",
    ),
)


def provisioning() -> dict[str, Any]:
    """The file that Grafana reads at its start."""
    group = {
        "orgId": 1,
        "name": "evidence",
        "folder": FOLDER,
        "interval": f"{INTERVAL_S}s",
        "rules": list(map(_rule, RULES)),
    }
    return {"apiVersion": 1, "groups": [group]}


def _rule(one: Rule) -> dict[str, Any]:
    """The query, its last value for each asset, and a threshold."""
    asked = {"refId": "A", "query": one.query, "intervalMs": 60_000, "maxDataPoints": 1_000}
    last = {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last", "datasource": _of_expressions()}
    condition = {"evaluator": {"type": "gt", "params": [one.above]}}
    above = {
        "refId": "C",
        "type": "threshold",
        "expression": "B",
        "conditions": [condition],
        "datasource": _of_expressions(),
    }
    return {
        "uid": one.uid,
        "title": one.title,
        "condition": "C",
        "data": [
            _data("A", DATASOURCE["uid"], asked, one.window_s),
            _data("B", _EXPRESSION, last, 0),
            _data("C", _EXPRESSION, above, 0),
        ],
        "noDataState": one.no_data,
        "execErrState": one.on_error,
        "for": f"{one.for_s}s",
        "annotations": {"summary": one.summary, "description": one.why, "__dashboardUid__": f"{TAG}-fleet-health"},
        "labels": {"severity": one.severity, "source": TAG},
        "isPaused": False,
    }


def _of_expressions() -> dict[str, str]:
    return {"type": _EXPRESSION, "uid": _EXPRESSION}


def _data(ref: str, uid: str, model: dict[str, Any], window_s: int) -> dict[str, Any]:
    span = {"from": window_s, "to": 0}
    return {"refId": ref, "relativeTimeRange": span, "datasourceUid": uid, "model": model}
