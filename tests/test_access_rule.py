"""The rule of what somebody sees, by itself: nothing is shown that nobody has thought of."""

import ast
from dataclasses import fields
from pathlib import Path

import pytest
from builders import NOON_MS

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.access import cut, told, visible
from pledgewatch_cloud.decide.access.pledges import Pledges
from pledgewatch_cloud.decide.access.scope import Scope, Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.alerts import Alert
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.condition import Condition
from pledgewatch_cloud.decide.events import FOLDED_TYPES, EventType, SaidEvent, event, retraction
from pledgewatch_cloud.decide.presence import Presence
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.state import State

PARTIES = [role for role in Role if role is not Role.KEEPER]
WORK_SAVED = {"due_ms", "unsaved", "saves", "withheld_ms"}
"""Of an asset: what only saves work, and is left as it is where nothing is known."""
TOTALS = {"outside_ms", "excess", "unknown_ms"}


def scope_of(role: Role) -> Scope:
    """What somebody sees of an empty journal."""
    viewer = Viewer("u", "party", role, frozenset({"line"}))
    return Scope(viewer, book_module.empty(), ReceiptBook(), Pledges(), NOON_MS, retired_ms={})


def test_of_every_type_of_event_it_is_said_who_is_told() -> None:
    assert told._SEEN.keys() == set(EventType)


@pytest.mark.parametrize("kind", EventType)
@pytest.mark.parametrize("role", PARTIES)
def test_an_event_about_nothing_that_is_seen_is_told_to_keepers_alone(role: Role, kind: EventType) -> None:
    facts = {"lot": "lot", "retracted_type": "fence_entered", "party": "party", "assets": "asset", "lots": "lot"}
    said = SaidEvent("1.0", event(kind, NOON_MS, "asset", **facts, facility="line", lender="party", borrower="party"))
    assert told.told(scope_of(role), said) is None
    assert told.told(scope_of(Role.KEEPER), said) == said


@pytest.mark.parametrize("role", PARTIES)
def test_a_type_that_nobody_has_thought_of_is_hidden(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scope, "sees_asset", lambda *_: True)
    monkeypatch.setattr(Scope, "sees_lot", lambda *_: True)
    said = SaidEvent("1.0", event(EventType.FENCE_ENTERED, NOON_MS, "asset"))
    assert told.sees_event(scope_of(role), said)
    monkeypatch.setattr(told, "_SEEN", {})
    assert not told.sees_event(scope_of(role), said)


@pytest.mark.parametrize("kind", sorted(FOLDED_TYPES))
def test_what_is_taken_back_is_told_by_the_rule_of_what_was_said(
    kind: EventType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is seen of the asset alone, or of the lot as well."""
    said = event(kind, NOON_MS, "asset", lot="lot", fence="f")
    for lots in (False, True):
        monkeypatch.setattr(Scope, "sees_asset", lambda *_: True)
        monkeypatch.setattr(Scope, "sees_lot", lambda *_, seen=lots: seen)
        scope = scope_of(Role.LENDER)
        both = [told.sees_event(scope, SaidEvent("2.0", one)) for one in (said, retraction("1.0", said))]
        assert both[0] == both[1], lots


@pytest.mark.parametrize(
    ("module", "made", "known", "left_out"),
    [
        (visible, "State", {one.name for one in fields(State)}, set()),
        (visible, "Book", {one.name for one in fields(Book)}, set()),
        (visible, "Alert", set(Alert._fields), {"hands"}),  # its causes say, as far as they are seen
        (cut, "AssetState", set(AssetState._fields), WORK_SAVED),
        (cut, "AssetFacts", set(AssetFacts._fields), set()),
        (cut, "Presence", set(Presence._fields), set()),
        (cut, "Condition", set(Condition._fields), TOTALS),
    ],
)
def test_what_is_seen_is_made_of_nothing_and_each_part_is_named(
    module: object, made: str, known: set[str], left_out: set[str]
) -> None:
    """So a part that is new is not seen until somebody says who sees it: here."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)]
    (call,) = (one for one in calls if isinstance(one.func, ast.Name) and one.func.id == made)
    assert not call.args
    assert {one.arg for one in call.keywords} == known - left_out
