"""The files that are made of the Python here, and checked in: dashboards, alert rules, the tables of their page."""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml
from grafanalib._gen import DashboardEncoder

from pledgewatch_dashboards import alerting, cold_chain, facility, fleet_health, pipeline, portfolio
from pledgewatch_dashboards.page import Page, as_json
from pledgewatch_dashboards.panels import Kind, Panel

ROOT = Path(__file__).resolve().parents[2]
PAGES: tuple[Page, ...] = (portfolio.PAGE, facility.PAGE, cold_chain.PAGE, fleet_health.PAGE, pipeline.PAGE)
GENERATED = "dashboards/generated"
ALERTING = "dashboards/provisioning/alerting/evidence.yaml"
DOCUMENT = "docs/DASHBOARDS.md"
_BEGIN, _END = "<!-- made by scripts/dashboards: begin -->", "<!-- end -->"
_HEAD = "# Made by scripts/dashboards; the rules are in dashboards/pledgewatch_dashboards/alerting.py.\n"
_UNITS: Mapping[str, str] = {
    "locale": "the currency",
    "suffix: minor units": "minor units of the currency",
    "short": "a number",
    "ms": "ms, shown as a duration",
    "percentunit": "%",
    "celsius": "°C",
    "humidity": "% relative humidity",
    "volt": "V",
    "cps": "per second",
}


def files(root: Path = ROOT) -> dict[str, str]:
    """Every file by its path, as it should be. Raises KeyError for a query of what nobody writes."""
    found = {f"{GENERATED}/{page.name}.json": _dashboard(page) for page in PAGES}
    found[ALERTING] = _HEAD + yaml.safe_dump(alerting.provisioning(), sort_keys=False, allow_unicode=True, width=120)
    page = (root / DOCUMENT).read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    found[DOCUMENT] = before + _BEGIN + "\n" + tables() + _END + rest.partition(_END)[2]
    return found


def tables() -> str:
    """What each panel answers, and in which unit."""
    lines = []
    for page in PAGES:
        lines += [f"### {page.title}", page.about, "", "| panel | question | unit |", "|---|---|---|"]
        lines += [f"| {one.title} | {one.question} | {_unit(one)} |" for one in page.panels]
        lines.append("")
    lines += ["### Alert rules", "", "| rule | fires | no data | error | severity |", "|---|---|---|---|---|"]
    for rule in alerting.RULES:
        lines.append(f"| {rule.title} | above {rule.above} s | {rule.no_data} | {rule.on_error} | {rule.severity} |")
    return "\n".join([*lines, "", ""])


def _unit(panel: Panel) -> str:
    if panel.unit != "none":
        return _UNITS[panel.unit]
    if panel.words or panel.kind is Kind.MAP:
        return "a state"
    return "text and numbers" if panel.kind is Kind.TABLE else "a number"


def _dashboard(page: Page) -> str:
    return json.dumps(as_json(page), sort_keys=True, indent=2, ensure_ascii=False, cls=DashboardEncoder) + "\n"
