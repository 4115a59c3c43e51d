"""Law 9 in its strongest form: of two journals that differ only in what somebody must not see, every answer to them is
the same, to the byte, its headers, counts, cursors and tags included. A story is played whole, and once more for each
user with something else, or nothing, in the place of all that is hidden from them; then everything that can be read is
read in both (`twin_story` says what is whose, `twin_asking` what is asked)."""

import functools
import random
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import warehouses
from hypothesis import given, settings
from hypothesis import strategies as st
from receipting import BANK, DEPOSITOR, OTHER_BANK
from seeing import HALL_LOT, OPERATOR, SEA_LOT, SECOND_LOT
from twin_asking import Answer, Asked, asked, everything, followed, glanced, one_by_one
from twin_story import EVERYBODY, IBANS, Act, Plot, play
from twin_world import HALL_TWO_LOT, MIX_ONE, MIX_TWO, TURN_LOT, TwinWorld, recover

from pledgewatch_cloud.access import view as view_module
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.receipts import sheet
from pledgewatch_cloud.spine import base_at as base_at_module

STEPS, SEED = 14, 1
GLANCES = 2
"""How often users look in passing: what is kept of one moment's answers must tell nothing at the next."""
FURTHER = settings(max_examples=max(1, settings().max_examples // 120))
Told = dict[tuple[str, Asked], Answer]


@pytest.fixture(autouse=True)
def quickly() -> Iterator[None]:
    """Bases of the past are found as quickly as in a journal with snapshots, and a sheet is the credential that it is
    drawn from."""
    quick = mock.patch.object(base_at_module, "recover", recover), mock.patch.object(sheet, "pdf", str.encode)
    # How long it takes to play them must not tell two worlds apart.
    with quick[0], quick[1], mock.patch.object(view_module, "BATTERY_KEPT_S", 1e9):
        yield


class Played:
    """A story that has been played, for a user or whole, and what some users were answered on the way."""

    def __init__(self, folder: Path, acts: list[Act], user: str, users: list[str]) -> None:
        self.world = TwinWorld(folder)
        self.some = everything(self.world)
        self.glances: list[dict[str, dict[Asked, Answer]]] = []
        self.tags: dict[str, dict[Asked, str]] = {one: {} for one in users}
        every = len(acts) // GLANCES
        for number in play(self.world, acts, user):
            if number % every == 0:
                some = glanced(self.some)
                self.glances.append({one: asked(self.world, one, some, self.tags[one]) for one in users})
        self.some = everything(self.world)


@functools.lru_cache(maxsize=1)
def story(seed: int) -> list[Act]:
    """The story of a seed."""
    return Plot(random.Random(seed)).whole(STEPS)


@functools.lru_cache(maxsize=1)
def whole(seed: int, folder: Path) -> Played:
    """It is played whole."""
    return Played(folder, story(seed), "", sorted(EVERYBODY))


def assert_same(user: str, seed: int, folder: Path, own: Path) -> None:
    """Who asks cannot tell in which of two worlds they are."""
    one, other = whole(seed, folder), Played(own, story(seed), user, [user])
    hidden = [act.about for act in story(seed) if user in act.hidden_from]
    assert len(hidden) > len(story(seed)) // 4, "hardly anything is hidden"
    for number, (these, those) in enumerate(zip(one.glances, other.glances, strict=True)):
        assert_equal(user, these[user], those[user], f"glance {number}")
    told = asked(one.world, user, one.some)
    assert told[Asked("/audit")].status == 403
    assert f'"user":"{user}"' in told[Asked("/viewer")].body
    assert_equal(user, told, asked(other.world, user, one.some), "the end")
    again, elsewhere = (asked(each.world, user, each.tags[user], dict(each.tags[user])) for each in (one, other))
    assert 304 in {answer.status for answer in again.values()}
    assert_equal(user, again, elsewhere, "the end, for who has been answered before")
    assert one_by_one(one.world, user) == one_by_one(other.world, user), user
    assert sum(answer.status == 200 for answer in told.values()) > 100
    for place in ({}, {"after_entry": one.world.entry // 2}, {"last_event_id": f"{one.world.entry // 3}"}):
        assert followed(one.world, user, **place) == followed(other.world, user, **place), (user, place)


def assert_equal(user: str, these: dict[Asked, Answer], those: dict[Asked, Answer], when: str) -> None:
    """The same was answered in both worlds; where not, says the first that was not, around where it differs."""
    differ = [one for one, answer in these.items() if answer != those[one]]
    if differ:
        one = differ[0]
        first, second = these[one], those[one]
        at = next((at for at, (a, b) in enumerate(zip(first.body, second.body, strict=False)) if a != b), 0)
        start, headers = max(0, at - 200), set(first.headers) ^ set(second.headers)
        raise AssertionError(
            f"{user} can tell two worlds apart by {len(differ)} answers ({when}), first {one.path} {one.accept}\n"
            f"{headers}\n"
            f"{first.status} {first.body[start : at + 100]}\n"
            f"{second.status} {second.body[start : at + 100]}"
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the story is played whole."""
    return tmp_path_factory.mktemp("whole")


@pytest.mark.parametrize("user", sorted(EVERYBODY))
def test_who_may_not_see_something_is_answered_as_if_it_were_not_so(user: str, folder: Path, tmp_path: Path) -> None:
    assert_same(user, SEED, folder, tmp_path)


@given(st.integers(2, 10**9), st.permutations(sorted(EVERYBODY)))
@FURTHER
def test_nor_in_any_other_story(tmp_path_factory: pytest.TempPathFactory, seed: int, users: list[str]) -> None:
    folder = tmp_path_factory.mktemp("whole")
    for user in users[:1]:
        assert_same(user, seed, folder, tmp_path_factory.mktemp("own"))


def test_a_payees_account_is_told_to_the_payee_alone(tmp_path: Path) -> None:
    world = TwinWorld(tmp_path)
    known = warehouses.party(DEPOSITOR)

    def at_odds(user: str) -> str:
        found = world.get(user, "/milestones/milestone-one")
        return str(found["at_odds"])

    world.keeping.amend(parties=[{**known, "iban": IBANS[0]}])
    world.notice("shipment-one", "loaded", "vessel_loaded", "USLAX")
    assert world.get("lender-one", "/milestones/milestone-one")["state"] == "met"
    assert {at_odds(user) for user in ("lender-one", "borrower-one", "keeper-kim")} == {""}
    world.keeping.amend(parties=[{**known, "iban": IBANS[1]}])
    assert at_odds("lender-one") == "the release was sent to another account of sofa-works than the book's"
    assert (
        at_odds("borrower-one")
        == at_odds("keeper-kim")
        == f"the release was sent to {IBANS[0]}, and the book says {IBANS[1]}"
    )


def test_a_state_as_seen_has_of_lots_and_words_those_of_who_asks(folder: Path) -> None:
    """What no route tells today is not in the state either that they are answered from."""
    world = whole(SEED, folder).world
    every = world.keeping.spine.state
    assert HALL_LOT in every.held
    own = {
        Viewer("lender-one", BANK, Role.LENDER): {SECOND_LOT, MIX_ONE, SEA_LOT},
        Viewer("lender-two", OTHER_BANK, Role.LENDER): {MIX_TWO, TURN_LOT, HALL_TWO_LOT},
    }
    parties = {said.party for one in every.alerts.values() for said in one.silences}
    assert parties == {BANK, OTHER_BANK, DEPOSITOR, OPERATOR}
    for viewer, lots in own.items():
        state = world.client.app.state.service.views.of(viewer).state
        facts = list(state.facts.values())
        there = {*state.held, *state.losses}
        there |= {lot for one in facts for lot, _, _ in one.known.values()} | {
            lot for one in facts for lot in one.forgotten
        }
        there |= {lot for one in state.assets.values() for lot in one.kinetics}
        assert there <= lots, viewer.user
        assert {one.lender for one in state.pledges if one.lender} == {viewer.party}
        assert {said.party for one in state.alerts.values() for said in one.silences} == {viewer.party}
