"""Grounds: what each ineligible of a lot rests on, and the prices and rates behind a base.

What an ineligible rests on is told by names that can be looked up: the ids of events in the journal, readings by
device, epoch and sequence, fences, papers, receipts and cases by their ids. It is what was known when the base was
known, about the moment that the base is of. Where the journal has no event that stands for it (the goods have left
since, or the moment is still to come), it is told by its kind and its moment; where something is missing, that is said.
So there is no ineligible without a ground (tests/test_desk_laws.py).

A ground is a sentence that has kept of what it was made (sentences.py): whoever shows it otherwise (a page, in which a
name opens what it names, or in another language) need not read the text again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
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
from pledgewatch_cloud.decide.money import Amount
from pledgewatch_cloud.decide.sentences import Given, Ref, Sentence, say
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt

_BREACHES = frozenset({"condition_breached", "mkt_exceeded"})


class Ground(NamedTuple):
    """What an ineligible rests on: a sentence, in which names can be looked up."""

    step: str
    said: Sentence

    @property
    def text(self) -> str:
        """The ground in a line, behind the ineligible's name."""
        return f"{self.step}: {self.said}"


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
    return {lot: tuple(one.text for one in some) for lot, some in grounds_by_lot(looked).items()}


def grounds_by_lot(looked: Looked) -> dict[str, tuple[Ground, ...]]:
    """By lot, what its ineligibles rest on; lots without any are left out."""
    some = [line for line in looked.lines if has_grounds(line)]
    told = {case.lot.id: tuple(grounds(case)) for case in cases(looked._replace(lines=some))}
    return {lot: every for lot, every in told.items() if every}


def has_grounds(line: LotLine) -> bool:
    """Whether there is anything that a line has grounds for."""
    return bool(line.ineligible) or line.is_unvalued


def marks_of(looked: Looked) -> list[tuple[str, str, str]]:
    """The prices and rates that lots were valued by, as (name, value, date), each once; agreed prices have no date."""
    return list(_marks(cases(looked)))


class Case:
    """A lot and what is known of it. Most grounds rest on little, so what is not asked for is not looked at."""

    def __init__(self, looked: Looked, line: LotLine, policy: Policy, currency: str) -> None:
        """`line` is one of `looked`; `policy` and `currency` are its facility's."""
        self._looked, self.line, self.policy, self.currency = looked, line, policy, currency
        self.book, self.market, self.as_of_ms = looked.book, looked.market, looked.as_of_ms
        self.lot: Lot = looked.book.lots[line.id]

    @property
    def day(self) -> int:
        """The day of the moment."""
        return self.as_of_ms // DAY_MS

    @property
    def held(self) -> HeldByReceipt | None:
        """How the lot stands by its electronic receipt."""
        return stand.held_by_receipt(self.lot, self._looked.held)

    @property
    def asset(self) -> str:
        """What the lot is in at the moment."""
        return self.lot.stay_at(self.as_of_ms).asset

    @property
    def known(self) -> AssetState:
        """The asset that the lot is in."""
        return self._looked.assets.get(self.asset, EMPTY)

    @property
    def been_in(self) -> list[tuple[str, AssetState]]:
        """The assets that the lot is and was in."""
        return [(one, self._looked.assets.get(one, EMPTY)) for one in self.lot.assets]

    @cached_property
    def spells(self) -> tuple[Spell, ...]:
        """What had begun in the asset by the moment, with the ids of the events that said so, none where no such event
        stands."""
        return _begun(self._looked, self.asset)

    @cached_property
    def doubts(self) -> tuple[Spell, ...]:
        """What speaks against the lot's condition in any asset that it was in."""
        every = (one for asset in self.lot.assets for one in _begun(self._looked, asset))
        return tuple(one for one in every if one.cause.lot == self.lot.id and one.cause.kind in DOUBTS)

    @property
    def forgotten_ms(self) -> int:
        """From when on there are more doubts than could be kept."""
        facts = self._looked.facts
        return min(
            (facts[one].forgotten.get(self.lot.id, NEVER) for one in self.lot.assets if one in facts), default=NEVER
        )

    @property
    def series(self) -> str:
        """The series of prices that the lot is valued by; empty where that is an agreed price."""
        product = self.book.products.get(self.lot.sku)
        return product.series if product else ""

    @cached_property
    def quote(self) -> PriceQuote | None:
        """What the lot is valued by, of its series or by agreement."""
        agreed = self.book.prices.get(self.lot.sku)
        if not self.series and agreed:
            return PriceQuote(self.day, agreed.unit_price_minor, 1, agreed.currency)
        return self.market.price(self.series, self.day)

    @property
    def currencies(self) -> tuple[str, ...]:
        """Those that its value is turned out of."""
        sources = {self.quote.currency} if self.quote else set()
        if self.lot.cost_minor >= 0 and self.lot.cost_currency:
            sources.add(self.lot.cost_currency)
        return tuple(sorted(sources - {self.currency}))


def cases(looked: Looked) -> list[Case]:
    """Each lot of the lines, with what is known of it."""
    book, facility = looked.book, looked.book.facilities[looked.facility]
    policy = book.policy_of(facility.id)
    return [Case(looked, line, policy, facility.currency) for line in looked.lines]


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
        yield Ground("unvalued", _why_unvalued(case))
    for name in case.line.ineligible:
        for said in _CAUSES[name](case):
            yield Ground(name, said)


def _why_unvalued(case: Case) -> Sentence:
    if case.quote is None:
        return say("no_price", sku=case.lot.sku, day=day_text(case.day))
    try:
        for currency in case.currencies:
            case.market.cross(currency, case.currency, case.day)
    except MarketError as error:
        return say("several", some=tuple(error.errors))
    return say("too_much")


# What takes a lot, or some of it. Each says what it rests on.


def _price_stale(case: Case) -> Iterable[Sentence]:
    if case.quote is None:
        return []
    return [say("quoted", series=Ref("prices", case.series), day=day_text(case.quote.day))]


def _rate_stale(case: Case) -> Iterable[Sentence]:
    marks = rate_marks({*case.currencies, case.currency}, case)
    return [say("rated", currency=Ref("rates", one), day=day_text(rate.day)) for one, rate in marks]


def _appraisal(case: Case) -> Iterable[Sentence]:
    sku, one = case.lot.sku, case.book.appraisals.get(case.lot.sku)
    return [say("not_appraised", sku=sku) if one is None else say("appraisal_over", sku=sku, at_ms=one.until_ms)]


def _receipt(case: Case) -> Iterable[Sentence]:
    if case.lot.receipt is None:
        return [say("no_receipt")]
    name, one = Ref("receipts", case.lot.receipt.id), case.held or case.lot.receipt
    if one.state != "valid":
        return [say("receipt_is", receipt=name, state=one.state)]
    return [say("receipt_over", receipt=name, at_ms=one.until_ms)]


def _stock(case: Case) -> Iterable[Sentence]:
    lot, held = case.lot, case.held
    said = []
    if lot.counted >= 0:
        said.append(say("counted", counted=lot.counted, quantity=lot.quantity, at_ms=lot.counted_ms))
    if held is not None and held.heard_ms != -NEVER:
        said.append(say("last_counted", at_ms=held.heard_ms))
    elif held is not None:
        said.append(say("nobody_counts"))
    return said or [say("not_counted")]


def _shortfall(case: Case) -> Iterable[Sentence]:
    """The cases that say what is missing, by their ids; where there are none, the receipt is for less than the lot."""
    lot, held = case.lot, case.held
    if lot.receipt is None or held is None:
        return []
    if held.cases:
        cases = tuple(Ref("cases", one) for one in held.cases)
        return [say("missing_by_case", missing=held.missing, quantity=lot.quantity, cases=cases)]
    receipt = Ref("receipts", lot.receipt.id)
    return [say("missing_of_receipt", missing=held.missing, quantity=lot.quantity, receipt=receipt)]


def _newest_evidence(case: Case) -> Iterable[Sentence]:
    newest = stand.newest_evidence(case.lot, case.policy.evidence.by, case.known, case.as_of_ms)
    if newest is None:
        wanted = "no_fix" if case.policy.evidence.by == "fix" else "no_fix_and_value"
        return [say(wanted, asset=Ref("assets", case.asset))]
    return [_reading(newest) if newest[1] else say("fix", at_ms=newest[0])]


def _reading(key: tuple[int, str, int, int]) -> Sentence:
    measured_at_ms, device, epoch, sequence = key
    return say("reading", device=device, epoch=epoch, sequence=sequence, at_ms=measured_at_ms)


def _place(case: Case) -> Iterator[Sentence]:
    book, policy, inside = case.book, case.policy, stand.fences_of(case.known)
    stands = [one for one in case.spells if one.ended_ms is None or one.ended_ms > case.as_of_ms]
    for fence in inside:
        if fence in book.fences and book.fences[fence].kind == "forbidden":
            events = _events(_ids(stands, "fence_entered", fence))
            yield say("in_fence_by", fence=fence, events=events) if events else say("in_fence", fence=fence)
    if policy.fences and not set(policy.fences) & set(inside):
        events = _events([one for fence in policy.fences for one in _ids(stands, "fence_left", fence)])
        fences = tuple(policy.fences)
        yield say("in_none_by", fences=fences, events=events) if events else say("in_none", fences=fences)
    if policy.countries and case.lot.country not in policy.countries:
        yield say("country", country=case.lot.country) if case.lot.country else say("country_unknown")
    if not policy.advance_bp[CLASSES.index(case.line.in_class)]:
        yield say("nothing_lent", **{"class": case.line.in_class})


def _events(ids: Iterable[str]) -> tuple[Ref, ...]:
    return tuple(Ref("events", one) for one in ids)


def _ids(spells: Iterable[Spell], kind: str, fence: str) -> list[str]:
    return [one.id for one in spells if one.id and one.cause.kind == kind and one.cause.fence == fence]


def _condition(case: Case) -> Iterable[Sentence]:
    return _doubts(case, _BREACHES)


def _condition_loss(case: Case) -> Iterator[Sentence]:
    yield from _doubts(case, DOUBTS)
    if case.forgotten_ms <= case.as_of_ms:
        yield say("doubts_forgotten", at_ms=case.forgotten_ms)
    for asset, known in case.been_in if case.lot.kinetic else ():
        if known.newest:
            yield say("temperatures_up_to", reading=_reading(known.newest))
        elif known.begun_ms != NEVER:
            yield say("temperatures_none", asset=Ref("assets", asset), at_ms=known.begun_ms)


def _doubts(case: Case, kinds: frozenset[str]) -> Iterator[Sentence]:
    """The events that began what speaks against the lot's condition, and what began without one."""
    found = [one for one in case.doubts if one.cause.kind in kinds]
    ids = [one.id for one in found if one.id]
    if ids:
        yield say("by_events", events=_events(ids))
    for one in found:
        if not one.id:
            _, _, limit = one.cause.about.partition("|")
            about: dict[str, Given] = {"cause": one.cause.kind, "at_ms": one.cause.at_ms}
            yield say("by_none", **about, limit=tuple(limit.split("|"))) if limit else say("by_none_of_all", **about)


def _papers(case: Case) -> Iterator[Sentence]:
    for kind in case.policy.papers:
        some = [one for one in case.lot.papers if one.kind == kind]
        last = max(some, key=lambda one: (one.until_ms, one.id), default=None)
        if last is None:
            yield say("paper_missing", paper=kind)
        elif last.until_ms <= case.as_of_ms:
            yield say("paper_over", paper=kind, id=last.id, at_ms=last.until_ms)


def _age(case: Case) -> Iterator[Sentence]:
    if case.lot.received_ms != -NEVER:
        yield say("received_at", at_ms=case.lot.received_ms)
    elif case.policy.age_max_days or case.policy.age_bands:
        yield say("received_unknown")
    if case.lot.expires_ms != NEVER:
        yield say("expires_at", at_ms=case.lot.expires_ms)


def _sales(case: Case) -> Iterable[Sentence]:
    return [say("sold", many=Amount(case.lot.sold_milli_per_day, 3).text())]


def _turned(case: Case) -> Iterable[Sentence]:
    return [say("turned", currency=case.quote.currency, other=case.currency)] if case.quote else []


def _swings(case: Case) -> Iterable[Sentence]:
    return [say("swings", of=Ref("prices", case.series) if case.series else case.lot.sku)]


def _of_the_lot(case: Case) -> Iterable[Sentence]:
    return [say("of_the_lot", haircut_bp=case.lot.haircut_bp)]


def _shared(dimension: str) -> Callable[[Case], Iterable[Sentence]]:
    return lambda case: [say("shared_by", name=str(getattr(case.lot, dimension)))]


_CAUSES: Mapping[str, Callable[[Case], Iterable[Sentence]]] = {
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
