"""Grounds: what each ineligible of a lot rests on, and the prices and rates behind a base.

What an ineligible rests on is told by names that can be looked up: the ids of events in the journal, readings by
device, epoch and sequence, fences, papers, receipts and cases by their ids. It is what was known when the base was
known, about the moment that the base is of. Where the journal has no event that stands for it (the goods have left
since, or the moment is still to come), it is told by its kind and its moment; where something is missing, that is said.
So there is no ineligible without a ground (tests/test_desk_laws.py).

A ground is made of words and of names: as text they stand one behind the other, and whoever shows it otherwise (a
page, in which a name opens what it names) need not read the text again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide.asset import EMPTY, AssetState
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import DOUBTS, AssetFacts, Cause, Spell
from pledgewatch_cloud.decide.collateral import stand
from pledgewatch_cloud.decide.collateral.goods import DAY_MS
from pledgewatch_cloud.decide.collateral.result import LotLine
from pledgewatch_cloud.decide.collateral.terms import CLASSES, DIMENSIONS, Policy
from pledgewatch_cloud.decide.currencies import exponent
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.market import EURO, Market, MarketError, PriceQuote, RateQuote, day_text
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import Amount
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt

_BREACHES = frozenset({"condition_breached", "mkt_exceeded"})


class Ref(NamedTuple):
    """A thing that can be looked up by its name. `noun` says where: events, receipts, cases, prices, rates, assets,
    fences."""

    noun: str
    id: str


Part = str | Ref
_Parts = tuple[Part, ...]


class Ground(NamedTuple):
    """What an ineligible rests on, in words and names."""

    step: str
    parts: _Parts

    @property
    def text(self) -> str:
        """The ground in a line, behind the ineligible's name."""
        said = "".join(one if isinstance(one, str) else one.id for one in self.parts)
        return f"{self.step}: {said}"


class Looked(NamedTuple):
    """What a facility's lines are looked at with: the book, the market, the facts and the assets that they rest on, as
    of a moment, and `held`, how lots stand by electronic receipts. `said` is what stands, by asset, of what the journal
    has said: its ids can be looked up."""

    facility: str
    lines: Sequence[LotLine]
    as_of_ms: int
    book: Book
    market: Market
    facts: Mapping[str, AssetFacts]
    assets: Mapping[str, AssetState]
    held: Mapping[str, HeldByReceipt]
    said: Mapping[str, AssetFacts]


def grounds_of(looked: Looked) -> dict[str, tuple[str, ...]]:
    """By lot, what its ineligibles rest on, each as a line; lots without any are left out."""
    some = [line for line in looked.lines if has_grounds(line)]
    told = {case.lot.id: tuple(one.text for one in grounds(case)) for case in cases(looked._replace(lines=some))}
    return {lot: texts for lot, texts in told.items() if texts}


def has_grounds(line: LotLine) -> bool:
    """Whether there is anything that a line has grounds for."""
    return bool(line.ineligible) or line.is_unvalued


def marks_of(looked: Looked) -> list[tuple[str, str, str]]:
    """The prices and rates that lots were valued by, as (name, value, date), each once; agreed prices have no date."""
    return list(_marks(cases(looked)))


class Case(NamedTuple):
    """A lot and what is known of it. `asset` is what it is in at the moment, `assets` has it and those that the lot was
    in as of then, looked at only where it is asked for; `spells` is what had begun there by then, `doubts` what speaks
    against the lot's condition in any asset that it was in, from `forgotten_ms` on with more of them than could be
    kept. Spells have the ids of the events that said them, none where no such event stands. `quote` is what the lot is
    valued by, of its `series` or, where that is empty, by agreement; `currencies` are those that its value is turned
    out of."""

    book: Book
    market: Market
    policy: Policy
    currency: str
    lot: Lot
    held: HeldByReceipt | None
    line: LotLine
    asset: str
    assets: Mapping[str, AssetState]
    spells: tuple[Spell, ...]
    doubts: tuple[Spell, ...]
    forgotten_ms: int
    series: str
    quote: PriceQuote | None
    currencies: tuple[str, ...]
    as_of_ms: int

    @property
    def day(self) -> int:
        """The day of the moment."""
        return self.as_of_ms // DAY_MS

    @property
    def known(self) -> AssetState:
        """The asset that the lot is in."""
        return self.assets.get(self.asset, EMPTY)

    @property
    def been_in(self) -> list[tuple[str, AssetState]]:
        """The assets that the lot is and was in."""
        return [(one, self.assets.get(one, EMPTY)) for one in self.lot.assets]


def cases(looked: Looked) -> list[Case]:
    """Each lot of the lines, with what is known of it."""
    book, facility = looked.book, looked.book.facilities[looked.facility]
    policy = book.policy_of(facility.id)
    return [_case(looked, line, policy, facility.currency) for line in looked.lines]


def _case(looked: Looked, line: LotLine, policy: Policy, currency: str) -> Case:
    book, facts = looked.book, looked.facts
    lot = book.lots[line.id]
    asset = lot.stay_at(looked.as_of_ms).asset
    begun = {one: _begun(looked, one) for one in {*lot.assets, asset}}
    forgotten = [facts[one].forgotten.get(lot.id, NEVER) for one in lot.assets if one in facts]
    product, agreed, day = book.products.get(lot.sku), book.prices.get(lot.sku), looked.as_of_ms // DAY_MS
    series = product.series if product else ""
    quote = looked.market.price(series, day)
    if not series and agreed:
        quote = PriceQuote(day, agreed.unit_price_minor, 1, agreed.currency)
    sources = {quote.currency} if quote else set()
    if lot.cost_minor >= 0 and lot.cost_currency:
        sources.add(lot.cost_currency)
    return Case(
        book,
        looked.market,
        policy,
        currency,
        lot,
        stand.held_by_receipt(lot, looked.held),
        line,
        asset,
        looked.assets,
        begun[asset],
        tuple(
            one
            for been_in in lot.assets
            for one in begun[been_in]
            if one.cause.lot == lot.id and one.cause.kind in DOUBTS
        ),
        min(forgotten, default=NEVER),
        series,
        quote,
        tuple(sorted(sources - {currency})),
        looked.as_of_ms,
    )


def _begun(looked: Looked, asset: str) -> tuple[Spell, ...]:
    """What had begun in an asset by the moment, by the ids of the events that said so."""
    said = looked.said.get(asset, AssetFacts()).causes
    by_content = {_content(cause): one for one, cause in said.items()}
    spells = causes_module.spells(looked.facts.get(asset, AssetFacts()))
    begun = [one for one in spells if one.cause.at_ms <= looked.as_of_ms]
    return tuple(one if one.id in said else one._replace(id=by_content.get(_content(one.cause), "")) for one in begun)


def _content(cause: Cause) -> tuple[str, str, int]:
    return cause.kind, cause.about, cause.at_ms


def grounds(case: Case) -> Iterator[Ground]:
    """What a lot's ineligibles rest on."""
    if case.line.is_unvalued:
        yield Ground("unvalued", (_why_unvalued(case),))
    for name in case.line.ineligible:
        for parts in _CAUSES[name](case):
            yield Ground(name, parts)


def _why_unvalued(case: Case) -> str:
    if case.quote is None:
        return f"there is no price of {case.lot.sku} on or before {day_text(case.day)}"
    try:
        for currency in case.currencies:
            case.market.cross(currency, case.currency, case.day)
    except MarketError as error:
        return "; ".join(error.errors)
    return "its value is more than an amount may be"


# What takes a lot, or some of it. Each says what it rests on.


def _price_stale(case: Case) -> Iterable[_Parts]:
    return [("quote of ", Ref("prices", case.series), f" of {day_text(case.quote.day)}")] if case.quote else []


def _rate_stale(case: Case) -> Iterable[_Parts]:
    marks = rate_marks({*case.currencies, case.currency}, case)
    return [(Ref("rates", one), f" for 1 EUR of {day_text(rate.day)}") for one, rate in marks]


def _appraisal(case: Case) -> Iterable[_Parts]:
    one = case.book.appraisals.get(case.lot.sku)
    return [(f"none of {case.lot.sku}" if one is None else f"of {case.lot.sku}, ended {iso(one.until_ms)}",)]


def _receipt(case: Case) -> Iterable[_Parts]:
    if case.lot.receipt is None:
        return [("none",)]
    name, one = Ref("receipts", case.lot.receipt.id), case.held or case.lot.receipt
    return [(name, f" is {one.state}" if one.state != "valid" else f" ended {iso(one.until_ms)}")]


def _stock(case: Case) -> Iterable[_Parts]:
    lot, held = case.lot, case.held
    said = [f"{lot.counted} of {lot.quantity} counted {iso(lot.counted_ms)}"] if lot.counted >= 0 else []
    if held is not None and held.heard_ms != -NEVER:
        said.append(f"stock system or counter last heard of {iso(held.heard_ms)}")
    elif held is not None:
        said.append("neither stock system nor counter was heard")
    return [(one,) for one in said or ["no count"]]


def _shortfall(case: Case) -> Iterable[_Parts]:
    """The cases that say what is missing, by their ids; where there are none, the receipt is for less than the lot."""
    lot, held = case.lot, case.held
    if lot.receipt is None or held is None:
        return []
    missing = f"{held.missing} of {lot.quantity} missing "
    if held.cases:
        return [(f"{missing}by case ", *_listed("cases", held.cases))]
    return [(f"{missing}of what ", Ref("receipts", lot.receipt.id), " covers")]


def _listed(noun: str, ids: Iterable[str]) -> Iterator[Part]:
    """Names with a space between them."""
    for place, one in enumerate(ids):
        yield from (*((" ",) if place else ()), Ref(noun, one))


def _newest_evidence(case: Case) -> Iterable[_Parts]:
    newest = stand.newest_evidence(case.lot, case.policy.evidence.by, case.known, case.as_of_ms)
    if newest is None:
        wanted = "good fix" if case.policy.evidence.by == "fix" else "good fix and no good value"
        return [(f"no {wanted} of ", Ref("assets", case.asset))]
    return [(_reading(newest) if newest[1] else f"good fix of {iso(newest[0])}",)]


def _reading(key: tuple[int, str, int, int]) -> str:
    measured_at_ms, device, epoch, sequence = key
    return f"{device} {epoch} {sequence} of {iso(measured_at_ms)}"


def _place(case: Case) -> Iterator[_Parts]:
    book, policy, inside = case.book, case.policy, stand.fences_of(case.known)
    stands = [one for one in case.spells if one.ended_ms is None or one.ended_ms > case.as_of_ms]
    for fence in inside:
        if fence in book.fences and book.fences[fence].kind == "forbidden":
            yield (f"in {fence}", *_behind(_ids(stands, "fence_entered", fence)))
    if policy.fences and not set(policy.fences) & set(inside):
        left = [one for fence in policy.fences for one in _ids(stands, "fence_left", fence)]
        yield (f"in none of {', '.join(policy.fences)}", *_behind(left))
    if policy.countries and case.lot.country not in policy.countries:
        yield (f"country {case.lot.country or 'not known'}",)
    if not policy.advance_bp[CLASSES.index(case.line.in_class)]:
        yield (f"nothing is lent on {case.line.in_class}",)


def _behind(events: Sequence[str]) -> _Parts:
    """The events that say what stands before them."""
    return (" ", *_listed("events", events)) if events else ()


def _ids(spells: Iterable[Spell], kind: str, fence: str) -> list[str]:
    return [one.id for one in spells if one.id and one.cause.kind == kind and one.cause.fence == fence]


def _condition(case: Case) -> Iterable[_Parts]:
    return _doubts(case, _BREACHES)


def _condition_loss(case: Case) -> Iterator[_Parts]:
    yield from _doubts(case, DOUBTS)
    if case.forgotten_ms <= case.as_of_ms:
        yield (f"doubts since {iso(case.forgotten_ms)}, of which there were too many to keep",)
    for asset, known in case.been_in if case.lot.kinetic else ():
        if known.newest:
            yield (f"temperatures up to {_reading(known.newest)}",)
        elif known.begun_ms != NEVER:
            yield (
                "no temperature of ",
                Ref("assets", asset),
                f" since {iso(known.begun_ms)}, which counts at its worst",
            )


def _doubts(case: Case, kinds: frozenset[str]) -> Iterator[_Parts]:
    """The events that began what speaks against the lot's condition, and what began without one."""
    found = [one for one in case.doubts if one.cause.kind in kinds]
    ids = [one.id for one in found if one.id]
    if ids:
        yield ("event", *_behind(ids))
    for one in found:
        if not one.id:
            _, _, limit = one.cause.about.partition("|")
            about = " ".join([one.cause.kind, *limit.split("|")]).rstrip()
            yield (f"{about} since {iso(one.cause.at_ms)}, of which no event stands",)


def _papers(case: Case) -> Iterator[_Parts]:
    for kind in case.policy.papers:
        some = [one for one in case.lot.papers if one.kind == kind]
        last = max(some, key=lambda one: (one.until_ms, one.id), default=None)
        if last is None:
            yield (f"{kind} is missing",)
        elif last.until_ms <= case.as_of_ms:
            yield (f"{kind} {last.id} ended {iso(last.until_ms)}",)


def _age(case: Case) -> Iterator[_Parts]:
    if case.lot.received_ms != -NEVER:
        yield (f"received {iso(case.lot.received_ms)}",)
    elif case.policy.age_max_days or case.policy.age_bands:
        yield ("nobody knows when it was received",)
    if case.lot.expires_ms != NEVER:
        yield (f"expires {iso(case.lot.expires_ms)}",)


def _sales(case: Case) -> Iterable[_Parts]:
    return [(f"{Amount(case.lot.sold_milli_per_day, 3).text()} sold a day",)]


def _turned(case: Case) -> Iterable[_Parts]:
    return [(f"priced in {case.quote.currency}, lent in {case.currency}",)] if case.quote else []


def _swings(case: Case) -> Iterable[_Parts]:
    of = Ref("prices", case.series) if case.series else case.lot.sku
    return [("swings of ", of, ", by the policy")]


def _of_the_lot(case: Case) -> Iterable[_Parts]:
    return [(f"{case.lot.haircut_bp} basis points, by the book",)]


def _shared(dimension: str) -> Callable[[Case], Iterable[_Parts]]:
    return lambda case: [(str(getattr(case.lot, dimension)),)]


_CAUSES: Mapping[str, Callable[[Case], Iterable[_Parts]]] = {
    "price_stale": _price_stale,
    "rate_stale": _rate_stale,
    "appraisal": _appraisal,
    "receipt": _receipt,
    "stock": _stock,
    "shortfall": _shortfall,
    "evidence": _newest_evidence,
    "place": _place,
    "condition": _condition,
    "papers": _papers,
    "age": _age,
    "slow": _sales,
    "condition_loss": _condition_loss,
    "evidence_ageing": _newest_evidence,
    "age_haircut": _age,
    "sell_through": _sales,
    "fx_haircut": _turned,
    "volatility": _swings,
    "lot_haircut": _of_the_lot,
    **{f"concentration_{one}": _shared(one) for one in DIMENSIONS},
}


# Marks.


def _marks(some: Sequence[Case]) -> Iterator[tuple[str, str, str]]:
    """The prices and rates that lots were valued by, as (name, value, date), each once; agreed prices have no date."""
    prices = set[tuple[str, str, str]]()
    for case in some:
        if case.quote:
            of_one = f"{Amount(case.quote.price_minor, exponent(case.quote.currency)).text()} {case.quote.currency}"
            value = f"{of_one} for {case.quote.per}" if case.quote.per > 1 else of_one
            agreed = f"agreed price of {case.lot.sku}", value, ""
            prices.add((case.series, value, day_text(case.quote.day)) if case.series else agreed)
    yield from sorted(prices)
    turned = [case for case in some if case.currencies]
    if turned:
        for currency, rate in rate_marks(
            {one for case in turned for one in (*case.currencies, case.currency)}, turned[0]
        ):
            yield f"{currency} for 1 EUR", rate_text(rate), day_text(rate.day)


def rate_marks(currencies: Iterable[str], case: Case) -> Iterator[tuple[str, RateQuote]]:
    """What one euro was worth in some currencies."""
    for currency in sorted(set(currencies) - {EURO}):
        rate = case.market.rate(currency, case.day)
        if rate is not None:
            yield currency, rate


def rate_text(rate: RateQuote) -> str:
    """A rate in digits; that of a currency which was given up says so."""
    return Amount(rate.digits, rate.scale).text() if rate.digits else "withdrawn"
