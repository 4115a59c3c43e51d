"""Logging in at the development issuer, a real process: who is let in, for how long, and all the ways to be nobody."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest
from api_cloud import assert_problem, shown
from keeping import LINE
from logging_in import AUDIENCE, CLIENT, SECRET, Console, Issuer, Person, fields_of, subject
from receipting import BANK, FIRST
from seeing import HALL_LOT, USERS, Seeing

from pledgewatch_cloud.access.identify import Shown
from pledgewatch_cloud.api import access, live
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.login import attempts, sessions
from pledgewatch_cloud.login.attempts import ATTEMPT_S, Attempts
from pledgewatch_cloud.login.login import LoginError
from pledgewatch_cloud.login.sessions import Sessions
from pledgewatch_sim.programs import free_port

PORT, OWN_PORT = free_port(), free_port()
HTML = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    bases = f"http://127.0.0.1:{PORT}", f"http://127.0.0.1:{OWN_PORT}", "https://watch.example/at"
    with Issuer(tmp_path_factory.mktemp("issuer"), *bases) as made:
        yield made


@pytest.fixture(scope="module")
def shared(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console of all tests: who changes its book puts it back."""
    with Console(tmp_path_factory.mktemp("console"), issuer.url, PORT) as made:
        yield made


@pytest.fixture
def person(shared: Console) -> Iterator[Person]:
    """Somebody who has just come."""
    shared.service.logins._left.clear()
    with Person(shared) as made:
        yield made


@pytest.fixture
def anna(person: Person) -> Person:
    """Somebody who has logged in."""
    assert person.log_in("anna").status_code == 303
    return person


def tokens_of(person: Person, name: str) -> dict[str, Any]:
    """What the issuer gives our client for somebody, asked for by the test itself."""
    url = person.sent_to()
    verifier = person.console.login._attempts._by_state[fields_of(url)["state"]].verifier
    code = fields_of(person.chosen(url, name))["code"]
    asked = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": fields_of(url)["redirect_uri"],
        "code_verifier": verifier,
        "client_id": CLIENT,
        "client_secret": SECRET,
    }
    found: dict[str, Any] = httpx2.post(f"{person.console.issuer}/token", data=asked, timeout=60).json()
    return found


def assert_ends(lines: Iterator[str]) -> Iterator[str]:
    """The stream ends before its next heartbeat; its lines until then."""
    for line in lines:
        assert "nothing new" not in line, "it goes on"
        yield line


def test_a_login_ends_at_the_page_it_began_at_and_the_book_says_who_it_is(person: Person) -> None:
    assert_problem(person.get("/viewer"), 401)
    answer = person.log_in("anna", f"#/lots/{HALL_LOT}")
    assert answer.headers["location"] == f"{person.console.url}/#/lots/{HALL_LOT}"
    assert person.get("/viewer").json()["user"] == "lender-one"
    cookies = {one.partition("=")[0]: one.lower() for one in answer.headers.get_list("set-cookie")}
    assert set(cookies) == {"pledgewatch", "pledgewatch-guard", "pledgewatch-login"}
    assert all(part in cookies["pledgewatch"] for part in ("httponly", "samesite=strict", "path=/", "max-age=43200"))
    assert "httponly" not in cookies["pledgewatch-guard"]
    assert "max-age=0" in cookies["pledgewatch-login"]
    assert not any("secure" in one for one in cookies.values())  # over plain HTTP on this machine alone
    assert answer.headers["cache-control"] == "no-store"


def test_a_key_a_session_and_a_token_are_the_same_viewer(anna: Person) -> None:
    console = anna.console
    token = tokens_of(anna, "anna")["access_token"]
    book, now_ms = console.service.writer.state.book, console.service.clock.now_ms()
    found = [
        console.served.run(console.service.door.viewer_of(one, book, now_ms))
        for one in (
            Shown(f"Bearer {USERS['lender-one'].key}"),
            Shown(f"Bearer {token}"),
            Shown(session=anna.http.cookies["pledgewatch"]),
        )
    ]
    assert found[0].user == "lender-one"
    assert found == found[:1] * 3
    with httpx2.Client(base_url=console.url, timeout=60) as bare:
        by_key, by_token = (
            bare.get("/facilities", headers=shown(one)).json() for one in (USERS["lender-one"].key, token)
        )
    assert by_key == by_token == anna.get("/facilities").json() != []


def test_what_is_asked_by_session_and_by_token_is_noted_of_the_user(anna: Person) -> None:
    console = anna.console
    token = tokens_of(anna, "anna")["access_token"]
    anna.get("/lots")
    with httpx2.Client(base_url=console.url, headers=shown(token), timeout=60) as bare:
        assert bare.get("/alerts").status_code == 200
    anna.http.post("/login/end", headers=anna.guard)
    console.served.run(console.service.audit.commit())
    with httpx2.Client(base_url=console.url, headers=shown(USERS["keeper-kim"].key), timeout=60) as keeper:
        noted = {(one["user"], one["method"], one["path"]) for one in keeper.get("/audit").json()["rows"]}
    for method, path in (("GET", "/login/callback"), ("GET", "/lots"), ("GET", "/alerts"), ("POST", "/login/end")):
        assert ("lender-one", method, path) in noted


def test_whom_nobody_knows_is_told_so_and_sees_nothing(person: Person) -> None:
    problem = assert_problem(person.log_in("bo"), 403)
    assert "no user of the book" in problem["detail"]
    assert "pledgewatch" not in person.http.cookies
    assert_problem(person.get("/lots"), 401)
    token = tokens_of(person, "bo")["access_token"]
    with httpx2.Client(base_url=person.console.url, headers=shown(token), timeout=60) as bare:
        for path in ("/lots", "/viewer", "/live", "/book", "/audit"):
            assert_problem(bare.get(path), 403)
    person.http.headers.update(HTML)
    assert person.log_in("bo").headers["location"] == f"{person.console.url}/#/refused/stranger"


@pytest.mark.parametrize("how", ["removed", "subject removed", "expired"])
def test_who_leaves_the_book_loses_session_token_and_stream_at_once(anna: Person, how: str) -> None:
    console = anna.console
    token = tokens_of(anna, "anna")["access_token"]
    user = {**USERS["lender-one"].user, **subject(console.issuer, "anna")}
    as_it_was = {"users": [user]}
    every: dict[str, dict[str, Any]] = {
        "removed": {"remove": {"users": ["lender-one"]}},
        "subject removed": {"users": [USERS["lender-one"].user]},
        "expired": {"users": [{**user, "until": iso(console.seeing.keeping.clock.at_ms)}]},
    }
    changes = every[how]
    with (
        httpx2.Client(base_url=console.url, headers=shown(token), timeout=20) as bare,
        bare.stream("GET", "/live") as by_token,
        anna.http.stream("GET", "/live") as by_session,
    ):
        told = [one.iter_lines() for one in (by_token, by_session)]
        assert [next(one) for one in told] == ["retry: 2000"] * 2
        began_s = time.monotonic()
        console.served.run(console.seeing.writer.commit(drafts.amend, changes))
        rest = [line for one in told for line in assert_ends(one)]
        assert time.monotonic() - began_s < 5, "it ends long before the next heartbeat"
        assert not [line for line in rest if line.startswith("data:")]
        for client in (bare, anna.http):
            assert_problem(client.get("/viewer"), 403)
            assert_problem(client.get("/live"), 403)
        console.served.run(console.seeing.writer.commit(drafts.amend, as_it_was))
        assert (bare.get("/viewer").status_code, anna.get("/viewer").status_code) == (200, 200)


def test_a_user_who_ends_on_a_day_is_in_until_then_by_whatever_they_show(anna: Person) -> None:
    console, clock = anna.console, anna.console.seeing.keeping.clock
    until = {"until": iso(clock.at_ms + 60_000), **subject(console.issuer, "anna")}
    console.served.run(console.seeing.writer.commit(drafts.amend, {"users": [{**USERS["lender-one"].user, **until}]}))
    with httpx2.Client(base_url=console.url, headers=shown(USERS["lender-one"].key), timeout=60) as bare:
        assert (anna.get("/viewer").status_code, bare.get("/viewer").status_code) == (200, 200)
        clock.at_ms += 60_000
        assert (anna.get("/viewer").status_code, bare.get("/viewer").status_code) == (403, 401)
        as_it_was = {**USERS["lender-one"].user, **subject(console.issuer, "anna")}
        console.served.run(console.seeing.writer.commit(drafts.amend, {"users": [as_it_was]}))
        assert anna.get("/viewer").status_code == 200


MOVEMENT = {"movements": [{"id": "m", "kind": "drawdown", "at": "2026-01-01T12:00:00Z", "amount_minor": 5}]}


def test_a_session_writes_only_from_a_page_of_this_origin(anna: Person) -> None:
    path, guard = f"/facilities/{LINE}/movements", anna.guard
    assert len(guard["x-csrf-token"]) == 64
    unguarded: list[dict[str, Any]] = [
        {},
        {"origin": guard["origin"]},
        {"x-csrf-token": guard["x-csrf-token"]},
        {**guard, "origin": "https://evil.example"},
        {**guard, "origin": "null"},
        {**guard, "x-csrf-token": "0" * 64},
        {**guard, "x-csrf-token": "\u00e9".encode("latin-1")},
        {"cookie": f"pledgewatch-guard={'0' * 64}", "x-csrf-token": "0" * 64, "origin": guard["origin"]},
    ]
    for headers in unguarded:
        for more in ({}, {"idempotency-key": "k"}):
            answer = anna.http.post(path, json=MOVEMENT, headers={**headers, **more})
            assert answer.status_code in (401, 403), headers
    assert anna.http.post(path, json=MOVEMENT, headers=guard).status_code == 200
    for changed in (True, True):
        answer = anna.http.post(path, json=_again("k"), headers={**guard, "idempotency-key": "once"})
        assert answer.json()["changed"] is changed
    assert answer.headers["idempotency-replayed"] == "true"


def _again(name: str) -> dict[str, Any]:
    return {"movements": [{**MOVEMENT["movements"][0], "id": name}]}


def test_logging_out_ends_the_session_and_what_it_follows(anna: Person) -> None:
    assert_problem(anna.http.post("/login/end"), 403)
    assert anna.get("/viewer").status_code == 200, "nobody else can log them out"
    kept = dict(anna.http.cookies)
    with anna.http.stream("GET", "/live") as stream:
        told = stream.iter_lines()
        assert next(told) == "retry: 2000"
        began_s = time.monotonic()
        answer = anna.http.post("/login/end", headers=anna.guard)
        assert not [line for line in assert_ends(told) if line.startswith("data:")]
        assert time.monotonic() - began_s < 5
    assert answer.status_code == 204
    assert all("max-age=0" in one.lower() for one in answer.headers.get_list("set-cookie"))
    assert_problem(anna.get("/viewer"), 401)
    with httpx2.Client(base_url=anna.console.url, cookies=kept, timeout=60) as thief:
        assert_problem(thief.get("/viewer"), 401)
    assert anna.http.post("/login/end").status_code == 204, "there is nothing to end"


def test_logging_out_leads_by_the_provider_and_back(anna: Person) -> None:
    url = anna.http.post("/login/end", headers=anna.guard).headers["location"]
    page, _, query = url.partition("?")
    asked = dict(parse_qsl(query))
    assert page == f"{anna.console.issuer}/logout"
    assert (asked["client_id"], asked["post_logout_redirect_uri"]) == (CLIENT, f"{anna.console.url}/")
    answer = anna.http.get(url)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{anna.console.url}/")
    assert "location" not in anna.http.post("/login/end").headers, "there is nothing to end"
    _, claims, _ = asked["id_token_hint"].split(".")
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["sub"] == "anna"
    for name, other in {
        "post_logout_redirect_uri": "https://evil.example/",
        "client_id": "somebody",
        "id_token_hint": asked["id_token_hint"][:-4] + "AAAA",
    }.items():
        assert httpx2.get(page, params=asked | {name: other}, timeout=60).status_code == 400, name
    assert httpx2.get(page, params={"client_id": CLIENT}, timeout=60).text.count("You are logged out.") == 1


def test_an_id_token_that_is_too_long_for_an_address_is_not_kept() -> None:
    held = Sessions(100, 1_000)
    kept, long, none = (held.begin("anna", 0, token) for token in ("a.b.c", "a" * (sessions.TOKEN_MAX + 1), ""))
    assert [held.end(one) for one in (kept, long, none, kept)] == ["a.b.c", "", "", None]


def test_a_session_ends_unused_or_old_and_what_a_page_asks_by_itself_is_no_use(anna: Person) -> None:
    now = anna.console.now
    for _ in range(2):
        now.at_ms += 1_700_000
        assert anna.get("/viewer").status_code == 200
    now.at_ms += 1_700_000
    assert anna.http.get("/viewer", headers={"x-unattended": "1"}).status_code == 200
    now.at_ms += 100_000
    assert_problem(anna.get("/viewer"), 401)
    assert anna.log_in("anna").status_code == 303
    for _ in range(43_200 // 1_200 - 1):
        now.at_ms += 1_200_000
        assert anna.get("/viewer").status_code == 200
    now.at_ms += 1_200_000
    assert_problem(anna.get("/viewer"), 401)


def test_a_stream_that_is_open_keeps_no_session_going(anna: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though who asks is asked anew at each of its heartbeats."""
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.05)
    now = anna.console.now
    with anna.http.stream("GET", "/live") as stream:
        told = stream.iter_lines()
        now.at_ms += 1_700_000
        for _ in range(2):  # the first may have been on its way
            assert ": nothing new" in told
        now.at_ms += 100_000
        assert len(list(islice(told, 100))) < 100, "the session is over, and the stream with it"
    assert_problem(anna.get("/viewer"), 401)


def test_a_new_login_ends_the_session_before_it(anna: Person) -> None:
    before, count = anna.http.cookies["pledgewatch"], len(anna.console.login._sessions)
    assert anna.log_in("kim").status_code == 303
    assert anna.http.cookies["pledgewatch"] != before
    assert anna.get("/viewer").json()["user"] == "keeper-kim"
    assert len(anna.console.login._sessions) == count


def with_field(url: str, **changes: str) -> str:
    """An address with other fields in its query."""
    fields = fields_of(url) | changes
    return str(httpx2.URL(url.partition("?")[0], params={name: one for name, one in fields.items() if one}))


def replayed(person: Person) -> str:
    back = person.chosen(person.sent_to(), "anna")
    cookie = person.http.cookies["pledgewatch-login"]
    assert person.get(back).status_code == 303
    person.http.cookies.set("pledgewatch-login", cookie, domain="127.0.0.1")
    return back


def from_another_browser(person: Person) -> str:
    with Person(person.console) as other:
        back = other.chosen(other.sent_to(), "anna")
    person.sent_to()
    return back


def too_late(person: Person) -> str:
    back = person.chosen(person.sent_to(), "anna")
    person.console.now.at_ms += ATTEMPT_S * 1_000
    return back


def code_reused(person: Person) -> str:
    used = person.chosen(person.sent_to(), "anna")
    assert person.get(used).status_code == 303
    return with_field(person.chosen(person.sent_to(), "anna"), code=fields_of(used)["code"])


def code_of_another_login(person: Person) -> str:
    with Person(person.console) as other:
        code = fields_of(other.chosen(other.sent_to(), "anna"))["code"]
    return with_field(person.chosen(person.sent_to(), "anna"), code=code)


def back_with(**changes: str) -> Callable[[Person], str]:
    return lambda person: with_field(person.chosen(person.sent_to(), "anna"), **changes)


def sent_with(**changes: str) -> Callable[[Person], str]:
    """The browser, or who sits in it, has changed what the issuer is asked."""
    return lambda person: person.chosen(with_field(person.sent_to(), **changes), "anna")


REFUSED: dict[str, tuple[Callable[[Person], str], int, str]] = {
    "replayed state": (replayed, 400, "not under way"),
    "state of another browser": (from_another_browser, 400, "not under way"),
    "state that was never given": (back_with(state="x" * 43), 400, "not under way"),
    "no state": (back_with(state=""), 400, "not under way"),
    "too late": (too_late, 400, "not under way"),
    "code shown before": (code_reused, 403, "invalid_grant"),
    "PKCE mismatch": (code_of_another_login, 403, "invalid_grant"),
    "another PKCE challenge": (sent_with(code_challenge="x" * 43), 403, "invalid_grant"),
    "wrong nonce": (sent_with(nonce="another"), 403, "nonce"),
    "no nonce": (sent_with(nonce=""), 403, "nonce"),
    "a made-up code": (back_with(code="made-up"), 403, "invalid_grant"),
    "no code": (back_with(code=""), 403, "did not log you in"),
    "the issuer says no": (back_with(error="access_denied"), 403, "did not log you in"),
    "another issuer answers": (back_with(iss="https://evil.example"), 400, "iss"),
    "the issuer's name is left out": (back_with(iss=""), 400, "iss"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_login_that_was_tampered_with_lets_nobody_in(person: Person, name: str) -> None:
    make, status, why = REFUSED[name]
    back = make(person)
    if "pledgewatch" in person.http.cookies:
        person.http.cookies.delete("pledgewatch")
    count = len(person.console.login._sessions)
    problem = assert_problem(person.get(back), status)
    assert why in problem["detail"]
    assert "pledgewatch" not in person.http.cookies
    assert len(person.console.login._sessions) == count


@pytest.mark.parametrize(
    "page",
    [
        *(
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/lots",
            "javascript:alert(1)",
            "\\\\evil.example",
        ),
        *(
            "#",
            "#lots",
            "x#/lots",
            "#/lots\nlocation: https://evil.example",
            "#/<script>",
            "@evil.example",
            ".evil.example",
        ),
    ],
)
def test_a_login_ends_at_a_page_of_the_console_and_nowhere_else(person: Person, page: str) -> None:
    answer = person.http.get("/login", params={"next": page})
    assert_problem(answer, 400)
    assert "location" not in answer.headers
    answer = person.http.get("/login", params={"next": page}, headers=HTML)
    assert answer.headers["location"] == f"{person.console.url}/#/refused/state"
    with pytest.raises(LoginError):
        person.console.login.begin(page)


def test_beyond_this_machine_cookies_are_secure_and_of_this_host_alone(issuer: Issuer, tmp_path: Path) -> None:
    with (
        Console(tmp_path, issuer.url, OWN_PORT, base_url="https://watch.example/at") as console,
        Person(console) as person,
    ):
        answer = person.http.get("/login")
        begun = answer.headers["set-cookie"]
        assert begun.startswith("__Host-pledgewatch-login=")
        assert all(part in begun for part in ("; Secure", "; HttpOnly", "; Path=/", "SameSite=lax"))
        url = str(answer.headers["location"])
        assert fields_of(url)["redirect_uri"] == "https://watch.example/at/login/callback"
        back = person.chosen(url, "anna").replace("https://watch.example/at", console.url)
        answer = person.http.get(back, headers={"cookie": begun.partition(";")[0]})
        assert answer.headers["location"] == "https://watch.example/at/"
        given = [one for one in answer.headers.get_list("set-cookie") if "Max-Age=0" not in one]
        assert {one.partition("=")[0] for one in given} == {"__Host-pledgewatch", "__Host-pledgewatch-guard"}
        assert all("; Secure" in one and "SameSite=strict" in one and "Domain" not in one for one in given)
        assert console.login.origin == "https://watch.example"


def test_an_id_token_opens_nothing_and_a_broken_token_is_a_401(anna: Person) -> None:
    found = tokens_of(anna, "anna")
    token = found["access_token"]
    with httpx2.Client(base_url=anna.console.url, timeout=60) as bare:
        for one, why in (
            (found["id_token"], "(typ)"),
            (token[:-8] + "AAAAAAAA", "signature"),
            (token + ".x", "known by this key"),
        ):
            answer = bare.get("/viewer", headers=shown(one))
            assert why in assert_problem(answer, 401)["detail"]
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert one not in answer.text
        assert_problem(anna.http.get("/viewer", headers=shown("wrong")), 401)  # what is shown counts, not the session


def test_steps_of_logins_are_counted_for_each_address(person: Person) -> None:
    wait_s = [person.console.service.logins.wait_s("127.0.0.1") for _ in range(access.LOGINS_PER_MINUTE)]
    assert not any(wait_s)
    for method, path in (("GET", "/login"), ("GET", "/login/callback"), ("POST", "/login/end")):
        answer = person.http.request(method, path)
        assert_problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1


def test_where_nobody_logs_in_there_is_nothing_of_it(tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    seeing.pledge(FIRST, BANK)
    client = seeing.client
    for method, path in (("GET", "/login"), ("GET", "/login/callback"), ("POST", "/login/end")):
        assert_problem(client.request(method, path), 404)
    del client.headers["authorization"]
    assert "login" not in assert_problem(client.get("/viewer", headers={"cookie": "pledgewatch=x"}), 401)
    seeing.close()


def test_until_the_issuer_has_answered_nobody_logs_in_and_keys_open(issuer: Issuer, tmp_path: Path) -> None:
    with Console(tmp_path, issuer.url, OWN_PORT) as console, Person(console) as person:
        token = tokens_of(person, "anna")["access_token"]
        console.login.provider._known = None
        assert_problem(person.http.get("/login"), 503)
        answer = person.http.get("/viewer", headers=shown(token))
        assert_problem(answer, 503)
        assert answer.headers["retry-after"] == "5"
        assert person.http.get("/viewer", headers=shown(USERS["lender-one"].key)).status_code == 200


def test_sessions_are_bounded_and_the_one_that_was_used_longest_ago_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 4)
    monkeypatch.setattr(sessions, "OF_ONE_MAX", 2)
    held = Sessions(100, 1_000)
    first, second = held.begin("anna", 0), held.begin("anna", 1)
    assert held.subject_of(first, 2, is_used=True) == "anna"
    third = held.begin("anna", 3)
    assert [held.subject_of(one, 3, is_used=False) for one in (first, second, third)] == ["anna", None, "anna"]
    others = [held.begin(name, 4) for name in ("bo", "kim", "lu")]
    assert len(held) == 4
    assert [held.subject_of(one, 4, is_used=False) for one in (first, third, *others)] == [
        None,
        "anna",
        "bo",
        "kim",
        "lu",
    ]
    held.begin("mia", 200)
    assert len(held) == 1, "what has ended takes no place"


def test_logins_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ATTEMPTS_MAX", 3)
    under_way = Attempts()
    begun = [under_way.begin("", 0) for _ in range(5)]
    assert len(under_way) == 3
    assert under_way.take(begun[1].state, begun[1].cookie, 1) is None
    assert under_way.take(begun[4].state, begun[4].cookie, 1) == begun[4]
    under_way.begin("", ATTEMPT_S)
    assert len(under_way) == 1


def test_the_issuer_for_development_says_of_tokens_which_they_are(anna: Person) -> None:
    """Of an access token what RFC 9068, 2 wants of it."""
    found = tokens_of(anna, "anna")
    header, claims = (json.loads(_decoded(one)) for one in found["access_token"].split(".")[:2])
    assert header["typ"] == "at+jwt"
    assert (claims["aud"], claims["sub"], claims["iss"]) == (AUDIENCE, "anna", anna.console.issuer)
    assert {"exp", "iat", "jti", "client_id"} < set(claims)
    assert claims["jti"] != json.loads(_decoded(tokens_of(anna, "anna")["access_token"].split(".")[1]))["jti"]
    header, claims = (json.loads(_decoded(one)) for one in found["id_token"].split(".")[:2])
    assert header["typ"] == "JWT"
    assert "jti" not in claims


def _decoded(part: str) -> bytes:
    import base64  # noqa: PLC0415 - here alone

    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
