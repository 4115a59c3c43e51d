"""Amounts as they were told to the core, with what they rest on only as far as that is seen.

What a base comes to is of everything that is known of its goods, also of what was measured before they were pledged: a
lender is told it as it is. What it rests on is cut to the scope, as everything else is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from pledgewatch_cloud.decide.access import cut
from pledgewatch_cloud.decide.access.cut import NOT_SHOWN
from pledgewatch_cloud.decide.access.scope import Scope
from pledgewatch_cloud.decide.access.visible import Only, SeenFacts, Sight
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral import desk as desk_module
from pledgewatch_cloud.decide.collateral.as_of import sheet_now
from pledgewatch_cloud.decide.collateral.desk import Known
from pledgewatch_cloud.decide.collateral.evidence import Evidence, evidence_of
from pledgewatch_cloud.decide.collateral.grounds import Ground, Looked, cases, grounds_by_lot, has_grounds
from pledgewatch_cloud.decide.collateral.result import LotLine
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.collateral.trail import in_words, trail_of
from pledgewatch_cloud.decide.sentences import Ref, as_told, say
from pledgewatch_cloud.decide.state import State


def lines_now(sight: Sight, whole: State, facility: str, lot: str = "") -> list[dict[str, Any]]:
    """Each lot's way through a facility's waterfall now, with what they rest on; or that of one lot alone."""
    return lines_told(sight.scope, _looked(whole, facility, lot), sight.facts_of(whole.recorded_at_ms))


def _looked(whole: State, facility: str, lot: str) -> Looked:
    now_ms = whole.recorded_at_ms
    lines = bases.lines_of(sheet_now(whole, now_ms), facility, lot)
    book, market, facts, assets, held = whole.book, whole.market, whole.facts, whole.assets, whole.held
    return Looked(facility, lines, now_ms, book, market, facts, assets, held, facts)


def trail_now(scope: Scope, whole: State, lot: str) -> dict[str, Any]:
    """What the amounts of a lot that is pledged to the viewer rest on, as far as that is seen (collateral/trail.py)."""
    looked = _looked(whole, whole.book.lots[lot].facility, lot)
    trail = trail_of(next(iter(cases(looked if scope.is_all else _cut(scope, looked)))))
    for one in trail["ineligible"]:
        one.update({} if one["grounds"] else in_words([NOT_SHOWN]))
    return trail


def evidence_now(scope: Scope, whole: State, seen: State, facility: str) -> list[Evidence]:
    """What stands for each lot of a facility that is pledged to the viewer. What it counts as is told as it is; the
    reading only where that is seen."""
    now_ms = whole.recorded_at_ms
    found = evidence_of(sheet_now(whole, now_ms), whole.book, seen.assets, facility, now_ms)
    return [one for one in found if scope.sees_lot(one.lot, now_ms)]


def lines_told(scope: Scope, looked: Looked, facts_of: SeenFacts | None = None) -> list[dict[str, Any]]:
    """The lines of a facility at a moment, with what their ineligibles rest on, as far as that is seen. Of a lot that
    is not pledged to the viewer then, nothing is told of where it is. `facts_of` cuts facts to what is seen at the
    moment; where it is not given they are cut here."""
    if scope.is_all:
        grounds = grounds_by_lot(looked)
        return [{**one._asdict(), **_in_lines(grounds.get(one.id, ()))} for one in looked.lines]
    shown = [one for one in looked.lines if scope.sees_lot(one.id, looked.as_of_ms)]
    some = [one for one in shown if has_grounds(one)]
    grounds = grounds_by_lot(_cut(scope, looked._replace(lines=some), facts_of))
    is_shown = {one.id for one in shown}
    return [
        {**one._asdict(), **_in_lines(_grounds(one, grounds.get(one.id, ())))}
        if one.id in is_shown
        else {**one._asdict(), "in_class": None, **_in_lines(_grounds(one, _unpledged(looked, one.id)))}
        for one in looked.lines
    ]


def _in_lines(some: Iterable[Ground]) -> dict[str, Any]:
    """The grounds of a line: in English, and as what that was made of."""
    every = list(some)
    told = [{"step": one.step, **(as_told(one.said) or {})} for one in every]
    return {"grounds": [one.text for one in every], "told": told}


def _unpledged(looked: Looked, lot: str) -> tuple[Ground, ...]:
    """Why a lot that is not shown is not eligible; whether its receipt is another's is not told."""
    receipt = looked.book.lots[lot].receipt
    if receipt is None or not receipt.is_electronic:
        return ()
    return (Ground("receipt", say("not_pledged_here", receipt=Ref("receipts", receipt.id))),)


def _grounds(line: LotLine, seen: tuple[Ground, ...]) -> Iterator[Ground]:
    """The grounds that are seen, in order; where there are none for an ineligible, that is said."""
    for name in (*(["unvalued"] if line.is_unvalued else []), *line.ineligible):
        found = [one for one in seen if one.step == name]
        yield from found or [Ground(name, NOT_SHOWN)]


def _cut(scope: Scope, looked: Looked, facts_of: SeenFacts | None = None) -> Looked:
    """What lines of lots that are pledged to the viewer are looked at with, without what is not seen."""
    at_ms, nothing = looked.as_of_ms, AssetFacts()
    seen = facts_of or (lambda asset, one: cut.facts_of(scope, asset, one, at_ms))

    @cache
    def names() -> set[str]:
        lots = [looked.book.lots[one.id] for one in looked.lines]
        return {asset for lot in lots for asset in (*lot.assets, lot.stay_at(at_ms).asset)}

    def asset_seen(asset: str, one: AssetState) -> AssetState:
        return cut.asset_at(scope, asset, one, looked.facts.get(asset, nothing), at_ms)

    facts = Only(looked.facts, names, seen)
    said = facts if looked.said is looked.facts else Only(looked.said, names, seen)
    return looked._replace(facts=facts, assets=Only(looked.assets, names, asset_seen), said=said)


def sheet_seen(scope: Scope, whole: State, seen: State) -> Sheet:
    """The goods of the facilities that are seen, as they come to by all that is known. Where they are is seen by the
    state alone."""
    now_ms = whole.recorded_at_ms
    if scope.is_all:
        return sheet_now(whole, now_ms)
    book = replace(whole.book, lots=seen.book.lots, facilities=seen.book.facilities)
    known = Known(book, whole.market, whole.facts, whole.assets, whole.held)
    return desk_module.opened(known, whole.losses, now_ms).sheet
