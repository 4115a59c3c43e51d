"""Alert rules: which causes make an alert, and when it is told, repeated and escalated. How is in alerts."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.condition import SEVERITIES
from pledgewatch_cloud.decide.item import MAX_WAIT_S, Item
from pledgewatch_cloud.decide.items.sections import Sections, absent, said

CAUSES = (
    "condition_breached",
    "condition_unknown",
    "mkt_exceeded",
    "mkt_uncertain",
    "source_silent",
    "source_overdue",
    "evidence_doubted",
    "fence_entered",
    "fence_left",
    "tamper_suspected",
    "clock_doubted",
    "goods_left",
    "stock_short",
)
_OF_A_LOT = ("condition_", "mkt_", "goods_", "stock_")
GROUPINGS = ("lot", "asset", "device", "gateway")


class AlertRule(NamedTuple):
    """Which causes make an alert, and when it is raised, repeated and escalated; see alerts. Zero: not done.

    `fences`: only these (for causes that have one). `group_by`: causes that share it share one alert.
    """

    id: str
    on: str
    severity: str
    fences: tuple[str, ...]
    group_by: str
    persist_s: int
    cool_down_s: int
    repeat_s: int
    escalate_after_s: int


def _alert_rule(item: Item) -> AlertRule:
    rule = AlertRule(
        item.text("id"),
        item.one_of("on", CAUSES),
        item.one_of("severity", SEVERITIES, "critical"),
        item.ids("fences"),
        item.one_of("group_by", GROUPINGS, "asset"),
        item.integer("persist_s", 0, MAX_WAIT_S, 0),
        item.integer("cool_down_s", 0, MAX_WAIT_S, 0),
        item.integer("repeat_s", 0, MAX_WAIT_S, 0),
        item.integer("escalate_after_s", 0, MAX_WAIT_S, 0),
    )
    if rule.group_by == "lot" and not rule.on.startswith(_OF_A_LOT):
        raise item.error("group_by", f"{rule.on} is about no lot; group by asset, device or gateway")
    if rule.fences and not rule.on.startswith("fence_"):
        raise item.error("fences", f"{rule.on} is about no fence; leave them out")
    return rule


READERS: dict[str, Callable[[Item], Any]] = {"alert_rules": _alert_rule}
"""How an item of each section is read."""


def as_document(_section: str, rule: AlertRule) -> dict[str, Any]:
    """A rule as an amendment says it."""
    return said(rule)


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: fences that nobody knows."""
    for rule in sections["alert_rules"].values():
        for fence in rule.fences:
            yield from absent(sections, f"alert_rules {rule.id}.fences", "fences", fence)
