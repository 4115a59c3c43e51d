"""What an alert is about, in fields: which lots, receipts and facilities, what happened, and how much it is by now.

A program makes a sentence of it in whichever language it likes; the console does (console/alerting.js).
"""

from typing import Any

from pledgewatch_cloud.decide.alert_half import spells_of
from pledgewatch_cloud.decide.alerts import Alert
from pledgewatch_cloud.decide.causes import Spell, named_by
from pledgewatch_cloud.decide.item import CHANNEL_NAMES
from pledgewatch_cloud.decide.state import State

CAUSES_MAX = 8
"""Causes that are told of an alert, the newest; `causes` of the alert names all."""


class Abouts:
    """What alerts are about, each found out once; made anew with each of the states that `View.kept` tells apart."""

    def __init__(self, _: State) -> None:
        """Nothing is known yet, and the state is not held on to."""
        self._known: dict[tuple[str, ...], dict[str, Any]] = {}

    def of(self, state: State, alert: Alert) -> dict[str, Any]:
        """What an alert of a state is about."""
        key = alert.rule, alert.group, alert.pledge, alert.id
        if key not in self._known:
            self._known[key] = about(state, alert)
        return self._known[key]


def about(state: State, alert: Alert) -> dict[str, Any]:
    """The lots, receipts and facilities that an alert concerns, and what was found of them: each cause with the event
    that said it, the moments at which it began and ended, and what is known of its extent as of now."""
    book, now_ms, wanted = state.book, state.recorded_at_ms, set(alert.causes)
    told = [
        (asset, one)
        for asset in alert.assets
        for one in spells_of(book, state.facts, asset, now_ms)
        if one.id in wanted
    ]
    told.sort(key=lambda one: (one[1].cause.at_ms, one[1].id))
    names = alert.lots or [lot.id for asset in alert.assets for lot in book.lots_in(asset, now_ms)]
    lots = [book.lots[name] for name in sorted(set(names)) if name in book.lots]
    return {
        "lots": [one.id for one in lots],
        "receipts": sorted({one.receipt.id for one in lots if one.receipt}),
        "facilities": sorted({one.facility for one in lots}),
        "told": [_told(state, asset, one) for asset, one in told[-CAUSES_MAX:]],
    }


def _told(state: State, asset: str, one: Spell) -> dict[str, Any]:
    cause = one.cause
    said = named_by(cause)
    return {
        "event": one.id,
        "kind": cause.kind,
        "asset": asset,
        "at_ms": cause.at_ms,
        "ended_ms": one.ended_ms,
        **said,
        **_extent(state, asset, cause.kind, said),
    }


def _extent(state: State, asset: str, kind: str, said: dict[str, str]) -> dict[str, Any]:
    """How much it is, by what is known now."""
    lot, known = state.book.lots.get(said.get("lot", "")), state.assets.get(asset)
    if kind == "stock_short" and lot is not None and lot.id in state.held:
        held = state.held[lot.id]
        receipt = lot.receipt.id if lot.receipt else ""
        return {"missing": held.missing, "quantity": lot.quantity, "receipt": receipt, "cases": list(held.cases)}
    if kind == "goods_left" and lot is not None:
        return {"quantity": lot.quantity}
    if kind.startswith("source_") and known and (heard := known.devices.get(said["device"])):
        channel = next((one for one in heard.sensors if CHANNEL_NAMES[one] == said.get("channel")), None)
        return {"heard_ms": (heard.device if channel is None else heard.sensors[channel]).last_ms}
    if kind.startswith("condition_") and lot is not None:
        limit = next((one for one in lot.limits if one.id == said.get("limit")), None)
        if limit is not None:
            found = {"channel": CHANNEL_NAMES[limit.channel], "low": limit.low, "high": limit.high}
            now = known.conditions.get((lot.id, limit.id)) if known else None
            return found | ({"value": now.value, "outside_ms": now.outside_ms} if now and now.is_known else {})
    return {}
