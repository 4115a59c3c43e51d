"""Milestones in the book: money that may move, when, how much, to whom, and after what else.

A milestone is about a shipment, or about one lot alone. Its clause says when it is met, its release how much moves
then, and `after` which milestones must have been released before: so tranches go in their order. Money goes to a party
of the book, and where its facility names payees, to one of those only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.identifiers import is_container
from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.items.facilities import Facility
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.items.sections import Sections, absent, said
from pledgewatch_cloud.decide.milestones import clauses
from pledgewatch_cloud.decide.milestones.clauses import Clause
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import AMOUNT_MAX_MINOR, BASIS_POINTS
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade.shipments import Shipment

SHARES_OF = ("value", "limit")
"""What a release may be a share of: the value of the milestone's lots, or the limit of its facility."""


class Release(NamedTuple):
    """How much moves: a fixed amount, or a share of something, one of SHARES_OF, rounded down."""

    amount_minor: int = 0
    share_bp: int = 0
    of: str = ""


class Milestone(NamedTuple):
    """Money that may move to `payee` once its clause `when` holds, until `expires_ms`.

    It is about a shipment or a lot, one of both. `after`: the milestones that must have been released before.
    """

    id: str
    facility: str
    payee: str
    when: Clause
    release: Release
    shipment: str = ""
    lot: str = ""
    after: tuple[str, ...] = ()
    expires_ms: int = NEVER


class Scope(NamedTuple):
    """What a milestone is about: its lots, and the references by which notices may speak of them."""

    lots: tuple[Lot, ...]
    references: tuple[str, ...]


def scope_of(milestone: Milestone, lots: Mapping[str, Lot], shipments: Mapping[str, Shipment]) -> Scope:
    """The lots and references of a milestone; none where what it is about has left the book."""
    shipment = shipments.get(milestone.shipment)
    names = shipment.lots if shipment else (milestone.lot,)
    held = tuple(lots[one] for one in names if one in lots)
    own = (f"shipment:{milestone.shipment}", *shipment.references) if shipment else ()
    return Scope(held, (*own, *references_of_lots(held)))


def references_of_lots(lots: Iterable[Lot]) -> Iterator[str]:
    """How notices may speak of lots: by their id, or by the containers that they are and were in."""
    for lot in lots:
        yield f"lot:{lot.id}"
        yield from containers_of(lot)


def containers_of(lot: Lot) -> Iterator[str]:
    """The references of what a lot is and was in, where that goes by a container number of ISO 6346."""
    return (f"container:{asset}" for asset in lot.assets if is_container(asset))


def written(milestone: Milestone) -> str:
    """What a release comes to and who is paid, in words. Once sent, a release never changes these."""
    release = milestone.release
    amount = f"{release.share_bp} bp of the {release.of}" if release.of else f"{release.amount_minor} minor units"
    return f"{amount} to {milestone.payee}"


def goods_of(milestone: Milestone, lots: Iterable[Lot]) -> str:
    """What a milestone is about, in words."""
    names = ", ".join(sorted(lot.id for lot in lots))
    return f"{names} in {milestone.shipment}" if milestone.shipment else names


def shares_of(milestone: Milestone, lots: Iterable[Lot]) -> tuple[tuple[str, int], ...]:
    """What a release takes a share of, in basis points: the limit of its facility, or the value of each lot."""
    release = milestone.release
    about = {"": (), "limit": (milestone.facility,), "value": tuple(lot.id for lot in lots)}[release.of]
    return tuple((f"{release.of} of {one}", release.share_bp) for one in about)


def _release(item: Item, inner: Item | None) -> Release:
    if inner is None:
        raise item.error("release", "is missing: say how much moves")
    if inner.has("amount_minor"):
        release = Release(inner.integer("amount_minor", 1, AMOUNT_MAX_MINOR))
    else:
        release = Release(0, inner.integer("share_bp", 1, BASIS_POINTS), inner.one_of("of", SHARES_OF))
    inner.end()
    return release


def _milestone(item: Item) -> Milestone:
    when = item.item("when")
    if when is None:
        raise item.error("when", "is missing: say what lets the money move")
    milestone = Milestone(
        item.text("id"),
        item.text("facility"),
        item.text("payee"),
        clauses.read(when),
        _release(item, item.item("release")),
        item.word("shipment"),
        item.word("lot"),
        item.ids("after"),
        item.moment("expires_at", NEVER),
    )
    if bool(milestone.shipment) == bool(milestone.lot):
        raise item.error("lot", "a milestone is about a shipment or about a lot, one of both")
    return milestone


READERS: dict[str, Callable[[Item], Any]] = {"milestones": _milestone}
"""How an item of each section is read."""


def as_document(_section: str, milestone: Milestone) -> dict[str, Any]:
    """A milestone as an amendment says it."""
    told = said(milestone)
    told["when"] = clauses.as_document(milestone.when)
    told["release"] = {key: one for key, one in milestone.release._asdict().items() if one}
    if milestone.expires_ms != NEVER:
        del told["expires_ms"]
        told["expires_at"] = iso(milestone.expires_ms)
    return told


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: references that lead nowhere, circles, shares of more than there is."""
    for milestone in sections["milestones"].values():
        yield from _milestone_astray(sections, milestone)
    yield from _circles(sections["milestones"])
    yield from _shared_out(sections)


def _milestone_astray(sections: Sections, milestone: Milestone) -> Iterator[str]:
    place = f"milestones {milestone.id}"
    yield from absent(sections, f"{place}.facility", "facilities", milestone.facility)
    yield from absent(sections, f"{place}.payee", "parties", milestone.payee)
    facility: Facility | None = sections["facilities"].get(milestone.facility)
    if facility and facility.payees and milestone.payee not in facility.payees:
        yield f"{place}.payee: {facility.id} pays {', '.join(facility.payees)} only, not {milestone.payee}"
    if facility and milestone.release.of == "limit" and not facility.limit_minor:
        yield f"{place}.release.of: {facility.id} has no limit that a share could be of"
    section, name = ("shipments", milestone.shipment) if milestone.shipment else ("lots", milestone.lot)
    yield from absent(sections, f"{place}.{section.removesuffix('s')}", section, name)
    about = sections[section].get(name)
    if about and about.facility != milestone.facility:
        yield f"{place}: {name} is pledged to {about.facility}, not to {milestone.facility}"
    for other in milestone.after:
        yield from absent(sections, f"{place}.after", "milestones", other)
    lots = {lot.id for lot in scope_of(milestone, sections["lots"], sections["shipments"]).lots}
    for fact in clauses.facts(milestone.when):
        where = f"{place}.when: {fact.kind}"
        for part, among in (("fence", "fences"), ("sender", "senders"), ("milestone", "milestones")):
            if getattr(fact, part):
                yield from absent(sections, f"{where}.{part}", among, getattr(fact, part))
        if fact.lot and fact.lot not in lots:
            yield f"{where}.lot: the milestone is not about {fact.lot!r}"
        for lot in scope_of(milestone, sections["lots"], sections["shipments"]).lots:
            if fact.lot in ("", lot.id) and fact.limit and all(one.id != fact.limit for one in lot.limits):
                yield f"{where}.limit: {lot.id} has no limit {fact.limit!r}"


def waits_for(milestone: Milestone) -> set[str]:
    """The milestones of which one waits for the release."""
    return {*milestone.after, *clauses.milestones_named(milestone.when)}


def _circles(milestones: Mapping[str, Milestone]) -> Iterator[str]:
    """Milestones that wait for each other, or for themselves: each of them once."""
    waits = {one.id: waits_for(one) & milestones.keys() for one in milestones.values()}
    # Whoever is waited for by somebody in a circle, and waits for somebody in one.
    left = _without_the_free(_turned(_without_the_free(_turned(waits))))
    for one in sorted(left):
        others = ", ".join(sorted(left[one]))
        yield f"milestones {one}: waits in a circle, by way of {others}; let one of them wait for no other"


def _turned(waits: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Who waits for each, where it is said for whom each waits; or the other way round."""
    found: dict[str, set[str]] = {one: set() for one in waits}
    for one, others in waits.items():
        for other in others:
            found[other].add(one)
    return found


def _without_the_free(waits: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Without those that wait for nobody, nor for one who waits for nobody, and so on."""
    waited_for, left = _turned(waits), {one: set(others) for one, others in waits.items()}
    free = [one for one, others in left.items() if not others]
    while free:
        one = free.pop()
        del left[one]
        for other in waited_for[one]:
            left[other].discard(one)
            if not left[other]:
                free.append(other)
    return left


def _shared_out(sections: Sections) -> Iterator[str]:
    milestones = sections["milestones"].values()
    return shared_out(
        {
            one.id: dict(shares_of(one, scope_of(one, sections["lots"], sections["shipments"]).lots))
            for one in milestones
        }
    )


def summed(shares: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """What the shares of each thing come to, in basis points; `shares` by milestone (see shares_of)."""
    found: dict[str, int] = {}
    for some in shares.values():
        for about, share_bp in some.items():
            found[about] = found.get(about, 0) + share_bp
    return found


def shared_out(shares: Mapping[str, Mapping[str, int]], were: Mapping[str, int] = {}) -> Iterator[str]:
    """Shares of one thing that come to more than all of it, by the milestones that release them (see shares_of), and to
    more than they were."""
    told = set[str]()
    for about, sum_bp in sorted(summed(shares).items()):
        names = ", ".join(sorted(one for one, some in shares.items() if about in some)) if sum_bp > BASIS_POINTS else ""
        if sum_bp > max(BASIS_POINTS, were.get(about, 0)) and names not in told:
            told.add(names)
            cure = f"let them come to {BASIS_POINTS} at most"
            yield f"milestones {names}: release {sum_bp} bp of the {about}; {cure}"


def asks_for_value(one: Milestone) -> bool:
    """Whether it asks what its goods are worth, or releases a share of that."""
    return one.release.of == "value" or any(fact.ltv_bp for fact in clauses.facts(one.when))


def rehomed(before: Mapping[str, Milestone], after: Mapping[str, Milestone]) -> Iterator[str]:
    """A milestone stays with its facility: what the core was told of its release is told there."""
    for one, was in before.items():
        if one in after and after[one].facility != was.facility:
            yield f"milestones {one}.facility: it is {was.facility}'s; give the new milestone an id of its own"
