"""The alert half: which causes belong to which alert, and who is told of its moves.

A rule's group is a lot, an asset, a device, or what a device speaks through (its gateway; the device itself where it
has none). In each group, causes about goods that are pledged alike make an alert of their own: in one facility of one
lender and one borrower, and on one electronic receipt, or on none. So each alert is of goods that the same people may
see, whatever else lies beside them. Causes about no goods make another for all that is in the same hands (hands.py).
What comes to others (a facility, a site) is withdrawn there and raised anew here: nobody has taken that on or put it
aside. Only groups of assets about which something was said, and alerts whose time has come, are judged. A facility is
told of what concerns its own goods and of nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide import alerts as alerts_module
from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide.alert_notes import LIFTED, Comment, Silence
from pledgewatch_cloud.decide.alerts import Alert, Move
from pledgewatch_cloud.decide.batch import Acknowledgement, AlertComment, AlertSilence, Amending, Entry
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import AssetFacts, Spell
from pledgewatch_cloud.decide.events import EventType, event
from pledgewatch_cloud.decide.hands import hands_of
from pledgewatch_cloud.decide.items.alert_rules import AlertRule
from pledgewatch_cloud.decide.log import Log

CAUSES_DESCRIBED_MAX = 32
Facts = Mapping[str, AssetFacts]


class _Whose(NamedTuple):
    """Who shares an alert: how its goods are pledged, or who can mend what is about none."""

    pledge: str = ""
    hands: tuple[str, ...] = ()


def judge(
    book: Book, facts: Facts, before: Mapping[str, Alert], entry: Entry, touched: set[str], log: Log
) -> dict[str, Alert]:
    """Every alert after an entry that said something about the assets `touched`; its moves go to the log."""
    now_ms = entry.recorded_at_ms
    rules = {rule.id: rule for rule in alerts_module.rules_in_force(book.alert_rules)}
    alerts = dict(before)
    if isinstance(entry.content, Acknowledgement):
        for key, known in before.items():
            if known.id == entry.content.alert:
                alerts[key], moves = alerts_module.acknowledge(known, entry.content.by, now_ms)
                _announce(book, facts, moves, now_ms, log)
    if isinstance(entry.content, AlertComment | AlertSilence):
        for key, known in before.items():
            if known.id == entry.content.alert:
                alerts[key] = _note(known, entry.content, now_ms, log)
    due = {key for key, known in alerts.items() if known.next_ms <= now_ms}
    if isinstance(entry.content, Amending):
        touched, due = {*touched, *facts}, set(alerts)
    wanted = {(rule.id, group) for rule in rules.values() for asset in touched for group in _groups(book, rule, asset)}
    wanted |= {(alerts[key].rule, alerts[key].group) for key in due}
    known_whose = _whose_known(alerts, wanted)
    for rule_id, group in sorted(wanted):
        rule = rules.get(rule_id)
        spells = _by_whose(book, facts, rule, group, now_ms) if rule else {}
        # What ends comes first: the one that begins may have the same id.
        every = spells.keys() | known_whose.get((rule_id, group), set())
        for whose in sorted(every, key=lambda one: (one in spells, one)):
            key = f"{rule_id}|{group}|{whose.pledge}|{' '.join(whose.hands)}"
            if rule is None:
                del alerts[key]
                continue
            some = spells.get(whose, [])
            after, moves = alerts_module.judge(rule, group, [one for _, one in some], alerts.get(key), now_ms)
            _announce(book, facts, [one._replace(alert=_about(one.alert, whose, some)) for one in moves], now_ms, log)
            if after is not None:
                alerts[key] = _about(after, whose, some)
            else:
                alerts.pop(key, None)
    return alerts


def _whose_known(alerts: Mapping[str, Alert], wanted: set[tuple[str, str]]) -> dict[tuple[str, str], set[_Whose]]:
    """By rule and group, whose the alerts are that there are already."""
    found: dict[tuple[str, str], set[_Whose]] = {}
    for one in alerts.values() if wanted else ():
        if (one.rule, one.group) in wanted:
            found.setdefault((one.rule, one.group), set()).add(_Whose(one.pledge, one.hands))
    return found


def _by_whose(
    book: Book, facts: Facts, rule: AlertRule, group: str, now_ms: int
) -> dict[_Whose, list[tuple[str, Spell]]]:
    """The causes of a rule's group that stand, each with its asset, by who shares them."""
    found: dict[_Whose, list[tuple[str, Spell]]] = {}
    for asset, one in _spells(book, facts, rule, group, now_ms):
        whose = _Whose(_pledge_of(book, one.cause.lot))
        if not one.cause.lot:
            whose = _Whose(hands=tuple(sorted(hands_of(book, asset, one.cause.device))))
        found.setdefault(whose, []).append((asset, one))
    return found


def _pledge_of(book: Book, name: str) -> str:
    """How a lot is pledged: its facility, whose that is, and its electronic receipt where it has one. Empty for no lot.

    A facility that goes to another lender or borrower makes another alert: what the one before has done about its own,
    and that they have put it aside, is not done for the one that comes."""
    lot = book.lots.get(name)
    if lot is None:
        return f" {name}" if name else ""  # of nobody any more
    facility = book.facilities[lot.facility]
    pledge = f"{lot.facility} {facility.lender} {facility.borrower}"
    return f"{pledge} {lot.receipt.id}" if lot.receipt and lot.receipt.is_electronic else pledge


def _about(alert: Alert, whose: _Whose, some: list[tuple[str, Spell]]) -> Alert:
    """The alert with what its causes are about; where none of them stands any more, with what they were."""
    wanted = set(alert.causes) or {one.id for _, one in some}
    own = [(asset, one.cause.lot) for asset, one in some if one.id in wanted]
    alert = alert._replace(pledge=whose.pledge, hands=whose.hands)
    if not own:
        return alert
    lots = tuple(sorted({lot for _, lot in own if lot}))
    return alert._replace(lots=lots, assets=tuple(sorted({asset for asset, _ in own})))


def _note(known: Alert, said: AlertComment | AlertSilence, now_ms: int, log: Log) -> Alert:
    """The alert with what a person says of it, which is said as an event and sent to nobody."""
    about: dict[str, int | str] = {"alert": known.id, "rule": known.rule, "severity": known.severity}
    about |= _named(known) | {"by": said.by, "party": said.party, "state": known.state.value}
    if isinstance(said, AlertComment):
        about["text"] = said.text
        log.say(event(EventType.ALERT_COMMENTED, now_ms, known.group, **about))
        return alerts_module.comment(known, Comment(now_ms, said.by, said.party, said.text))
    about["why"] = said.why
    if said.until_ms == LIFTED:
        log.say(event(EventType.ALERT_SILENCE_LIFTED, now_ms, known.group, **about))
    else:
        log.say(event(EventType.ALERT_SILENCED, now_ms, known.group, **about, until_ms=said.until_ms))
    return alerts_module.silence(known, Silence(now_ms, said.by, said.party, said.why, said.until_ms))


def _named(alert: Alert) -> dict[str, int | str]:
    """What an alert is about, in the facts of an event, which decide who is told of it."""
    named: dict[str, int | str] = {"assets": " ".join(alert.assets)}
    if not alert.lots:
        return named | {"hands": " ".join(alert.hands)}
    facility, lender, borrower = _facility_of(alert)
    return named | {"facility": facility, "lender": lender, "borrower": borrower, "lots": " ".join(alert.lots)}


def _facility_of(alert: Alert) -> tuple[str, str, str]:
    """The facility that has the goods of an alert, its lender and its borrower; empty where they are nobody's any
    more."""
    facility, lender, borrower, *_ = *alert.pledge.split(" "), "", "", ""
    return (facility, lender, borrower) if facility else ("", "", "")


def alerts_by_facility(book: Book, alerts: Mapping[str, Alert], now_ms: int) -> dict[str, list[Alert]]:
    """By facility, the alerts that concern its goods at a moment; a facility with none is not there."""
    found: dict[str, list[Alert]] = {}
    for _, one in sorted(alerts.items(), key=lambda item: item[0]):
        for facility in _concerned(book, one, now_ms):
            found.setdefault(facility, []).append(one)
    return found


def _groups(book: Book, rule: AlertRule, asset: str) -> set[str]:
    """The groups in which causes of an asset count for a rule."""
    devices = book.devices_of_asset(asset)
    match rule.group_by:
        case "asset":
            return {asset}
        case "lot":
            return {lot.id for lot in book.lots_of_asset(asset)}
        case "device":
            return {one.device for one in devices} or {asset}
        case _:
            return {one.gateway or one.device for one in devices} or {asset}


def _assets_of_group(book: Book, group_by: str, group: str) -> list[str]:
    """The assets of a group. Names are unique among lots, among assets and so on, but not beyond."""
    if group_by == "lot":
        return list(book.lots[group].assets) if group in book.lots else []
    behind = book.assets_behind(group) if group_by == "gateway" else []
    installed = None if group_by == "asset" else book.installations.get(group)
    return behind or [installed.asset if installed else group]


def _spells(book: Book, facts: Facts, rule: AlertRule, group: str, now_ms: int) -> Iterator[tuple[str, Spell]]:
    """The causes of a rule's group that stand, each with its asset."""
    for asset in _assets_of_group(book, rule.group_by, group):
        of_kind = causes_module.spells_of_kinds(facts.get(asset, AssetFacts()), {rule.on})
        for one in _until_left(book, asset, of_kind, now_ms):
            if _counts(book, rule, group, one):
                yield asset, one


def spells_of(book: Book, facts: Facts, asset: str, now_ms: int) -> Iterator[Spell]:
    """An asset's causes; what went on of a lot is over when the lot has left."""
    return _until_left(book, asset, causes_module.spells(facts.get(asset, AssetFacts())), now_ms)


def _until_left(book: Book, asset: str, some: Iterable[Spell], now_ms: int) -> Iterator[Spell]:
    for one in some:
        lot = book.lots.get(one.cause.lot)
        left = tuple(stretch for stretch in lot.there(asset) if stretch[1] <= now_ms) if lot else ()
        yield causes_module.in_stay(one, left)


def _counts(book: Book, rule: AlertRule, group: str, one: Spell) -> bool:
    """Whether a cause of the rule's kind belongs to its group, and to the fences that it is about."""
    cause = one.cause
    if cause.fence:
        fence = book.fences.get(cause.fence)
        if cause.fence not in rule.fences if rule.fences else fence is None or fence.kind != "forbidden":
            return False
    if rule.group_by == "lot":
        return cause.lot == group
    if rule.group_by in ("device", "gateway"):
        installed = book.installations.get(cause.device)
        return cause.device == group or (installed is not None and installed.gateway == group)
    return True


def _announce(book: Book, facts: Facts, moves: list[Move], now_ms: int, log: Log) -> None:
    """Say each move once, and send it to every facility with goods that it concerns, each with what is its own."""
    for move in moves:
        alert = move.alert
        about: dict[str, int | str] = {"alert": alert.id, "rule": alert.rule, "severity": alert.severity}
        if alert.acknowledged_by:
            about["by"] = alert.acknowledged_by
        named, state = _named(alert), alert.state.value
        found = event(move.event_type, move.at_ms, alert.group, **about, **named, state=state, causes=len(alert.causes))
        said = log.say(found)
        for facility, (lots, assets) in sorted(_concerned(book, alert, now_ms).items()):
            causes = [one for asset in sorted(assets) for one in _described(book, facts, asset, alert, now_ms)]
            data: dict[str, object] = {**about, "since_ms": alert.since_ms, "lots": sorted(lots)}
            if not _may_name(book, facility, alert.acknowledged_by):
                data.pop("by", None)
            data["causes"] = causes[:CAUSES_DESCRIBED_MAX]
            log.send(facility, f"{said.id}.{facility}", move.message_type, alert.id, move.at_ms, data)


def _may_name(book: Book, facility: str, by: str) -> bool:
    """Whether a facility's core may be told who has taken an alert on: no user of another party than its lender's."""
    user, known = book.users.get(by), book.facilities.get(facility)
    return user is None or (known is not None and user.party == known.lender)


def _concerned(book: Book, alert: Alert, now_ms: int) -> dict[str, tuple[set[str], set[str]]]:
    """By facility, its lots that an alert concerns, and where: those that its causes are about, or else those that are
    in its assets."""
    if alert.lots:
        facility, *_ = _facility_of(alert)
        return {facility: ({*alert.lots}, {*alert.assets})} if facility else {}
    found: dict[str, tuple[set[str], set[str]]] = {}
    for asset in alert.assets:
        for lot in book.lots_in(asset, now_ms):
            lots, assets = found.setdefault(lot.facility, (set(), set()))
            lots.add(lot.id)
            assets.add(asset)
    return found


def _described(book: Book, facts: Facts, asset: str, alert: Alert, now_ms: int) -> list[dict[str, object]]:
    """What the core is told of the causes of one asset, with the ids of the events that prove them."""
    wanted = set(alert.causes)
    return [
        {
            "event": one.id,
            "kind": one.cause.kind,
            "asset": asset,
            "lot": one.cause.lot,
            "at_ms": one.cause.at_ms,
            "ended_ms": one.ended_ms,
        }
        for one in spells_of(book, facts, asset, now_ms)
        if one.id in wanted
    ]
