"""A view is of one moment: what is committed while an answer is made is not in it, and nothing that was made of one
moment is answered at another at which something else is seen."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from builders import MINUTE_MS
from receipting import BANK
from seeing import OPERATOR, SEA_LOT
from twin_world import LINE, TURN, TURN_LINE, TwinWorld
from warehouses import BOX

from pledgewatch_cloud.access import view as view_module
from pledgewatch_cloud.access.view import View, Views
from pledgewatch_cloud.api.clusters import Fleet, Standings
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.spine.writer import Writer

LENDER = Viewer("lender-one", BANK, Role.LENDER)
OPERATES = Viewer("operator-one", OPERATOR, Role.OPERATOR)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwinWorld]:
    made = TwinWorld(tmp_path)
    yield made
    made.close()


def told(view: View) -> list[object]:
    """All that a view reads from disk of the box."""
    return [
        view.page(0, 1_000),
        view.events(0, 1_000, BOX),
        view.standing(BOX),
        view.told_of(BOX, {EventType.FENCE_ENTERED}, 100),
        view.last(BOX),
    ]


@pytest.mark.parametrize("viewer", [LENDER, OPERATES])
def test_what_is_committed_while_an_answer_is_made_is_not_in_it(world: TwinWorld, viewer: Viewer) -> None:
    world.lend(LINE)
    for place in ("sea", "port"):
        world.tick()
        world.measure(BOX, 5_000, place)
    world.feeder.catch_up()
    view = world.client.app.state.service.views.of(viewer)
    before = told(view)
    assert all(before[1:3]), "the box has been seen"
    world.tick()
    world.lend("")
    world.tick()
    world.measure(BOX, 5_000, "forbidden")
    assert told(view) == before, "of the entries after its own a view does not know who may see them"


@pytest.mark.parametrize("viewer", [LENDER, OPERATES])
def test_what_is_had_at_once_is_the_page_and_no_more_is_looked_at(
    world: TwinWorld, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.lend(LINE)
    for place in ("sea", "port") * 4:
        world.tick()
        world.measure(BOX, 5_000, place)
    view = world.client.app.state.service.views.of(viewer)
    whole = view.page(0, 1_000)
    after, limits = {0, *(int(one.id.partition(".")[0]) for one in whole.events), whole.last_entry + 5}, (1, 2, 5, 100)
    assert len(after) > 4
    pages = {(entry, limit): view.page(entry, limit) for entry in after for limit in limits}
    found = {key: view.page_at_once(*key) for key in pages}
    assert found == pages, "there are few, so all are had at once"
    monkeypatch.setattr(view_module, "AT_ONCE", 5)
    some = {key: view.page_at_once(*key) for key in pages}
    assert all(page in (None, pages[key]) for key, page in some.items())
    assert {limit for (_, limit), page in some.items() if page is None} >= {100}
    assert {limit for (_, limit), page in some.items() if page is not None} >= {1, 5}


def fleet(views: Views) -> Fleet:
    """The assets on the lender's map."""
    view = views.of(LENDER)
    return view.kept(view.remembered(Standings).fleet_of)


def test_what_was_made_for_a_map_is_not_shown_once_something_is_seen_no_more(world: TwinWorld) -> None:
    world.tick()
    stay = {"asset": BOX, "until": iso(world.keeping.clock.at_ms + 30 * MINUTE_MS)}
    named = {"id": SEA_LOT, "facility": TURN_LINE, "sku": "TURN-SKU", "quantity": 1}
    world.keeping.amend(lots=[{**named, "asset": TURN, "stays": [stay]}])
    world.tick()
    world.measure(BOX, 5_000)
    # The moment at which a lot goes on says an event, which would be a reason by itself to make the map anew.
    writer = SimpleNamespace(newest=world.keeping.spine.newest)
    views = Views(world.store, cast("Writer", writer), world.series, world.keeping.clock)
    assert fleet(views).ids == [BOX]
    later = replace(writer.newest.state, recorded_at_ms=world.keeping.clock.at_ms + 31 * MINUTE_MS)
    writer.newest = writer.newest._replace(state=later)
    assert fleet(views).ids == []


def test_what_is_kept_of_a_battery_is_what_who_asks_was_told(world: TwinWorld) -> None:
    """Else how new it is would tell that another has asked."""
    found = []
    for is_asked in (True, False):
        world.tick()
        world.measure(TURN, 5_000 if is_asked else 25_000)
        world.feeder.catch_up()
        users = ("operator-one",) if is_asked else ("operator-one", "lender-one")
        for user in users:
            found += [one["battery_mv"] for one in world.get(user, f"/devices?battery=true&asset={TURN}")]
    assert found == [3_054, 3_054, 3_254]


def test_a_battery_of_before_a_pledge_is_not_told(world: TwinWorld) -> None:
    world.tick()
    world.measure(BOX, 5_000)
    world.tick()
    world.lend(LINE)
    world.feeder.catch_up()
    found = {user: world.get(user, f"/devices?battery=true&asset={BOX}") for user in ("operator-one", "lender-one")}
    assert {user: [one["battery_mv"] for one in some] for user, some in found.items()} == {
        "operator-one": [3_054],
        "lender-one": [None],
    }


def test_where_a_list_ends_does_not_tell_when_something_was_said_that_is_hidden(world: TwinWorld) -> None:
    for place in ("sea", "port", "port", "sea"):
        world.tick()
        world.measure(BOX, 5_000, place)
        found = world.get("lender-none", "/events?limit=1")
        assert found == {"events": [], "next_after_entry": world.entry}
