"""A state as somebody may see it.

    seen(state, scope) ─► a state in which nothing is that the scope does not show

Whoever is answered from such a state cannot be told what is not theirs, whatever is asked: what they may not see is not
there. So the rule is held in one place, and no route of the API needs to know of it. What is read from disk is held to
the same scope by `sees_event` and `Scope.when_asset`.

What is large is only looked at as far as it is asked (`Only`); books and receipts are made once for each scope.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TypeVar

from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide import market as market_module
from pledgewatch_cloud.decide.access.pledges import Pledge, Pledges
from pledgewatch_cloud.decide.access.scope import Scope
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.alert_half import assets_of
from pledgewatch_cloud.decide.alerts import Alert
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.calm import Assets
from pledgewatch_cloud.decide.causes import Arrival, AssetFacts
from pledgewatch_cloud.decide.events import EventType, SaidEvent
from pledgewatch_cloud.decide.items.parties import account_of
from pledgewatch_cloud.decide.milestones.lifecycle import ANOTHER_ACCOUNT, Memo
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.stretches import Stretches
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook
from pledgewatch_cloud.decide.warehouse.cases import Case
from pledgewatch_cloud.decide.warehouse.shortfall import Counts, Pool
from pledgewatch_cloud.decide.warehouse.signals import Signals
from pledgewatch_cloud.decide.warehouse.watch import Watch

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_OF_FACILITIES = frozenset(
    one
    for one in EventType
    if one.startswith("milestone_")
    or one
    in {EventType.BASE_RECOMPUTED, EventType.COVENANT_BREACHED, EventType.MARGIN_CALLED, EventType.COVER_RESTORED}
)
_OF_WAREHOUSES = frozenset(one for one in EventType if one.startswith(("case_", "count_")))
_OF_ALERTS = frozenset(one for one in EventType if one.startswith("alert_"))
_OF_NOTICES = frozenset(one for one in EventType if one.startswith("notice_"))
_OF_GOODS = frozenset({"goods_left", "stock_short"})


class Only(Mapping[_Key, _Value]):
    """Of a mapping what some names allow, each value as it may be seen; None is not there. What was asked for once is
    remembered."""

    def __init__(
        self,
        every: Mapping[_Key, _Value],
        names: Callable[[], Iterable[_Key]],
        seen: Callable[[_Key, _Value], _Value | None],
    ) -> None:
        self._every, self._named, self._seen = every, names, seen
        self._found: dict[_Key, _Value | None] = {}

    @cached_property
    def _names(self) -> frozenset[_Key]:
        return frozenset(self._named())

    def __getitem__(self, key: _Key) -> _Value:
        """The value; KeyError where there is none to be seen."""
        found = self._look(key)
        if found is None:
            raise KeyError(key)
        return found

    def _look(self, key: _Key) -> _Value | None:
        if key not in self._found:
            is_there = key in self._names and key in self._every
            self._found[key] = self._seen(key, self._every[key]) if is_there else None
        return self._found[key]

    def __iter__(self) -> Iterator[_Key]:
        """The keys whose values may be seen."""
        return (key for key in self._names if self._look(key) is not None)

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)


class Sight:
    """What one viewer sees of a journal's states: a scope, made again where the book, the receipts or the pledges are
    others, and what was made of it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._known_facts: dict[str, tuple[AssetFacts, AssetFacts]] = {}
        self._alerts: tuple[Mapping[str, AssetFacts], Book, dict[str, tuple[Alert, Alert | None]]] | None = None
        self._watch: tuple[Watch, Watch] | None = None
        self._pledges: Pledges | None = None
        self._stock: tuple[StockBook, StockBook] | None = None
        self._notices: tuple[NoticeBook, NoticeBook] | None = None
        self._receipts: ReceiptBook | None = None
        self._book: tuple[frozenset[str], Book] | None = None

    def fits(self, state: State) -> bool:
        """Whether it is of a state's book, receipts and pledges."""
        one = self.scope
        return one.book is state.book and one.all_receipts is state.receipts and one.pledges is state.pledges

    def seen(self, state: State) -> State:
        """A state as the viewer may see it."""
        scope, now_ms = self.scope, state.recorded_at_ms
        if scope.is_all:
            return state
        assets, devices = scope.assets(now_ms), scope.devices(now_ms)
        book = self._seen_book(state, assets, devices)
        facts = Only(state.facts, lambda: assets, self._seen_facts)
        return replace(
            state,
            book=book,
            market=state.market if scope.sees_money else market_module.empty(),
            files={},
            devices=Only(state.devices, lambda: (key for key in state.devices if key[0] in devices), _as_it_is),
            assets=Assets(Only(state.assets, lambda: assets, lambda _, one: _asset(scope, one, devices))),
            facts=facts,
            alerts=self._seen_alerts(state, book, facts),
            facilities=Only(state.facilities, lambda: scope.facilities if scope.sees_money else (), _as_it_is),
            notices=self._seen_notices(state, book),
            milestones=Only(state.milestones, lambda: book.milestones, partial(_memo, scope)),
            losses=Only(state.losses, lambda: scope.pledged_lots, _as_it_is),
            stock=self._seen_stock(state.stock),
            receipts=self._seen_receipts(),
            watch=self._seen_watch(state.watch),
            held=Only(state.held, lambda: scope.lots, _as_it_is),
            pledges=self._seen_pledges(),
            desk=None,
        )

    def _seen_facts(self, asset: str, one: AssetFacts) -> AssetFacts:
        """Worked out once for as long as nothing else stands for the asset."""
        known = self._known_facts.get(asset)
        if known is None or known[0] is not one:
            known = self._known_facts[asset] = one, _facts(self.scope, asset, one)
        return known[1]

    def _seen_alerts(self, state: State, book: Book, facts: Mapping[str, AssetFacts]) -> Mapping[str, Alert]:
        """Worked out once for as long as facts and book are the same, which readings in order do not change."""
        if self._alerts is None or self._alerts[0] is not state.facts or self._alerts[1] is not book:
            self._alerts = state.facts, book, {}
        known = self._alerts[2]

        def seen(key: str, one: Alert) -> Alert | None:
            found = known.get(key)
            if found is None or found[0] is not one:
                found = known[key] = one, _alert(self.scope, book, facts, one)
            return found[1]

        return Only(state.alerts, lambda: state.alerts, seen)

    def _seen_watch(self, watch: Watch) -> Watch:
        if self._watch is None or self._watch[0] is not watch:
            self._watch = watch, _watch(self.scope, watch)
        return self._watch[1]

    def _seen_pledges(self) -> Pledges:
        if self._pledges is None:
            every = self.scope.pledges
            self._pledges = every if self.scope.is_all else _pledges(self.scope, every)
        return self._pledges

    @cached_property
    def pledges_by_lot(self) -> dict[str, list[Pledge]]:
        """By lot, the pledges that the viewer has part in, the oldest first."""
        found: dict[str, list[Pledge]] = {}
        for one in sorted(self._seen_pledges(), key=lambda pledge: pledge.from_entry):
            found.setdefault(one.lot, []).append(one)
        return found

    def _seen_book(self, state: State, assets: frozenset[str], devices: frozenset[str]) -> Book:
        if self._book is None or self._book[0] != assets:
            self._book = assets, _book(self.scope, state, assets, devices)
        return self._book[1]

    def _seen_receipts(self) -> ReceiptBook:
        if self._receipts is None:
            every = self.scope.all_receipts
            some = {name: one for name in self.scope.receipts if (one := every.get(name)) is not None}
            self._receipts = ReceiptBook().kept(some, max((one.number for one in some.values()), default=0))
        return self._receipts

    def _seen_stock(self, stock: StockBook) -> StockBook:
        if self._stock is None or self._stock[0] is not stock:
            self._stock = stock, stock.only(lambda key: self.scope.sees_pool(Pool.of(key)))
        return self._stock[1]

    def _seen_notices(self, state: State, book: Book) -> NoticeBook:
        """Notices about what milestones and shipments of the viewer's are about."""
        if self._notices is None or self._notices[0] is not state.notices:
            wanted = {one for shipment in book.shipments.values() for one in shipment.references}
            wanted |= {one for some in book.milestones.values() for one in book.scope_of(some).references}
            found = {one.key: one for reference in sorted(wanted) for one in state.notices.about(reference)}
            related = {other.key: other for key in found for other in state.notices.against(key)}
            self._notices = state.notices, NoticeBook().put(list((found | related).values()))
        return self._notices[1]


def sees_event(scope: Scope, said: SaidEvent) -> bool:
    """Whether somebody may be told an event."""
    one = said.event
    if scope.is_all:
        return True
    match one.type:
        case kind if kind in _OF_FACILITIES:
            is_seen = scope.sees_money and one.subject in scope.facilities
        case EventType.RECEIPT_CHANGED:
            is_seen = scope.sees_receipt(one.subject, int(said.id.partition(".")[0]))
        case kind if kind in _OF_WAREHOUSES:
            is_seen = scope.is_own_warehouse(one.subject)
        case EventType.STOCK_REPORTED:
            source = scope.book.stock_sources.get(one.subject)
            is_seen = source is not None and scope.is_own_warehouse(source.terms.warehouse)
        case kind if kind in _OF_NOTICES:
            shipment = scope.book.shipments.get(one.subject)
            is_seen = shipment is not None and shipment.facility in scope.facilities
        case kind if kind in _OF_ALERTS:
            # What a person said of one is for their own party.
            party = dict(one.facts).get("party", scope.viewer.party)
            is_seen = party == scope.viewer.party and _sees_group(scope, one.subject, one.at_ms)
        case _:
            lot = str(dict(one.facts).get("lot", ""))
            is_seen = scope.sees_asset(one.subject, one.at_ms) and (not lot or _holds(scope.when_lot(lot), one.at_ms))
    return is_seen


def _sees_group(scope: Scope, group: str, at_ms: int) -> bool:
    """Whether somebody may be told of a group of alerts: a lot, an asset, a device, or what some speak through."""
    if group in scope.book.lots:
        return _holds(scope.when_lot(group), at_ms)
    installed = scope.book.installations.get(group)
    behind = scope.book.assets_behind(group) or [installed.asset if installed else group]
    return any(scope.sees_asset(asset, at_ms) for asset in behind)


def _holds(when: Stretches, at_ms: int) -> bool:
    return any(since_ms <= at_ms < until_ms for since_ms, until_ms in when)


def _memo(scope: Scope, milestone: str, one: Memo) -> Memo:
    """What is remembered of a milestone, without the account of a payee who is somebody else."""
    payee = scope.book.milestones[milestone].payee
    if payee == scope.viewer.party:
        return one
    return one._replace(account="" if one.account == account_of(scope.book.parties, payee) else ANOTHER_ACCOUNT)


def _as_it_is(_: object, one: _Value) -> _Value:
    return one


def _asset(scope: Scope, one: AssetState, devices: frozenset[str]) -> AssetState:
    """What is known of an asset, of the viewer's own lots and devices."""
    lots = scope.pledged_lots
    return one._replace(
        conditions={key: condition for key, condition in one.conditions.items() if key[0] in lots},
        kinetics={lot: kinetic for lot, kinetic in one.kinetics.items() if lot in lots},
        devices={device: heard for device, heard in one.devices.items() if device in devices},
        saves=(),
        unsaved=0,
    )


def _facts(scope: Scope, asset: str, one: AssetFacts) -> AssetFacts:
    """What stands for an asset, of the viewer's lots and time: what began before and goes on in it, too."""
    when, lots = scope.when_asset(asset), scope.pledged_lots
    spells = {
        spell.id: spell.cause
        for spell in causes_module.spells(one)
        if (spell.cause.lot in lots or not (spell.cause.lot or spell.cause.kind in _OF_GOODS))
        and any(
            since_ms <= spell.cause.at_ms < until_ms
            or (spell.cause.at_ms < since_ms and (spell.ended_ms is None or spell.ended_ms > since_ms))
            for since_ms, until_ms in when
        )
    }
    abouts = {(cause.kind, cause.about) for cause in spells.values()}
    return AssetFacts(
        {fence: some for fence, every in one.arrivals.items() if (some := _within(every, when))},
        spells,
        {
            key: end
            for key, end in one.ends.items()
            if any((kind, end.about) in abouts for kind in end.kinds) and _holds(when, end.at_ms)
        },
        {key: known for key, known in one.known.items() if known[0] in lots},
        {lot: at_ms for lot, at_ms in one.forgotten.items() if lot in lots},
    )


def _within(arrivals: tuple[Arrival, ...], when: Stretches) -> tuple[Arrival, ...]:
    return tuple(one for one in arrivals if _holds(when, one.at_ms))


def _alert(scope: Scope, book: Book, facts: Mapping[str, AssetFacts], one: Alert) -> Alert | None:
    """An alert with those of its causes that are seen, and what the viewer's own party has said; None where none is."""
    there = {cause for asset in assets_of(book, facts, one) if asset in facts for cause in facts[asset].causes}
    causes = tuple(cause for cause in one.causes if cause in there)
    if not causes:
        return None
    party = scope.viewer.party
    return one._replace(
        causes=causes,
        comments=tuple(said for said in one.comments if said.party == party),
        silences=tuple(said for said in one.silences if said.party == party),
    )


def _watch(scope: Scope, watch: Watch) -> Watch:
    """Cases and counts: a warehouse's own whole; of others that there is a case of their goods, and not how much is
    missing of all that lies beside them."""
    if scope.viewer.role is Role.WAREHOUSE:
        cases = {key: one for key, one in watch.cases.items() if one.warehouse == scope.viewer.party}
        counts = Counts({key: one for key, one in watch.counts.of.items() if key.warehouse == scope.viewer.party})
        return Watch(signals=Signals(), counts=counts, cases=cases, numbered=watch.numbered)
    receipts = map(scope.all_receipts.get, scope.receipts)
    pools = {Pool.of(key) for one in receipts if one is not None and one.is_live for key in one.totals_milli}
    found = {key: case for key, one in watch.cases.items() if (case := _case(one, pools)) is not None}
    return Watch(cases=found)


def _case(one: Case, pools: set[Pool]) -> Case | None:
    keys = tuple(key for key in one.keys if Pool.of(key) in pools)
    if not keys:
        return None
    return one._replace(keys=keys, subject=(), missing_milli=0, of_milli=0, measured=0, risk=0, by_count="")


def _pledges(scope: Scope, pledges: Pledges) -> Pledges:
    """The pledges that a viewer has part in."""
    party, named = scope.viewer.party, scope.viewer.facilities

    def own(some: Shelves[Pledge]) -> Shelves[Pledge]:
        kept = {key: one for key, one in some.items() if party in (one.lender, one.borrower) or one.facility in named}
        return Shelves[Pledge]().put(kept)

    return Pledges(own(pledges.running), own(pledges.ended)) if scope.sees_money else Pledges()


def _book(scope: Scope, state: State, assets: frozenset[str], devices: frozenset[str]) -> Book:
    """The book as far as it is of what is seen. What a borrower's account is, only the borrower and the keeper read."""
    book, money = state.book, scope.sees_money
    lots = {key: book.lots[key] for key in sorted(scope.lots)}
    skus = {one.sku for one in lots.values()}
    facilities = {key: book.facilities[key] for key in sorted(scope.facilities)}
    if not money:
        facilities = {
            key: one._replace(outstanding_minor=0, limit_minor=0, movements=(), interest=None, policy="", payees=())
            for key, one in facilities.items()
        }
        lots = {
            key: one._replace(cost_minor=-1, cost_per=1, cost_currency="", haircut_bp=0) for key, one in lots.items()
        }
    presences = (one.presence for asset in assets if (one := state.assets.get(asset)) is not None)
    around = {fence for one in presences if one is not None for fence in one.inside}
    around |= {fence for name in scope.warehouses for fence in book.warehouses[name].fences}
    milestones = {key: one for key, one in book.milestones.items() if money and one.facility in facilities}
    policies = {one.policy for one in facilities.values()}
    named = {scope.viewer.party}
    named |= {party for one in facilities.values() for party in (one.lender, one.borrower)} | scope.warehouses
    return replace(
        book,
        fences={key: one for key, one in book.fences.items() if one.kind != "warehouse" or key in around},
        assets={key: one for key, one in book.assets.items() if key in assets},
        installations={key: one for key, one in book.installations.items() if key in devices},
        lots=lots,
        prices={key: one for key, one in book.prices.items() if money and key in skus},
        facilities=facilities,
        milestones=milestones,
        voyages={key: one for key, one in book.voyages.items() if one.asset in assets},
        policies={key: one for key, one in book.policies.items() if key in policies},
        products={key: one for key, one in book.products.items() if money and key in skus},
        appraisals={key: one for key, one in book.appraisals.items() if money and key in skus},
        parties={
            key: one if key == scope.viewer.party else one._replace(iban="", account="", bic="")
            for key, one in book.parties.items()
            if key in named
        },
        senders={},
        shipments={key: one for key, one in book.shipments.items() if one.facility in facilities},
        stock_sources={
            key: one for key, one in book.stock_sources.items() if scope.is_own_warehouse(one.terms.warehouse)
        },
        warehouses={key: book.warehouses[key] for key in sorted(scope.warehouses)},
        users={},
    )
