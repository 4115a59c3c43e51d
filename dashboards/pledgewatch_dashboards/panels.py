"""Panels: what each shows, in types of ours, drawn by grafanalib's classes.

grafanalib 0.7.1 writes the panels of Grafana 8: it has no Geomap, its bar gauge is that of Grafana 6, its InfluxDB
target is that of InfluxQL, and it writes keys that the present schema does not have. So `Geomap`, `Bars` and
`FluxTarget` are ours, and what is written of any panel is put into the present form in one place (`_Present`).
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import attr
from grafanalib import core

DATASOURCE: Mapping[str, str] = {"type": "influxdb", "uid": "pledgewatch"}
CONSOLE = "${console_url}"
_KEYS = frozenset(
    {
        *("type", "id", "targets", "title", "description", "transparent", "datasource", "gridPos", "links"),
        *("maxDataPoints", "transformations", "interval", "options", "fieldConfig"),
    }
)
"""What a panel may say, of what the schema allows."""
GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"


class Kind(Enum):
    """How a panel is drawn."""

    STAT = "stat"
    LINES = "lines"
    STATES = "states"
    TABLE = "table"
    BARS = "bars"
    MAP = "map"


class Column(NamedTuple):
    """How a field is shown where it is not shown as the panel's others: by its name."""

    name: str
    unit: str = ""
    title: str = ""
    decimals: int | None = None
    thresholds: tuple[tuple[float | None, str], ...] = ()
    words: tuple[tuple[int, str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    is_hidden: bool = False


class Panel(NamedTuple):
    """A panel: the question that it answers, its unit as Grafana names it, and what it asks of the store.

    `thresholds` are (from, colour), the first from None; `words` are (value, text, colour); `links` are (title, URL);
    `width` is in 24ths. `gap_s`: lines are drawn across gaps that are no longer; 0: points are not joined by steps.
    """

    kind: Kind
    title: str
    question: str
    unit: str
    queries: Sequence[str]
    width: int = 12
    decimals: int | None = None
    thresholds: tuple[tuple[float | None, str], ...] = ((None, GREEN),)
    words: tuple[tuple[int, str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    columns: tuple[Column, ...] = ()
    order: tuple[str, ...] = ()
    minimum: float | None = None
    gap_s: int = 0
    name: str = ""


class Row(NamedTuple):
    """Panels side by side."""

    height: int
    panels: Sequence[Panel]


@attr.s
class FluxTarget:
    """A query in Flux."""

    query: str = attr.ib()
    refId: str = attr.ib(default="A")  # noqa: N815 - Grafana's name

    def to_json_data(self) -> dict[str, Any]:
        """As Grafana writes it."""
        return {"datasource": dict(DATASOURCE), "query": self.query, "refId": self.refId}


class _Present:
    """Puts what grafanalib writes of a panel into the form of today: no key that is not known, none without value."""

    def panel_json(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """The panel as JSON."""
        written: dict[str, Any] = super().panel_json(overrides)  # type: ignore[misc]
        field = written["fieldConfig"]
        field["defaults"] = {key: value for key, value in field["defaults"].items() if value not in (None, "")}
        field.setdefault("overrides", [])
        return {key: value for key, value in written.items() if key in _KEYS and value is not None}


class Stat(_Present, core.Stat):
    """One figure, or one for each series."""


class Lines(_Present, core.TimeSeries):
    """Figures over time."""


class States(_Present, core.StateTimeline):
    """States over time, a row for each subject."""


class Table(_Present, core.Table):
    """Rows."""


@attr.s
class Bars(_Present, core.Panel):
    """A bar for each column of one row, in their order. Grafana's bar gauge since version 7."""

    def to_json_data(self) -> dict[str, Any]:
        """As Grafana writes it."""
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        options = {"displayMode": "basic", "orientation": "horizontal", "reduceOptions": reduced, "valueMode": "text"}
        return self.panel_json({"options": options, "type": "bargauge"})


@attr.s
class Geomap(_Present, core.Panel):
    """A map with a mark at each row's latitude and longitude, coloured by a field."""

    colour_by: str = attr.ib(default="")
    words: str = attr.ib(default="")

    def to_json_data(self) -> dict[str, Any]:
        """As Grafana writes it."""
        style = {
            "color": {"field": self.colour_by, "fixed": "dark-green"},
            "opacity": 0.8,
            "size": {"fixed": 6, "min": 4, "max": 12},
            "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
            "text": {"mode": "field", "field": self.words, "fixed": ""},
        }
        layer = {
            "type": "markers",
            "name": "assets",
            "tooltip": True,
            "location": {"mode": "coords", "latitude": "latitude", "longitude": "longitude"},
            "config": {"showLegend": True, "style": style},
        }
        options = {
            "basemap": {"type": "default", "name": "base"},
            "controls": {"showZoom": True, "mouseWheelZoom": True, "showAttribution": True, "showScale": True},
            "layers": [layer],
            "tooltip": {"mode": "details"},
            "view": {"id": "fit", "lat": 0, "lon": 0, "zoom": 2, "allLayers": True},
        }
        return self.panel_json({"options": options, "type": "geomap"})


def link(title: str, url: str) -> dict[str, Any]:
    """A link, with everything that the schema asks for."""
    return {
        "title": title,
        "url": url,
        "type": "link",
        "icon": "external link",
        "tooltip": title,
        "tags": [],
        "asDropdown": False,
        "targetBlank": True,
        "includeVars": False,
        "keepTime": False,
    }


def drawn(panel: Panel, number: int, place: core.GridPos) -> core.Panel:
    """A panel of grafanalib's."""
    more = {
        "title": panel.title,
        "description": panel.question,
        "id": number,
        "gridPos": place,
        "dataSource": dict(DATASOURCE),
        "targets": [FluxTarget(text, "ABCDEFGH"[place]) for place, text in enumerate(panel.queries)],
        "thresholds": _steps(panel.thresholds),
        "maxDataPoints": 500,
        "transformations": _ordered(panel.order),
        "extraJson": {"fieldConfig": {"defaults": _defaults(panel), "overrides": list(map(_override, panel.columns))}},
    }
    match panel.kind:
        case Kind.STAT:
            return Stat(format=panel.unit, noValue="–", reduceCalc="lastNotNull", graphMode="none", **more)
        case Kind.LINES:
            return Lines(
                unit=panel.unit,
                lineInterpolation="linear" if panel.gap_s else "stepAfter",
                showPoints="never",
                legendDisplayMode="table",
                legendCalcs=["lastNotNull", "min", "max"],
                tooltipMode="multi",
                thresholdsStyleMode="line" if len(panel.thresholds) > 1 else "off",
                **more,
            )
        case Kind.STATES:
            return States(showValue="never", **more)
        case Kind.TABLE:
            return Table(filterable=True, **more)
        case Kind.BARS:
            return Bars(**more)
        case Kind.MAP:
            return Geomap(colour_by="level", words="asset", **more)


def _defaults(panel: Panel) -> dict[str, Any]:
    found: dict[str, Any] = {"unit": panel.unit}
    if len(panel.thresholds) > 1 or panel.kind in (Kind.STAT, Kind.STATES, Kind.TABLE, Kind.BARS, Kind.MAP):
        found["color"] = {"mode": "thresholds"}
    if panel.decimals is not None:
        found["decimals"] = panel.decimals
    if panel.minimum is not None:
        found["min"] = panel.minimum
    if panel.words:
        found["mappings"] = _mappings(panel.words)
    if panel.links:
        found["links"] = [link(title, url) for title, url in panel.links]
    if panel.name:
        found["displayName"] = panel.name
    if panel.kind is Kind.LINES:
        found["custom"] = {"spanNulls": panel.gap_s * 1_000 if panel.gap_s else False}
    return found


def _steps(thresholds: Sequence[tuple[float | None, str]]) -> list[dict[str, Any]]:
    return [{"value": value, "color": colour} for value, colour in thresholds]


def _mappings(words: Sequence[tuple[int, str, str]]) -> list[dict[str, Any]]:
    options = {
        str(value): {"text": text, "color": colour, "index": place} for place, (value, text, colour) in enumerate(words)
    }
    return [{"type": "value", "options": options}]


def _override(column: Column) -> dict[str, Any]:
    """What is otherwise of one field."""
    said: dict[str, Any] = {}
    if column.unit:
        said["unit"] = column.unit
    if column.title:
        said["displayName"] = column.title
    if column.decimals is not None:
        said["decimals"] = column.decimals
    if column.thresholds:
        said["thresholds"] = {"mode": "absolute", "steps": _steps(column.thresholds)}
    if column.words:
        said["mappings"] = _mappings(column.words)
    if column.thresholds or column.words:
        said["custom.cellOptions"] = {"type": "color-text"}
    if column.links:
        said["links"] = [link(title, url) for title, url in column.links]
    if column.is_hidden:
        said["custom.hidden"] = True
    properties = [{"id": name, "value": value} for name, value in said.items()]
    return {"matcher": {"id": "byName", "options": column.name}, "properties": properties}


def _ordered(names: Sequence[str]) -> list[dict[str, Any]]:
    """Flux says nothing of the order of columns. A name that is not there is passed over: Grafana calls a time that is
    alone `Time`."""
    if not names:
        return []
    by_name = {name: place for place, name in enumerate(names)}
    return [{"id": "organize", "options": {"indexByName": by_name, "excludeByName": {}, "renameByName": {}}}]
