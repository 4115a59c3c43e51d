"""State: everything `step` remembers, as one value.

It is a fold of the journal and nothing else, so it has one canonical form: the same journal gives the same bytes and
the same digest on every machine. A snapshot is those bytes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide import care as care_module
from pledgewatch_cloud.decide import market as market_module
from pledgewatch_cloud.decide.access.pledges import Pledges
from pledgewatch_cloud.decide.admission import EpochState
from pledgewatch_cloud.decide.alert_notes import Comment, Silence
from pledgewatch_cloud.decide.alerts import Alert, AlertState
from pledgewatch_cloud.decide.asset import AssetState, Heard
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.calm import Assets
from pledgewatch_cloud.decide.care import Care
from pledgewatch_cloud.decide.causes import Arrival, AssetFacts, Cause, End
from pledgewatch_cloud.decide.collateral.covenants import Covenant, Cover
from pledgewatch_cloud.decide.collateral.desk import Desk
from pledgewatch_cloud.decide.collateral.result import Base
from pledgewatch_cloud.decide.condition import Condition
from pledgewatch_cloud.decide.facility import FacilityState
from pledgewatch_cloud.decide.identity_book import IdentityBook
from pledgewatch_cloud.decide.kinetic import Kinetic, Sum
from pledgewatch_cloud.decide.market import Market
from pledgewatch_cloud.decide.milestones.lifecycle import Memo, MilestoneState, Sight
from pledgewatch_cloud.decide.plausibility import Record, Spot, Still
from pledgewatch_cloud.decide.presence import Presence
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.silence import Level, Source
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt
from pledgewatch_cloud.decide.warehouse.watch import Watch
from pledgewatch_wire.ended import Ended
from pledgewatch_wire.marks import Marks

FORMAT = 19


@dataclass(frozen=True, slots=True)
class State:
    """The state after entry `entry`. `journal` names the journal; `horizon_ms` is how far devices were heard, as ticks
    say; `files` holds what was last taken from each book file, as the SHA-256 of its content; `notices` is what others
    said of the trade, `milestones` what is remembered of each, `losses` what lots have lost by their condition, in
    basis points. `stock`, `receipts` and `watch` are what stock systems say of goods, what receipts do, and what became
    of holding both against what sensors and counters say; `held` is what all that comes to for each lot with an
    electronic receipt. `pledges` are who had which goods pledged, and when. `identities` are those of devices, and who
    was invited to claim one; `care` is what they are to be set to and to do. `desk` only saves work: it is in no
    snapshot, and made anew where it is None."""

    journal: str
    entry: int
    recorded_at_ms: int
    horizon_ms: int
    book: Book
    market: Market
    files: Mapping[str, str]
    devices: Mapping[tuple[str, int], EpochState]
    assets: Assets
    facts: Mapping[str, AssetFacts]
    alerts: Mapping[str, Alert]
    facilities: Mapping[str, FacilityState]
    notices: NoticeBook
    milestones: Mapping[str, Memo]
    losses: Mapping[str, int]
    stock: StockBook
    receipts: ReceiptBook
    watch: Watch
    held: Mapping[str, HeldByReceipt]
    pledges: Pledges
    identities: IdentityBook
    care: Care
    desk: Desk | None = field(default=None, compare=False, repr=False)


def first(journal: str) -> State:
    """The state of a journal without entries."""
    sections: tuple[Any, ...] = ({}, {}, Assets({}), {}, {}, {}, NoticeBook(), {}, {})
    sections += (StockBook(), ReceiptBook(), Watch(), {}, Pledges(), IdentityBook(), {})
    return State(journal, 0, 0, 0, book_module.empty(), market_module.empty(), *sections)


def to_bytes(state: State) -> bytes:
    """The canonical form."""
    return b"".join(pieces(state))


def pieces(state: State) -> Iterator[bytes]:
    """The canonical form bit by bit, as a whole fleet's state is large.

    It is JSON with sorted keys, as canonical.encode writes it, so the sections come in order of their names.
    """
    yield b'{"alerts":'
    yield canonical.encode(state.alerts)
    yield b',"assets":'
    yield from canonical.encode_object((asset, _asset_to_json(state.assets[asset])) for asset in sorted(state.assets))
    yield b',"book":'
    yield from canonical.encode_object(_book_to_json(state.book))
    yield b',"care":' + canonical.encode(care_module.as_json(state.care)) + b',"devices":'
    yield from canonical.encode_array([*key, *_epoch_to_json(one)] for key, one in sorted(state.devices.items()))
    yield b',"entry":%d' % state.entry
    yield b',"facilities":'
    yield from canonical.encode_object((one, state.facilities[one]._asdict()) for one in sorted(state.facilities))
    yield b',"facts":'
    yield from canonical.encode_object((asset, state.facts[asset]._asdict()) for asset in sorted(state.facts))
    rest = {
        "files": dict(state.files),
        "format": FORMAT,
        "held": {lot: one._asdict() for lot, one in state.held.items()},
        "horizon_ms": state.horizon_ms,
        "identities": state.identities.as_json(),
        "journal": state.journal,
        "losses": dict(state.losses),
        "market": market_module.as_document(state.market),
        "milestones": {one: memo._asdict() for one, memo in state.milestones.items()},
        "notices": state.notices.as_json(),
        "pledges": state.pledges.as_json(),
    }
    yield b"," + canonical.encode(rest)[1:-1]
    yield b',"receipts":'
    yield canonical.encode(state.receipts.as_json())
    yield b',"recorded_at_ms":%d,"stock":' % state.recorded_at_ms
    yield from state.stock.pieces()
    yield b',"watch":'
    yield canonical.encode(state.watch.as_json())
    yield b"}"


def _book_to_json(book: Book) -> Iterator[tuple[str, Any]]:
    document = book_module.as_document(book)
    return ((name, document[name]) for name in sorted(document))


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
        market_module.empty().quoted(value["market"]),
        value["files"],
        {(one[0], one[1]): _epoch_from_json(one[2:]) for one in value["devices"]},
        Assets({asset: _asset_from_json(one) for asset, one in value["assets"].items()}),
        {asset: _facts_from_json(one) for asset, one in value["facts"].items()},
        {key: _alert_from_json(one) for key, one in value["alerts"].items()},
        {facility: _facility_from_json(one) for facility, one in value["facilities"].items()},
        NoticeBook.from_json(value["notices"]),
        {milestone: _memo_from_json(one) for milestone, one in value["milestones"].items()},
        value["losses"],
        StockBook.from_json(value["stock"]),
        ReceiptBook.from_json(value["receipts"]),
        Watch.from_json(value["watch"]),
        {lot: _held_from_json(one) for lot, one in value["held"].items()},
        Pledges.from_json(value["pledges"]),
        IdentityBook.from_json(value["identities"]),
        care_module.from_json(value["care"]),
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
        one.recent.hex(),
        one.thinned,
        one.refused,
        one.ended,
    ]


def _epoch_from_json(value: list[Any]) -> EpochState:
    contiguous, ranges, chain_hash, signed, leaves, waiting, suspicions, recent, thinned, refused, ended = value
    return EpochState(
        Marks(contiguous, tuple((low, high) for low, high in ranges)),
        bytes.fromhex(chain_hash),
        signed,
        tuple((sequence, bytes.fromhex(leaf)) for sequence, leaf in leaves),
        tuple((sequence, bytes.fromhex(signature)) for sequence, signature in waiting),
        suspicions,
        bytes.fromhex(recent),
        thinned,
        refused,
        tuple(Ended(*told) for told in ended),
    )


def _asset_to_json(one: AssetState) -> dict[str, Any]:
    """What is known of an asset; what only saves work is left out, and worked out anew after a restart."""
    return {
        "newest": one.newest,
        "begun_ms": one.begun_ms,
        "told_ms": one.told_ms,
        "presence": one.presence,
        "conditions": [[*key, *condition] for key, condition in sorted(one.conditions.items())],
        "kinetics": {
            lot: [kinetic.key, kinetic.value_mc, kinetic.voyage, sorted(kinetic.hours.items()), kinetic.level]
            for lot, kinetic in one.kinetics.items()
        },
        "devices": {device: _heard_to_json(heard) for device, heard in one.devices.items()},
        "withheld_ms": one.withheld_ms,
    }


def _asset_from_json(value: dict[str, Any]) -> AssetState:
    presence = None
    if value["presence"] is not None:
        key, latitude, longitude, inside, pending, unknown, fair, good_ms, box, first_ms, begun = value["presence"]
        waiting = tuple((fence, since) for fence, since in pending)
        south, north, west, east = box
        presence = Presence(
            *(_key(key), latitude, longitude, tuple(inside), waiting, tuple(unknown), tuple(fair), good_ms),
            *((south, north, west, east), first_ms, tuple((fence, since_ms) for fence, since_ms in begun)),
        )
    return AssetState(
        None if value["newest"] is None else _key(value["newest"]),
        value["begun_ms"],
        value["told_ms"],
        presence,
        {(lot, limit): Condition(_key(key), *rest) for lot, limit, key, *rest in value["conditions"]},
        {
            lot: Kinetic(_key(key), newest, Sum(*voyage), {hour: Sum(*one) for hour, one in hours}, level)
            for lot, (key, newest, voyage, hours, level) in value["kinetics"].items()
        },
        {device: _heard_from_json(one) for device, one in value["devices"].items()},
        value["withheld_ms"],
    )


def _heard_to_json(one: Heard) -> list[Any]:
    record = one.record
    return [
        one.key,
        [
            *(record.epoch, record.sequence, record.number_ms, record.backwards, record.accepted, record.suspect),
            sorted(record.still.items()),
            sorted(record.doubts),
        ],
        one.device,
        sorted(one.sensors.items()),
    ]


def _heard_from_json(value: list[Any]) -> Heard:
    key, (epoch, sequence, number_ms, backwards, accepted, suspect, still, doubts), device, sensors = value
    record = Record(
        epoch,
        sequence,
        number_ms,
        backwards,
        None if accepted is None else Spot(*accepted),
        None if suspect is None else Spot(*suspect),
        {channel: Still(*one) for channel, one in still},
        frozenset((channel, doubt) for channel, doubt in doubts),
    )
    return Heard(_key(key), record, _source(device), {channel: _source(one) for channel, one in sensors})


def _source(value: list[int]) -> Source:
    return Source(value[0], Level(value[1]))


def _key(value: list[Any]) -> tuple[int, str, int, int]:
    measured_at_ms, device, epoch, sequence = value
    return measured_at_ms, device, epoch, sequence


def _facts_from_json(value: dict[str, Any]) -> AssetFacts:
    return AssetFacts(
        {fence: tuple(Arrival(*one) for one in some) for fence, some in value["arrivals"].items()},
        {one: Cause(*cause) for one, cause in value["causes"].items()},
        {one: End(tuple(kinds), about, at_ms) for one, (kinds, about, at_ms) in value["ends"].items()},
        {one: (lot, limit, at_ms) for one, (lot, limit, at_ms) in value["known"].items()},
        value["forgotten"],
    )


def _alert_from_json(value: list[Any]) -> Alert:
    identity, rule, group, state, severity, causes, *rest, comments, silences, pledge, lots, assets, hands = value
    alert = Alert(identity, rule, group, AlertState(state), severity, tuple(causes), *rest)
    return alert._replace(
        comments=tuple(Comment(*one) for one in comments),
        silences=tuple(Silence(*one) for one in silences),
        pledge=pledge,
        lots=tuple(lots),
        assets=tuple(assets),
        hands=tuple(hands),
    )


def _facility_from_json(value: dict[str, Any]) -> FacilityState:
    base, (cover, *called) = value["base"], value["covenant"]
    return FacilityState(
        value["messages_sent"],
        None if base is None else Base(*base),
        Covenant(Cover(cover), *called),
    )


def _held_from_json(value: dict[str, Any]) -> HeldByReceipt:
    return HeldByReceipt(**{**value, "cases": tuple(value["cases"])})


def _memo_from_json(value: dict[str, Any]) -> Memo:
    releases = tuple((message, sequence) for message, sequence in value["releases"])
    sights = tuple(Sight(*one) for one in value["sights"])
    shares = tuple((about, share_bp) for about, share_bp in value["shares"])
    told = {"state": MilestoneState(value["state"]), "releases": releases, "sights": sights, "shares": shares}
    return Memo(**{**value, **told})
