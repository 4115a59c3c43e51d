"""Clauses: what a milestone asks for, as a tree of facts that documents and banks can read, and when it holds.

    {"all": [{"fact": "bill_of_lading_issued"},
             {"fact": "customs_cleared", "sender": "customs-broker"},
             {"fact": "gated_in", "fence": "la-dc", "dwell_s": 3600, "grade": "good"}]}

A clause holds on stretches of the time at which things happened, not of the time at which they were heard of; so the
order in which news comes in cannot matter. What is not known is neither true nor false: every fact gives the stretches
on which it surely holds and those on which it may, and so does every clause. Of whatever is true in the end, the first
are always a part, and it is always a part of the second. Only what surely holds lets money move; what no longer may
hold takes the ground away.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import stretches
from pledgewatch_cloud.decide.grade import GRADE_NAMES
from pledgewatch_cloud.decide.identifiers import LOCODE, IdentifierError, locode
from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.stretches import NEVER, NONE, Stretch, Stretches
from pledgewatch_cloud.decide.trade.vocabulary import FACT_KINDS, NOTICE_KINDS

MOST_FACTS = 64
MOST_LEVELS = 8
MOST_DAYS = 3_660
LONGEST_S = 366 * 86_400
MOST_LTV_BP = 1_000_000
DAY_MS = 86_400_000


class Held(NamedTuple):
    """When something surely holds and when it may hold; the first lies within the second."""

    surely: Stretches
    maybe: Stretches


class Fact(NamedTuple):
    """A leaf of a clause. `kind` is one of FACT_PARAMETERS, which says what else it takes.

    What is empty or 0 is not asked for: without a lot every lot that the milestone is about is meant, without a sender
    or place any will do, without `max_age_s` evidence does not age, without `limit` every limit of the lot is meant.
    Only `grade` asks when it is empty, namely for `good`. `at_ms` is NEVER but for `date_reached`.

    `is_denied` is no part of a document: it is said of a fact that stands under `not` (see with_denials).
    """

    kind: str
    fence: str = ""
    lot: str = ""
    place: str = ""
    sender: str = ""
    milestone: str = ""
    limit: str = ""
    grade: str = ""
    dwell_s: int = 0
    max_age_s: int = 0
    at_ms: int = NEVER
    ltv_bp: int = 0
    is_denied: bool = False


# These are no tuples, for tuples of the same parts are equal, and `all` of some clauses is not `any` of them.


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds while every part does."""

    parts: tuple["Clause", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds while one of the parts does."""

    parts: tuple["Clause", ...]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Holds while so many of the parts do."""

    count: int
    parts: tuple["Clause", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Holds while the other clause does not."""

    that: "Clause"


@dataclass(frozen=True, slots=True)
class By:
    """Holds on those stretches of the other clause that begin before a moment."""

    at_ms: int
    that: "Clause"


@dataclass(frozen=True, slots=True)
class Within:
    """Holds from where `after` first does, on those stretches of `that` which begin at most so many days later."""

    days: int
    after: "Clause"
    that: "Clause"


@dataclass(frozen=True, slots=True)
class Upon:
    """Holds on those stretches of `at` at whose first moment the other clause does."""

    at: "Clause"
    that: "Clause"


Clause = Fact | AllOf | AnyOf | AtLeast | Not | By | Within | Upon


class Parameters(NamedTuple):
    """What a kind of fact must be told, and what it can be told besides."""

    needed: tuple[str, ...]
    taken: tuple[str, ...]


def _of_notices() -> dict[str, Parameters]:
    asked = ("sender", "place", "grade", "max_age_s")
    of_containers = ("lot", *asked)
    found = {
        kind: Parameters((), of_containers if NOTICE_KINDS[kind].subject == "container" else asked)
        for kind in FACT_KINDS
    }
    found |= {"on_hold": Parameters((), of_containers)}
    # Anybody who may give notice could confirm that an invoice is owed; only whoever owes it, or knows, is worth money.
    return found | {"invoice_confirmed": Parameters(("sender",), tuple(one for one in asked if one != "sender"))}


_OF_THE_NEWEST = frozenset({"condition_kept", "no_open_breach", "mkt_below"})
"""Kinds whose grade is that of the newest reading, which is asked for by its age alone."""
_CURES = {"sender": "name who must have said so"}
"""What to do where a parameter is missing that is needed."""


FACT_PARAMETERS: Mapping[str, Parameters] = {
    # what sensors show
    "gated_in": Parameters(("fence",), ("lot", "dwell_s", "grade", "max_age_s")),
    "gated_out": Parameters(("fence",), ("lot", "grade", "max_age_s")),
    "inside": Parameters(("fence",), ("lot", "grade", "max_age_s")),
    "condition_kept": Parameters((), ("lot", "limit", "grade", "max_age_s")),
    "no_open_breach": Parameters((), ("lot", "limit", "grade", "max_age_s")),
    "mkt_below": Parameters((), ("lot", "grade", "max_age_s")),
    # what was said, each kind of notice under its own name; `on_hold` is from a hold placed to a hold lifted
    **_of_notices(),
    # what the book says of the stock
    "stock_received": Parameters((), ("lot", "max_age_s")),
    "stock_counted": Parameters((), ("lot", "max_age_s")),
    "receipt_valid": Parameters((), ("lot", "max_age_s")),
    "pledged": Parameters((), ("lot", "max_age_s")),
    # the rest: value, time, and what else was released
    "ltv_below": Parameters(("ltv_bp",), ()),
    "date_reached": Parameters(("at",), ()),
    "milestone_released": Parameters(("milestone",), ("max_age_s",)),
}
"""Every kind of fact, and what it is told in a document."""


def _place(item: Item) -> str:
    code = item.text("place", LOCODE)
    try:
        return locode(code)
    except IdentifierError as error:
        raise item.error("place", str(error)) from None


def _max_age_s(item: Item) -> int:
    # To whoever writes 0 it may mean that nothing is fresh enough, or that anything is.
    found = item.integer("max_age_s", 0, LONGEST_S)
    if not found:
        raise item.error("max_age_s", "0 is no age: leave it out where evidence need not be fresh")
    return found


_READERS: Mapping[str, Callable[[Item], str | int]] = {
    "fence": lambda item: item.text("fence"),
    "lot": lambda item: item.text("lot"),
    "place": _place,
    "sender": lambda item: item.text("sender"),
    "milestone": lambda item: item.text("milestone"),
    "limit": lambda item: item.text("limit"),
    "grade": lambda item: item.one_of("grade", tuple(GRADE_NAMES)),
    "dwell_s": lambda item: item.integer("dwell_s", 0, LONGEST_S),
    "max_age_s": _max_age_s,
    "at": lambda item: item.moment("at"),
    "ltv_bp": lambda item: item.integer("ltv_bp", 1, MOST_LTV_BP),
}
_FIELDS = {"at": "at_ms"}
"""The fields that have another name in a document."""


def read(item: Item) -> Clause:
    """A clause from its document. Raises BookError with every fault found, each with its place."""
    clause = _clause(item, 1)
    count = sum(1 for _ in facts(clause))
    if count > MOST_FACTS:
        raise BookError([f"{item.place}: asks for {count} facts; a clause holds at most {MOST_FACTS}"])
    return clause


def _clause(item: Item, level: int) -> Clause:
    if level > MOST_LEVELS:
        raise BookError([f"{item.place}: lies deeper than {MOST_LEVELS} levels; say it with fewer"])
    forms = [form for form in _FORMS if item.has(form)]
    if len(forms) != 1:
        found = f"has {' and '.join(forms)}" if forms else "has none"
        raise BookError([f"{item.place}: a clause has one of {', '.join(_FORMS)}; this {found}"])
    clause = _FORMS[forms[0]](item, level)
    item.end()
    return clause


def _at_least(item: Item, level: int) -> Clause:
    parts = _parts(item, "of", level)
    count = item.integer("at_least", 1, len(parts))
    for number, part in enumerate(parts):
        first = parts.index(part)
        if first != number:
            raise item.error(f"of[{number}]", f"says the same as of[{first}], and would count twice")
    return AtLeast(count, parts)


def _not(item: Item, level: int) -> Clause:
    (that,) = _all(_items(item, "not"), level)
    return Not(that)


def _by(item: Item, level: int) -> Clause:
    at_ms = item.moment("by")
    (that,) = _all(_items(item, "that"), level)
    return By(at_ms, that)


def _within(item: Item, level: int) -> Clause:
    days = item.integer("within_days", 1, MOST_DAYS)
    after, that = _all(_items(item, "after", "that"), level)
    return Within(days, after, that)


def _upon(item: Item, level: int) -> Clause:
    at, that = _all(_items(item, "upon", "that"), level)
    return Upon(at, that)


def _fact(item: Item, _level: int) -> Clause:
    kind = item.one_of("fact", tuple(FACT_PARAMETERS))
    needed, taken = FACT_PARAMETERS[kind]
    values: dict[str, Any] = {}
    faults: list[str] = []
    for name, reader in _READERS.items():
        if name in needed and name in _CURES and not item.has(name):
            faults.append(f"{item.place}.{name}: is missing: {_CURES[name]}")
        elif name in needed or (name in taken and item.has(name)):
            try:
                values[_FIELDS.get(name, name)] = reader(item)
            except BookError as error:
                faults += error.errors
        elif item.has(name):
            takes = ", ".join((*needed, *taken))
            faults.append(f"{item.place}.{name}: {kind} takes no {name}; it takes {takes}")
    if kind in _OF_THE_NEWEST and "grade" in values and not values.get("max_age_s"):
        text = f"is that of the newest reading, which {kind} asks for only with max_age_s: say that as well"
        faults.append(f"{item.place}.grade: {text}")
    if faults:
        raise BookError(faults)
    return Fact(kind, **values)


_FORMS: Mapping[str, Callable[[Item, int], Clause]] = {
    "all": lambda item, level: AllOf(_parts(item, "all", level)),
    "any": lambda item, level: AnyOf(_parts(item, "any", level)),
    "at_least": _at_least,
    "not": _not,
    "by": _by,
    "within_days": _within,
    "upon": _upon,
    "fact": _fact,
}
"""The key that tells a clause from the others, and how it is read."""


def _parts(item: Item, key: str, level: int) -> tuple[Clause, ...]:
    items = item.items(key)
    if not 1 <= len(items) <= MOST_FACTS:
        raise item.error(key, f"a list of 1 to {MOST_FACTS} clauses is needed, not of {len(items)}")
    return _all(items, level)


def _items(item: Item, *keys: str) -> list[Item]:
    found = []
    for key in keys:
        one = item.item(key)
        if one is None:
            raise item.error(key, "is missing")
        found.append(one)
    return found


def _all(items: Sequence[Item], level: int) -> tuple[Clause, ...]:
    """The clauses one level below, or the faults of all of them."""
    found: list[Clause] = []
    faults: list[str] = []
    for one in items:
        try:
            found.append(_clause(one, level + 1))
        except BookError as error:
            faults += error.errors
    if faults:
        raise BookError(faults)
    return tuple(found)


def as_document(clause: Clause) -> dict[str, Any]:
    """A clause as a document says it; `read` makes the same clause of it."""
    below = [as_document(one) for one in parts_of(clause)]
    match clause:
        case Fact():
            written = _fact_document(clause)
        case AllOf():
            written = {"all": below}
        case AnyOf():
            written = {"any": below}
        case AtLeast():
            written = {"at_least": clause.count, "of": below}
        case Not():
            written = {"not": below[0]}
        case By():
            written = {"by": iso(clause.at_ms), "that": below[0]}
        case Within():
            written = {"within_days": clause.days, "after": below[0], "that": below[1]}
        case Upon():
            written = {"upon": below[0], "that": below[1]}
    return written


def _fact_document(fact: Fact) -> dict[str, Any]:
    written: dict[str, Any] = {"fact": fact.kind}
    for name in _READERS:
        field = _FIELDS.get(name, name)
        value = getattr(fact, field)
        if value != Fact._field_defaults[field]:
            written[name] = iso(value) if name == "at" else value
    return written


def parts_of(clause: Clause) -> tuple[Clause, ...]:
    """The clauses that a clause is made of, in the order of its document; none of a fact."""
    match clause:
        case Fact():
            return ()
        case AllOf(parts) | AnyOf(parts) | AtLeast(_, parts):
            return parts
        case Not(that) | By(_, that):
            return (that,)
        case Within(_, after, that):
            return (after, that)
        case Upon(at, that):
            return (at, that)


def facts(clause: Clause) -> Iterator[Fact]:
    """The facts that a clause asks for, each time that it does, in the order of its document."""
    if isinstance(clause, Fact):
        yield clause
    for one in parts_of(clause):
        yield from facts(one)


def with_denials(clause: Clause, *, is_denied: bool = False) -> Clause:
    """The same clause, its facts marked that stand under an odd number of `not`.

    What is denied is denied of each of the goods: `not` inside asks that none of them is inside, so a fact that is
    marked holds where it does of any.
    """
    below = [with_denials(one, is_denied=is_denied != isinstance(clause, Not)) for one in parts_of(clause)]
    match clause:
        case Fact():
            found: Clause = clause._replace(is_denied=is_denied)
        case AllOf() | AnyOf() | AtLeast():
            found = replace(clause, parts=tuple(below))
        case Not() | By():
            found = replace(clause, that=below[0])
        case Within():
            found = replace(clause, after=below[0], that=below[1])
        case Upon():
            found = replace(clause, at=below[0], that=below[1])
    return found


def milestones_named(clause: Clause) -> tuple[str, ...]:
    """The milestones whose release a clause asks for, each once, in order."""
    return tuple(sorted({one.milestone for one in facts(clause) if one.milestone}))


def evaluate(clause: Clause, held: Callable[[Fact], Held]) -> Held:
    """When a clause holds, given when its facts do."""
    below = [evaluate(one, held) for one in parts_of(clause)]
    match clause:
        case Fact():
            found = held(clause)
        case AllOf():
            found = _counted(len(below), below)
        case AnyOf():
            found = _counted(1, below)
        case AtLeast():
            found = _counted(clause.count, below)
        case Not():
            found = Held(stretches.complement(below[0].maybe), stretches.complement(below[0].surely))
        case By():
            found = Held(*(stretches.begun_before(some, clause.at_ms) for some in below[0]))
        case Within():
            found = _followed(clause.days * DAY_MS, *below)
        case Upon():
            found = _begun_with(*below)
    return found


def _counted(count: int, several: Sequence[Held]) -> Held:
    return Held(
        stretches.at_least(count, [one.surely for one in several]),
        stretches.at_least(count, [one.maybe for one in several]),
    )


def _followed(span_ms: int, after: Held, that: Held) -> Held:
    """The clause `within`. Where it is not known at which moment `after` began, what surely holds had to begin in time
    by the earliest and counts from the latest; what may hold, the other way about."""
    if not after.maybe:
        return Held(NONE, NONE)
    earliest_ms = after.maybe[0][0]
    latest_ms = after.surely[0][0] if after.surely else after.maybe[-1][1] - 1
    surely = stretches.begun_before(that.surely, earliest_ms + span_ms + 1) if after.surely else NONE
    maybe = stretches.begun_before(that.maybe, latest_ms + span_ms + 1)
    return Held(
        stretches.shared(surely, ((latest_ms, NEVER),)),
        stretches.shared(maybe, ((earliest_ms, NEVER),)),
    )


def _begun_with(at: Held, that: Held) -> Held:
    """The clause `upon`. Where it is not known at which moment a stretch began, what surely holds must have held at
    every moment at which it can have begun, and what may hold at one of them."""
    surely, maybe = list[Stretch](), list[Stretch]()
    for since_ms, until_ms in at.maybe:
        inner = [one for one in at.surely if since_ms <= one[0] < until_ms]
        # Nothing begins while it surely goes on already.
        begins = stretches.without(((since_ms, until_ms),), stretches.joined((one[0] + 1, one[1]) for one in inner))
        possible = stretches.shared(that.maybe, begins)
        maybe += [(possible[0][0], until_ms)] if possible else []
        surely += [one for one in inner if stretches.covers(that.surely, (since_ms, one[0] + 1))]
    return Held(stretches.joined(surely), stretches.joined(maybe))
