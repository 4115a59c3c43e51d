"""Milestones to test with: two containers with a lot each, their shipment, senders, and a bench over the real spine."""

import json
from collections.abc import Callable
from typing import Any

from builders import (
    AT_SEA,
    IN_LOS_ANGELES,
    IN_SHANGHAI,
    MINUTE_MS,
    NOON_MS,
    Device,
    ManualClock,
    book_document,
    position,
    temperature,
)

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.milestones.judge import Verdict, verdict_of
from pledgewatch_cloud.decide.milestones.lifecycle import Memo
from pledgewatch_cloud.decide.milestones.shown import known_of
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import CORE, DeliveryRecord, OutboxMessage
from pledgewatch_cloud.spine.spine import Spine, recover, repeat
from pledgewatch_wire.reading import Cell, Clock, Quality, Reading

FIRST, SECOND = "MSKU1234565", "CSQU3054383"
SEA, PORT, ORIGIN = position(AT_SEA), position(IN_LOS_ANGELES), position(IN_SHANGHAI)
PORT_FAIR, SEA_FAIR = (position(place, Quality.ESTIMATED) for place in (IN_LOS_ANGELES, AT_SEA))
COLD, WARM = (temperature(5_000),), (temperature(9_000),)
SENDERS = [
    {"id": "carrier"},
    {"id": "customs"},
    {"id": "insurer"},
    {"id": "trucker", "grade": "fair"},
    {"id": "rumour", "grade": "poor"},
]
SHIPMENT = {"id": "shipment-1", "facility": "facility-1", "lots": [f"lot-{FIRST}", f"lot-{SECOND}"]}


def at(minute: float) -> int:
    """Minutes after noon in Unix milliseconds."""
    return NOON_MS + round(minute * MINUTE_MS)


def moment(minute: float) -> str:
    """Minutes after noon as documents have them."""
    return iso(at(minute))


def fact(kind: str, **told: Any) -> dict[str, Any]:
    """A fact as a clause asks for it."""
    return {"fact": kind, **told}


def milestone(when: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A milestone about the shipment of both containers; a change to None leaves a key out."""
    one = {
        "id": "milestone",
        "facility": "facility-1",
        "shipment": "shipment-1",
        "payee": "exporter",
        "when": when,
        "release": {"amount_minor": 2_500_000},
    } | changes
    return {key: value for key, value in one.items() if value is not None}


class Trade:
    """Two containers at sea, over the real spine. Nothing is said of them but what a test says."""

    def __init__(
        self, *milestones: dict[str, Any], snapshot_every_entries: int = 4_000, store: Any = None, **changes: Any
    ) -> None:
        self.devices = {name: Device(f"device-{number}", seed=number) for number, name in enumerate((FIRST, SECOND), 1)}
        self.clock = ManualClock(at(-1_000))
        self.store = store or MemoryStore()
        self.spine = Spine(self.store, self.clock, snapshot_every_entries=snapshot_every_entries)
        document = book_document(*self.devices.values(), milestones=[], senders=SENDERS, shipments=[SHIPMENT])
        for installation, lot, name in zip(document["installations"], document["lots"], self.devices, strict=True):
            installation |= {"asset": name, "silent_after_s": 0}
            lot |= {"id": f"lot-{name}", "asset": name}
        # Stories are told in minutes: how fast a container can be is for those that are about that.
        document["assets"] = [{"id": name, "kind": "other"} for name in self.devices]
        self.document = document | changes
        self.spine.commit(drafts.amend, self.document)
        self.spine.commit(drafts.amend, {"milestones": list(milestones)})

    def lot(self, name: str = FIRST, **changes: Any) -> dict[str, Any]:
        """A lot as the book has it, changed."""
        lots: list[dict[str, Any]] = self.document["lots"]
        return next(one for one in lots if one["asset"] == name) | changes

    def amend(self, minute: float, **document: Any) -> Outcome | None:
        """The book is amended at that minute, or where the clock has gone on, now."""
        self.clock.at_ms = max(self.clock.at_ms, at(minute))
        return self.spine.commit(drafts.amend, document)

    def fix(self, minute: float, *cells: Cell, name: str = FIRST) -> None:
        """One container's device measures, and it is heard at once."""
        self.send(self.keep(minute, *cells, name=name), name=name)

    def both(self, minute: float, *cells: Cell) -> None:
        """The devices of both containers measure the same."""
        for name in self.devices:
            self.fix(minute, *cells, name=name)

    def keep(self, minute: float, *cells: Cell, name: str = FIRST) -> Reading:
        """A reading that is to be sent later."""
        return self.devices[name].measure(at(minute), *cells, clock=Clock.GPS)

    def send(self, *readings: Reading, name: str = FIRST) -> None:
        """Readings that arrive now, or once they can have been measured."""
        for reading in readings:
            self.clock.at_ms = max(self.clock.at_ms, reading.measured_at_ms)
            self.spine.take([self.devices[name].arrival([reading], received_at_ms=self.clock.at_ms)])

    def say(self, minute: float, kind: str, sender: str = "carrier", **told: Any) -> Outcome | None:
        """Notice is given that something happened at that minute; it is heard of now, or then. `told` is as the plain
        form has it, `id` by default the kind and the minute."""
        one: dict[str, Any] = {"id": f"{kind}@{minute:g}", "kind": kind, "happened_at": moment(minute)}
        one |= {"about": {"shipment": ["shipment-1"]}} | told
        if isinstance(one.get("until"), (int, float)):
            one["until"] = moment(one["until"])
        return self.hand_in(sender, one, minute)

    def withdraw(self, minute: float, identity: str, sender: str = "carrier") -> Outcome | None:
        """A sender takes back at that minute what it had said."""
        return self.hand_in(sender, {"id": f"no-{identity}", "withdraws": identity}, minute)

    def hand_in(self, sender: str, one: dict[str, Any], minute: float = -1_000) -> Outcome | None:
        """A notice of the plain form is handed in."""
        self.clock.at_ms = max(self.clock.at_ms, at(minute))
        return self.spine.commit(drafts.submit, sender, "plain", json.dumps({"notices": [one]}))

    def tick(self, minute: float) -> None:
        """Time passes to that minute."""
        self.clock.at_ms = max(self.clock.at_ms, at(minute))
        self.spine.tick()

    def memo(self, identity: str = "milestone") -> Memo:
        """What is remembered of a milestone."""
        return self.spine.state.milestones[identity]

    def verdict(self, identity: str = "milestone") -> Verdict:
        """How a milestone's clause stands."""
        state = self.spine.state
        return verdict_of(known_of(state), state.book.milestones[identity], self.memo(identity))

    def ends(self, identity: str = "milestone") -> str:
        """A milestone's state, and since which minute it is met: `met@30`."""
        memo = self.memo(identity)
        since = "" if memo.met_ms == NEVER else f"@{(memo.met_ms - NOON_MS) / MINUTE_MS:g}"
        return f"{memo.state}{since}"

    def due(self) -> list[OutboxMessage]:
        """What the core is sent next."""
        return self.store.due(CORE, 2**62)

    def deliver(self, release: str = "", *, of: str = "") -> list[str]:
        """Hand the core all that waits; it answers each message about a release, or each of a type, with `release`, and
        that word reaches the journal. Returns the types of what was about milestones, in order."""
        found = []
        while due := self.due():
            for one in due:
                if "milestone" in data_of(one):
                    found.append(one.type)
                self.spine.commit(drafts.booked, one, release if of in ("", one.type) else "")
                self.store.delivered(one, DeliveryRecord(CORE, one.id, self.clock.at_ms, 1))
        return found

    def sent(self, kind: str = "") -> list[dict[str, Any]]:
        """The data of every message about milestones that was ever written, in order, with its type; of one kind, or
        of all."""
        found = [
            data_of(one) | {"type": one.type, "id": one.id, "sequence": one.sequence, "withdrawn_by": one.withdrawn_by}
            for one in self.store._outbox.values()
        ]
        return [one for one in found if "milestone" in one and kind in ("", one["type"])]

    def types(self) -> list[str]:
        """The types of the messages about milestones that were ever written, in order."""
        return [one["type"] for one in self.sent()]

    def restarted(self) -> "Trade":
        """The same, taken up from the journal as a new process does."""
        self.spine = Spine(self.store, self.clock)
        return self

    def assert_replays(self) -> None:
        """The journal leads to this state again, from its first entry and from a snapshot; its bytes keep all of it."""
        state, folded = self.spine.state, state_module.first(self.store.journal)
        for written in self.store.entries():
            folded = repeat(self.store, folded, form.read_entry(written), written.outcome)[1].state
        assert state_module.digest(folded) == state_module.digest(state)
        assert state_module.digest(recover(self.store)) == state_module.digest(state)
        again = state_module.from_bytes(state_module.to_bytes(state))
        assert (again.milestones, again.notices) == (state.milestones, state.notices)
        assert state_module.to_bytes(again) == state_module.to_bytes(state)


def data_of(message: OutboxMessage) -> dict[str, Any]:
    """What a message says."""
    found: dict[str, Any] = json.loads(message.body)["data"]
    return found


# What can happen to a trade, and how that ends


Happened = Callable[[Trade], Any]
When = dict[str, Any]
Row = tuple[str, When, list[Happened], str]
"""What the row is about, what the milestone asks, what happened, and how it ends."""


def happening(name: str) -> Callable[..., Happened]:
    """What can happen to a trade, to be done when its turn comes."""
    return lambda *some, **told: lambda trade: getattr(trade, name)(*some, **told)


fix, both, say, withdraw, tick = (happening(name) for name in ("fix", "both", "say", "withdraw", "tick"))


def amend(minute: float, section: str, *items: dict[str, Any]) -> Happened:
    """Items of a section are amended."""
    return lambda trade: trade.amend(minute, **{section: list(items)})


def amend_lots(minute: float, *names: str, **changes: Any) -> Happened:
    """The lots of some containers, or of both, are amended."""
    return lambda trade: trade.amend(minute, lots=[trade.lot(name, **changes) for name in names or (FIRST, SECOND)])


def of(*names: str) -> dict[str, Any]:
    """What a notice is about: containers."""
    return {"about": {"container": list(names)}}


def rows_of(tables: dict[str, list[Row]]) -> list[Row]:
    """The rows of some tables, each under the table's name."""
    found = [(f"{table}: {row[0]}", *row[1:]) for table, rows in tables.items() for row in rows]
    assert len({row[0] for row in found}) == len(found), "each row has a name of its own"
    return found


def assert_ends(trade: Trade, story: list[Happened], ends: str) -> None:
    """So it ends; the state is what the clause says, the money is asked for once where it was ever met, and the journal
    leads to the same again."""
    for happened in story:
        happened(trade)
    assert trade.ends() == ends
    holds = bool(trade.verdict().held.surely)
    assert holds == (trade.memo().state in ("met", "released")), trade.verdict()
    assert len(trade.sent("release_disbursement")) == (trade.memo().releases != ()) <= 1
    trade.assert_replays()
