"""What brought a reading that an event names: the payload in the journal, as far as it may be seen."""

from typing import Any, NamedTuple

from pledgewatch_cloud.decide.access.scope import Scope
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.batch import Readings
from pledgewatch_cloud.decide.events import SaidEvent
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.store import Store


class Payload(NamedTuple):
    """A reading with the payload that brought it first: `first_sequence` to `last_sequence` are those of its readings
    that are seen, `entry` is the one of the journal that holds them."""

    device: str
    epoch: int
    sequence: int
    measured_ms: int
    received_ms: int
    recorded_ms: int
    entry: int
    first_sequence: int
    last_sequence: int


def payload_of(store: Store, scope: Scope, said: SaidEvent) -> Payload | None:
    """The payload of the reading that an event names; None where it names none, or that is not seen: of readings only
    those are that were measured while the asset was, and to an operator those of its own devices. Raises StoreError."""
    facts: dict[str, Any] = dict(said.event.facts)
    device, epoch, sequence = (facts.get(name) for name in ("device", "epoch", "sequence"))
    if device is None or epoch is None or sequence is None:
        return None
    installed = scope.book.installations.get(device)
    if scope.viewer.role is Role.OPERATOR and (installed is None or installed.operator != scope.viewer.party):
        return None
    for span in sorted(store.spans(device, epoch, sequence, sequence), key=lambda one: one.entry):
        written = next(iter(store.entries(span.entry - 1)))
        content = form.read_entry(written).content
        assert isinstance(content, Readings), f"entry {span.entry} holds readings"
        arrival = content.arrivals[span.place]
        seen = [one for one in arrival.readings if scope.sees_asset(said.event.subject, one.measured_at_ms)]
        found = next((one for one in seen if one.sequence == sequence), None)
        return found and Payload(
            *(device, epoch, sequence, found.measured_at_ms, arrival.received_at_ms, written.recorded_at_ms),
            *(span.entry, min(one.sequence for one in seen), max(one.sequence for one in seen)),
        )
    return None
