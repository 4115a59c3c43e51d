"""Milestones, by laws: what is known decides, never the order in which it became known or in which it is looked at."""

from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from milestoning import (
    COLD,
    FIRST,
    ORIGIN,
    PORT,
    SEA,
    SECOND,
    SHIPMENT,
    WARM,
    Trade,
    fact,
    milestone,
    moment,
)

from pledgewatch_cloud.decide.stretches import NEVER, at_least, shared
from pledgewatch_wire.reading import Cell

LONG_AFTER = 3_000
MINUTES = st.integers(0, 40).map(lambda one: 5 * one)
LEAVES: list[dict[str, Any]] = [
    fact("gated_in", fence="los-angeles"),
    fact("gated_in", fence="los-angeles", dwell_s=1_200),
    fact("gated_in", fence="los-angeles", lot=f"lot-{FIRST}", max_age_s=1_800),
    fact("gated_out", fence="shanghai"),
    fact("inside", fence="shanghai"),
    fact("inside", fence="los-angeles", max_age_s=600),
    fact("condition_kept"),
    fact("no_open_breach"),
    fact("no_open_breach", max_age_s=1_200, lot=f"lot-{SECOND}"),
    fact("customs_cleared"),
    fact("customs_cleared", grade="fair", max_age_s=3_600),
    fact("bill_of_lading_issued", sender="carrier"),
    fact("arrived", place="USLAX"),
    fact("arrived", lot=f"lot-{FIRST}"),
    fact("on_hold"),
    fact("date_reached", at=moment(100)),
]
"""Facts that readings and notices show; what has no history of its own (value, receipts) depends on when it is seen."""


class Reading(NamedTuple):
    """A container's device measures at that minute."""

    minute: int
    name: str
    cells: tuple[Cell, ...]


class Notice(NamedTuple):
    """A sender hands in a notice of the plain form, at that minute or later."""

    minute: int
    sender: str
    one: dict[str, Any]


class Amendment(NamedTuple):
    """The book is amended."""

    minute: int
    document: dict[str, Any]


Happening = Reading | Notice | Amendment


def _forms(below: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(below, min_size=1, max_size=3)
    apart = st.lists(below, min_size=2, max_size=3, unique_by=str)
    return st.one_of(
        some.map(lambda parts: {"all": parts}),
        some.map(lambda parts: {"any": parts}),
        apart.map(lambda parts: {"at_least": 2, "of": parts}),
        below.map(lambda that: {"not": that}),
        st.builds(lambda minute, that: {"by": moment(minute), "that": that}, MINUTES, below),
        st.builds(lambda after, that: {"within_days": 1, "after": after, "that": that}, below, below),
        st.builds(lambda upon, that: {"upon": upon, "that": that}, below, below),
    )


clauses = st.recursive(st.sampled_from(LEAVES), _forms, max_leaves=5)
readings = st.builds(
    Reading, MINUTES, st.sampled_from((FIRST, SECOND)), st.sampled_from((SEA, PORT, ORIGIN, COLD, WARM, (*PORT, *COLD)))
)
ABOUT = ({"shipment": ["shipment-1"]}, {"container": [FIRST]}, {"container": [SECOND]}, {"booking": ["B-7"]})
KINDS = ("customs_cleared", "customs_refused", "bill_of_lading_issued", "arrived", "hold_placed", "hold_lifted")


@st.composite
def notices(draw: st.DrawFn) -> list[Notice]:
    """Notices of some senders, some of which take others back or say the same again with another moment."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        minute, sender = draw(MINUTES), draw(st.sampled_from(("carrier", "customs", "trucker")))
        one: dict[str, Any] = {"id": str(number), "happened_at": moment(minute), "kind": draw(st.sampled_from(KINDS))}
        one["about"] = draw(st.sampled_from(ABOUT))
        if draw(st.booleans()):
            one["place"] = "USLAX"
        if draw(st.integers(0, 4)) == 0:
            one["until"] = moment(minute + 60)
        found.append(Notice(minute, sender, one))
    said = {(one.sender, one.one["id"]): one for one in found}
    for number in range(draw(st.integers(0, 2))):
        sender, identity = draw(st.sampled_from(sorted(said)))
        minute = draw(MINUTES)
        if draw(st.booleans()):
            found.append(Notice(minute, sender, {"id": f"w{number}", "withdraws": identity}))
        else:
            again = said[sender, identity].one | {"id": f"r{number}", "replaces": identity}
            found.append(Notice(minute, sender, {**again, "happened_at": moment(minute), "until": moment(minute + 90)}))
    return found


@st.composite
def worlds(draw: st.DrawFn) -> list[Happening]:
    """What happens and is said, each once, in some order; of a device no two readings are of one minute."""
    some = draw(st.lists(readings, max_size=10, unique_by=lambda one: (one.minute, one.name)))
    happened: list[Happening] = [*some, *draw(notices())]
    happened.append(Amendment(0, {"shipments": [SHIPMENT | {"about": {"booking": ["B-7"]}}]}))
    if draw(st.booleans()):
        happened.append(Amendment(0, {"senders": [{"id": "trucker", "grade": "good"}]}))
    return happened


def told(clause: dict[str, Any], expires: int | None, world: list[Happening], order: list[int], **how: int) -> Trade:
    """A trade in which all of that has become known, in an order in which some of it comes twice."""
    expiry = {} if expires is None else {"expires_at": moment(expires)}
    trade = Trade(milestone(clause, **expiry), **how)
    measured = {
        number: trade.keep(one.minute, *sorted(one.cells), name=one.name)
        for number, one in sorted(enumerate(world), key=lambda pair: pair[1].minute)
        if isinstance(one, Reading)
    }
    for number in order:
        match world[number]:
            case Reading(_, name, _):
                trade.send(measured[number], name=name)
            case Notice(minute, sender, one):
                trade.hand_in(sender, one, minute)
            case Amendment(minute, document):
                trade.amend(minute, **document)
    trade.tick(LONG_AFTER)
    trade.tick(LONG_AFTER)
    return trade


def turned(clause: Any, chance: Any) -> Any:
    """The same clause, the parts of its lists in another order."""
    if isinstance(clause, list):
        parts = [turned(one, chance) for one in clause]
        chance.shuffle(parts)
        return parts
    return {key: turned(one, chance) for key, one in clause.items()} if isinstance(clause, dict) else clause


expiries = st.none() | MINUTES
HEAVY = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=100, suppress_health_check=HEAVY)
@given(clauses, expiries, worlds(), st.randoms(use_true_random=False))
def test_neither_order_of_arrival_nor_duplicates_nor_order_of_evaluation_matter(
    clause: dict[str, Any], expires: int | None, world: list[Happening], chance: Any
) -> None:
    order = [number for number, _ in sorted(enumerate(world), key=lambda pair: pair[1].minute)]
    mixed = [*order, *chance.choices(order, k=3)]
    chance.shuffle(mixed)
    one = told(clause, expires, world, order)
    other = told(turned(clause, chance), expires, world, mixed)
    assert one.verdict().held == other.verdict().held
    for trade in (one, other):
        assert_agrees(trade)
    if one.verdict().held.surely and one.verdict().met_ms != -NEVER:
        assert one.memo().met_ms == other.memo().met_ms == one.verdict().met_ms


def assert_agrees(trade: Trade) -> None:
    """The state is what the clause says; one release is sent as new, and what takes it back names it."""
    held, memo = trade.verdict().held, trade.memo()
    assert shared(held.surely, held.maybe) == held.surely
    assert (memo.state == "met") == bool(held.surely)
    if not held.surely and memo.releases:
        assert memo.state in (("held", "retracted") if held.maybe else ("retracted",))
    if not memo.releases:
        assert memo.state in ("waiting", "pending", "expired")
    money = [one for one in trade.sent() if one["type"] in ("release_disbursement", "resume_release")]
    assert [one["type"] for one in money] == ["release_disbursement", *["resume_release"] * (len(money) - 1)][
        : len(money)
    ]
    assert [(one["id"], one["sequence"]) for one in money] == list(memo.releases)
    on_their_way = [one for one in money if not one["withdrawn_by"]]
    assert len(on_their_way) == (memo.state == "met")
    for one in trade.sent("hold_release") + trade.sent("retract_release"):
        assert (one["release_message"], one["release_sequence"]) in memo.releases


@settings(max_examples=30, suppress_health_check=HEAVY)
@given(clauses, worlds(), st.randoms(use_true_random=False))
def test_a_journal_leads_to_the_same_state_from_its_first_entry_and_from_a_snapshot(
    clause: dict[str, Any], world: list[Happening], chance: Any
) -> None:
    order = list(range(len(world)))
    chance.shuffle(order)
    trade = told(clause, None, world, order, snapshot_every_entries=3)
    assert next(iter(trade.store.snapshots()))[0] > 3
    trade.assert_replays()


@settings(max_examples=30, suppress_health_check=HEAVY)
@given(clauses, worlds(), st.randoms(use_true_random=False), st.data())
def test_whenever_the_core_books_no_release_is_sent_twice_and_every_loss_is_said(
    clause: dict[str, Any], world: list[Happening], chance: Any, data: st.DataObject
) -> None:
    """The core is away now and then, and answers nothing, or all that waits, between any two pieces of news."""
    trade = Trade(milestone(clause))
    order = list(range(len(world)))
    chance.shuffle(order)
    delivered: list[str] = []
    for number in order:
        one = world[number]
        match one:
            case Reading(minute, name, cells):
                trade.fix(minute, *sorted(cells), name=name)
            case Notice(minute, sender, said):
                trade.hand_in(sender, said, minute)
            case Amendment(minute, document):
                trade.amend(minute, **document)
        if data.draw(st.booleans()):
            delivered += trade.deliver(data.draw(st.sampled_from(("booked", "none", ""))))
        if data.draw(st.booleans()):
            trade.restarted()
    trade.tick(LONG_AFTER)
    trade.tick(LONG_AFTER)
    delivered += trade.deliver()
    assert delivered.count("release_disbursement") <= 1
    assert trade.types().count("release_disbursement") <= 1
    holds, state = bool(trade.verdict().held.surely), trade.memo().state
    assert holds == (state in ("met", "released"))
    if trade.memo().released_ms != NEVER:
        assert state in ("released", "in_question")
    assert at_least(1, [trade.verdict().held.surely]) == trade.verdict().held.surely
