"""Law 9: no party sees what its role and the life of a pledge do not give it. Random histories of pledges are held
against a plain record of what was whose at each moment, over every route of the API and as every user."""

import ast
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import NOON_MS
from hypothesis import given, settings
from hypothesis import strategies as st
from inviting import Inviting
from keeping import LINE
from receipting import BANK, FIRST, OTHER_BANK, WAREHOUSE
from seeing import HALL_LOT, NIGHT, OTHER_LINE, SEA_LOT, SECOND, SECOND_LOT, USERS, Seeing
from streaming import told_until_quiet
from warehouses import BOX, DOCK, GATE, HALL, TRACKER, ZONE

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.access.scope import Scope, Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import recover

ASSETS = (BOX, HALL, GATE, "night-box")
Step = Callable[[Seeing], object]
STEPS: tuple[Step, ...] = (
    lambda one: one.lend_on_sea(LINE),
    lambda one: one.lend_on_sea(OTHER_LINE),
    lambda one: one.lend_on_sea(""),
    lambda one: one.pledge(FIRST, BANK),
    lambda one: one.pledge(FIRST, OTHER_BANK),
    lambda one: one.pledge(SECOND, BANK),
    lambda one: one.pledge(SECOND, OTHER_BANK),
    lambda one: one.release(FIRST),
    lambda one: one.release(SECOND),
    lambda one: one.tick(7 * 24 * 60),
)


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    yield made
    made.close()


def play(seeing: Seeing, dice: random.Random, steps: int) -> None:
    """A random history, in which every device speaks after each step."""
    for _ in range(steps):
        dice.choice(STEPS)(seeing)
        for device in (TRACKER, ZONE, NIGHT):
            seeing.read(device)


def who_sees(asset: str, banks: dict[str, str]) -> set[str]:
    """The users who may see a reading of an asset, by whose the goods were when it was measured."""
    seen = {"keeper-kim"}
    lenders = {BANK: "lender-one", OTHER_BANK: "lender-two"}
    if asset == "night-box":
        return seen | {"operator-two"}
    seen.add("operator-one")
    if asset == BOX and SEA_LOT in banks:
        bank = banks[SEA_LOT]
        seen |= {lenders[bank], *(("insurer-one", "borrower-one") if bank == BANK else ("auditor-two", "borrower-two"))}
    if asset == HALL:
        seen |= {"warehouse-one", "borrower-one"}  # whose goods are on both receipts, pledged or not
        seen |= {lenders[banks[name]] for name in (FIRST, SECOND) if name in banks}
        seen |= {"insurer-one"} if BANK in (banks.get(FIRST), banks.get(SECOND)) else set()
    return seen


def values_seen(seeing: Seeing, user: str, asset: str) -> set[int]:
    """The temperatures of an asset that a user is told."""
    found = seeing.get(user, f"/assets/{asset}/series/temperature_mc?limit=10000")
    return set() if found == 404 else {value for _, value, _ in found["points"]}


def assert_summed(seeing: Seeing, user: str, asset: str, wanted: set[int]) -> None:
    """What is newest of an asset, and its sums over time, are of what is seen alone."""
    last = seeing.get(user, f"/assets/{asset}/last")
    if last != 404 and "temperature_mc" in last["last"]:
        assert last["last"]["temperature_mc"]["value"] in wanted, (user, asset)
    for minutes in (13, 60):  # of a quarter there are no more than 10,000 of either
        query = f"from_ms={NOON_MS}&to_ms={seeing.keeping.clock.at_ms}&step_ms={minutes * 60_000}"
        found = seeing.get(user, f"/assets/{asset}/series/temperature_mc/stretches?{query}")
        for one in [] if found == 404 else found["stretches"]:
            assert {one["low"], one["high"]} <= wanted, (user, asset)


@given(st.randoms(use_true_random=False))
@settings(max_examples=6, deadline=None)
def test_each_sees_the_readings_of_its_own_time_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, dice: random.Random
) -> None:
    seeing = Seeing(tmp_path_factory.mktemp("seeing"))
    play(seeing, dice, 12)
    forgotten_ms = seeing.keeping.clock.at_ms - 30 * 86_400_000
    for user in USERS:
        for asset in ASSETS:
            wanted = {
                value for at_ms, of, value, banks in seeing.readings if of == asset and user in who_sees(asset, banks)
            }
            seen = values_seen(seeing, user, asset)
            assert seen <= wanted, (user, asset)
            recent = {value for at_ms, _, value, _ in seeing.readings if at_ms > forgotten_ms}
            assert wanted & recent <= seen, (user, asset)
            assert_summed(seeing, user, asset, wanted)
    seeing.close()


def hidden_from(user: str, seeing: Seeing) -> set[str]:
    """Words that a user may not be told in any answer, whatever was pledged to whom at any time."""
    banks = [one for _, _, _, one in seeing.readings]
    ever = {bank for one in banks for name, bank in one.items() if name == SEA_LOT}
    lots, receipts = {SEA_LOT, HALL_LOT, SECOND_LOT}, {FIRST, SECOND}
    night, hall = {"night-box", NIGHT}, {HALL, ZONE, GATE, DOCK}
    of = {
        "lender-one": {OTHER_LINE, *night} | ({SEA_LOT, BOX} if BANK not in ever else set()),
        "lender-two": {LINE_WORD, HALL_LOT, SECOND_LOT, *night} | ({SEA_LOT, BOX} if OTHER_BANK not in ever else set()),
        "lender-none": {LINE_WORD, OTHER_LINE, BOX, *lots, *receipts, *night, *hall},
        "borrower-one": {OTHER_LINE, *night},
        "borrower-two": {LINE_WORD, HALL_LOT, SECOND_LOT, *receipts, *night, *hall},
        "operator-one": {LINE_WORD, OTHER_LINE, "SEA-SKU", *lots, *receipts, *night, *PRICES},
        "operator-two": {LINE_WORD, OTHER_LINE, BOX, "SEA-SKU", *lots, *receipts, *hall, *PRICES},
        "warehouse-one": {LINE_WORD, OTHER_LINE, BOX, "SEA-SKU", *lots, *night, *PRICES},
        "warehouse-two": {LINE_WORD, OTHER_LINE, BOX, "SEA-SKU", *lots, *receipts, *night, *hall, *PRICES},
        "insurer-one": {OTHER_LINE, *night, *PRICES} | ({SEA_LOT, BOX} if BANK not in ever else set()),
        "auditor-two": {LINE_WORD, HALL_LOT, SECOND_LOT, *receipts, *night, *hall},
    }
    # Of both receipts there are lots in the facility of the first bank, so it knows their names.
    of["lender-two"] |= {receipt for receipt in receipts if not any(one.get(receipt) == OTHER_BANK for one in banks)}
    others = {*USERS} - {user} if user in of else set()
    said = {word for name, words in SAID_OF_DEVICES.items() if name != user for word in words}
    return of.get(user, set()) | others | (said if user in of else set())


SAID_OF_DEVICES = {
    "operator-one": {"harbour-fresh", "harbour-toml", "harbour-why"},
    "operator-two": {"night-fresh", "night-toml", "night-why"},
}
"""What operators say of their devices: invited, set to, and why their identity was taken away. It is for nobody else
but keepers."""


def say_of_devices(seeing: Inviting) -> None:
    """Each of the operators says that of devices of its own."""
    for user, asset, cared, revoked in (
        ("operator-one", BOX, TRACKER, ZONE),
        ("operator-two", "night-box", NIGHT, NIGHT),
    ):
        fresh, toml, why = sorted(SAID_OF_DEVICES[user])
        asked = (
            seeing.invite(user, fresh, asset=asset, settings=f"# {toml}"),
            seeing.post(user, f"/devices/{cared}/settings", toml=f"# {toml}"),
            seeing.post(user, f"/devices/{cared}/commands", what="report_now"),
            seeing.post(user, f"/devices/{revoked}/revocation", why=why),
        )
        assert all(one.status_code < 300 for one in asked), [one.text for one in asked]


LINE_WORD = f'"{LINE}"'
PRICES = ("unit_price_minor", 'outstanding_minor": 1', "gross_minor")
_PLACE = re.compile(r"{(\w+)(?::\w+)?}")


def paths(seeing: Seeing) -> Iterator[str]:
    """Every path of the API that is read, with everything that there is in the place of its parameters."""
    state, every = seeing.keeping.spine.state, seeing.store.events(0, 100_000)
    filled = {
        "asset": ASSETS,
        "channel": ("temperature_mc", "latitude_e7"),
        "device": (TRACKER, ZONE, NIGHT),
        "command": ("1",),
        "facility": (LINE, OTHER_LINE),
        "lot": (SEA_LOT, HALL_LOT, SECOND_LOT),
        "fence": tuple(state.book.fences),
        "milestone": tuple(state.book.milestones),
        "receipt": (FIRST, SECOND),
        "number": ("0", "1"),
        "purpose": ("revocation",),
        "warehouse": (WAREHOUSE, "la-2"),
        "case": tuple(state.watch.cases) or ("case-1",),
        "by": ("vessel", "country"),
        "capture_id": ("1",),
        "message_id": ("1",),
        "alert": tuple(one.id for one in state.alerts.values()) or ("1",),
        "event": tuple({(one.event.type, one.event.subject): one.id for one in every}.values()),
        "notice": ("carrier/1",),
        "series": ("steel",),
        "currency": ("USD",),
    }
    for path, methods in sorted(seeing.get("keeper-kim", "/openapi.json")["paths"].items()):
        if "get" not in methods or path == "/live":  # that one does not end; the test below reads it
            continue
        some = [path]
        for name in _PLACE.findall(path):
            some = [_PLACE.sub(str(value), one, count=1) for one in some for value in filled[name]]
        for one in some:
            yield one + {"/exposures": "?currency=USD"}.get(path.rpartition("/")[0], _asked(path))


def _asked(path: str) -> str:
    return "?from_ms=0&to_ms=1800000000000&step_ms=86400000000" if path.endswith("/stretches") else ""


@given(st.randoms(use_true_random=False))
@settings(max_examples=2, deadline=None)
def test_no_answer_of_any_route_holds_a_word_that_is_not_for_who_asks(
    tmp_path_factory: pytest.TempPathFactory, dice: random.Random
) -> None:
    seeing = Inviting(tmp_path_factory.mktemp("seeing"))
    play(seeing, dice, 8)
    seeing.keeping.row("sold", 25, minute=seeing.minute)  # a case, and an alert where it is pledged
    say_of_devices(seeing)
    every = list(paths(seeing))
    assert len(every) > 60
    for user in USERS:
        words, own = hidden_from(user, seeing), set(SAID_OF_DEVICES.get(user, ()))
        for path in every:
            answer = seeing.client.get(path, headers={"authorization": f"Bearer {USERS[user].key}"})
            assert answer.status_code < 500, (user, path, answer.text)
            if answer.status_code == 200:
                # A lot has a field `line`, which is also what a facility is called here.
                text = answer.text.replace('"line":', "", 1) if path.startswith("/lots/") else answer.text
                told = {word for word in words if word in text}
                assert not told, (user, path, told)
                own = {word for word in own if word not in text}
        assert not own, f"{user} is not told what it has said itself: {own}"
    seeing.close()


@given(st.randoms(use_true_random=False))
@settings(max_examples=3, deadline=None)
def test_no_stream_tells_what_is_not_for_who_asks(
    tmp_path_factory: pytest.TempPathFactory, dice: random.Random
) -> None:
    seeing = Seeing(tmp_path_factory.mktemp("seeing"))
    play(seeing, dice, 8)
    seeing.keeping.row("sold", 25, minute=seeing.minute)
    every = seeing.store.events(0, 100_000)
    for user in USERS:
        told = told_until_quiet(seeing.client.app, USERS[user].key)
        assert [one.id for one in told if one.data] == [
            one["id"] for one in seeing.get(user, "/events?limit=10000")["events"]
        ]
        words = hidden_from(user, seeing)
        assert not {word for word in words if any(word in one.data for one in told)}, user
        if user == "keeper-kim":
            assert [one.id for one in told if one.data] == [one.id for one in every]
    seeing.close()


def test_what_was_pledged_stays_seen_for_as_long_as_it_must_be_kept_and_no_longer(seeing: Seeing) -> None:
    before = seeing.read()
    seeing.lend_on_sea(LINE)
    within = seeing.read()
    seeing.lend_on_sea("")
    after = seeing.read()
    assert values_seen(seeing, "lender-one", BOX) == {within}
    assert values_seen(seeing, "keeper-kim", BOX) == {before, within, after}
    assert seeing.get("lender-one", f"/assets/{BOX}") == 404  # how things are now is no longer its own
    seeing.tick(29 * 24 * 60)
    seeing.read(ZONE)
    assert values_seen(seeing, "lender-one", BOX) == {within}
    seeing.tick(2 * 24 * 60)
    seeing.read(ZONE)
    assert values_seen(seeing, "lender-one", BOX) == set()
    assert values_seen(seeing, "keeper-kim", BOX) == {before, within, after}


def test_what_comes_late_about_the_time_of_a_pledge_is_seen_and_what_comes_late_of_before_is_not(
    seeing: Seeing,
) -> None:
    seeing.lend_on_sea(LINE)
    seeing.tick(10)
    seeing.lend_on_sea(OTHER_LINE)
    early = seeing.read()
    seeing.lend_on_sea("")
    assert values_seen(seeing, "lender-two", BOX) == {early}
    assert values_seen(seeing, "lender-one", BOX) == set()


def test_the_acts_on_a_receipt_are_seen_from_pledge_to_release(seeing: Seeing) -> None:
    seeing.pledge(FIRST, OTHER_BANK)
    seeing.release(FIRST)
    seeing.pledge(FIRST, BANK)

    def acts(user: str) -> Any:
        found = seeing.get(user, f"/receipts/{FIRST}/acts")
        return [one["act"] for one in found["acts"]] if isinstance(found, dict) else found

    assert acts("keeper-kim") == ["issue", "pledge", "release", "pledge"]
    assert acts("borrower-one") == ["issue", "pledge", "release", "pledge"]
    assert acts("lender-two") == ["pledge", "release"]
    assert acts("lender-one") == ["pledge"]
    assert acts("lender-none") == 404
    assert seeing.get("lender-two", f"/receipts/{FIRST}") == 404
    assert seeing.get("lender-one", f"/receipts/{FIRST}")["pledgee"] == BANK


def test_the_base_that_a_lender_sees_is_the_base_that_was_told(seeing: Seeing) -> None:
    seeing.lend_on_sea(LINE)
    seeing.pledge(FIRST, BANK)
    seeing.read()
    seeing.read(ZONE)
    whole, own = (seeing.get(user, f"/facilities/{LINE}") for user in ("keeper-kim", "lender-one"))
    assert own["base"] == whole["base"]
    pledged = [one for one in whole["lines"] if one["id"] != SECOND_LOT]
    assert [one for one in own["lines"] if one["id"] != SECOND_LOT] == pledged
    assert seeing.get("lender-two", f"/facilities/{LINE}") == 404
    assert seeing.get("insurer-one", f"/facilities/{LINE}")["base"] is None
    assert seeing.get("insurer-one", f"/facilities/{LINE}")["lines"] == []


@given(st.randoms(use_true_random=False))
@settings(max_examples=3, deadline=None)
def test_the_base_as_it_stands_is_told_as_the_journal_folded_anew_tells_it(
    tmp_path_factory: pytest.TempPathFactory, dice: random.Random
) -> None:
    seeing = Seeing(tmp_path_factory.mktemp("bases"))
    play(seeing, dice, 8)
    now, told = iso(seeing.keeping.spine.state.recorded_at_ms), 0
    for user in USERS:
        for facility in (LINE, OTHER_LINE):
            found = seeing.get(user, f"/facilities/{facility}/base")
            assert found == seeing.get(user, f"/facilities/{facility}/base?known_at={now}")
            told += isinstance(found, dict)
    assert told == 7, "a keeper sees both, two lenders, two borrowers and an auditor each their own"
    seeing.close()


def test_pledges_are_the_same_after_a_restart_and_by_a_replay(tmp_path: Path) -> None:
    store = MemoryStore()
    seeing = Seeing(tmp_path, store)
    play(seeing, random.Random(7), 10)
    body = state_module.to_bytes(seeing.keeping.spine.state)
    assert json.loads(body)["pledges"]
    assert state_module.to_bytes(state_module.from_bytes(body)) == body
    assert state_module.to_bytes(recover(store)) == body
    seeing.series.close()


API = Path(__file__).resolve().parent.parent / "cloud" / "pledgewatch_cloud" / "api"


def test_who_asks_of_a_moment_is_not_answered_of_one_that_another_thread_asks_of(seeing: Seeing) -> None:
    seeing.lend_on_sea(LINE)
    state = seeing.keeping.spine.state
    now_ms, before_ms = state.recorded_at_ms, NOON_MS - 86_400_000

    class Racing(Scope):
        def __setattr__(self, name: str, value: Any) -> None:
            # As soon as one thread has found what is there, another has found what was there before.
            super().__setattr__(
                name, self._found_at(before_ms) if name == "_there" and self.__dict__.get(name) else value
            )

    viewer = Viewer("lender-one", BANK, Role.LENDER)
    scope = Racing(viewer, state.book, state.receipts, state.pledges, now_ms, retired_ms={})
    assert BOX in scope.assets(now_ms)
    assert BOX not in scope.assets(before_ms)
    assert BOX in scope.assets(now_ms)


FOR_KEEPERS = frozenset({"audit", "metrics", "outbox", "quarantine", "registry", "status"})
OPEN_TO_ALL = frozenset({"read_register", "read_issuer", "read_capture_job", "follow_changes", "finish_login"})
"""The register's name and the issuer's key are everybody's; capture jobs are for keepers; the stream waits for commits
by the writer, and asks for a view at each page (tests/test_live.py); who logs in is looked up among the book's users,
and shown nothing (tests/test_login.py)."""


def answering(module: Path) -> Iterator[ast.AsyncFunctionDef]:
    """The functions of a module that answer a GET."""
    for one in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(one, ast.AsyncFunctionDef):
            calls = [by.func for by in one.decorator_list if isinstance(by, ast.Call)]
            if any(isinstance(call, ast.Attribute) and call.attr == "get" for call in calls):
                yield one


def test_no_route_that_answers_reaches_past_its_view() -> None:
    looked_at = 0
    for module in sorted(API.glob("*.py")):
        if module.stem in FOR_KEEPERS:
            continue
        for one in answering(module):
            looked_at += 1
            reached = re.findall(r"service\.(store|series|writer)\b", ast.unparse(one))
            assert not reached or one.name in OPEN_TO_ALL, f"{module.name}: {one.name} reads service.{reached}"
    assert looked_at > 30
