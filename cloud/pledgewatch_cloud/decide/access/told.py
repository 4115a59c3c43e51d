"""Events as somebody may be told of them.

Of every type it is said here who is told; of one that nobody has thought of, keepers alone are (`_SEEN`).

| about | is told to |
|---|---|
| an asset | who sees it at the moment that the event is of |
| a lot | who sees its asset and what is found of it then |
| what is taken back | who was told of it |
| an alert | who sees one of the lots, or else of the assets, that its causes are about, then; who has it in hand |
| a facility, its milestones, its shipments' notices | its lender and borrower after the entry, who is named for it |
| a receipt | who saw it at the entry |
| a case, a count, a report of stock | the warehouse |
"""

from collections.abc import Callable, Mapping

from pledgewatch_cloud.decide.access.hands import MENDING
from pledgewatch_cloud.decide.access.scope import Scope
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.events import EventType, SaidEvent

Seen = Callable[[Scope, SaidEvent], bool]


def told(scope: Scope, said: SaidEvent) -> SaidEvent | None:
    """An event as somebody may be told of it; None where they may not."""
    if scope.is_all:
        return said
    if not sees_event(scope, said):
        return None
    if said.event.type is EventType.BASE_RECOMPUTED:
        return _base_told(scope, said)
    return _alert_told(scope, said) if said.event.type in _OF_ALERTS else said


def sees_event(scope: Scope, said: SaidEvent) -> bool:
    """Whether somebody may be told of an event."""
    return scope.is_all or _SEEN.get(said.event.type, _nobody)(scope, said)


def _nobody(_scope: Scope, _said: SaidEvent) -> bool:
    return False


def _of_asset(scope: Scope, said: SaidEvent) -> bool:
    return scope.sees_asset(said.event.subject, said.event.at_ms)


def _of_lot(scope: Scope, said: SaidEvent) -> bool:
    lot = str(_facts(said).get("lot", ""))
    return _of_asset(scope, said) and scope.sees_lot(lot, said.event.at_ms)


def _of_retraction(scope: Scope, said: SaidEvent) -> bool:
    """By the rule of what is taken back, whose asset, moment and lot a retraction has."""
    return _SEEN.get(EventType(str(_facts(said)["retracted_type"])), _nobody)(scope, said)


def _of_facility(scope: Scope, said: SaidEvent) -> bool:
    return scope.sees_money and scope.sees_facility(said.event.subject, _entry_of(said))


def _of_notice(scope: Scope, said: SaidEvent) -> bool:
    shipment = scope.book.shipments.get(said.event.subject)
    return shipment is not None and scope.sees_facility(shipment.facility, _entry_of(said))


def _of_receipt(scope: Scope, said: SaidEvent) -> bool:
    return scope.sees_receipt(said.event.subject, _entry_of(said))


def _of_warehouse(scope: Scope, said: SaidEvent) -> bool:
    return scope.is_own_warehouse(said.event.subject)


def _of_stock(scope: Scope, said: SaidEvent) -> bool:
    source = scope.book.stock_sources.get(said.event.subject)
    return source is not None and scope.is_own_warehouse(source.terms.warehouse)


def _of_alert(scope: Scope, said: SaidEvent) -> bool:
    facts, at_ms = _facts(said), said.event.at_ms
    lots = _names(facts, "lots")
    if lots:
        if scope.viewer.role is Role.LENDER and facts["lender"] != scope.viewer.party:
            return False  # of who has the facility after them, or had it before
        if scope.viewer.role is Role.BORROWER and facts["borrower"] != scope.viewer.party:
            return False
        if not scope.borrows_of(str(facts["facility"]), str(facts["lender"]), _entry_of(said)):
            return False
        return scope.sees_goods(str(facts["facility"]), lots, at_ms, _entry_of(said))
    if scope.viewer.role in MENDING and scope.viewer.party not in _names(facts, "hands"):
        return False
    return any(scope.sees_asset(asset, at_ms) for asset in _names(facts, "assets"))


def _of_words(scope: Scope, said: SaidEvent) -> bool:
    """What a person said of an alert is for their own party."""
    return _facts(said)["party"] == scope.viewer.party and _of_alert(scope, said)


def _base_told(scope: Scope, said: SaidEvent) -> SaidEvent:
    """Why it is another base than before would say what that was where the facility was another's, or what goods that
    have come from another facility were there."""
    facility, entry = said.event.subject, _entry_of(said)
    if not (scope.takes_over(facility, entry) or scope.takes_goods(facility, entry)):
        return said
    facts = tuple(fact for fact in said.event.facts if not fact[0].startswith("change_"))
    return said._replace(event=said.event._replace(facts=facts))


def _alert_told(scope: Scope, said: SaidEvent) -> SaidEvent:
    """Without the names that are not seen, how many there are in all, in whose hands it is, and who of another party
    has taken it on."""
    one, facts, entry = said.event, _facts(said), _entry_of(said)
    facility = str(facts.get("facility", ""))
    lots = [lot for lot in _names(facts, "lots") if scope.sees_goods(facility, [lot], one.at_ms, entry)]
    assets = [asset for asset in _names(facts, "assets") if scope.sees_asset(asset, one.at_ms)]
    cut: dict[str, int | str] = {**facts, "assets": " ".join(assets)}
    if lots:
        cut["lots"] = " ".join(lots)
    if (len(lots), len(assets)) != (len(_names(facts, "lots")), len(_names(facts, "assets"))):
        cut.pop("causes", None)
    cut.pop("hands", None)
    if "by" in cut and not scope.is_own_user(str(cut["by"])):
        del cut["by"]
    return said._replace(event=one._replace(facts=tuple(sorted(cut.items()))))


def _facts(said: SaidEvent) -> dict[str, int | str]:
    return dict(said.event.facts)


def _names(facts: Mapping[str, int | str], name: str) -> list[str]:
    return str(facts.get(name, "")).split()


def _entry_of(said: SaidEvent) -> int:
    return int(said.id.partition(".")[0])


_SEEN: Mapping[EventType, Seen] = {
    EventType.FENCE_ENTERED: _of_asset,
    EventType.FENCE_LEFT: _of_asset,
    EventType.FENCE_CONFIRMED: _of_asset,
    EventType.CONDITION_KNOWN: _of_lot,
    EventType.CONDITION_BREACHED: _of_lot,
    EventType.CONDITION_RESTORED: _of_lot,
    EventType.CONDITION_UNKNOWN: _of_lot,
    EventType.CONDITION_KNOWN_AGAIN: _of_lot,
    EventType.MKT_KNOWN: _of_lot,
    EventType.MKT_EXCEEDED: _of_lot,
    EventType.MKT_UNCERTAIN: _of_lot,
    EventType.MKT_RESTORED: _of_lot,
    EventType.SOURCE_OVERDUE: _of_asset,
    EventType.SOURCE_FELL_SILENT: _of_asset,
    EventType.SOURCE_REPORTED_AGAIN: _of_asset,
    EventType.EVIDENCE_DOUBTED: _of_asset,
    EventType.EVIDENCE_RESTORED: _of_asset,
    EventType.EVENT_RETRACTED: _of_retraction,
    EventType.TAMPER_SUSPECTED: _of_asset,
    EventType.CLOCK_DOUBTED: _of_asset,
    EventType.ALERT_OPENED: _of_alert,
    EventType.ALERT_ACKNOWLEDGED: _of_alert,
    EventType.ALERT_ESCALATED: _of_alert,
    EventType.ALERT_DE_ESCALATED: _of_alert,
    EventType.ALERT_REPEATED: _of_alert,
    EventType.ALERT_AMENDED: _of_alert,
    EventType.ALERT_CLEARED: _of_alert,
    EventType.ALERT_WITHDRAWN: _of_alert,
    EventType.ALERT_COMMENTED: _of_words,
    EventType.ALERT_SILENCED: _of_words,
    EventType.ALERT_SILENCE_LIFTED: _of_words,
    EventType.BASE_RECOMPUTED: _of_facility,
    EventType.COVENANT_BREACHED: _of_facility,
    EventType.MARGIN_CALLED: _of_facility,
    EventType.COVER_RESTORED: _of_facility,
    EventType.MILESTONE_MET: _of_facility,
    EventType.MILESTONE_RELEASED: _of_facility,
    EventType.MILESTONE_HELD: _of_facility,
    EventType.MILESTONE_RETRACTED: _of_facility,
    EventType.MILESTONE_RESUMED: _of_facility,
    EventType.MILESTONE_QUESTIONED: _of_facility,
    EventType.MILESTONE_REAFFIRMED: _of_facility,
    EventType.MILESTONE_EXPIRED: _of_facility,
    EventType.MILESTONE_WAIVED: _of_facility,
    EventType.MILESTONE_UNBOOKED: _of_facility,
    EventType.NOTICE_TAKEN: _of_notice,
    EventType.NOTICE_WITHDRAWN: _of_notice,
    EventType.STOCK_REPORTED: _of_stock,
    EventType.RECEIPT_CHANGED: _of_receipt,
    EventType.GOODS_LEFT: _of_lot,
    EventType.GOODS_ACCOUNTED_FOR: _of_lot,
    EventType.SHORTFALL_FOUND: _of_lot,
    EventType.SHORTFALL_ENDED: _of_lot,
    EventType.CASE_OPENED: _of_warehouse,
    EventType.CASE_AMENDED: _of_warehouse,
    EventType.CASE_CLOSED: _of_warehouse,
    EventType.COUNT_TAKEN: _of_warehouse,
}
_OF_ALERTS = frozenset(kind for kind, seen in _SEEN.items() if seen in (_of_alert, _of_words))
