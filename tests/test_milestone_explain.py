"""What a milestone waits for, in plain words: what holds and by what, what is missing and why, and what if."""

from pathlib import Path
from typing import Any

import pytest
from api_cloud import ApiCloud
from builders import MINUTE_MS, NOON_MS
from milestoning import COLD, FIRST, PORT, SEA, SECOND, SENDERS, SHIPMENT, Trade, at, fact, milestone, moment

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.milestones import explain
from pledgewatch_cloud.decide.milestones.explain import Explained, Explanation
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal.sqlite import SqliteStore

CLEARED = fact("customs_cleared")
LADEN = fact("bill_of_lading_issued", sender="carrier")
IN_LA = fact("gated_in", fence="los-angeles", dwell_s=3_600)
DEAL = milestone({"all": [LADEN, CLEARED, IN_LA, {"not": fact("on_hold")}]}, expires_at=moment(600))


def explained(trade: Trade) -> Explanation:
    return explain.explain(trade.spine.state, "milestone")


def the_fact(trade: Trade, words: str = "customs_cleared") -> Explained:
    (found,) = [one for one in explained(trade).facts if one.words.startswith(words)]
    return found


def sailed(*milestones: dict[str, Any], **changes: Any) -> Trade:
    """Both containers have sailed in, and stand at the berth for more than an hour."""
    trade = Trade(*(milestones or (DEAL,)), **changes)
    trade.both(0, *SEA, *COLD)
    trade.both(10, *PORT, *COLD)
    trade.both(75, *PORT, *COLD)
    return trade


def test_a_milestone_in_plain_words() -> None:
    trade = sailed()
    trade.say(-5, "bill_of_lading_issued")
    trade.tick(80)
    assert list(explain.lines(explained(trade))) == [
        "milestone milestone of facility-1, about shipment shipment-1: pending",
        "  releases 25,000.00 USD to exporter",
        "  expires 2026-01-01T22:00:00Z",
        "  holds    bill_of_lading_issued by carrier: since 2026-01-01T11:55:00Z",
        "             by notice carrier/bill_of_lading_issued@-5, good, 1 h old",
        "             if it fell away: it would not be met",
        "  missing  customs_cleared: no notice counts that says customs_cleared",
        "  holds    gated_in at los-angeles for 1 h: since 2026-01-01T13:10:00Z",
        "             by event 6.0, good, 1 h old",
        "             by event 5.0, good, 1 h old",
        "             if it fell away: it would not be met",
        "  holds    not on_hold: always",
        "             if it fell away: it would not be met",
    ]
    trade.say(40, "customs_cleared", "customs")
    assert list(explain.lines(explained(trade)))[:3] == [
        "milestone milestone of facility-1, about shipment shipment-1: met",
        "  releases 25,000.00 USD to exporter",
        "  met since 2026-01-01T13:10:00Z; what counts is how it was then, by all that is known now",
    ]
    trade.say(30, "hold_placed", "customs", about={"container": [SECOND]})
    found = list(explain.lines(explained(trade)))
    assert found[0].endswith("retracted")
    assert found[2].startswith("  was taken to be met since 2026-01-01T13:10:00Z")
    assert found[-1] == (
        "  missing  not on_hold: it is so since 2026-01-01T12:30:00Z, by notice customs/hold_placed@30"
    )


MISSING: list[tuple[str, Any, str]] = [
    # what has become of it, how, and what the explanation says
    ("nothing was said", lambda trade: None, ""),
    (
        "withdrawn",
        lambda trade: (trade.say(5, "customs_cleared"), trade.withdraw(6, "customs_cleared@5")),
        "carrier/customs_cleared@5 was withdrawn by carrier/no-customs_cleared@5",
    ),
    (
        "replaced by what has not happened yet",
        lambda trade: (
            trade.say(5, "customs_cleared"),
            trade.hand_in(
                "carrier",
                {
                    "id": "again",
                    "replaces": "customs_cleared@5",
                    "kind": "customs_cleared",
                    "happened_at": moment(300),
                    "about": {"shipment": ["shipment-1"]},
                },
            ),
        ),
        "carrier/customs_cleared@5 was replaced by carrier/again; carrier/again is of 2026-01-01T17:00:00Z only",
    ),
    (
        "replaced by something else",
        lambda trade: (
            trade.say(5, "customs_cleared"),
            trade.say(5, "customs_declared", replaces="customs_cleared@5"),
        ),
        "carrier/customs_cleared@5 was replaced by carrier/customs_declared@5",
    ),
    (
        "of too low a grade",
        lambda trade: trade.say(5, "customs_cleared", "trucker"),
        "trucker/customs_cleared@5 is of grade fair, and good is asked for",
    ),
    (
        "of a sender who has left the book",
        lambda trade: (trade.say(5, "customs_cleared", "insurer"), trade.amend(6, remove={"senders": ["insurer"]})),
        "insurer/customs_cleared@5 is of insurer, who is not among the book's senders",
    ),
    (
        "only expected",
        lambda trade: trade.say(5, "customs_cleared", classifier="planned"),
        "carrier/customs_cleared@5 is planned only",
    ),
    (
        "ended",
        lambda trade: (trade.say(5, "customs_cleared"), trade.say(7, "customs_refused", "customs")),
        "carrier/customs_cleared@5 was ended by customs/customs_refused@7, customs_refused at 2026-01-01T12:07:00Z",
    ),
    (
        "over by itself",
        lambda trade: trade.say(5, "customs_cleared", until=50),
        "carrier/customs_cleared@5 ended at 2026-01-01T12:50:00Z",
    ),
    (
        "about one container",
        lambda trade: trade.say(5, "customs_cleared", about={"container": [FIRST]}),
        f"nothing of container:{SECOND}",
    ),
]


@pytest.mark.parametrize(("story", "says"), [row[1:] for row in MISSING], ids=[row[0] for row in MISSING])
def test_a_notice_that_would_have_counted_is_named(story: Any, says: str) -> None:
    trade = Trade(milestone({"all": [CLEARED, fact("date_reached", at=moment(500))]}))
    story(trade)
    trade.tick(60)
    found = the_fact(trade)
    assert not found.holds
    assert found.missing == "no notice counts that says customs_cleared" + (f": {says}" if says else "")
    assert found.missing in "\n".join(explain.lines(explained(trade)))


@pytest.mark.parametrize(
    ("asked", "told", "says"),
    [
        ({"sender": "customs"}, {}, "carrier/customs_cleared@5 is of carrier, and customs is asked for"),
        ({"place": "USLAX"}, {"place": "USNYC"}, "carrier/customs_cleared@5 is at USNYC, and USLAX is asked for"),
        ({"place": "USLAX"}, {}, "carrier/customs_cleared@5 names no place, and USLAX is asked for"),
        (
            {"max_age_s": 600},
            {},
            "carrier/customs_cleared@5 is of 2026-01-01T12:05:00Z, and older than 600 s then",
        ),
    ],
)
def test_a_notice_that_is_not_the_one_asked_for_is_named(asked: Any, told: Any, says: str) -> None:
    trade = Trade(milestone({"all": [CLEARED | asked, fact("date_reached", at=moment(500))]}))
    trade.say(5, "customs_cleared", **told)
    trade.tick(60)
    assert the_fact(trade).missing == f"no notice counts that says customs_cleared: {says}"


def test_of_very_many_notices_that_do_not_count_five_are_named() -> None:
    trade = Trade(milestone(CLEARED))
    for number in range(8):
        trade.say(number, "customs_cleared", "trucker")
    says = the_fact(trade).missing
    assert says.count("is of grade fair") == 5
    assert says.endswith("; and 3 more")


def test_a_question_says_which_notice_was_taken_back() -> None:
    trade = Trade(milestone(CLEARED))
    trade.say(5, "customs_cleared")
    trade.deliver()
    trade.withdraw(9, "customs_cleared@5")
    assert trade.sent("question_release")[0]["changed"] == [
        {"fact": CLEARED, "missing": the_fact(trade).missing, "may_hold": False}
    ]
    assert "was withdrawn by carrier/no-customs_cleared@5" in the_fact(trade).missing


def test_a_hold_that_is_told_of_late_is_what_changed() -> None:
    trade = Trade(milestone({"all": [CLEARED, {"not": fact("on_hold")}]}))
    trade.say(5, "customs_cleared")
    trade.say(1, "hold_placed", "customs")
    assert trade.sent("retract_release")[0]["changed"] == [
        {
            "fact": {"not": fact("on_hold")},
            "missing": "it is so since 2026-01-01T12:01:00Z, by notice customs/hold_placed@1",
            "may_hold": False,
        }
    ]


def test_what_was_met_is_explained_as_of_then() -> None:
    trade = Trade(milestone({"all": [CLEARED, {"not": fact("on_hold")}]}))
    trade.say(5, "customs_cleared", until=50)
    trade.tick(60)
    assert the_fact(trade).holds, "it has ended since, and held when it was met"
    assert the_fact(trade, "not on_hold").if_lost == (
        "the release would be retracted, for the core has not booked it yet"
    )
    trade.say(10, "hold_placed")
    trade.say(20, "customs_cleared", id="again", replaces="customs_cleared@5", until=50)
    assert the_fact(trade).missing.endswith("carrier/again is of 2026-01-01T12:20:00Z only")
    assert trade.memo().state == "retracted"


def test_each_fact_says_what_would_become_of_the_release_without_it() -> None:
    either = milestone({"any": [CLEARED, fact("arrived")]})
    trade = Trade(either)
    trade.say(5, "customs_cleared")
    assert the_fact(trade).if_lost == "the release would be retracted, for the core has not booked it yet"
    trade.deliver()
    assert the_fact(trade).if_lost == "the release would be in question, for the core has booked it"
    trade.say(5, "arrived")
    assert the_fact(trade).if_lost == "it would be met all the same"
    waiver = Trade(milestone({"all": [CLEARED, fact("arrived")]}))
    waiver.say(5, "customs_cleared")
    assert the_fact(waiver).if_lost == "it would not be met"
    waiver.spine.commit(drafts.waive, "milestone", "head of credit", "seen by own surveyor")
    assert the_fact(waiver).if_lost == "nothing: it was waived by head of credit"
    assert "  waived by head of credit: seen by own surveyor" in list(explain.lines(explained(waiver)))
    trade.withdraw(7, "arrived@5")
    trade.withdraw(8, "customs_cleared@5")
    assert the_fact(trade).if_lost == ""


def test_what_falling_away_would_do_is_what_it_does() -> None:
    """The forecast for the fact that then falls away, in each state."""
    for deliver, state in ((False, "retracted"), (True, "in_question")):
        trade = Trade(milestone({"all": [CLEARED, fact("arrived")]}))
        trade.say(5, "customs_cleared")
        trade.say(6, "arrived")
        if deliver:
            trade.deliver()
        forecast = the_fact(trade).if_lost
        trade.withdraw(9, "customs_cleared@5")
        assert trade.memo().state == state
        assert state.replace("_", " ") in forecast


def test_other_terms_are_said() -> None:
    trade = Trade(milestone(CLEARED))
    trade.say(5, "customs_cleared")
    trade.amend(6, milestones=[milestone(CLEARED, payee="bank")])
    says = "the release was sent as 2500000 minor units to exporter, and the book says 2500000 minor units to bank"
    assert f"  at odds with the book: {says}" in list(explain.lines(explained(trade)))
    assert explain.as_json(explained(trade))["at_odds"] == says


def test_what_may_hold_is_unknown_and_not_missing() -> None:
    trade = Trade(milestone({"all": [CLEARED, IN_LA]}))
    found = the_fact(trade, "gated_in")
    assert (found.holds, found.may_hold, found.since_ms) == (False, True, NEVER)
    says = f"{SECOND} has not been seen by a good fix to have entered los-angeles and stayed 3600 s"
    assert says in found.missing
    assert f"  unknown  gated_in at los-angeles for 1 h: {found.missing}" in list(explain.lines(explained(trade)))


def test_what_was_so_and_is_so_no_more_says_until_when() -> None:
    trade = sailed(milestone({"all": [IN_LA | {"max_age_s": 600}, CLEARED]}))
    trade.tick(100)
    assert the_fact(trade, "gated_in").missing == "it was so since 2026-01-01T13:10:00Z until 2026-01-01T13:20:00Z"
    later = Trade(milestone({"all": [fact("date_reached", at=moment(90)), CLEARED]}))
    assert the_fact(later, "date_reached").missing == "2026-01-01T13:30:00Z has not come yet"


def test_the_same_as_json() -> None:
    trade = sailed()
    trade.say(-5, "bill_of_lading_issued")
    written = explain.as_json(explained(trade))
    assert (written["id"], written["state"], written["amount_minor"], written["currency"]) == (
        "milestone",
        "pending",
        2_500_000,
        "USD",
    )
    assert [(one["fact"], one["holds"], one["may_hold"]) for one in written["facts"]] == [
        (LADEN, True, False),
        (CLEARED, False, False),
        (IN_LA, True, False),
        ({"not": fact("on_hold")}, True, False),
    ]
    assert written["facts"][0]["proofs"] == [
        {"kind": "notice", "id": "carrier/bill_of_lading_issued@-5", "grade": "good", "at_ms": at(-5)}
    ]
    assert written["facts"][2]["since_ms"] == at(70)


def test_an_amount_that_is_not_known_yet_is_said_so() -> None:
    shared = milestone(CLEARED, release={"share_bp": 5_000, "of": "value"})
    trade = Trade(shared, prices=[], products=[{"sku": "sofa", "series": "sofas"}])
    assert "  releases an amount that is not known yet to exporter" in list(explain.lines(explained(trade)))
    assert explain.as_json(explained(trade))["amount_minor"] == -1


# The command and the API


def told_in(folder: Path) -> None:
    """A journal in which customs has cleared nothing yet, and the service is not running."""
    store = SqliteStore(folder)
    trade = Trade(DEAL, milestone(CLEARED, id="other", shipment=None, lot=f"lot-{FIRST}"), store=store)
    trade.say(-5, "bill_of_lading_issued")
    store.close()


def test_the_command_lists_and_explains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told_in(tmp_path)
    assert main(["milestones", "list", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "milestone milestone of facility-1, about shipment shipment-1: pending",
        f"milestone other of facility-1, about lot lot-{FIRST}: waiting",
    ]
    assert main(["milestones", "explain", "milestone", "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "milestone milestone of facility-1, about shipment shipment-1: pending"
    assert "  missing  customs_cleared: no notice counts that says customs_cleared" in said


def test_the_command_says_which_there_are_where_it_knows_none_of_that_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told_in(tmp_path / "data")
    assert main(["milestones", "explain", "ghost", "--data", str(tmp_path / "data")]) == 2
    assert capsys.readouterr().err == "there is no milestone 'ghost'; there are milestone, other\n"
    assert main(["milestones", "explain", "ghost", "--data", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_of_very_many_twenty_are_named() -> None:
    trade = Trade(*(milestone(CLEARED, id=f"m-{number:02}") for number in range(25)))
    says = explain.unknown(trade.spine.state.book, "ghost")
    assert says.endswith("m-18, m-19 and 5 more")
    assert explain.unknown(Trade().spine.state.book, "ghost") == "there is no milestone 'ghost'; the book has none"


def test_the_api_says_the_same(tmp_path: Path) -> None:
    cloud = ApiCloud(tmp_path, at_ms=NOON_MS + 60 * MINUTE_MS)
    cloud.sail_into_port()
    lot = {"shipment": None, "lot": "lot-container-1"}
    shipment = SHIPMENT | {"lots": ["lot-container-1"]}
    wanted = milestone({"all": [CLEARED, {"not": fact("on_hold")}]})
    cloud.spine.commit(drafts.amend, {"senders": SENDERS, "shipments": [shipment], "milestones": [wanted]})
    cloud.spine.commit(drafts.amend, {"milestones": [milestone(CLEARED, id="other", **lot)]})
    one = {"id": "1", "kind": "customs_cleared", "happened_at": moment(5), "about": {"shipment": ["shipment-1"]}}
    cloud.spine.commit(drafts.submit, "trucker", "plain", f'{{"notices": [{str(one).replace(chr(39), chr(34))}]}}')
    found = cloud.get("/milestones/milestone")
    assert found == explain.as_json(explain.explain(cloud.spine.state, "milestone"))
    assert "trucker/1 is of grade fair, and good is asked for" in found["facts"][0]["missing"]
    assert found["facts"][1]["fact"] == {"not": fact("on_hold")}
    listed = cloud.get("/milestones")
    assert {one["id"] for one in listed} == {"milestone", "milestone-container-1", "other"}
    assert {one["as_of_ms"] for one in listed} == {cloud.spine.state.recorded_at_ms}
    answer = cloud.client.get("/milestones/ghost")
    assert answer.status_code == 404
    assert answer.json()["detail"] == (
        "there is no milestone 'ghost'; there are milestone, milestone-container-1, other"
    )
    answer = cloud.client.post("/milestones/milestone/waiver", json={"by": "head of credit", "why": "surveyed"})
    assert answer.status_code == 200
    assert cloud.get("/milestones/milestone")["waived_why"] == "surveyed"
    again = cloud.client.post("/milestones/milestone/waiver", json={"by": "head of credit", "why": "surveyed"})
    assert again.status_code == 409
    cloud.store.close()


@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_the_api_finds_a_milestone_whose_id_has_slashes(tmp_path: Path, slash: str) -> None:
    cloud = ApiCloud(tmp_path, at_ms=NOON_MS + 60 * MINUTE_MS)
    cloud.sail_into_port()
    lot = {"shipment": None, "lot": "lot-container-1"}
    some = [milestone(CLEARED, id=one, **lot) for one in ("po/4711", "po/4711/waiver")]
    cloud.spine.commit(drafts.amend, {"senders": SENDERS, "milestones": some})
    for one in some:
        path = f"/milestones/{one['id'].replace('/', slash)}"
        assert cloud.get(path)["id"] == one["id"]
        waived = cloud.client.post(f"{path}/waiver", json={"by": "head of credit", "why": "surveyed"})
        assert waived.status_code == 200, waived.text
        assert cloud.get(path)["waived_why"] == "surveyed"
        told = cloud.client.post(f"{path}/booking", json={"release": "none", "by": "desk", "why": "asked"})
        assert told.status_code == 200, told.text
    assert cloud.client.get(f"/milestones/po{slash}4712").status_code == 404
    cloud.store.close()
