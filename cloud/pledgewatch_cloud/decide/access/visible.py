"""A state as somebody may see it.

    seen(state, scope) ─► a state in which nothing is that the scope does not show

Whoever is answered from such a state cannot be told what is not theirs, whatever is asked: what they may not see is not
there. So the rule is held in one place, and no route of the API needs to know of it. What is read from disk is held to
the same scope: events by told.py, readings by `Scope.when_asset`, lines and bases by lines.py.

What is large is only looked at as far as it is asked (`Only`); books and receipts are made once for each scope.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import TypeVar

from pledgewatch_cloud.decide import causes
from pledgewatch_cloud.decide import market as market_module
from pledgewatch_cloud.decide.access import cut
from pledgewatch_cloud.decide.access.cut import NOT_SHOWN
from pledgewatch_cloud.decide.access.hands import MENDING
from pledgewatch_cloud.decide.access.pledges import Pledge, Pledges
from pledgewatch_cloud.decide.access.scope import Scope
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.alerts import SEVERITIES, Alert, rules_in_force
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.calm import Assets
from pledgewatch_cloud.decide.care import Care
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.geofence import FenceIndex
from pledgewatch_cloud.decide.identity_book import IdentityBook
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.items.parties import account_of
from pledgewatch_cloud.decide.milestones.lifecycle import ANOTHER_ACCOUNT, Memo
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.stretches import NEVER, stretch_at
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook
from pledgewatch_cloud.decide.warehouse.cases import Case
from pledgewatch_cloud.decide.warehouse.shortfall import Counts, Pool
from pledgewatch_cloud.decide.warehouse.signals import Signals
from pledgewatch_cloud.decide.warehouse.watch import Watch

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
SeenFacts = Callable[[str, AssetFacts], AssetFacts]
"""Of all that stands for an asset what is seen."""

AROUND_MS = 10_000
"""How long, by the journal's time, warehouses' fences stay those that were seen: which goods are in is looked up again
no more often."""


class Only(Mapping[_Key, _Value]):
    """Of a mapping what some names allow, each value as it may be seen; None is not there. What was asked for once is
    remembered."""

    def __init__(
        self,
        every: Mapping[_Key, _Value],
        names: Callable[[], Iterable[_Key]],
        seen: Callable[[_Key, _Value], _Value | None],
    ) -> None:
        self.behind, self._named, self._seen = every, names, seen
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
            is_there = key in self._names and key in self.behind
            self._found[key] = self._seen(key, self.behind[key]) if is_there else None
        return self._found[key]

    def __iter__(self) -> Iterator[_Key]:
        """The keys whose values may be seen."""
        return (key for key in self._names if self._look(key) is not None)

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)


class _SeenAssets(Assets):
    """Assets as they are seen, those of some names."""

    def __init__(self, seen: Mapping[str, AssetState], names: frozenset[str], whole: Assets) -> None:
        super().__init__(seen)
        self._names, self._whole = names, whole

    @property
    def whole(self) -> Assets:
        """The assets of which these are what is seen."""
        return self._whole

    @property
    def names(self) -> frozenset[str]:
        """The names that may be in here."""
        return self._names


class Sight:
    """What one viewer sees of a journal's states: a scope, made again where the book, the receipts or the pledges are
    others, and what was made of it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._known_facts: dict[str, tuple[AssetFacts, AssetFacts]] = {}
        self._alerts: tuple[Mapping[str, AssetFacts], frozenset[str], dict[str, tuple[Alert, Alert | None]]] | None = (
            None
        )
        self._watch: tuple[Watch, Watch] | None = None
        self._stock: tuple[StockBook, StockBook] | None = None
        self._notices: tuple[NoticeBook, NoticeBook] | None = None
        self._book: tuple[frozenset[str], frozenset[str], Book] | None = None
        self._around: tuple[frozenset[str], int, frozenset[str]] | None = None

    def fits(self, state: State, now_ms: int) -> bool:
        """Whether it is of a state's book, receipts and pledges, and nothing has ended to be seen since."""
        one = self.scope
        is_of = one.book is state.book and one.all_receipts is state.receipts and one.pledges is state.pledges
        return is_of and now_ms < one.until_ms

    def seen(self, state: State) -> State:
        """A state as the viewer may see it: made of nothing, so that what nobody has named here is not there."""
        scope, now_ms = self.scope, state.recorded_at_ms
        if scope.is_all:
            return state
        names, devices = scope.assets(now_ms), scope.devices(now_ms)
        facts = Only(state.facts, lambda: names, self.facts_of(now_ms))
        assets = Only(state.assets, lambda: names, _asset_of(scope, state))
        book = self._seen_book(state, names, assets)
        return State(
            journal=state.journal,
            entry=state.entry,
            recorded_at_ms=now_ms,
            horizon_ms=state.horizon_ms,
            book=book,
            market=state.market if scope.sees_money else market_module.empty(),
            files={},
            devices=Only(state.devices, lambda: (key for key in state.devices if key[0] in devices), _as_it_is),
            assets=_SeenAssets(assets, names, state.assets),
            facts=facts,
            alerts=self._seen_alerts(state, names, facts),
            facilities=Only(state.facilities, lambda: scope.facilities if scope.sees_money else (), _as_it_is),
            notices=self._seen_notices(state, book),
            milestones=Only(state.milestones, lambda: book.milestones, partial(_memo, scope)),
            losses=Only(state.losses, lambda: scope.pledged_lots, _as_it_is),
            stock=self._seen_stock(state.stock),
            receipts=self._seen_receipts,
            watch=self._seen_watch(state.watch),
            held=Only(state.held, lambda: scope.pledged_lots, _as_it_is),
            pledges=self._seen_pledges,
            identities=self._seen_identities(state.identities),
            care=self._seen_care(state.care),
            desk=None,
        )

    def _seen_identities(self, every: IdentityBook) -> IdentityBook:
        """An operator's own; nobody else is concerned with how devices are known."""
        viewer, fitted = self.scope.viewer, self.scope.book.installations
        if viewer.role is not Role.OPERATOR:
            return IdentityBook()
        own = {key: one for key, one in every.identities.items() if fitted[key].operator == viewer.party}
        invited = {key: one for key, one in every.invitations.items() if one.operator == viewer.party}
        return IdentityBook(invited, own)

    def _seen_care(self, every: Care) -> Care:
        """As with identities."""
        viewer, fitted = self.scope.viewer, self.scope.book.installations
        if viewer.role is not Role.OPERATOR:
            return {}
        own = {device for device, one in fitted.items() if one.operator == viewer.party}
        return {device: one for device, one in every.items() if device in own}

    def facts_of(self, now_ms: int) -> SeenFacts:
        """What cuts an asset's facts to what is seen of them now, once for as long as nothing else stands for it."""

        def seen(asset: str, one: AssetFacts) -> AssetFacts:
            known = self._known_facts.get(asset)
            if known is None or known[0] is not one:
                known = self._known_facts[asset] = one, cut.facts_of(self.scope, asset, one, now_ms)
            return known[1]

        return seen

    def _seen_alerts(self, state: State, names: frozenset[str], facts: Mapping[str, AssetFacts]) -> Mapping[str, Alert]:
        """Worked out once for as long as facts and assets are the same, which readings in order do not change."""
        if self._alerts is None or self._alerts[0] is not state.facts or self._alerts[1] != names:
            self._alerts = state.facts, names, {}
        known = self._alerts[2]

        def seen(key: str, one: Alert) -> Alert | None:
            found = known.get(key)
            if found is None or found[0] is not one:
                found = known[key] = one, _alert(self.scope, facts, one)
            return found[1]

        return Only(state.alerts, lambda: state.alerts, seen)

    def _seen_watch(self, watch: Watch) -> Watch:
        if self._watch is None or self._watch[0] is not watch:
            self._watch = watch, _watch(self.scope, watch)
        return self._watch[1]

    @cached_property
    def _seen_pledges(self) -> Pledges:
        return Pledges.of([one._replace(came_from=()) for one in self.scope.ties] if self.scope.sees_money else ())

    @cached_property
    def pledges_by_lot(self) -> dict[str, list[Pledge]]:
        """By lot, the pledges that the viewer has part in, the oldest first."""
        every: Iterable[Pledge] = self.scope.pledges if self.scope.is_all else self._seen_pledges
        found: dict[str, list[Pledge]] = {}
        for one in sorted(every, key=lambda pledge: pledge.from_entry):
            if one.lender and one.lot:
                found.setdefault(one.lot, []).append(one)
        return found

    def _seen_book(self, state: State, names: frozenset[str], assets: Mapping[str, AssetState]) -> Book:
        around = self._fences_around(state, names, assets)
        if self._book is None or self._book[:2] != (names, around):
            devices = self.scope.devices(state.recorded_at_ms)
            self._book = names, around, _book(self.scope, names, devices, around)
        return self._book[2]

    def _fences_around(self, state: State, names: frozenset[str], assets: Mapping[str, AssetState]) -> frozenset[str]:
        """The fences that assets are in, by what is seen of them."""
        known, now_ms = self._around, state.recorded_at_ms
        if known is None or known[0] != names or now_ms >= known[1] + AROUND_MS:
            folded = state.assets.folded  # calm readings stay in the fences that they were in
            inside = (asset for asset, one in folded.items() if one.presence is not None and one.presence.inside)
            presences = (assets[asset].presence for asset in inside if asset in names)
            around = frozenset(fence for one in presences if one is not None for fence in one.inside)
            known = self._around = names, now_ms, around
        return known[2]

    @cached_property
    def _seen_receipts(self) -> ReceiptBook:
        every = self.scope.all_receipts
        some = {name: one for name in self.scope.receipts if (one := every.get(name)) is not None}
        return ReceiptBook().kept(some, max((one.number for one in some.values()), default=0))

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


def _memo(scope: Scope, milestone: str, one: Memo) -> Memo:
    """What is remembered of a milestone, without the account of a payee who is somebody else, when it was met and
    released, and by whom it was waived where that was in another's time. Whether it was is told: the loan goes with
    it."""
    known, when = scope.book.milestones[milestone], scope.when_facility(scope.book.milestones[milestone].facility)
    if known.payee != scope.viewer.party:
        is_same = one.account == account_of(scope.book.parties, known.payee)
        one = one._replace(account="" if is_same else ANOTHER_ACCOUNT)
    if one.released_ms != NEVER and not stretch_at(when, one.released_ms):
        one = one._replace(released_ms=NEVER)
    if one.met_ms != NEVER and not stretch_at(when, one.met_ms):
        one = one._replace(met_ms=NEVER)
        if one.waived_by and not scope.is_own_user(one.waived_by):
            one = one._replace(waived_by=NOT_SHOWN, waived_why=NOT_SHOWN)
    return one


def _as_it_is(_: object, one: _Value) -> _Value:
    return one


def _asset_of(scope: Scope, state: State) -> Callable[[str, AssetState], AssetState]:
    facts, now_ms = state.facts, state.recorded_at_ms
    return lambda asset, one: cut.asset_at(scope, asset, one, facts.get(asset, AssetFacts()), now_ms)


def _alert(scope: Scope, facts: Mapping[str, AssetFacts], one: Alert) -> Alert | None:
    """An alert with those of its causes that are seen, and what the viewer's own party has said; None where none is,
    and to an operator or a warehouse where it is in other hands. Where some are not, what the alert says is by the
    others. In whose hands it is, its causes say."""
    spells = [(asset, spell) for asset in one.assets if asset in facts for spell in causes.spells(facts[asset])]
    there = {spell.id for _, spell in spells}
    own = [(asset, spell) for asset, spell in spells if spell.id in set(one.causes)]
    if not own or (scope.viewer.role in MENDING and not one.pledge and scope.viewer.party not in one.hands):
        return None
    severity, since_ms = one.severity, one.since_ms
    if len(own) < len(one.causes):
        running = [spell for _, spell in own if spell.ended_ms is None] or [spell for _, spell in own]
        rules = {rule.id: rule.severity for rule in rules_in_force(scope.book.alert_rules)}
        severity = max(
            (spell.cause.severity or rules.get(one.rule, "") for spell in running), key=SEVERITIES.__getitem__
        )
        since_ms = min(spell.cause.at_ms for _, spell in own)
    party, is_own = scope.viewer.party, scope.is_own_user(one.acknowledged_by)
    return Alert(
        id=one.id,
        rule=one.rule,
        group=one.group,
        state=one.state,
        severity=severity,
        causes=tuple(cause for cause in one.causes if cause in there),
        since_ms=since_ms,
        opened_ms=max(one.opened_ms, since_ms),
        cleared_ms=one.cleared_ms,
        told_ms=max(one.told_ms, since_ms),
        acknowledged_by=one.acknowledged_by if is_own else "",
        acknowledged_severity=one.acknowledged_severity if is_own else "",
        unheeded=one.unheeded,
        repeated_ms=max(one.repeated_ms, since_ms),
        earlier=tuple(cause for cause in one.earlier if cause in there),
        next_ms=one.next_ms,
        comments=tuple(said for said in one.comments if said.party == party),
        silences=tuple(said for said in one.silences if said.party == party),
        pledge=one.pledge,
        lots=tuple(sorted({spell.cause.lot for _, spell in own if spell.cause.lot})),
        assets=tuple(sorted({asset for asset, _ in own})),
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


def _book(scope: Scope, assets: frozenset[str], devices: frozenset[str], inside: frozenset[str]) -> Book:
    """The book as far as it is of what is seen, made of nothing as the state is. What a borrower's account is, only the
    borrower and the keeper read; `inside` are the fences that assets are in."""
    book, money = scope.book, scope.sees_money
    lots = {key: _lot(scope, book.lots[key]) for key in sorted(scope.lots)}
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
    around = inside | {fence for name in scope.warehouses for fence in book.warehouses[name].fences}
    fences = {key: one for key, one in book.fences.items() if one.kind != "warehouse" or key in around}
    milestones = {key: one for key, one in book.milestones.items() if money and one.facility in facilities}
    policies = {one.policy for one in facilities.values()}
    named = {scope.viewer.party}
    named |= {party for one in facilities.values() for party in (one.lender, one.borrower)} | scope.warehouses
    return Book(
        fences=fences,
        assets={key: one for key, one in book.assets.items() if key in assets},
        installations={key: one for key, one in book.installations.items() if key in devices},
        lots=lots,
        prices={key: one for key, one in book.prices.items() if money and key in skus},
        facilities=facilities,
        milestones=milestones,
        voyages={key: one for key, one in book.voyages.items() if one.asset in assets},
        alert_rules={key: one for key, one in book.alert_rules.items() if fences.keys() >= set(one.fences)},
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
        fence_index=FenceIndex({}),
    )


def _lot(scope: Scope, one: Lot) -> Lot:
    """A lot of the book; where it is and has been, and what was counted of it, only while it is pledged."""
    if one.id in scope.pledged_lots:
        return one
    return one._replace(
        asset="",
        stays=(),
        counted=-1,
        counted_ms=-NEVER,
        received_ms=-NEVER,
        country="",
        vessel="",
        warehouse="",
        corridor="",
    )
