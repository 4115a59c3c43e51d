"""What a lot may go through, as the book says it: limits on channels, and a rule on its mean kinetic temperature.

What they mean and how they are judged is in condition and kinetic.
"""

from typing import Any

from pledgewatch_cloud.decide.condition import SEVERITIES, Limit
from pledgewatch_cloud.decide.item import CHANNEL_NAMES, MAX_WAIT_S, Item
from pledgewatch_cloud.decide.kinetic import ACTIVATION_J_MOL, WINDOW_MAX_H, KineticRule
from pledgewatch_cloud.decide.moments import iso

DAY_S = 86_400


def read_limit(item: Item) -> Limit:
    """A limit on one channel. Raises BookError."""
    channel = item.channel()
    limit = Limit(
        item.text("id", default=CHANNEL_NAMES[channel]),
        channel,
        item.integer("low", -(10**9), 10**9),
        item.integer("high", -(10**9), 10**9),
        item.one_of("severity", SEVERITIES, "critical"),
        item.integer("grace_s", 0, MAX_WAIT_S, 0),
        item.integer("cumulative_s", 0, MAX_WAIT_S, 0),
        item.integer("budget", 0, 10**12, 0),
        item.integer("max_gap_s", 0, MAX_WAIT_S, DAY_S),
        item.integer("stuck_after_s", 0, MAX_WAIT_S, 0),
        item.ids("legs"),
        item.windows("ignore"),
    )
    if limit.low > limit.high:
        raise item.error("low", f"{limit.low} is above high {limit.high}")
    item.end()
    return limit


def read_kinetic(item: Item | None) -> KineticRule | None:
    """What a mean kinetic temperature may be, if that is said. Raises BookError."""
    if item is None:
        return None
    rule = KineticRule(
        item.channel(),
        item.integer("high_mc", -100_000, 200_000),
        item.integer("worst_low_mc", -100_000, 200_000),
        item.integer("worst_high_mc", -100_000, 200_000),
        item.integer("activation_j_mol", 1_000, 1_000_000, ACTIVATION_J_MOL),
        item.integer("window_h", 0, WINDOW_MAX_H, 0),
        item.integer("max_gap_s", 1, MAX_WAIT_S, 3_600),
    )
    if rule.worst_low_mc > rule.worst_high_mc:
        raise item.error("worst_low_mc", f"{rule.worst_low_mc} is above worst_high_mc {rule.worst_high_mc}")
    if not CHANNEL_NAMES[rule.channel].startswith("temperature"):
        raise item.error("channel", f"{CHANNEL_NAMES[rule.channel]} is no temperature")
    item.end()
    return rule


def limit_document(limit: Limit) -> dict[str, Any]:
    """A limit as an amendment says it."""
    always = ("low", "high", "max_gap_s")
    written = {key: value for key, value in limit._asdict().items() if value not in ((), 0) or key in always}
    del written["judged"]
    written["channel"] = CHANNEL_NAMES[limit.channel]
    if limit.legs:
        written["legs"] = list(limit.legs)
    if limit.ignore:
        written["ignore"] = [{"from": iso(since), "until": iso(until)} for since, until in limit.ignore]
    return written


def kinetic_document(rule: KineticRule) -> dict[str, Any]:
    """A rule as an amendment says it."""
    written = {**rule._asdict(), "channel": CHANNEL_NAMES[rule.channel]}
    del written["judged"]
    return written
