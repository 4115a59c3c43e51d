"""A dashboard: rows of panels, what can be chosen at its top, what charts are annotated with, and where it leads."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from grafanalib import core

from pledgewatch_dashboards.flux import mapped, read, script, then
from pledgewatch_dashboards.panels import CONSOLE, DATASOURCE, GREEN, ORANGE, RED, YELLOW, Panel, Row, drawn, link

TAG = "pledgewatch"
SCHEMA_VERSION = 39  # Grafana 11; later ones carry it on
COVERS = ((0, "clear", GREEN), (1, "warned", YELLOW), (2, "called", ORANGE), (3, "in default", RED))
LEVELS = ((0, "live or expected dark", GREEN), (1, "overdue", ORANGE), (2, "silent", RED))
CONDITIONS = ((0, "kept", GREEN), (1, "unknown", ORANGE), (2, "broken", RED))
LEVEL_STEPS = ((None, GREEN), (1.0, ORANGE), (2.0, RED))
COVER_STEPS = ((None, GREEN), (1.0, YELLOW), (2.0, ORANGE), (3.0, RED))
TO_FACILITY = (
    ("Facility in the console", f"{CONSOLE}/#/facilities/${{__data.fields.facility:percentencode}}"),
    ("Facility's dashboard", "/d/pledgewatch-facility?var-facility=${__data.fields.facility:percentencode}"),
)
TO_ASSET = (
    ("Asset in the console", f"{CONSOLE}/#/assets/${{__data.fields.asset:percentencode}}"),
    ("Cold chain of the asset", "/d/pledgewatch-cold-chain?var-asset=${__data.fields.asset:percentencode}"),
)


class Choice(NamedTuple):
    """What can be chosen: a name that queries use, and the query that tells what there is."""

    name: str
    label: str
    query: str
    has_all: bool = False


class Annotation(NamedTuple):
    """What charts are annotated with: a query whose rows have _time and text, which is what Grafana looks for."""

    name: str
    colour: str
    query: str


class Page(NamedTuple):
    """A dashboard."""

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    choices: Sequence[Choice] = ()
    annotations: Sequence[Annotation] = ()
    span: str = "now-7d"

    @property
    def uid(self) -> str:
        """What links name it by."""
        return f"{TAG}-{self.name}"

    @property
    def panels(self) -> list[Panel]:
        """Its panels, in order; their numbers count from 1."""
        return [panel for row in self.rows for panel in row.panels]


def annotated(name: str, colour: str, types: str, where: str = "") -> Annotation:
    """Events whose type matches a regular expression, as annotations."""
    return Annotation(
        name,
        colour,
        script(
            then(
                read("event", "type", "facts", where=where),
                'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")',
                "group()",
                f"filter(fn: (r) => r.type =~ /{types}/)",
                mapped(_time="r._time", text='r.type + " " + r.subject + ": " + r.facts'),
            )
        ),
    )


def alerts_annotated() -> Annotation:
    """Alerts that opened or ended."""
    return Annotation(
        "alerts",
        ORANGE,
        script(
            then(
                read("alert", "rule", "severity", "state"),
                'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")',
                "group()",
                mapped(_time="r._time", text='r.severity + " " + r.rule + " of " + r.group + ": " + r.state'),
            )
        ),
    )


def dashboard(page: Page) -> core.Dashboard:
    """The dashboard in grafanalib's classes."""
    return core.Dashboard(
        title=page.title,
        uid=page.uid,
        description=page.about,
        tags=[TAG],
        timezone="utc",
        refresh="1m",
        schemaVersion=SCHEMA_VERSION,
        graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        editable=False,
        time=core.Time(page.span, "now"),
        panels=_placed(page.rows),
    )


def as_json(page: Page) -> dict[str, Any]:
    """What is written of it: grafanalib's dashboard, in the present form."""
    written = dashboard(page).to_json_data()
    kept = ("description", "editable", "graphTooltip", "panels", "refresh", "schemaVersion", "tags", "time", "timezone")
    return {name: written[name] for name in (*kept, "title", "uid", "version")} | {
        "timepicker": {"refresh_intervals": ["30s", "1m", "5m", "15m", "1h"]},
        "links": [_to_others(), _to_console()],
        "templating": {"list": [_console(), *map(_variable, page.choices)]},
        "annotations": {"list": list(map(_annotation, page.annotations))},
    }


def _placed(rows: Sequence[Row]) -> list[core.Panel]:
    found: list[core.Panel] = []
    y = 0
    for row in rows:
        x = 0
        for panel in row.panels:
            place = core.GridPos(h=row.height, w=panel.width, x=x, y=y)
            found.append(drawn(panel, len(found) + 1, place))
            x += panel.width
        y += row.height
    return found


def _to_others() -> dict[str, Any]:
    about = {"title": "Dashboards", "type": "dashboards", "tags": [TAG], "asDropdown": True, "keepTime": True}
    return link("Dashboards", "") | about | {"targetBlank": False}


def _to_console() -> dict[str, Any]:
    return link("Console", CONSOLE)


def _console() -> dict[str, Any]:
    """Where the console is: a box, so that a link can carry another address."""
    default = "http://127.0.0.1:8420"
    return {
        "name": "console_url",
        "label": "Console",
        "type": "textbox",
        "query": default,
        "current": {"selected": True, "text": default, "value": default},
        "options": [{"selected": True, "text": default, "value": default}],
        "hide": 0,
        "skipUrlSync": False,
    }


def _variable(choice: Choice) -> dict[str, Any]:
    """By grafanalib, without what the schema does not know."""
    template = core.Template(
        name=choice.name,
        label=choice.label,
        query=choice.query,
        dataSource=dict(DATASOURCE),
        includeAll=choice.has_all,
        multi=choice.has_all,
        allValue=".*" if choice.has_all else None,
        refresh=core.REFRESH_ON_TIME_RANGE_CHANGE,
    )
    unknown = {"useTags", "tagsQuery", "tagValuesQuery", "auto", "auto_min", "auto_count", "current"}
    written = {key: value for key, value in template.to_json_data().items() if value is not None and key not in unknown}
    return written | ({"current": {"selected": True, "text": ["All"], "value": ["$__all"]}} if choice.has_all else {})


def _annotation(one: Annotation) -> dict[str, Any]:
    return {
        "name": one.name,
        "enable": True,
        "hide": False,
        "iconColor": one.colour,
        "datasource": dict(DATASOURCE),
        "target": {"query": one.query, "refId": "Anno"},
    }
