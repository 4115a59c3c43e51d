"""Who is let in to the API, how often, what of it is noted, and what is around every answer."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_cloud import assert_problem, client_over, shown
from builders import NOON_MS, ManualClock
from keeping import LINE
from receipting import BANK, FIRST
from seeing import OTHER_LINE, USERS, Seeing

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.access.audit import MAX, Audit
from pledgewatch_cloud.access.identify import KEEPER, new_key, sha256_of
from pledgewatch_cloud.access.rates import Rates
from pledgewatch_cloud.config import RoleRates
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.journal.store import StoreError


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    yield made
    made.close()


def user(**changes: object) -> dict[str, object]:
    """A user as an amendment says it."""
    return {"id": "u", "name": "U", "party": "p", "role": "lender", **changes}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"role": "king"}, "is none of keeper, lender"),
        ({"facilities": ["line"]}, "a lender sees what its party has part in"),
        ({"role": "auditor", "facilities": ["ghost"]}, "there is no 'ghost' among facilities"),
        ({"keys": [{"kid": "a", "sha256": "0" * 63}]}, "does not match"),
        ({"keys": [{"kid": "a", "sha256": "0" * 64}, {"kid": "a", "sha256": "1" * 64}]}, "each with a kid of its own"),
        ({"subjects": [{"issuer": "ftp://x", "subject": "1"}]}, "does not match"),
    ],
)
def test_a_user_who_cannot_be_is_refused_with_the_place(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(BookError, match=fault):
        book_module.amend(book_module.empty(), {"users": [user(**changes)]})


def test_two_users_have_no_key_and_no_subject_in_common() -> None:
    key = {"keys": [{"kid": "k", "sha256": "0" * 64}]}
    with pytest.raises(BookError, match="users u2: a key of theirs is one of u already"):
        book_module.amend(book_module.empty(), {"users": [user(**key), user(id="u2", **key)]})


def test_users_are_written_as_they_were_said() -> None:
    key = {"kid": "k", "sha256": "0" * 64, "scope": "write", "until": "2027-01-01T00:00:00Z"}
    said = user(keys=[key], subjects=[{"issuer": "https://id.example", "subject": "1"}], until="2027-02-01T00:00:00Z")
    book = book_module.amend(book_module.empty(), {"users": [said]})
    assert book_module.as_document(book)["users"] == [said]


def test_a_key_opens_until_it_ends_and_no_longer_than_it_is_in_the_book(seeing: Seeing) -> None:
    key, sha256 = new_key()
    until = iso(seeing.keeping.clock.at_ms + 3 * 60_000)
    one = {**USERS["lender-one"].user, "keys": [{"kid": "k", "sha256": sha256, "until": until}]}
    seeing.keeping.amend(users=[one])

    def status(shown_key: str) -> int:
        return seeing.client.get("/facilities", headers=shown(shown_key)).status_code

    assert status(key) == 200
    assert status(USERS["lender-one"].key) == 401  # it is the user's no more
    assert status(key[:-1] + ("a" if key[-1] != "a" else "b")) == 401
    seeing.tick(3)
    assert status(key) == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Basic a", "Bearer pwk_", "bearer wrong", "Bearer \u00e9"])
def test_who_shows_nothing_that_is_known_is_told_what_to_show_and_nothing_else(seeing: Seeing, header: str) -> None:
    raw = [(b"authorization", header.encode("latin-1"))]
    answer = seeing.client.get("/facilities", headers=raw)
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert LINE not in answer.text


OPEN = ("/healthz", "/readyz", "/", "/docs", "/openapi.json", "/receipts/register")


def test_what_is_for_everybody_is_answered_without_a_key_and_nothing_else_is(seeing: Seeing) -> None:
    del seeing.client.headers["authorization"]
    for path in OPEN:
        assert seeing.client.get(path).status_code == 200, path
    paths = seeing.client.get("/openapi.json").json()["paths"]
    open_paths = {*OPEN, "/receipts/issuer", "/receipts/status-lists/{number}"}
    open_paths.add("/receipts/status-lists/{purpose}/{number}")
    for path, methods in paths.items():
        if "get" in methods and path not in open_paths:
            filled = path.replace("{by}", "vessel").replace("{number}", "1")
            assert seeing.client.get(filled).status_code == 401, path


FOR_KEEPERS = ("/outbox/endpoints", "/outbox/dead", "/quarantine", "/registry", "/metrics", "/status", "/audit")


@pytest.mark.parametrize("path", FOR_KEEPERS)
def test_what_is_of_the_service_as_a_whole_is_for_keepers(seeing: Seeing, path: str) -> None:
    for name, one in USERS.items():
        found = seeing.client.get(path, headers=shown(one.key)).status_code
        assert found == (200 if one.user["role"] == "keeper" else 403), name


def test_who_may_write_what(seeing: Seeing) -> None:
    def status(name: str, path: str, body: object) -> int:
        return seeing.client.post(path, json=body, headers=shown(USERS[name].key)).status_code

    for name, one in USERS.items():
        keeper = one.user["role"] == "keeper"
        assert status(name, "/book/amendments", {}) == (200 if keeper else 403), name
        assert status(name, "/market/quotes", {}) == (200 if keeper else 403), name
    movement = {"movements": [{"id": "m", "kind": "drawdown", "at": iso(NOON_MS), "amount_minor": 5}]}
    moved = {name: status(name, f"/facilities/{OTHER_LINE}/movements", movement) for name in USERS}
    assert moved["lender-two"] == 200
    assert (moved["lender-one"], moved["borrower-two"], moved["auditor-two"]) == (404, 403, 403)
    seeing.keeping.amend(users=[{**USERS["keeper-kim"].user, "keys": [_read_only("keeper-kim")]}])
    assert status("keeper-kim", "/book/amendments", {}) == 403


def _read_only(name: str) -> dict[str, str]:
    return {"kid": "k1", "sha256": sha256_of(USERS[name].key), "scope": "read"}


def test_a_role_may_ask_more_or_less_often_than_others(tmp_path: Path) -> None:
    made = Seeing(tmp_path, requests_per_minute_of={Role.AUDITOR: 2})
    found = {
        name: [made.client.get("/viewer", headers=shown(USERS[name].key)).status_code for _ in range(3)]
        for name in ("auditor-two", "lender-one")
    }
    assert found == {"auditor-two": [200, 200, 429], "lender-one": [200, 200, 200]}
    assert RoleRates(auditor=2).set_ones() == {Role.AUDITOR: 2}
    with pytest.raises(ValueError, match="must not be below 0"):
        RoleRates(keeper=-1)
    made.close()


def test_an_alert_is_taken_on_by_who_sees_it_and_in_their_own_name(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    seeing.tick()
    seeing.keeping.row("sold", 10, minute=seeing.minute)
    (alert,) = seeing.get("lender-one", "/alerts")

    def take(name: str) -> int:
        path = f"/alerts/{alert['id']}/acknowledgement"
        return seeing.client.post(path, json={"by": "somebody else"}, headers=shown(USERS[name].key)).status_code

    assert (take("lender-two"), take("auditor-two"), take("lender-one")) == (409, 403, 200)
    assert seeing.get("keeper-kim", "/alerts")[0]["acknowledged_by"] == "lender-one"


def test_every_request_of_a_user_is_in_the_journal(seeing: Seeing) -> None:
    service = seeing.client.app.state.service
    for _ in range(3):
        seeing.get("lender-one", "/facilities")
    seeing.get("lender-one", "/facilities/ghost")
    seeing.get("lender-two", "/quarantine")
    seeing.client.get("/healthz", headers={"authorization": ""})  # of nobody in particular
    asyncio.run(service.audit.commit())
    rows = [{key: one[key] for key in ("user", "role", "path", "status", "count")} for one in _audit(seeing)]
    assert rows == [
        {"user": "lender-one", "role": "lender", "path": "/facilities", "status": 200, "count": 3},
        {"user": "lender-one", "role": "lender", "path": "/facilities/{facility}", "status": 404, "count": 1},
        {"user": "lender-two", "role": "lender", "path": "/quarantine", "status": 403, "count": 1},
    ]
    asyncio.run(service.audit.commit())  # that the keeper has read it, and then nothing more
    assert [one["path"] for one in _audit(seeing, "?user=keeper")] == ["/audit"]


def test_what_a_user_has_written_is_noted_with_the_entry_that_it_came_to(seeing: Seeing) -> None:
    service = seeing.client.app.state.service
    quotes = {"rates": [{"currency": "USD", "date": "2026-01-01", "rate": "1.1789"}]}
    answer = seeing.client.post("/market/quotes", json=quotes, headers=shown(USERS["keeper-kim"].key)).json()
    assert answer["changed"], answer
    asyncio.run(service.audit.commit())
    (row,) = _audit(seeing)
    assert (row["user"], row["method"], row["after_entry"]) == ("keeper-kim", "POST", answer["entry"])


def _audit(seeing: Seeing, query: str = "") -> list[dict[str, object]]:
    found: list[dict[str, object]] = seeing.client.get(f"/audit{query}").json()["rows"]
    return found


def test_notes_that_the_disk_does_not_take_wait_and_stop_the_answers_when_they_are_too_many(
    seeing: Seeing, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = Audit(seeing.writer, ManualClock())
    audit.note(KEEPER, "GET", "/book", 200)

    async def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(seeing.writer, "commit", fail)
        with pytest.raises(StoreError):
            asyncio.run(audit.commit())
    audit.note(KEEPER, "GET", "/book", 200)
    entry = seeing.keeping.spine.state.entry
    asyncio.run(audit.commit())
    (written,) = seeing.store.entries_of("accesses", entry)
    assert json.loads(written.body)["rows"] == [[NOON_MS, "keeper", "", "keeper", "GET", "/book", 200, 0, 2]]
    for number in range(MAX):
        audit.note(KEEPER, "GET", f"/{number}", 200)
    assert audit.is_full


def test_who_asks_too_often_is_told_when_to_ask_again(seeing: Seeing) -> None:
    others = {"clock": seeing.keeping.clock, "token": "not-a-secret", "requests_per_minute": 3}
    client = client_over(seeing.store, seeing.writer, seeing.series, **others)
    assert [client.get("/facilities").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert int(client.get("/facilities").headers["retry-after"]) in range(1, 22)
    assert client.get("/facilities", headers=shown(USERS["lender-one"].key)).status_code == 200
    assert [client.get("/book", headers=shown("wrong")).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_a_bucket_fills_again_and_holds_no_more_than_a_minutes_worth() -> None:
    now = [0.0]
    rates = Rates(60, lambda: now[0])
    assert [rates.wait_s("a") for _ in range(61)] == [0] * 60 + [1]
    now[0] = 1.0
    assert [rates.wait_s("a"), rates.wait_s("a"), rates.wait_s("b")] == [0, 1, 0]
    now[0] = 10_000.0
    assert [rates.wait_s("a") for _ in range(61)].count(0) == 60


def test_answers_are_kept_from_frames_and_other_origins(seeing: Seeing) -> None:
    for path in ("/", "/facilities", "/facilities/ghost"):
        answer = seeing.client.get(path, headers={"origin": "https://elsewhere.example"})
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_a_key_is_made_in_a_file_of_its_own_or_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "reports.key"
    assert main(["users", "key", "reports", "--file", str(file)]) == 0
    said = json.loads(capsys.readouterr().out)
    key = file.read_text(encoding="ascii").strip()
    assert said == {"kid": "reports", "sha256": sha256_of(key), "scope": "read"}
    assert file.stat().st_mode & 0o077 == 0
    assert main(["users", "key", "reports", "--file", str(file)]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["users", "key", "reports", "--scope", "write"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["sha256"] == sha256_of(printed.err.split()[0])


def test_every_role_is_in_the_table_of_the_docs() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "ACCESS.md").read_text(encoding="utf-8")
    assert [one for one in Role if f"| {one} |" not in text] == []
