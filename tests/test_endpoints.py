"""What endpoints have had and have still to be sent: the outbox's contract, for every implementation."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import NOON_MS
from hypothesis import given, settings
from hypothesis import strategies as st
from outboxes import ALERT, BASE, RELEASE, Bench, drained, take

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.journal import outbox as outbox_module
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import ANSWER_MAX_BYTES, CORE, Begin, DeliveryRecord, OutboxMessage, Wanted
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.outbox.point import PointError, replay_from

LATER_MS = 2**62


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "data")
    yield made
    made.close()


def front(store: Store, endpoint: str = CORE) -> OutboxMessage:
    """The one message that is due."""
    (one,) = store.due(endpoint, LATER_MS)
    return one


def test_a_failed_message_waits_for_its_time_and_holds_those_behind_it(store: Store) -> None:
    Bench(store).put(("f", BASE), ("f", BASE))
    first = front(store)
    store.failed(CORE, first, "HTTP 503", NOON_MS + 500)
    assert store.due(CORE, NOON_MS + 499) == []
    (again,) = store.due(CORE, NOON_MS + 500)
    assert again == replace(first, attempts=1)
    assert store.endpoint(CORE).errors == {"f": "HTTP 503"}


def test_a_dead_letter_holds_its_facility_until_it_is_sent_again_or_passed_over(store: Store) -> None:
    Bench(store).put(("f", BASE), ("f", BASE), ("g", BASE))
    first = store.due(CORE, NOON_MS)[0]
    store.failed(CORE, first, "HTTP 500", 0)
    store.buried(CORE, replace(first, attempts=1), "HTTP 422")
    (dead,) = store.dead_letters(CORE)
    assert (dead.endpoint, dead.message.id, dead.message.attempts, dead.error) == (CORE, first.id, 2, "HTTP 422")
    assert [one.facility for one in store.due(CORE, LATER_MS)] == ["g"]
    assert store.counts()[2:5] == (2, 0, 1)
    assert not store.send_again(CORE, "no such id", NOON_MS)
    assert store.send_again(CORE, first.id, NOON_MS)
    assert not store.send_again(CORE, first.id, NOON_MS)
    assert store.dead_letters() == []
    assert [one.attempts for one in store.due(CORE, NOON_MS) if one.id == first.id] == [0]
    assert not store.pass_over(CORE, first.id)
    store.buried(CORE, first, "HTTP 422")
    assert not store.pass_over("other", first.id)
    assert store.pass_over(CORE, first.id)
    assert store.dead_letters() == []
    assert sorted(drained(store)) == [("f", 2), ("g", 1)]
    assert not store.send_again(CORE, first.id, NOON_MS)


def test_endpoints_stand_each_for_itself(store: Store) -> None:
    Bench(store).put(("f", BASE), ("f", BASE))
    store.declare("desk", Wanted(), Begin.FIRST)
    store.buried("desk", front(store, "desk"), "HTTP 422")
    take(store, front(store))
    assert (front(store).sequence, store.due("desk", LATER_MS)) == (2, [])
    assert store.dead_letters(CORE) == []
    assert [one.endpoint for one in store.dead_letters()] == ["desk"]


WANTED = [
    # what is wanted                                    what is sent
    (Wanted(), [("f", 1), ("g", 1), ("f", 2), ("g", 2), ("f", 3)]),
    (Wanted(types=("raise_alert",)), [("f", 2), ("g", 2)]),
    (Wanted(facilities=("g",)), [("g", 1), ("g", 2)]),
    (Wanted(("record_base", "raise_alert"), ("f", "nobody")), [("f", 1), ("f", 2)]),
    (Wanted(types=("clear_alert",)), []),
]


@pytest.mark.parametrize(("wanted", "sent"), WANTED)
def test_an_endpoint_is_sent_what_it_wants_and_nothing_else(
    store: Store, wanted: Wanted, sent: list[tuple[str, int]]
) -> None:
    Bench(store).put(("f", BASE), ("g", BASE), ("f", ALERT), ("g", ALERT), ("f", RELEASE))
    store.declare("desk", wanted, Begin.FIRST)
    assert store.endpoint("desk").pending == len(sent)
    assert sorted(drained(store, "desk")) == sorted(sent)
    assert (store.endpoint("desk").pending, store.endpoint("desk").oldest_pending_ms) == (0, None)


def test_messages_that_are_not_wanted_are_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pledgewatch_cloud.journal.sqlite_outbox.PASSED_BY_MAX", 5)
    store = SqliteStore(tmp_path)
    bench = Bench(store)
    store.declare("desk", Wanted(types=("raise_alert",)), Begin.FIRST)
    assert outbox_module.PASSED_BY_MAX > 5
    for _ in range(7):
        bench.put(("f", BASE))
    assert store.due("desk", LATER_MS) == []
    assert [(one.facility, one.done) for one in store._lanes("endpoint = 'desk'")] == [("f", 7)]
    bench.put(("f", BASE))
    assert store.due("desk", LATER_MS) == []
    assert [one.done for one in store._lanes("endpoint = 'desk'")] == [7], "few are remembered, not written"
    asked: list[str] = []
    rows = store._rows

    def noted(statement: str, *values: object) -> list[Any]:
        asked.append(statement)
        return rows(statement, *values)

    monkeypatch.setattr(store, "_rows", noted)
    assert store.due("desk", LATER_MS) == []
    assert not any("FROM outbox WHERE" in one for one in asked), "nothing new, nothing looked at"
    bench.put(("f", ALERT))
    assert drained(store, "desk") == [("f", 9)]
    store.close()


def test_a_new_endpoint_begins_where_it_is_told_and_only_once(store: Store) -> None:
    bench = Bench(store)
    bench.put(("f", BASE), ("f", BASE), ("g", BASE))
    store.declare("first", Wanted(), Begin.FIRST)
    store.declare("now", Wanted(), Begin.NOW)
    bench.put(("f", BASE), ("h", BASE))
    store.declare("now", Wanted(), Begin.NOW)
    store.declare("now", Wanted(types=("record_base",)), Begin.FIRST)
    assert sorted(drained(store, "now")) == [("f", 3), ("h", 1)]
    assert len(drained(store, "first")) == 5
    assert [(one.name, one.begin) for one in store.endpoints()] == [("first", "first"), ("now", "now")]


def test_a_withdrawn_message_is_never_sent_and_its_sequence_is_missing(store: Store) -> None:
    bench = Bench(store)
    _, release, _ = bench.put(("f", BASE), ("f", RELEASE), ("f", BASE))
    bench.put(("f", ALERT), withdrawn=[release])
    assert store.endpoint(CORE).pending == 3
    assert drained(store) == [("f", 1), ("f", 3), ("f", 4)]
    bench.put(withdrawn=[release])  # once more: the first time counts
    assert drained(store) == []


def test_a_dead_letter_that_is_withdrawn_holds_nobody(store: Store) -> None:
    bench = Bench(store)
    (release, _) = bench.put(("f", RELEASE), ("f", BASE))
    for endpoint in (CORE, "desk"):
        store.buried(endpoint, front(store, endpoint), "HTTP 422")
    bench.put(withdrawn=[release])
    assert store.dead_letters() == []
    assert not store.send_again(CORE, release, NOON_MS)
    assert (front(store).sequence, front(store).attempts) == (2, 0)
    assert front(store, "desk").sequence == 2


def test_what_comes_of_an_attempt_at_a_withdrawn_message(store: Store) -> None:
    """It was under way when it was withdrawn: a failure is nothing any more, a 2xx is kept as evidence."""
    bench = Bench(store)
    (release, _) = bench.put(("f", RELEASE), ("f", BASE))
    under_way = front(store)
    bench.put(withdrawn=[release])
    store.failed(CORE, under_way, "HTTP 503", LATER_MS)
    store.buried(CORE, under_way, "HTTP 422")
    assert (front(store).sequence, store.dead_letters()) == (2, [])
    take(store, under_way)
    assert [one.status for one in store.deliveries(release)] == [200]
    assert front(store).sequence == 2


def test_an_endpoint_is_sent_again_from_any_point(store: Store) -> None:
    bench = Bench(store)
    bench.put(("f", BASE), ("g", BASE))
    bench.put(("f", BASE))
    bench.put(("f", BASE), ("g", BASE))
    store.declare(CORE, Wanted(), Begin.FIRST)
    everything = [("f", 1), ("g", 1), ("f", 2), ("g", 2), ("f", 3)]
    assert sorted(drained(store)) == sorted(everything)
    points = [("2", 2, [("f", 2), ("g", 2), ("f", 3)]), ("f:3", 1, [("f", 3)]), ("g:1", 1, [("g", 1), ("g", 2)])]
    points += [("1", 2, everything), ("4", 0, []), ("999", 0, [])]
    assert store.entry_at(bench.now_ms - 1_000) == 2
    assert (store.entry_at(0), store.entry_at(LATER_MS)) == (1, 4)
    for point, facilities, sent in points:
        assert replay_from(store, CORE, point) == facilities, point
        assert sorted(drained(store)) == sorted(sent), point
    with pytest.raises(PointError, match="there is no endpoint 'desk'; there are core"):
        replay_from(store, "desk", "1")
    with pytest.raises(PointError, match="facility 'nobody' has never sent a message"):
        replay_from(store, CORE, "nobody:1")
    for odd in ("f:0", "f:", ":1", "soon", "", "f:x"):
        with pytest.raises(PointError, match="neither an entry's number"):
            replay_from(store, CORE, odd)


def test_a_dead_letter_at_the_point_is_sent_again_too(store: Store) -> None:
    Bench(store).put(("f", BASE), ("g", BASE))
    store.declare(CORE, Wanted(), Begin.FIRST)
    for one in store.due(CORE, LATER_MS):
        store.buried(CORE, one, "HTTP 422")
    assert replay_from(store, CORE, "2") == 0
    assert len(store.dead_letters()) == 2
    assert replay_from(store, CORE, "1") == 2
    assert sorted(drained(store)) == [("f", 1), ("g", 1)]


CHANGED = [
    # wanted first, then             what is taken meanwhile   what is sent then
    (Wanted(("raise_alert",)), Wanted(), 0, [("f", 2), ("f", 3), ("f", 4), ("f", 5)]),
    (Wanted(("raise_alert",)), Wanted(), 1, [("f", 4), ("f", 5)]),
    (Wanted(("raise_alert",)), Wanted(), 2, []),
    (Wanted(("clear_alert",)), Wanted(), 0, []),
    (Wanted(facilities=("g",)), Wanted(), 0, []),
    (Wanted(), Wanted(("raise_alert",)), 1, [("f", 2), ("f", 4)]),
    (Wanted(), Wanted(facilities=("g",)), 1, []),
]


@pytest.mark.parametrize(("first", "then", "taken", "sent"), CHANGED)
def test_what_an_endpoint_wants_may_change(
    store: Store, first: Wanted, then: Wanted, taken: int, sent: list[tuple[str, int]]
) -> None:
    Bench(store).put(("f", BASE), ("f", ALERT), ("f", BASE), ("f", ALERT), ("f", BASE))
    store.declare("desk", first, Begin.FIRST)
    for _ in range(taken):
        take(store, front(store, "desk"), "desk")
    store.declare("desk", then, Begin.FIRST)
    assert drained(store, "desk") == sent


def test_a_dead_letter_that_is_not_wanted_any_more_holds_nobody(store: Store) -> None:
    Bench(store).put(("f", BASE), ("f", ALERT))
    store.declare("desk", Wanted(), Begin.FIRST)
    store.buried("desk", front(store, "desk"), "HTTP 422")
    store.declare("desk", Wanted(("record_base",)), Begin.FIRST)
    assert len(store.dead_letters("desk")) == 1, "it is wanted still"
    store.declare("desk", Wanted(("raise_alert",)), Begin.FIRST)
    assert (store.dead_letters("desk"), store.endpoint("desk").pending) == ([], 1)
    assert drained(store, "desk") == [("f", 2)]


def test_a_moment_is_a_point_too(store: Store) -> None:
    bench = Bench(store)
    for _ in range(3):
        bench.put(("f", BASE))
    store.declare(CORE, Wanted(), Begin.FIRST)
    drained(store)
    assert [store.entry_at(NOON_MS + 1_000 * n) for n in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert replay_from(store, CORE, iso(NOON_MS + 2_000).replace("Z", "+00:00")) == 1
    assert drained(store) == [("f", 2), ("f", 3)]


def test_who_was_set_back_under_way_stays_so(store: Store) -> None:
    Bench(store).put(("f", BASE), ("f", BASE), ("f", BASE))
    for _ in range(2):
        take(store, front(store))
    under_way = front(store)
    assert store.set_back(CORE, "f", 1)
    take(store, under_way)
    store.failed(CORE, under_way, "HTTP 503", LATER_MS)
    store.buried(CORE, under_way, "HTTP 422")
    assert drained(store) == [("f", 1), ("f", 2), ("f", 3)]
    assert len(store.deliveries(under_way.id)) == 2


def test_setting_back_never_sets_forward_and_lifts_a_dead_letter(store: Store) -> None:
    Bench(store).put(("f", BASE), ("f", BASE), ("f", BASE))
    take(store, front(store))
    store.buried(CORE, front(store), "HTTP 422")
    assert store.set_back(CORE, "f", 3)
    assert store.dead_letters() == []
    assert drained(store) == [("f", 2), ("f", 3)]


def test_a_stopped_endpoint_is_sent_nothing_until_it_is_resumed(store: Store) -> None:
    bench = Bench(store)
    bench.put(("f", BASE), ("g", BASE))
    store.declare("desk", Wanted(types=("record_base",)), Begin.FIRST)
    store.failed("desk", store.due("desk", LATER_MS)[0], "HTTP 500", LATER_MS)
    store.stop("desk", "HTTP 410: gone", NOON_MS)
    assert (store.due("desk", LATER_MS), len(store.due(CORE, LATER_MS))) == ([], 2)
    state = store.endpoint("desk")
    assert (state.stopped_at_ms, state.stopped_why, state.wanted.types) == (NOON_MS, "HTTP 410: gone", ("record_base",))
    store.declare("desk", Wanted(), Begin.FIRST)
    assert store.endpoint("desk").stopped_at_ms == NOON_MS, "a start does not lift it"
    assert store.resume("desk", NOON_MS + 1)
    assert len(store.due("desk", NOON_MS + 1)) == 2, "and what waited is due"
    assert store.endpoint("desk").stopped_at_ms == 0
    assert not store.resume("nobody", NOON_MS)


def test_an_endpoint_that_asks_to_be_left_alone_is_sent_nothing_until_then(store: Store) -> None:
    Bench(store).put(("f", BASE), ("g", BASE))
    store.declare("desk", Wanted(types=("record_base",)), Begin.FIRST)
    store.leave_alone("desk", NOON_MS + 500)
    store.leave_alone("desk", NOON_MS + 400)
    for ahead in (False, True):
        assert store.due("desk", NOON_MS + 499, ahead=ahead) == []
    assert (len(store.due("desk", NOON_MS + 500)), len(store.due(CORE, NOON_MS))) == (2, 2)
    state = store.endpoint("desk")
    assert (state.quiet_until_ms, state.wanted.types, state.stopped_at_ms) == (NOON_MS + 500, ("record_base",), 0)
    store.stop("desk", "HTTP 410", NOON_MS)
    store.declare("desk", Wanted(), Begin.FIRST)
    assert store.endpoint("desk").quiet_until_ms == NOON_MS + 500, "neither changes that"
    assert store.resume("desk", NOON_MS)
    assert (store.endpoint("desk").quiet_until_ms, len(store.due("desk", NOON_MS))) == (0, 2)


def test_what_waits_for_its_next_attempt_may_be_asked_for_ahead_of_it(store: Store) -> None:
    Bench(store).put(("f", BASE), ("g", BASE), ("h", BASE))
    f, g, h = store.due(CORE, NOON_MS)
    store.failed(CORE, f, "", LATER_MS)
    store.failed(CORE, g, "", NOON_MS + 1)
    store.buried(CORE, h, "HTTP 422")
    assert store.due(CORE, NOON_MS) == []
    assert [one.facility for one in store.due(CORE, NOON_MS, ahead=True)] == ["g", "f"]


def test_after_an_outage_what_waits_is_due_and_a_dead_letter_is_not(store: Store) -> None:
    Bench(store).put(("f", BASE), ("g", BASE))
    f, g = store.due(CORE, NOON_MS)
    store.failed(CORE, f, "HTTP 503", LATER_MS)
    store.buried(CORE, g, "HTTP 422")
    store.hurry("desk", NOON_MS)
    assert store.due(CORE, NOON_MS) == []
    store.hurry(CORE, NOON_MS)
    assert [one.facility for one in store.due(CORE, NOON_MS)] == ["f"]
    assert [one.attempts for one in store.due(CORE, NOON_MS)] == [1]


def test_due_leaves_out_what_is_under_way_and_takes_those_that_wait_longest(store: Store) -> None:
    Bench(store).put(*((facility, BASE) for facility in "abcd"))
    for one, at_ms in zip(store.due(CORE, NOON_MS), (4, 1, 3, 2), strict=True):
        store.failed(CORE, one, "", at_ms)
    assert [one.facility for one in store.due(CORE, NOON_MS)] == ["b", "d", "c", "a"]
    due = store.due(CORE, NOON_MS, besides=frozenset("bc"), limit=1)
    assert [one.facility for one in due] == ["d"]


def test_a_delivery_is_kept_as_evidence(store: Store) -> None:
    (message_id,) = Bench(store).put(("f", BASE))
    one = front(store)
    store.failed(CORE, one, "HTTP 503", 0)
    long = b"x" * (ANSWER_MAX_BYTES + 1)
    store.delivered(front(store), DeliveryRecord(CORE, message_id, NOON_MS, 2, 202, long, "aaaaaaaa bbbbbbbb"))
    store.delivered(front(store, "desk"), DeliveryRecord("desk", message_id, NOON_MS + 1, 1))
    kept = DeliveryRecord(CORE, message_id, NOON_MS, 2, 202, long[:-1], "aaaaaaaa bbbbbbbb")
    assert store.deliveries(message_id) == [kept, DeliveryRecord("desk", message_id, NOON_MS + 1, 1)]
    assert store.deliveries("nobody") == []
    assert store.endpoint(CORE).records == 1


def test_the_oldest_message_says_how_far_an_endpoint_lies_behind(store: Store) -> None:
    bench = Bench(store)
    bench.put(("f", BASE))
    bench.put(("g", BASE))
    assert store.endpoint(CORE).oldest_pending_ms == store.oldest_pending_ms(CORE) == NOON_MS + 1_000
    take(store, store.due(CORE, LATER_MS)[0])
    assert store.endpoint(CORE).oldest_pending_ms == store.oldest_pending_ms(CORE) == NOON_MS + 2_000


def test_what_is_wanted_is_found_however_much_lies_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by who only asks how old it is, while nothing is due; and the many are looked through beside the lock."""
    monkeypatch.setattr("pledgewatch_cloud.journal.sqlite_outbox.NEAR", 5)
    store = SqliteStore(tmp_path)
    bench = Bench(store)
    store.declare("desk", Wanted(types=("raise_alert",)), Begin.FIRST)
    bench.put(*[("f", BASE)] * 2 * outbox_module.PASSED_BY_MAX)
    bench.put(("g", BASE))
    (wanted,) = bench.put(("f", ALERT))
    store.leave_alone("desk", LATER_MS)
    widths: list[int] = []
    rows = store._rows

    def noted(statement: str, *values: Any) -> list[Any]:
        if "INDEXED BY outbox_queue" in statement:
            widths.append(values[2] - values[1])
        return rows(statement, *values)

    monkeypatch.setattr(store, "_rows", noted)
    assert store.oldest_pending_ms("desk") == store.endpoint("desk").oldest_pending_ms == bench.now_ms
    store.resume("desk", NOON_MS)
    assert [one.id for one in store.due("desk", NOON_MS)] == [wanted]
    assert max(widths) == 5, "no more are looked through while commits wait"
    assert drained(store, "desk") == [("f", 513)]
    assert store.oldest_pending_ms("desk") is None
    store.close()


ACTS = [
    "put",
    "take",
    "fail",
    "bury",
    "again",
    "over",
    "back",
    "withdraw",
    "stop",
    "resume",
    "hurry",
    "reopen",
    "alone",
    "filter",
]
FILTERS = [
    Wanted(),
    Wanted(("raise_alert",), ("a", "b")),
    Wanted(("record_base",)),
    Wanted(facilities=("b", "c")),
    Wanted(("clear_alert",)),
    Wanted(("raise_alert",), ("c",)),
]


@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 5)), min_size=1, max_size=40))
@settings(deadline=None, max_examples=60)
def test_both_stores_agree_whatever_happens(acts: list[tuple[str, int]]) -> None:
    """Two endpoints, one of them with a filter, three facilities: the stores say the same after every act."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr("pledgewatch_cloud.journal.sqlite_outbox.PASSED_BY_MAX", 2)
        patch.setattr("pledgewatch_cloud.journal.sqlite_outbox.NEAR", 1)
        both: list[Store] = [MemoryStore("same"), SqliteStore(Path(folder))]
        both[1]._journal = "same"  # type: ignore[attr-defined]
        benches = [Bench(one) for one in both]
        for one in both:
            one.declare("desk", Wanted(("raise_alert",), ("a", "b")), Begin.NOW)
        for act, number in acts:
            if act == "reopen":
                both[1].close()
                both[1] = benches[1].store = SqliteStore(Path(folder))
                both[1]._journal = "same"  # type: ignore[attr-defined]
                continue
            said = [_act(bench, act, number) for bench in benches]
            assert said[0] == said[1], act
            assert _all(both[0]) == _all(both[1]), act
        assert isinstance(both[1], SqliteStore)
        assert both[1].stray_rows() == []
        assert both[1].unsealed() == []
        both[1].close()


def _act(bench: Bench, act: str, number: int) -> object:
    store, endpoint = bench.store, ("core", "desk")[number % 2]
    due = store.due(endpoint, NOON_MS)
    dead = store.dead_letters(endpoint)
    said: object = None
    match act:
        case "put":
            said = bench.put(("abc"[number % 3], (ALERT, BASE)[number % 2]), ("a", ALERT))
        case "take" if due:
            take(store, due[number % len(due)], endpoint)
        case "fail" if due:
            store.failed(endpoint, due[number % len(due)], f"error {number}", NOON_MS + number - 2)
        case "bury" if due:
            store.buried(endpoint, due[number % len(due)], f"error {number}")
        case "again" if dead:
            said = store.send_again(endpoint, dead[0].message.id, NOON_MS)
        case "over" if dead:
            said = store.pass_over(endpoint, dead[0].message.id)
        case "back":
            said = store.set_back_to_entry(endpoint, number), store.set_back(endpoint, "b", number)
        case "withdraw" if due:
            said = bench.put(withdrawn=[due[0].id])
        case _:
            said = _act_on_endpoint(store, endpoint, act, number)
    return said


def _act_on_endpoint(store: Store, endpoint: str, act: str, number: int) -> object:
    match act:
        case "stop":
            store.stop(endpoint, "gone", NOON_MS)
        case "resume":
            return store.resume(endpoint, NOON_MS)
        case "alone":
            store.leave_alone(endpoint, NOON_MS + number - 2)
        case "hurry":
            store.hurry(endpoint, NOON_MS)
        case "filter":
            store.declare("desk", FILTERS[number], Begin.NOW)
    return None


def _all(store: Store) -> object:
    """What can be seen of the outbox; the stores keep `done` of what is not wanted each in its own way."""
    due = {one: [replace(m, done=0) for m in store.due(one, NOON_MS)] for one in ("core", "desk")}
    dead = [one._replace(message=replace(one.message, done=0)) for one in store.dead_letters()]
    for one in ("core", "desk"):
        assert store.oldest_pending_ms(one) == store.endpoint(one).oldest_pending_ms
    return due, dead, store.endpoints(), store.endpoint("core"), store.counts(), store.entry_at(NOON_MS + 3_000)
