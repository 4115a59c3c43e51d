"""Endpoints, dead letters and delivery records as API and command line show them."""

from typing import Any

from pledgewatch_cloud.journal.outbox import DeadLetter, DeliveryRecord, EndpointState
from pledgewatch_cloud.outbox.relay import Relay


def endpoint_as_json(state: EndpointState) -> dict[str, Any]:
    """What the disk knows of an endpoint. Moments are Unix milliseconds; null: there is none."""
    return {
        "name": state.name,
        "begin": state.begin,
        "message_types": list(state.wanted.types),
        "facilities": list(state.wanted.facilities),
        "pending": state.pending,
        "dead": state.dead,
        "delivered": state.records,
        "oldest_pending_ms": state.oldest_pending_ms,
        "stopped_at_ms": state.stopped_at_ms or None,
        "stopped_why": state.stopped_why,
        "quiet_until_ms": state.quiet_until_ms or None,
        "errors": state.errors,
    }


def relay_as_json(relay: Relay | None) -> dict[str, Any]:
    """What the service knows of an endpoint since it started; `running` false where it is configured no more."""
    if relay is None:
        return {"running": False}
    return {
        "running": True,
        "circuit": relay.circuit.state,
        "lag_s": relay.lag_s,
        "lag_alert_s": relay.settings.lag_alert_s,
        "is_lagging": relay.is_lagging,
        "attempts": relay.metrics.attempts,
        "failures": dict(sorted(relay.metrics.failures.items())),
    }


def dead_letter_as_json(one: DeadLetter) -> dict[str, Any]:
    """A dead letter."""
    return {
        "endpoint": one.endpoint,
        "id": one.message.id,
        "type": one.message.type,
        "facility": one.message.facility,
        "sequence": one.message.sequence,
        "attempts": one.message.attempts,
        "error": one.error,
    }


def record_as_json(one: DeliveryRecord) -> dict[str, Any]:
    """A delivery record; the answer's beginning as text, with whatever is none of UTF-8 replaced."""
    return {**one._asdict(), "answer": one.answer.decode("utf-8", "replace"), "keys": one.keys.split()}
