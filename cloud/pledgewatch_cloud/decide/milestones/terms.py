"""What the book says of money that may move: milestones, the shipments they are about, and who is paid.

A shipment ties what carriers, customs and insurers speak of (containers, bills of lading, invoices and the like) to
lots of a facility. A milestone is about a shipment, or about one lot alone. Its clause says when it is met, its release
how much moves then, and `after` which milestones must have been released before: so tranches go in their order. Money
goes to a party of the book, and where its facility names payees, to one of those only.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.book_items import MAX_AMOUNT_MINOR, Facility, Lot
from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.milestones import clauses
from pledgewatch_cloud.decide.milestones.clauses import Clause
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import BASIS_POINTS
from pledgewatch_cloud.decide.receipts import jose
from pledgewatch_cloud.decide.receipts.jose import JoseError
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade import fields, identifiers
from pledgewatch_cloud.decide.trade.senders import read_sender
from pledgewatch_cloud.decide.trade.telling import is_container
from pledgewatch_cloud.decide.trade.vocabulary import REFERENCE_TYPES

_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\ufffe\uffff]{1,140}")
_WORD = re.compile(r"[A-Z0-9]{1,34}")
IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}")
ACCOUNT = re.compile(r"[A-Za-z0-9 ./-]{1,34}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
KEYS_MAX = 20
"""Keys of one party: what it signs with now, what it did, and what its several signers have."""
BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_FINANCED_ONCE = frozenset({"bill_of_lading", "invoice", "receipt"})
SHARES_OF = ("value", "limit")
"""What a release may be a share of: the value of the milestone's lots, or the limit of its facility."""


class PartyKey(NamedTuple):
    """A public key that somebody signs with: its name, and the `x` of its JWK (RFC 8037): 32 bytes in base64url."""

    kid: str
    x: str


class Party(NamedTuple):
    """Somebody who is paid or pays, keeps, holds or lends on goods. Words that are empty are not known; `iban`, or else
    `account` at `bic`. Who signs, of receipts and counts, has `keys`."""

    id: str
    name: str
    lei: str = ""
    iban: str = ""
    account: str = ""
    bic: str = ""
    country: str = ""
    keys: tuple[PartyKey, ...] = ()


class Shipment(NamedTuple):
    """Goods on their way: lots of a facility, and the references by which others speak of them, as `type:value`."""

    id: str
    facility: str
    lots: tuple[str, ...]
    references: tuple[str, ...]


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


def account_of(parties: Mapping[str, Party], payee: str) -> str:
    """Where a party is paid, in words; empty where the book does not know."""
    party = parties.get(payee)
    number = (party.iban or party.account) if party else ""
    return f"{number} at {party.bic}" if party and number and party.bic else number


def keys_of(parties: Mapping[str, Party], party: str) -> Mapping[str, bytes]:
    """The raw Ed25519 public keys of a party by their names; none for a party that is not known."""
    known = parties.get(party)
    return {one.kid: jose.public_key(one.x) for one in known.keys} if known else {}


def goods_of(milestone: Milestone, lots: Iterable[Lot]) -> str:
    """What a milestone is about, in words."""
    names = ", ".join(sorted(lot.id for lot in lots))
    return f"{names} in {milestone.shipment}" if milestone.shipment else names


def shares_of(milestone: Milestone, lots: Iterable[Lot]) -> tuple[tuple[str, int], ...]:
    """What a release takes a share of, in basis points: the limit of its facility, or the value of each lot."""
    release = milestone.release
    about = {"": (), "limit": (milestone.facility,), "value": tuple(lot.id for lot in lots)}[release.of]
    return tuple((f"{release.of} of {one}", release.share_bp) for one in about)


def _party(item: Item) -> Party:
    told = (("lei", _WORD), ("iban", _WORD), ("account", ACCOUNT), ("bic", BIC))
    words = {key: item.text(key, pattern) for key, pattern in told if item.has(key)}
    keys = tuple(_party_key(one) for one in item.items("keys"))
    party = Party(item.text("id"), item.text("name", _NAME), **words, country=item.country("country"), keys=keys)
    _check_keys(item, keys)
    try:
        _ = identifiers.lei(party.lei) if party.lei else ""
    except identifiers.IdentifierError as error:
        raise item.error("lei", str(error)) from None
    if party.iban and not is_iban(party.iban):
        raise item.error("iban", f"{party.iban!r} is none: its check digits are wrong (ISO 13616)")
    if party.iban and party.account:
        raise item.error("account", "there is an iban as well; name one of both")
    return party


def _party_key(item: Item) -> PartyKey:
    key = PartyKey(item.text("kid"), item.text("x", _BASE64URL))
    item.end()
    try:
        jose.public_key(key.x)
    except JoseError as error:
        raise item.error("x", str(error).removeprefix("x: ")) from None
    return key


def _check_keys(item: Item, keys: tuple[PartyKey, ...]) -> None:
    """A name stands for one key, and there are not too many of them."""
    if len(keys) > KEYS_MAX:
        raise item.error("keys", f"there are {len(keys)}; at most {KEYS_MAX}, so take out what is not signed with")
    kids = [one.kid for one in keys]
    for place, kid in enumerate(kids):
        if kid in kids[:place]:
            raise item.error(f"keys[{place}].kid", f"{kid!r} is the name of another key already; give it its own")


def is_iban(text: str) -> bool:
    """Whether a text is an IBAN: country, two check digits, up to 30 letters and digits (ISO 13616, modulus 97)."""
    if not IBAN.fullmatch(text):
        return False
    return int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1


def _shipment(item: Item) -> Shipment:
    shipment = Shipment(item.text("id"), item.text("facility"), item.ids("lots"), _references(item))
    if not shipment.lots:
        raise item.error("lots", "name at least one lot that is in it")
    return shipment


def _references(item: Item) -> tuple[str, ...]:
    """How others speak of a shipment, by type."""
    where, faults = f"{item.place}.about", fields.Faults()
    about = faults.gathered(dict[str, Any](), fields.mapped, where, item.value("about"))
    faults.errors += [
        f"{where}.{key}: no such type of reference; there are {', '.join(REFERENCE_TYPES)}"
        for key in about
        if key not in REFERENCE_TYPES
    ]
    some = [
        (f"{where}.{kind}[{place}]", kind, value)
        for kind in REFERENCE_TYPES
        for place, value in enumerate(faults.gathered(list[Any](), fields.listed, f"{where}.{kind}", about.get(kind)))
    ]
    found = fields.references(faults, some)
    if faults.errors:
        raise BookError(faults.errors)
    return found


def _about_document(references: tuple[str, ...]) -> dict[str, list[str]]:
    about: dict[str, list[str]] = {}
    for one in references:
        kind, _, value = one.partition(":")
        about.setdefault(kind, []).append(value)
    return about


def _release(item: Item, inner: Item | None) -> Release:
    if inner is None:
        raise item.error("release", "is missing: say how much moves")
    if inner.has("amount_minor"):
        release = Release(inner.integer("amount_minor", 1, MAX_AMOUNT_MINOR))
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


READERS: dict[str, Callable[[Item], Any]] = {
    "parties": _party,
    "senders": read_sender,
    "shipments": _shipment,
    "milestones": _milestone,
}
"""How an item of each section is read."""


def as_document(section: str, item: Any) -> dict[str, Any]:
    """An item as an amendment says it: what its reader takes, without what says nothing."""
    written = {key: list(one) if isinstance(one, tuple) else one for key, one in item._asdict().items() if one}
    match section:
        case "parties":
            written |= {"keys": [one._asdict() for one in item.keys]} if item.keys else {}
        case "shipments":
            written.pop("references", None)
            written |= {"about": _about_document(item.references)} if item.references else {}
        case "milestones":
            written["when"] = clauses.as_document(item.when)
            written["release"] = {key: one for key, one in item.release._asdict().items() if one}
            del written["expires_ms"]
            if item.expires_ms != NEVER:
                written["expires_at"] = iso(item.expires_ms)
    return written


def faults(sections: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What only the whole book can show: references that lead nowhere, circles, shares of more than there is."""
    yield from _shipments_astray(sections)
    yield from _financed_twice(sections)
    for sender in sections["senders"].values():
        for one in sender.facilities:
            yield from _absent(sections, f"senders {sender.id}.facilities", "facilities", one)
    for milestone in sections["milestones"].values():
        yield from _milestone_astray(sections, milestone)
    yield from _circles(sections["milestones"])
    yield from _shared_out(sections)


def _absent(sections: Mapping[str, Mapping[str, Any]], place: str, section: str, key: str) -> Iterator[str]:
    if key not in sections[section]:
        yield f"{place}: there is no {key!r} among {section}"


def _shipments_astray(sections: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for shipment in sections["shipments"].values():
        place = f"shipments {shipment.id}"
        yield from _absent(sections, f"{place}.facility", "facilities", shipment.facility)
        for name in shipment.lots:
            yield from _absent(sections, f"{place}.lots", "lots", name)
            lot = sections["lots"].get(name)
            if lot and lot.facility != shipment.facility:
                yield f"{place}.lots: {name} is pledged to {lot.facility}, not to {shipment.facility}"


def _financed_twice(sections: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Papers that stand for goods or claims and are with two facilities: one of both lends on nothing."""
    found = [
        (reference, one.facility, f"shipments {one.id}.about")
        for _, one in sorted(sections["shipments"].items())
        for reference in one.references
        if reference.partition(":")[0] in _FINANCED_ONCE
    ]
    found += [
        (f"receipt:{lot.receipt.id}", lot.facility, f"lots {lot.id}.receipt")
        for _, lot in sorted(sections["lots"].items())
        if lot.receipt
    ]
    first: dict[str, tuple[str, str]] = {}
    for reference, facility, place in found:
        other, other_place = first.setdefault(reference, (facility, place))
        if other != facility:
            yield f"{place}: {reference} is in {other_place} of {other} as well; take it out of one of them"


def _milestone_astray(sections: Mapping[str, Mapping[str, Any]], milestone: Milestone) -> Iterator[str]:
    place = f"milestones {milestone.id}"
    yield from _absent(sections, f"{place}.facility", "facilities", milestone.facility)
    yield from _absent(sections, f"{place}.payee", "parties", milestone.payee)
    facility: Facility | None = sections["facilities"].get(milestone.facility)
    if facility and facility.payees and milestone.payee not in facility.payees:
        yield f"{place}.payee: {facility.id} pays {', '.join(facility.payees)} only, not {milestone.payee}"
    if facility and milestone.release.of == "limit" and not facility.limit_minor:
        yield f"{place}.release.of: {facility.id} has no limit that a share could be of"
    section, name = ("shipments", milestone.shipment) if milestone.shipment else ("lots", milestone.lot)
    yield from _absent(sections, f"{place}.{section.removesuffix('s')}", section, name)
    about = sections[section].get(name)
    if about and about.facility != milestone.facility:
        yield f"{place}: {name} is pledged to {about.facility}, not to {milestone.facility}"
    for other in milestone.after:
        yield from _absent(sections, f"{place}.after", "milestones", other)
    lots = {lot.id for lot in scope_of(milestone, sections["lots"], sections["shipments"]).lots}
    for fact in clauses.facts(milestone.when):
        where = f"{place}.when: {fact.kind}"
        for part, among in (("fence", "fences"), ("sender", "senders"), ("milestone", "milestones")):
            if getattr(fact, part):
                yield from _absent(sections, f"{where}.{part}", among, getattr(fact, part))
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


def _shared_out(sections: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
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
