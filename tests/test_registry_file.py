"""A registry's API over its file: who may ask, what is kept of it, and that the file is what was written."""

import json
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from api_cloud import assert_problem
from asking import AppClient
from builders import ManualClock
from joining import BOX, MARKS_KEY, NEXT_KEY
from receipting import NOON_MS

from pledgewatch_cloud import signature
from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide.receipts.claims import Claim
from pledgewatch_cloud.decide.registry import request
from pledgewatch_cloud.decide.registry.request import (
    Claiming,
    ListingClaims,
    ListingClashes,
    Request,
    UsingKeys,
    Withdrawing,
    digest_of,
)
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.notices.senders import NAMED_BY, SenderKeys, Senders
from pledgewatch_cloud.registry.app import BODY_MAX_BYTES, Desk, create_app
from pledgewatch_cloud.registry.kept import FILE_NAME, KeptBook, Signed
from pledgewatch_cloud.registry.service import use_keys
from pledgewatch_cloud.registry.settings import RegistrySettings
from pledgewatch_cloud.serving import ServingError
from pledgewatch_cloud.signature import Key
from pledgewatch_wire.settings import SettingsError, load

ONE, TWO = "bank-one", "bank-two"
OTHER_BOX = "CSQU3054383"
SECRETS = {ONE: f"whsec_{'x' * 40}", TWO: f"whsec_{'y' * 40}"}
AN_HOUR = 50
_ANY_TURN = 1


def reference(number: int) -> str:
    """A reference that means nothing."""
    return f"{number:064x}"


def claiming(number: int, *values: str) -> Claiming:
    """Containers, claimed under a reference."""
    marks = MARKS_KEY.marks([Claim("container", value) for value in values])
    return Claiming(_ANY_TURN, reference(number), {MARKS_KEY.fingerprint: marks})


def withdrawing(number: int) -> Withdrawing:
    """Nothing is claimed under a reference any more."""
    return Withdrawing(_ANY_TURN, reference(number))


class Office:
    """A registry's API in this process, and members that sign."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(NOON_MS)
        self.messages = 0
        self.turn = 0
        self.open()

    def open(self) -> None:
        """As after a start."""
        self.kept = KeptBook(self.folder)
        self.members = Senders([SenderKeys(name, (Key(secret),)) for name, secret in SECRETS.items()])
        if not self.kept.book.keys.key:
            self.kept.ask(
                Signed("", "first", 0, "", request.write(UsingKeys(MARKS_KEY.fingerprint, ""))),
                UsingKeys(MARKS_KEY.fingerprint, ""),
                NOON_MS,
                0,
            )
        desk = Desk(self.kept, self.members, dict.fromkeys(SECRETS, AN_HOUR), self.clock)
        self.client = AppClient(create_app(desk))

    def headers(self, member: str, body: bytes, message: str = "", at_ms: int | None = None) -> dict[str, str]:
        """The headers of a request that a member signs."""
        self.messages += 1
        at_s = (self.clock.at_ms if at_ms is None else at_ms) // 1_000
        signed = signature.headers([Key(SECRETS[member])], message or f"m-{self.messages}", at_s, body)
        return {"content-type": "application/json", NAMED_BY: member, **signed}

    def post(self, member: str, asked: Request | bytes, message: str = "", turn: int = 0) -> httpx2.Response:
        """A member asks, in a later turn than all before, or in one that is named."""
        if isinstance(asked, Claiming | Withdrawing):
            self.turn += 1
            asked = asked._replace(turn=turn or self.turn)
        body = asked if isinstance(asked, bytes) else request.write(asked)
        return self.client.post("/requests", content=body, headers=self.headers(member, body, message))

    def ask(self, member: str, asked: Request, message: str = "", turn: int = 0) -> dict[str, Any]:
        """A member is answered."""
        answer = self.post(member, asked, message, turn)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @property
    def rows(self) -> int:
        """How many requests are kept."""
        with sqlite3.connect(f"file:{self.folder / FILE_NAME}?mode=ro", uri=True) as connection:
            (count,) = connection.execute("SELECT count(*) FROM asked").fetchone()
        connection.close()
        return int(count)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    found = Office(tmp_path)
    yield found
    found.kept.close()


def test_a_claim_is_answered_kept_and_found_again_by_its_member_alone(office: Office) -> None:
    assert office.ask(ONE, claiming(1, BOX)) == {"answer": "claimed", "changed": True}
    assert office.ask(ONE, claiming(1, BOX)) == {"answer": "claimed", "changed": False}
    clash = office.ask(TWO, claiming(2, BOX))
    assert set(clash) == {"answer", "clash"}
    mine = office.ask(ONE, ListingClaims(""))
    digest = digest_of(MARKS_KEY.marks([Claim("container", BOX)]))
    assert mine["keys"] == {"key": MARKS_KEY.fingerprint, "next_key": ""}
    assert [(one["reference"], one["marks"]) for one in mine["claims"]] == [
        (reference(1), {MARKS_KEY.fingerprint: digest})
    ]
    assert office.ask(ONE, ListingClaims(reference(1)))["claims"] == []
    assert office.ask(TWO, ListingClaims(""))["claims"] == []
    for member, number, is_refused in ((ONE, 1, False), (TWO, 2, True)):
        (seen,) = office.ask(member, ListingClashes())["clashes"]
        assert (seen["clash"], seen["reference"], seen["refused"]) == (clash["clash"], reference(number), is_refused)
    assert office.rows == 4


def test_a_page_of_claims_says_where_it_goes_on(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pledgewatch_cloud.registry.app.CLAIMS_SHOWN_MAX", 2)
    for number in (3, 1, 2):
        office.ask(ONE, claiming(number, f"{number}"))
    first = office.ask(ONE, ListingClaims(""))
    assert [one["reference"] for one in first["claims"]] == [reference(1), reference(2)]
    assert first["more"]
    rest = office.ask(ONE, ListingClaims(reference(2)))
    assert [one["reference"] for one in rest["claims"]] == [reference(3)]
    assert not rest["more"]


def test_who_shows_no_signature_of_a_member_is_told_nothing(office: Office) -> None:
    body = request.write(claiming(1, BOX))
    good = office.headers(ONE, body)
    for headers in (
        {"content-type": "application/json"},
        good | {NAMED_BY: TWO},
        good | {NAMED_BY: "stranger"},
        good | {"webhook-id": "another"},
        office.headers(ONE, body, at_ms=NOON_MS - 301_000),
        office.headers(ONE, b"{}"),
        {"content-type": "application/json", "authorization": f"Bearer {SECRETS[ONE]}"},
    ):
        assert_problem(office.client.post("/requests", content=body, headers=headers), 401)
    assert office.rows == 1
    assert office.client.post("/requests", content=body, headers=good).status_code == 200


def test_a_request_that_is_sent_again_has_its_answer_again_and_does_nothing(office: Office) -> None:
    first = office.ask(ONE, claiming(1, BOX), "m-first", turn=1)
    office.ask(ONE, withdrawing(1), "m-second")
    assert office.ask(ONE, claiming(1, BOX), "m-first", turn=1) == first  # whoever caught it on its way gains nothing
    assert office.ask(ONE, ListingClaims(""))["claims"] == []
    problem = assert_problem(office.post(ONE, claiming(2, BOX), "m-first"), 422)
    assert "webhook-id" in problem["detail"]
    assert office.ask(TWO, claiming(1, BOX), "m-first")["answer"] == "claimed"  # ids are each member's own
    assert office.rows == 4


def test_what_comes_in_after_something_later_is_refused_and_not_kept(office: Office) -> None:
    office.ask(ONE, claiming(1, BOX), turn=2)
    for late in (withdrawing(1), claiming(1, OTHER_BOX)):
        problem = assert_problem(office.post(ONE, late, turn=2), 409)
        assert "2 comes in after 2" in problem["detail"]
    assert office.rows == 2
    assert office.ask(TWO, claiming(1, BOX), turn=1)["answer"] == "clash"
    assert [office.ask(member, ListingClaims(""))["turn"] for member in (ONE, TWO)] == [2, 1]
    office.kept.close()
    office.open()
    assert_problem(office.post(ONE, withdrawing(1), turn=1), 409)
    assert office.ask(ONE, withdrawing(1), turn=3)["changed"]


def test_a_clock_that_is_set_back_gives_no_questions_for_nothing(office: Office) -> None:
    office.clock.at_ms += 3_600_000
    for number in range(AN_HOUR):
        office.ask(ONE, claiming(number, str(number)))
    office.clock.at_ms -= 3_600_000
    assert_problem(office.post(ONE, claiming(999, "other")), 429)
    assert office.ask(TWO, claiming(1, "another"))["answer"] == "claimed"
    (known,) = office.kept.book.live(TWO)
    assert known.claimed_ms == NOON_MS + 3_600_000


def test_questions_are_kept_with_what_shows_whose_they_are(office: Office) -> None:
    office.ask(ONE, claiming(1, BOX), "m-one")
    office.ask(TWO, claiming(1, BOX), "m-two")
    with sqlite3.connect(office.folder / FILE_NAME) as connection:
        rows = connection.execute(
            "SELECT member, message, signed_at_s, signature, body FROM asked ORDER BY number"
        ).fetchall()
    connection.close()
    for member, message, at_s, signed, body in rows[1:]:
        assert signed == Key(SECRETS[member]).sign(message, at_s, body)
    assert [row[0] for row in rows] == ["", ONE, TWO]


def test_so_many_questions_an_hour_and_giving_up_is_none(office: Office) -> None:
    for number in range(AN_HOUR):
        office.ask(ONE, claiming(number, str(number)))
    refused = office.post(ONE, claiming(999, "other"))
    assert_problem(refused, 429)
    assert refused.headers["retry-after"] == "3600"
    assert office.ask(ONE, withdrawing(0)) == {"answer": "withdrawn", "changed": True}
    assert_problem(office.post(ONE, withdrawing(0)), 429)  # of nothing it would be a question
    assert office.ask(TWO, claiming(1, "0"))["answer"] == "claimed"
    office.clock.at_ms += 3_600_000
    assert office.ask(ONE, claiming(999, "other"))["answer"] == "claimed"


def test_what_is_no_request_is_refused_and_not_kept(office: Office) -> None:
    for body, status in (
        (b"{}", 422),
        (b"[", 422),
        (b'{"request": "drop", "member": "bank-two"}', 422),
        (b'{"request": "keys", "key": "", "next_key": ""}', 422),
        (b" " * (BODY_MAX_BYTES + 1), 413),
    ):
        assert_problem(office.post(ONE, body), status)
    long = office.post(ONE, claiming(1, BOX), "m" * 101)
    assert_problem(long, 422)
    other = Claiming(_ANY_TURN, reference(1), {NEXT_KEY.fingerprint: (reference(2),)})
    assert "openssl" not in assert_problem(office.post(ONE, other), 422)["detail"]
    assert office.client.get("/requests").status_code == 405
    assert office.client.get("/openapi.json").status_code == 404
    assert office.client.get("/healthz").json() == {"status": "ok"}
    assert office.rows == 1


def test_unknown_and_foreign_references_have_the_same_answer_in_the_same_time(office: Office) -> None:
    office.ask(ONE, claiming(1, *(str(number) for number in range(2_000))))
    office.kept.book.get(ONE, reference(1))
    took: dict[int, list[float]] = {1: [], 2: []}  # of another member, and of nobody
    answers = set()
    desk_limit = AN_HOUR // 2 - 1
    for _ in range(desk_limit):
        for number, times in took.items():
            began = time.perf_counter()
            answer = office.post(TWO, withdrawing(number))
            times.append(time.perf_counter() - began)
            answers.add((answer.status_code, answer.content, tuple(sorted(answer.headers))))
    assert answers == {(200, b'{"answer":"withdrawn","changed":false}', ("content-length", "content-type"))}
    foreign, unknown = map(statistics.median, took.values())
    assert 1 / 3 < foreign / unknown < 3


def test_a_start_has_every_answer_again_and_the_same_book(office: Office) -> None:
    office.ask(ONE, claiming(1, BOX))
    office.ask(TWO, claiming(2, BOX))
    office.ask(ONE, withdrawing(1))
    office.ask(TWO, claiming(2, BOX))
    before = office.kept.book
    office.kept.close()
    office.open()
    assert office.kept.book == before
    assert office.ask(ONE, claiming(1, BOX))["answer"] == "clash"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE asked SET body = CAST(body || ' ' AS BLOB) WHERE number = 2", "entry 2: is not what"),
        ("UPDATE asked SET answer = replace(answer, 'claimed', 'clash') WHERE number = 2", "entry 2: is not what"),
        ("UPDATE asked SET member = 'bank-two' WHERE number = 2", "entry 2: is not what"),
        ("UPDATE asked SET at_ms = at_ms + 1 WHERE number = 3", "entry 3: is not what"),
        ("UPDATE asked SET signature = '' WHERE number = 3", "entry 3: is not what"),
        ("UPDATE asked SET hash = x'00' WHERE number = 3", "entry 3: is not what"),
        ("DELETE FROM asked WHERE number = 3", "entry 3: is missing"),
    ],
)
def test_a_file_that_was_changed_is_found_out(office: Office, change: str, said: str) -> None:
    office.ask(ONE, claiming(1, BOX))
    office.ask(TWO, claiming(2, BOX))
    office.ask(ONE, withdrawing(1))
    office.kept.close()
    with sqlite3.connect(office.folder / FILE_NAME) as connection:
        assert connection.execute(change).rowcount == 1
    connection.close()
    with pytest.raises(DamagedError, match=said):
        KeptBook(office.folder)


def test_an_answer_that_the_book_does_not_give_is_found_out(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.ask(ONE, claiming(1, BOX))
    office.kept.close()
    monkeypatch.setattr("pledgewatch_cloud.registry.kept._Row.hashed", lambda self, _: self.hash)
    with sqlite3.connect(office.folder / FILE_NAME) as connection:
        connection.execute("UPDATE asked SET answer = '{}' WHERE number = 2")
    connection.close()
    with pytest.raises(DamagedError, match="another answer"):
        KeptBook(office.folder)


class _Faulty:
    """A connection whose commits fail, before or after they are done."""

    def __init__(self, real: sqlite3.Connection, *, is_done: bool) -> None:
        self._real = real
        self._is_done = is_done
        self.fails = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """See sqlite3."""
        if statement == "COMMIT" and self.fails:
            if self._is_done:
                self._real.execute(statement)
            raise sqlite3.OperationalError("disk I/O error")
        return self._real.execute(statement, *values)


@pytest.mark.parametrize("is_done", [False, True])
def test_a_disk_that_fails_is_said_and_nothing_is_answered_that_is_not_on_it(office: Office, *, is_done: bool) -> None:
    faulty = _Faulty(office.kept._connection, is_done=is_done)
    office.kept._connection = faulty  # type: ignore[assignment]
    assert_problem(office.post(ONE, claiming(1, BOX)), 503)
    faulty.fails = False
    assert office.ask(TWO, claiming(2, BOX))["answer"] == ("clash" if is_done else "claimed")
    assert office.rows == (3 if is_done else 2)
    office.kept.close()
    office.open()
    assert office.ask(TWO, claiming(2, BOX))["answer"] == ("clash" if is_done else "claimed")


def test_what_is_no_registry_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no registry here"):
        KeptBook(tmp_path, read_only=True)
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 100)
    with pytest.raises(StoreError):
        KeptBook(tmp_path)


CONFIGURATION = """
[service]
data_folder = "data"
[listen]
port = 0
[marks]
key = "{key}"
next_key = "{next_key}"
[[members]]
id = "bank-one"
secret_files = ["one.secret"]
[[members]]
id = "bank-two"
secret_files = ["two.secret"]
"""


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Path]:
    for name, member in (("one", ONE), ("two", TWO)):
        (tmp_path / f"{name}.secret").write_text(SECRETS[member], encoding="ascii")

    def write(key: str = MARKS_KEY.fingerprint, next_key: str = "", *changes: tuple[str, str]) -> Path:
        text = CONFIGURATION.format(key=key, next_key=next_key).replace('next_key = ""\n', "")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "registry.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_members_can_be_looked_at_and_keys_go_over_when_all_claims_have_them(
    tmp_path: Path, configured: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    office = Office(tmp_path / "data")
    office.ask(ONE, claiming(1, BOX))
    office.ask(ONE, withdrawing(1))
    office.ask(TWO, claiming(1, BOX))
    office.ask(ONE, claiming(1, BOX))
    settings = load(configured(MARKS_KEY.fingerprint, NEXT_KEY.fingerprint), RegistrySettings)
    use_keys(office.kept, settings, office.clock)
    use_keys(office.kept, settings, office.clock)
    assert office.rows == 6
    assert main(["registry", "members", "--config", str(tmp_path / "registry.toml")]) == 0
    assert [json.loads(one) for one in capsys.readouterr().out.splitlines()] == [
        {"member": ONE, "live": 0, "asked": 2, "clashed": 1, "withdrawn_within_an_hour": 1, "without_next_key": 0},
        {"member": TWO, "live": 1, "asked": 1, "clashed": 0, "withdrawn_within_an_hour": 0, "without_next_key": 1},
    ]
    with pytest.raises(ServingError, match="1 of bank-two"):
        use_keys(office.kept, load(configured(NEXT_KEY.fingerprint), RegistrySettings), office.clock)
    office.kept.close()


def test_a_member_that_has_gone_is_dropped(
    tmp_path: Path, configured: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    office = Office(tmp_path / "data")
    office.ask(TWO, claiming(1, BOX))
    office.kept.close()
    path = configured()
    assert main(["registry", "drop", "--config", str(path), TWO]) == 2
    assert "[[members]]" in capsys.readouterr().err
    configured(MARKS_KEY.fingerprint, "", ('[[members]]\nid = "bank-two"\nsecret_files = ["two.secret"]\n', ""))
    for is_changed in (True, False):
        assert main(["registry", "drop", "--config", str(path), TWO]) == 0
        assert json.loads(capsys.readouterr().out) == {"member": TWO, "changed": is_changed}
    office.open()
    assert office.ask(ONE, claiming(1, BOX))["answer"] == "claimed"
    office.kept.close()


def test_a_key_has_a_fingerprint_that_can_be_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "marks.key"
    path.write_text("c2hvcnQ=\n", encoding="ascii")
    assert main(["registry", "key", str(path)]) == 2
    assert "5 bytes" in capsys.readouterr().err
    path.write_text("bm90IGEgc2VjcmV0IG5vdCBhIHNlY3JldCBub3QgYSBzZWNyZXQg\n", encoding="ascii")
    assert main(["registry", "key", str(path)]) == 0
    assert capsys.readouterr().out == f"{MARKS_KEY.fingerprint}\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("port = 0", 'port = 0\nhost = "0.0.0.0"'), "certificate_file"),
        (("port = 0", "port = 65536"), "port is 65536"),
        (("port = 0", 'port = 0\nkey_file = "k"'), "goes with certificate_file"),
        ((f'key = "{MARKS_KEY.fingerprint}"', 'key = "secret"'), "registry key FILE"),
        (
            (
                f'key = "{MARKS_KEY.fingerprint}"',
                f'key = "{MARKS_KEY.fingerprint}"\nnext_key = "{MARKS_KEY.fingerprint}"',
            ),
            "are the same",
        ),
        (('"bank-two"', '"bank-one"'), "more than once"),
        (('"bank-two"', '"Bank Two"'), "lower-case"),
        (('secret_files = ["two.secret"]', "secret_files = []"), "one is needed"),
        (('secret_files = ["two.secret"]', 'secret_files = ["two.secret"]\nquestions_an_hour = 0'), "above 0"),
        (("[[members]]", "[[nobody]]"), "no key of this program"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused_with_its_place(
    configured: Callable[..., Path], change: tuple[str, str], said: str
) -> None:
    with pytest.raises(SettingsError, match=r"registry\.toml") as caught:
        load(configured(MARKS_KEY.fingerprint, "", change), RegistrySettings)
    assert said in str(caught.value)


def test_the_sample_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    sample = Path(__file__).resolve().parent.parent / "samples" / "registry.toml"
    assert main(["registry", "serve", "--config", str(sample), "--check"]) == 0
    assert "can be used" in capsys.readouterr().out
