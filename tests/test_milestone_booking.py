"""Whether a release is booked, as a person or a payer says, and what is made of it: journal, API, metrics, doctor."""

from collections.abc import Callable
from pathlib import Path

import pytest
from api_cloud import ApiCloud
from asking import AppClient
from builders import MINUTE_MS, NOON_MS
from milestoning import Trade, data_of, milestone
from test_milestone_life import (
    BOTH,
    CLEARED,
    assert_money_moves_once,
    expired,
    held,
    in_question,
    make_hold,
    make_refuted,
    met,
    pending,
    released,
    retracted,
    waiting,
    waived,
)

from pledgewatch_cloud import doctor
from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.milestones import explain
from pledgewatch_cloud.decide.milestones.half import nothing_new
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.outbox import CORE, OutboxMessage

BEFORE = "was said before"
TABLE: list[tuple[Callable[[Trade], None], str, str, str]] = [
    # how the milestone stands, what a person says of its release, how it stands then, and why nothing is taken
    (waiting, "booked", "waiting", "nothing was sent of its release: nobody can have booked it"),
    (waiting, "none", "waiting", "nothing was sent of its release"),
    (pending, "booked", "pending", "nothing was sent of its release"),
    (pending, "none", "pending", "nothing was sent of its release"),
    (expired, "booked", "expired", "nothing was sent of its release"),
    (expired, "none", "expired", "nothing was sent of its release"),
    (met, "booked", "released", ""),
    (met, "none", "met", ""),
    (waived, "booked", "released", ""),
    (waived, "none", "waived", ""),
    (held, "booked", "in_question", ""),
    (held, "none", "held", ""),
    (retracted, "booked", "in_question", ""),
    (retracted, "none", "retracted", ""),
    (released, "booked", "released", f"it is released: that its release is booked {BEFORE}"),
    (released, "none", "released", "and no word takes that back"),
    (in_question, "booked", "in_question", BEFORE),
    (in_question, "none", "in_question", "and no word takes that back"),
]


def say(trade: Trade, release: str) -> bool:
    return trade.spine.commit(drafts.say_booked, "milestone", release, "payments desk", "asked the bank") is not None


@pytest.mark.parametrize(
    ("come_to", "release", "state", "why"), TABLE, ids=[f"{row[0].__name__}, {row[1]}" for row in TABLE]
)
def test_what_a_person_says_of_a_release(come_to: Callable[[Trade], None], release: str, state: str, why: str) -> None:
    trade = Trade(BOTH)
    come_to(trade)
    entry, memo = trade.spine.state.entry, trade.memo()
    assert say(trade, release) is not bool(why)
    assert trade.memo().state == state
    if why:
        assert trade.spine.state.entry == entry
        assert why in nothing_new(memo, release)
    else:
        (word,) = [one for one in trade.store.entries(entry) if one.kind == "booked"]
        content = form.read_entry(word).content
        assert content._asdict() == {
            "message": memo.releases[-1][0],
            "milestone": "milestone",
            "release": release,
            "by": "payments desk",
            "why": "asked the bank",
            "payer": "",
        }
        assert not say(trade, release), "the same again is nothing new"
        assert BEFORE in nothing_new(trade.memo(), release)
    assert_money_moves_once(trade)
    trade.assert_replays()


def unbooked_events(trade: Trade) -> list[dict[str, int | str]]:
    return [dict(one.event.facts) for one in trade.store.events() if one.event.type == "milestone_unbooked"]


def test_a_payer_that_has_not_booked_is_told_of_once_for_each_message() -> None:
    trade = Trade(BOTH)
    met(trade)
    assert not trade.memo().is_unbooked
    trade.deliver("none")
    assert (trade.memo().state, trade.memo().is_unbooked) == ("met", True)
    (first, _) = trade.memo().releases[0]
    assert [one["message"] for one in unbooked_events(trade)] == [first]
    assert "said_by" not in unbooked_events(trade)[0]
    trade.spine.commit(drafts.booked, the(trade, first), "none")
    assert len(unbooked_events(trade)) == 1
    make_refuted(trade)
    assert (trade.memo().state, trade.memo().is_unbooked) == ("retracted", False)
    make_hold(trade)
    assert (trade.memo().state, trade.memo().is_unbooked) == ("met", False), "the second message is on its way"
    assert trade.spine.commit(drafts.booked, the(trade, first), "none") is None, "which says nothing of the second"
    trade.deliver("none")
    assert [one["message"] for one in unbooked_events(trade)] == [one for one, _ in trade.memo().releases]
    trade.assert_replays()


def test_that_nothing_has_moved_of_what_was_taken_back_is_known_and_no_event_and_a_person_s_word_is_one() -> None:
    trade = Trade(BOTH)
    retracted(trade)
    assert not trade.memo().is_settled
    trade.deliver("none")
    assert trade.memo().is_settled
    assert trade.spine.commit(drafts.booked, the(trade, trade.memo().releases[0][0]), "none") is None, "it is known"
    assert not say(trade, "none")
    assert unbooked_events(trade) == []
    trade = Trade(BOTH)
    retracted(trade)
    assert say(trade, "none")
    assert trade.memo().is_settled
    assert [(one["said_by"], one["said_why"]) for one in unbooked_events(trade)] == [
        ("payments desk", "asked the bank")
    ]
    assert not trade.memo().is_unbooked, "nobody waits for what was taken back"


def test_a_payer_may_still_book_what_it_had_not() -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.deliver("none")
    assert trade.spine.commit(drafts.booked, the(trade, trade.memo().releases[0][0]), "booked")
    assert (trade.memo().state, trade.memo().is_unbooked) == ("released", False)


def test_what_a_person_says_is_booked_is_not_sent_any_more() -> None:
    trade = Trade(BOTH)
    met(trade)
    assert say(trade, "booked")
    (told,) = [dict(one.event.facts) for one in trade.store.events() if one.event.type == "milestone_released"]
    assert (told["said_by"], told["message"]) == ("payments desk", trade.memo().releases[0][0])
    assert trade.deliver() == []
    assert trade.memo().released_ms == trade.clock.at_ms
    make_refuted(trade)
    assert trade.deliver() == ["question_release"]


def test_what_a_payer_says_is_booked_is_withdrawn_from_nobody() -> None:
    trade = Trade(BOTH)
    released(trade)
    assert not trade.sent("release_disbursement")[0]["withdrawn_by"]


def test_of_a_milestone_that_has_left_the_book() -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.amend(20, remove={"milestones": ["milestone"]})
    assert say(trade, "none")
    assert (trade.memo().state, len(unbooked_events(trade))) == ("retracted", 1)
    assert not say(trade, "none")
    assert say(trade, "booked")
    assert trade.memo().state == "in_question"
    assert trade.spine.commit(drafts.say_booked, "ghost", "booked", "x", "y") is None
    trade.assert_replays()


def test_it_is_explained() -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.deliver("none")
    message, sequence = trade.memo().releases[0]
    found = explain.explain(trade.spine.state, "milestone")
    said = list(explain.lines(found))
    assert said[0].endswith(": met, and not booked")
    assert (
        f"  of {message} it was said that it is not booked, so no money moves: mend that and send it again (`outbox "
        f"--replay-from facility-1:{sequence}`), or pay otherwise and say so (POST /milestones/milestone/booking)"
    ) in said
    assert explain.as_json(found)["unbooked"] is True


def the(trade: Trade, message: str) -> OutboxMessage:
    return trade.store._outbox[message]


# The API, the command, metrics and the doctor


@pytest.fixture
def cloud(tmp_path: Path) -> ApiCloud:
    """A milestone of which the release is on its way."""
    cloud = ApiCloud(tmp_path / "data", at_ms=NOON_MS + 60 * MINUTE_MS)
    cloud.sail_into_port()
    lot = {"shipment": None, "lot": "lot-container-1"}
    cloud.spine.commit(drafts.amend, {"senders": [{"id": "customs"}], "milestones": [milestone(CLEARED, **lot)]})
    assert cloud.spine.commit(drafts.waive, "milestone", "head of credit", "seen by own surveyor")
    return cloud


def assert_refused(client: AppClient, status: int, path: str, **body: str) -> str:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return str(answer.json()["detail"])


def test_the_api_takes_a_person_s_word(cloud: ApiCloud) -> None:
    path, told = "/milestones/milestone/booking", {"by": "desk", "why": "asked"}
    assert "there is no milestone 'ghost'" in assert_refused(
        cloud.client, 404, "/milestones/ghost/booking", release="none", **told
    )
    assert_refused(cloud.client, 422, path, release="perhaps", **told)
    assert_refused(cloud.client, 422, path, release="none", by="desk", why="")
    answer = cloud.client.post(path, json={"release": "none", **told})
    assert answer.json() == {"entry": cloud.spine.state.entry}
    assert cloud.get("/milestones/milestone")["unbooked"] is True
    assert [one["unbooked"] for one in cloud.get("/milestones") if one["id"] == "milestone"] == [True]
    assert "is not booked was said before" in assert_refused(cloud.client, 409, path, release="none", **told)
    assert "pledgewatch_milestones_unbooked 1.0" in cloud.client.get("/metrics").text
    assert cloud.client.post(path, json={"release": "booked", **told}).status_code == 200
    assert "pledgewatch_milestones_unbooked 0.0" in cloud.client.get("/metrics").text
    assert cloud.get("/milestones/milestone")["state"] == "released"
    assert "no word takes that back" in assert_refused(cloud.client, 409, path, release="none", **told)


def test_the_api_says_that_nobody_can_have_booked_what_was_not_sent(cloud: ApiCloud) -> None:
    cloud.spine.commit(
        drafts.amend, {"milestones": [milestone(CLEARED, id="other", shipment=None, lot="lot-container-1")]}
    )
    text = assert_refused(cloud.client, 409, "/milestones/other/booking", release="booked", by="desk", why="asked")
    assert text == "milestone other: it is waiting, and nothing was sent of its release: nobody can have booked it"


def bury(cloud: ApiCloud, endpoint: str) -> str:
    """The release becomes a dead letter of an endpoint."""
    while True:
        (front,) = [one for one in cloud.store.due(endpoint, 2**62) if one.facility == "facility-1"]
        cloud.store.buried(endpoint, front, "HTTP 422")
        if (front.type, data_of(front).get("milestone")) == ("release_disbursement", "milestone"):
            return front.id
        cloud.store.pass_over(endpoint, front.id)


@pytest.mark.parametrize(("endpoint", "is_told"), [(CORE, True), ("desk", False)])
def test_passing_over_what_lets_money_move_says_that_it_is_not_booked(
    cloud: ApiCloud, endpoint: str, is_told: bool
) -> None:
    message, entry = bury(cloud, endpoint), cloud.spine.state.entry
    path = f"/outbox/dead/{message}/pass-over?endpoint={endpoint}"
    assert cloud.client.post(path, json={"by": "desk", "why": "paid by cheque"}).json()["state"] == "passed_over"
    assert cloud.spine.state.milestones["milestone"].is_unbooked is is_told
    said = [form.read_entry(one).content for one in cloud.store.entries(entry)]
    assert [one[-4:] for one in said] == ([("none", "desk", "paid by cheque", "")] if is_told else [])
    assert_refused(cloud.client, 404, path)


@pytest.mark.parametrize("said", [{}, {"by": "desk"}, {"why": "paid by cheque"}, {"by": "", "why": "paid by cheque"}])
def test_passing_over_what_makes_a_payer_pay_needs_who_and_why(cloud: ApiCloud, said: dict[str, str]) -> None:
    message, entry = bury(cloud, CORE), cloud.spine.state.entry
    path = f"/outbox/dead/{message}/pass-over"
    text = assert_refused(cloud.client, 422, path, **said)
    assert text.startswith(f"{message} lets money move, and core pays: the body must say who passes it over (`by`)")
    assert cloud.client.post(path).status_code == 422, "with no body as well"
    assert [one.message.id for one in cloud.store.dead_letters(CORE)] == [message], "it stands"
    assert cloud.spine.state.entry == entry, "and nobody is named in the journal"


def test_passing_over_needs_no_word_where_nobody_pays(cloud: ApiCloud) -> None:
    message, entry = bury(cloud, "desk"), cloud.spine.state.entry
    assert cloud.client.post(f"/outbox/dead/{message}/pass-over?endpoint=desk").status_code == 200
    assert (cloud.store.dead_letters("desk"), cloud.spine.state.entry) == ([], entry)


def test_the_command_leaves_what_lets_money_move_to_the_service(
    cloud: ApiCloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = bury(cloud, CORE)
    options = ["outbox", "--data", str(tmp_path / "data"), "--pass-over", message]
    assert main(options) == 1
    said = capsys.readouterr().err
    assert f"{message} lets money move: pass it over by POST /outbox/dead/{message}/pass-over?endpoint=core" in said
    assert [one.message.id for one in cloud.store.dead_letters(CORE)] == [message], "it stands"
    assert not cloud.spine.state.milestones["milestone"].is_unbooked


def test_the_command_and_the_doctor_say_what_is_not_booked(
    cloud: ApiCloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor._milestones(tmp_path / "data") == []
    cloud.spine.commit(drafts.say_booked, "milestone", "none", "desk", "asked")
    (found,) = doctor._milestones(tmp_path / "data")
    assert (found.what, found.is_well) == ("milestone milestone", False)
    assert "or pay otherwise and say so (POST /milestones/milestone/booking)" in found.text
    assert main(["milestones", "list", "--data", str(tmp_path / "data")]) == 0
    assert "about lot lot-container-1: waived, and not booked" in capsys.readouterr().out
    assert doctor._milestones(tmp_path / "nowhere") == []
