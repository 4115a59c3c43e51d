"""Answers that are given again: only of the state that stands, only to whom they were made for, and byte for byte."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from api_cloud import ApiCloud, client_over, shown
from builders import IN_LOS_ANGELES, MINUTE_MS, position, temperature
from keeping import LINE
from seeing import OTHER_LINE, USERS, Seeing

from pledgewatch_cloud.access import answers as answers_module
from pledgewatch_cloud.access import view as view_module
from pledgewatch_cloud.access.answers import Answers
from pledgewatch_cloud.access.identify import ANYBODY
from pledgewatch_cloud.access.view import Views
from pledgewatch_cloud.api import assets as assets_module
from pledgewatch_cloud.decide.access.visible import Sight
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.spine.spine import Newest
from pledgewatch_cloud.spine.writer import Writer

OF_STATE = ("/assets", "/assets?limit=1", "/clusters", "/facilities", f"/facilities/{LINE}", "/lots")
ASKING = ("keeper-kim", "lender-one", "lender-two", "operator-one")
Made = list[str]


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    yield made
    made.close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """The assets that were put into words, in order."""
    found: Made = []
    describe: Callable[[State, str], dict[str, Any]] = assets_module._feature

    def counted(state: State, asset: str) -> dict[str, Any]:
        found.append(asset)
        return describe(state, asset)

    monkeypatch.setattr(assets_module, "_feature", counted)
    return found


def test_what_was_answered_is_given_again_until_the_journal_goes_on(cloud: ApiCloud, made: Made) -> None:
    first = cloud.client.get("/assets")
    again = cloud.client.get("/assets")
    assert len(made) == 1
    assert (again.content, dict(again.headers)) == (first.content, dict(first.headers))
    cloud.clock.at_ms += 60 * MINUTE_MS
    cloud.measure(40, temperature(2_000))
    later = cloud.client.get("/assets")
    assert len(made) == 2
    assert later.content != first.content


def test_another_question_has_another_answer(cloud: ApiCloud, made: Made) -> None:
    whole = cloud.client.get("/assets")
    assert cloud.client.get("/assets?find=nothing").json()["features"] == []
    table = cloud.client.get("/assets", headers={"accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert cloud.client.get("/assets").content == whole.content
    assert len(made) == 2


def test_a_page_that_is_given_again_says_where_to_go_on(seeing: Seeing) -> None:
    key = shown(USERS["keeper-kim"].key)
    first, again = (seeing.client.get("/lots?limit=1", headers=key) for _ in range(2))
    assert again.headers["link"] == first.headers["link"]


def test_nobody_is_given_what_was_made_for_another(seeing: Seeing) -> None:
    seeing.lend_on_sea(LINE)
    seeing.read()
    clock = seeing.keeping.clock
    alone = {}
    for name in ASKING:
        fresh = client_over(seeing.store, seeing.writer, seeing.series, clock=clock, delivery_clock=clock, token="t")
        for path in OF_STATE:
            alone[name, path] = fresh.get(path, headers=shown(USERS[name].key))
    for (name, path), first in alone.items():
        answer = seeing.client.get(path, headers=shown(USERS[name].key))
        assert (answer.status_code, answer.content) == (first.status_code, first.content), (name, path)
    for path in OF_STATE:
        found = {alone[name, path].content for name in ASKING}
        assert len(found) > 1, f"{path}: else it would show nothing"


def test_an_error_is_not_kept(seeing: Seeing) -> None:
    key = shown(USERS["lender-one"].key)
    for _ in range(2):
        answer = seeing.client.get(f"/facilities/{OTHER_LINE}", headers=key)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_what_was_made_of_a_state_of_before_is_not_kept_for_the_one_after(cloud: ApiCloud) -> None:
    writer = SimpleNamespace(newest=Newest(cloud.spine.state, 1, 1))
    views = Views(cloud.store, cast("Writer", writer), cloud.series, cloud.clock)
    view = views.of(ANYBODY)
    assert view.kept(entry_of) == cloud.spine.state.entry
    assert view.is_exact
    cloud.measure(40, temperature(2_000))
    writer.newest = Newest(cloud.spine.state, 1, 1)
    view = views.of(ANYBODY)
    assert view.kept(entry_of) < cloud.spine.state.entry
    assert not view.is_exact


def entry_of(state: State) -> int:
    """Something of a state."""
    return state.entry


def of_entry(entry: int) -> State:
    """What stands for the state after an entry."""
    return cast("State", SimpleNamespace(entry=entry))


def test_answers_are_bounded_and_of_one_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "BYTES_MAX", 10)
    one, other = of_entry(1), of_entry(2)
    sight, another = cast("Sight", object()), cast("Sight", object())
    answers = Answers[str]()
    answers.keep(one, sight, "a", "A", 6)
    answers.keep(one, sight, "b", "B", 6)
    assert (answers.find(one, sight, "a"), answers.find(one, sight, "b")) == ("A", None)
    assert answers.find(one, another, "a") is None
    assert answers.find(other, sight, "a") is None
    answers.keep(other, sight, "b", "B", 6)
    assert (answers.find(other, sight, "b"), answers.find(one, sight, "a")) == ("B", None)


def test_a_read_that_ends_after_a_commit_takes_no_newer_answer_away() -> None:
    before, after, sight = of_entry(1), of_entry(2), cast("Sight", object())
    answers = Answers[str]()
    answers.keep(before, sight, "a", "A", 1)
    answers.keep(after, sight, "b", "B", 1)
    answers.keep(before, sight, "slow", "S", 1)
    assert answers.find(after, sight, "b") == "B"
    assert answers.find(before, sight, "slow") is None


def test_what_two_ask_at_once_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "BYTES_MAX", 10)
    state, sight = of_entry(1), cast("Sight", object())
    answers = Answers[str]()
    for name in ("a", "a", "b"):
        answers.keep(state, sight, name, name, 5)
    assert answers.find(state, sight, "b") == "b"


def test_all_that_is_held_for_an_answer_is_counted(cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    keep = Answers.keep

    def noted(self: Any, *what: Any) -> None:
        sizes.append(what[-1])
        keep(self, *what)

    monkeypatch.setattr(Answers, "keep", noted)
    answer = cloud.client.get("/lots?sku=nothing")
    (size,) = sizes
    said = sum(len(name) + len(value) for name, value in answer.headers.raw if name in {b"content-type", b"vary"})
    assert size > len(answer.content) + len("/lots") + len("sku=nothing") + said + 256


def test_what_is_of_a_state_of_before_is_not_given_again(cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "KEPT_S", 60.0)
    latitude_e7, longitude_e7 = IN_LOS_ANGELES
    question = "/clusters?zoom=12&bbox=-119,33,-118,34"
    cloud.clock.at_ms += 62 * MINUTE_MS
    cloud.measure(61, *position((latitude_e7 + 10_000, longitude_e7)))
    first = cloud.client.get(question)
    cloud.measure(62, *position((latitude_e7 + 12_000, longitude_e7)))
    assert cloud.client.get(question).content == first.content, "else it would show nothing"
    monkeypatch.setattr(view_module, "KEPT_S", -1.0)
    assert cloud.client.get(question).content != first.content
