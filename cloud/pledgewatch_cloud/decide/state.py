"""State: everything `step` remembers, as one value.

It is a fold of the journal and nothing else, so it has one canonical form: the same journal gives the same bytes and
the same digest on every machine. A snapshot is those bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.admission import EpochState
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.condition import Condition
from pledgewatch_cloud.decide.facility import AssetFacts, FacilityState, Turn
from pledgewatch_cloud.decide.presence import Place, Presence
from pledgewatch_cloud.decide.silence import Silence
from pledgewatch_cloud.decide.valuation import FacilityValue
from pledgewatch_wire.marks import Marks

FORMAT = 1


@dataclass(frozen=True, slots=True)
class State:
    """The state after entry `entry`. `journal` names the journal; `horizon_ms` is the newest tick."""

    journal: str
    entry: int
    recorded_at_ms: int
    horizon_ms: int
    book: Book
    devices: Mapping[tuple[str, int], EpochState]
    assets: Mapping[str, AssetState]
    facts: Mapping[str, AssetFacts]
    facilities: Mapping[str, FacilityState]


def first(journal: str) -> State:
    """The state of a journal without entries."""
    return State(journal, 0, 0, 0, book_module.empty(), {}, {}, {}, {})


def to_bytes(state: State) -> bytes:
    """The canonical form."""
    return canonical.encode(
        {
            "format": FORMAT,
            "journal": state.journal,
            "entry": state.entry,
            "recorded_at_ms": state.recorded_at_ms,
            "horizon_ms": state.horizon_ms,
            "book": book_module.as_document(state.book),
            "devices": [[*key, *_epoch_to_json(one)] for key, one in sorted(state.devices.items())],
            "assets": {asset: _asset_to_json(one) for asset, one in state.assets.items()},
            "facts": {asset: one._asdict() for asset, one in state.facts.items()},
            "facilities": {facility: one._asdict() for facility, one in state.facilities.items()},
        }
    )


def digest(state: State) -> str:
    """SHA-256 of the canonical form, hexadecimal."""
    return canonical.sha256(to_bytes(state))


def asset_digest(state: State) -> str:
    """Digest of what the readings alone decide: the same for every order of arrival (law 4)."""
    return canonical.digest({asset: _asset_to_json(one) for asset, one in state.assets.items()})


def from_bytes(data: bytes) -> State:
    """The inverse of to_bytes. Raises ValueError where the bytes are of another format."""
    value = json.loads(data)
    if value.get("format") != FORMAT:
        raise ValueError(f"snapshot has format {value.get('format')}, this program reads {FORMAT}")
    return State(
        value["journal"],
        value["entry"],
        value["recorded_at_ms"],
        value["horizon_ms"],
        book_module.amend(book_module.empty(), value["book"]),
        {(one[0], one[1]): _epoch_from_json(one[2:]) for one in value["devices"]},
        {asset: _asset_from_json(one) for asset, one in value["assets"].items()},
        {asset: _facts_from_json(one) for asset, one in value["facts"].items()},
        {facility: _facility_from_json(one) for facility, one in value["facilities"].items()},
    )


def _epoch_to_json(one: EpochState) -> list[Any]:
    return [
        one.marks.contiguous,
        one.marks.ranges,
        one.chain_hash.hex(),
        one.signed_sequence,
        [[sequence, leaf.hex()] for sequence, leaf in one.leaves],
        [[sequence, signature.hex()] for sequence, signature in one.waiting],
        one.suspicions,
    ]


def _epoch_from_json(value: list[Any]) -> EpochState:
    contiguous, ranges, chain_hash, signed, leaves, waiting, suspicions = value
    return EpochState(
        Marks(contiguous, tuple((low, high) for low, high in ranges)),
        bytes.fromhex(chain_hash),
        signed,
        tuple((sequence, bytes.fromhex(leaf)) for sequence, leaf in leaves),
        tuple((sequence, bytes.fromhex(signature)) for sequence, signature in waiting),
        suspicions,
    )


def _asset_to_json(one: AssetState) -> dict[str, Any]:
    return {
        "presence": one.presence,
        "conditions": [[*key, *condition] for key, condition in sorted(one.conditions.items())],
        "silences": one.silences,
    }


def _asset_from_json(value: dict[str, Any]) -> AssetState:
    presence = None
    if value["presence"] is not None:
        key, place, fences = value["presence"]
        presence = Presence(_key(key), Place(*place), tuple(fences))
    conditions = {
        (lot, channel): Condition(_key(key), since, breached)
        for lot, channel, key, since, breached in value["conditions"]
    }
    return AssetState(presence, conditions, {device: Silence(*one) for device, one in value["silences"].items()})


def _key(value: list[Any]) -> tuple[int, str, int, int]:
    measured_at_ms, device, epoch, sequence = value
    return measured_at_ms, device, epoch, sequence


def _facts_from_json(value: dict[str, Any]) -> AssetFacts:
    return AssetFacts(
        {fence: tuple((one[0], one[1]) for one in ids) for fence, ids in value["arrivals"].items()},
        {one: Turn(*turn) for one, turn in value["breaches"].items()},
        {one: Turn(*turn) for one, turn in value["restorations"].items()},
        {device: (said_id, last_ms) for device, (said_id, last_ms) in value["silences"].items()},
    )


def _facility_from_json(value: dict[str, Any]) -> FacilityState:
    worth = value["value"]
    return FacilityState(
        value["messages_sent"],
        None if worth is None else FacilityValue(*worth),
        value["alert_states"],
        value["milestone_states"],
    )
