"""What persons say of an alert: comments and silences, through the API and over the real spine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import ApiCloud, assert_problem, shown
from builders import MINUTE_MS, NOON_MS
from receipting import BANK, FIRST, WAREHOUSE
from seeing import USERS, Seeing

from pledgewatch_cloud.client import Client
from pledgewatch_cloud.decide import alert_notes, alerts, drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.alert_notes import LIFTED, Comment, Silence
from pledgewatch_cloud.decide.alerts import Alert, AlertState
from pledgewatch_cloud.decide.causes import Cause, Spell
from pledgewatch_cloud.decide.items.alert_rules import AlertRule
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.spine.spine import recover

RULE = AlertRule("too-warm", "condition_breached", "", (), "lot", 0, 0, repeat_s=30, escalate_after_s=60)
"""Escalated after a minute in which nobody heeds it, repeated each half minute."""
HOUR_MS = 60 * MINUTE_MS


def spell(name: str, severity: str, at_ms: int = 0, ended_ms: int | None = None) -> Spell:
    """A cause of the rule's kind."""
    cause = Cause("condition_breached", "lot|limit", at_ms, severity, "lot", "", "", at_ms)
    return Spell(name, cause, ended_ms)


def silenced(alert: Alert, party: str = "bank", at_ms: int = 0, until_ms: int = HOUR_MS) -> Alert:
    """An alert that somebody of a party has silenced."""
    return alerts.silence(alert, Silence(at_ms, "desk", party, "known", until_ms))


def raised(*spells: Spell) -> Alert:
    """The alert of some causes when it is new."""
    found, _ = alerts.judge(RULE, "lot", spells, None, 0)
    assert found is not None
    return found


def after(alert: Alert, now_ms: int, *spells: Spell) -> tuple[Alert, list[str]]:
    """The alert at a moment, and what was told on the way."""
    found, moves = alerts.judge(RULE, "lot", spells, alert, now_ms)
    assert found is not None
    return found, [one.event_type.value for one in moves]


def test_a_silence_changes_nothing_that_is_told() -> None:
    one = spell("1.0", "warning")
    loud, quiet = raised(one), silenced(raised(one))
    for now_ms in (30_000, 59_000, 60_000, 90_000):
        (loud, told), (quiet, also_told) = after(loud, now_ms, one), after(quiet, now_ms, one)
        assert told == also_told
    assert loud == quiet


def test_a_silence_ends_when_the_alert_becomes_worse() -> None:
    one, worse = spell("1.0", "warning"), spell("2.0", "critical", 10_000)
    quiet = silenced(raised(one))
    another = spell("3.0", "warning", 5_000)
    quiet, _ = after(quiet, 5_000, one, another)
    assert alert_notes.silence_of(quiet.silences, "bank", 5_000) is not None
    worst, told = after(quiet, 10_000, one, another, worse)
    assert (worst.silences, told) == ((), ["alert_escalated"])


def test_a_silence_ends_when_nobody_heeds_the_alert_and_when_it_is_over() -> None:
    one = spell("1.0", "warning")
    unheeded, told = after(silenced(raised(one)), 60_000, one)
    assert (unheeded.state, unheeded.silences) == (AlertState.ESCALATED, ()), told
    ended = spell("1.0", "warning", ended_ms=40_000)
    cleared, _ = after(silenced(raised(one)), 50_000, ended)
    assert cleared.silences == ()
    again, told = after(cleared, 70_000, ended, spell("2.0", "warning", 65_000))
    assert (again.id, again.silences, told) == ("2.0", (), ["alert_opened"])


def test_an_acknowledged_alert_stays_silenced_until_its_end() -> None:
    one = spell("1.0", "warning")
    taken, _ = alerts.acknowledge(silenced(raised(one)), "desk", 1_000)
    taken, _ = after(taken, 90_000, one)
    assert alert_notes.silence_of(taken.silences, "bank", HOUR_MS - 1) is not None
    assert alert_notes.silence_of(taken.silences, "bank", HOUR_MS) is None
    assert alert_notes.silence_of(taken.silences, "operator", 0) is None


def test_each_party_has_one_silence_and_only_so_many_are_kept() -> None:
    alert = raised(spell("1.0", "warning"))
    for number in range(alert_notes.SILENCES_MAX + 5):
        alert = silenced(alert, f"party-{number}")
    assert len(alert.silences) == alert_notes.SILENCES_MAX
    alert = silenced(alert, "party-36", until_ms=2 * HOUR_MS)
    assert [one.until_ms for one in alert.silences if one.party == "party-36"] == [2 * HOUR_MS]
    assert all(one.party != "party-36" for one in silenced(alert, "party-36", until_ms=LIFTED).silences)
    for number in range(alert_notes.COMMENTS_MAX + 1):
        alert = alerts.comment(alert, Comment(0, "desk", "bank", str(number)))
    assert (len(alert.comments), alert.comments[0].text) == (alert_notes.COMMENTS_MAX, "1")
    alert = alerts.comment(alert, Comment(0, "desk", "borrower", "another's drives out none of these"))
    assert [one.text for one in alert.comments][:: alert_notes.COMMENTS_MAX] == ["1", alert.comments[-1].text]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, at_ms=NOON_MS + 60 * MINUTE_MS)
    made.sail_into_port()
    yield made
    made.close()


def alert_of(cloud: ApiCloud, query: str = "") -> Any:
    """The one alert that is answered; None where none is."""
    found = cloud.get(f"/alerts{query}")
    return found[0] if found else None


def test_comments_and_silences_are_entries_and_are_there_after_a_restart(cloud: ApiCloud) -> None:
    path = f"/alerts/{alert_of(cloud)['id']}"
    until = iso(cloud.clock.at_ms + HOUR_MS)
    with Client("http://127.0.0.1:8420", transport=cloud.client._transport) as client:
        said = client.write(f"{path}/comments", {"by": "night desk", "text": "The plug was loose."})
        client.write(f"{path}/silence", {"by": "night desk", "why": "It is being mended.", "until": until})
    found = alert_of(cloud)
    assert found["comments"] == [
        {"at_ms": cloud.clock.at_ms, "by": "night desk", "party": "", "text": "The plug was loose."}
    ]
    assert (found["silence"]["why"], iso(found["silence"]["until_ms"])) == ("It is being mended.", until)
    assert (alert_of(cloud, "?cleared=true"), alert_of(cloud, "?cleared=false")["id"]) == (None, found["id"])
    assert (alert_of(cloud, "?silenced=false"), alert_of(cloud, "?silenced=true")["id"]) == (None, found["id"])
    events = cloud.get(f"/events?after_entry={said['entry'] - 1}")["events"]
    assert [one["type"] for one in events] == ["alert_commented", "alert_silenced"]
    assert events[0]["facts"]["by"] == "night desk"
    cloud.spine._kept_at_once(cloud.spine.state)
    assert state_module.to_bytes(recover(cloud.store)) == state_module.to_bytes(cloud.spine.state)
    cloud.clock.at_ms += HOUR_MS
    cloud.spine.tick()
    assert alert_of(cloud, "?silenced=false")["silence"] is None


def test_a_silence_is_lifted(cloud: ApiCloud) -> None:
    path, by = f"/alerts/{alert_of(cloud)['id']}/silence", {"by": "desk", "why": "known"}
    assert_problem(cloud.client.post(path, json=by), 409)
    assert cloud.client.post(path, json={**by, "until": iso(cloud.clock.at_ms + HOUR_MS)}).status_code == 200
    assert cloud.client.post(path, json={**by, "why": "too soon"}).status_code == 200
    assert alert_of(cloud)["silence"] is None
    assert cloud.get("/events?limit=10000")["events"][-1]["type"] == "alert_silence_lifted"


def test_a_silence_needs_a_reason_and_an_end_that_is_near(cloud: ApiCloud) -> None:
    path, now_ms = f"/alerts/{alert_of(cloud)['id']}/silence", cloud.clock.at_ms
    for until_ms in (now_ms, now_ms + alert_notes.SILENCE_MAX_MS + 1):
        assert_problem(cloud.client.post(path, json={"by": "d", "why": "w", "until": iso(until_ms)}), 422)
    assert_problem(cloud.client.post(path, json={"by": "d", "why": "w", "until": "soon"}), 422)
    assert_problem(cloud.client.post(path, json={"by": "d", "why": "", "until": iso(now_ms + 1_000)}), 422)
    for for_s in (0, alert_notes.SILENCE_MAX_MS // 1_000 + 1, "long"):
        assert_problem(cloud.client.post(path, json={"by": "d", "why": "w", "for_s": for_s}), 422)
    twice = {"by": "d", "why": "w", "for_s": 60, "until": iso(now_ms + 60_000)}
    assert_problem(cloud.client.post(path, json=twice), 422)
    longest = {"by": "d", "why": "w", "for_s": alert_notes.SILENCE_MAX_MS // 1_000}
    assert cloud.client.post(path, json=longest).status_code == 200
    assert alert_of(cloud)["silence"]["until_ms"] == now_ms + alert_notes.SILENCE_MAX_MS
    assert_problem(cloud.client.post("/alerts/ghost/silence", json={"by": "d", "why": "w"}), 404)
    assert_problem(cloud.client.post("/alerts/ghost/comments", json={"by": "d", "text": "t"}), 404)
    assert cloud.spine.commit(drafts.comment, "ghost", "d", "", "t") is None


def test_what_a_party_says_of_an_alert_is_its_own_and_hides_nothing_from_others(tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    seeing.pledge(FIRST, BANK)
    seeing.tick()
    seeing.keeping.row("sold", 10, minute=seeing.minute)
    (alert,) = seeing.get("lender-one", "/alerts")
    until = iso(NOON_MS + seeing.minute * MINUTE_MS + HOUR_MS)

    def say(name: str, what: str, **more: str) -> int:
        body = {"by": "somebody else", **more}
        path = f"/alerts/{alert['id']}/{what}"
        return seeing.client.post(path, json=body, headers=shown(USERS[name].key)).status_code

    others = ("lender-two", "auditor-two", "insurer-one")
    assert [say(name, "comments", text="mine") for name in others] == [404, 403, 403]
    assert say("lender-one", "comments", text="we ask the warehouse") == 200
    assert say("lender-one", "silence", why="asked", until=until) == 200
    (own,) = seeing.get("lender-one", "/alerts?silenced=true")
    assert [(one["by"], one["party"]) for one in own["comments"]] == [("lender-one", BANK)]
    assert say("keeper-kim", "comments", text="seen") == 200
    (kept,) = (one for one in seeing.get("keeper-kim", "/alerts") if one["id"] == alert["id"])
    assert kept["comments"][-1]["by"] == "keeper-kim", "a keeper who has a name has that alone"
    seen = {name: found for name in USERS if (found := seeing.get(name, "/alerts"))}
    assert {"lender-one", "keeper-kim"} < seen.keys()
    for name, some in seen.items():
        found = next(one for one in some if one["id"] == alert["id"])
        party = USERS[name].user["party"]
        assert (found["silence"] is not None) == (party == BANK), name
        assert bool(found["comments"]) == (party == BANK or name == "keeper-kim"), name
        told = {one["type"] for one in seeing.get(name, "/events?limit=10000")["events"]}
        assert ("alert_commented" in told) == ("alert_silenced" in told) == (party == BANK or name == "keeper-kim")
    assert WAREHOUSE != BANK
    seeing.close()
