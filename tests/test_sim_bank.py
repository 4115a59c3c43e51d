"""The sandbox financing core: believes only what is signed, books each message once, and keeps what it has booked."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_sim.bank import (
    MAX_BODY_BYTES,
    BankFile,
    Ledger,
    MisbehaviourSettings,
    create_bank,
    make_secret,
    read_secrets,
)
from pledgewatch_wire.settings import SettingsError, load

ROOT = Path(__file__).resolve().parent.parent
OLD_SECRET, SECRET, WRONG_SECRET = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))
PATIENCE_S = 20.0


def event(number: int, name: str = "record_base", **changes: Any) -> dict[str, Any]:
    """Message `number` of its facility, as the cloud would write it."""
    return {
        "specversion": "1.0",
        "id": f"journal.{number}",
        "source": "urn:pledgewatch:journal:journal",
        "type": f"com.pledgewatch.{name}.v1",
        "subject": "facility-1",
        "time": "2026-01-01T00:00:00.000Z",
        "datacontenttype": "application/json",
        "facility": "facility-1",
        "sequence": f"{number:020d}",
        "data": {"value_minor": number * 100, "currency": "USD"},
        **changes,
    }


def signed(body: str, identity: str, *, secret: str = SECRET, age_s: float = 0.0) -> dict[str, str]:
    """The headers of a message, signed `age_s` ago."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    return {
        "content-type": "application/cloudevents+json",
        "webhook-id": identity,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(identity, at, body),
    }


class Bank:
    """A core over a folder, and a client that signs."""

    def __init__(self, folder: Path, **misbehaviour: Any) -> None:
        self.ledger = Ledger(folder / "ledger.sqlite")
        self.client = TestClient(create_bank(self.ledger, [OLD_SECRET, SECRET], MisbehaviourSettings(**misbehaviour)))

    def send(self, one: dict[str, Any], **how: Any) -> httpx2.Response:
        """Send a message. `how`: secret, age_s."""
        return self.send_text(json.dumps(one), str(one.get("id", "nameless")), **how)

    def send_text(self, body: str, identity: str, **how: Any) -> httpx2.Response:
        """Send a body."""
        return self.client.post("/messages", content=body.encode(), headers=signed(body, identity, **how))

    def read(self, path: str = "/ledger") -> Any:
        """The JSON at a path."""
        answer = self.client.get(path)
        assert answer.status_code == 200
        return answer.json()

    def counts(self) -> dict[str, int]:
        """Every count that is not 0."""
        return {name: value for name, value in self.read()["counts"].items() if value}


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(tmp_path)
    yield made
    made.ledger.close()


def assert_problem(answer: httpx2.Response, status: int) -> None:
    """A refusal in the form of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]


def test_a_signed_message_is_booked(bank: Bank) -> None:
    assert bank.send(event(1)).status_code == 200
    assert bank.send(event(2), secret=OLD_SECRET).status_code == 200, "keys rotate: both are known"
    assert bank.counts() == {"received": 2, "verified": 2, "booked": 2}
    assert bank.read()["facilities"]["facility-1"]["base"] == {"value_minor": 200, "currency": "USD"}
    first, second = bank.read()["messages"]
    assert (first["id"], first["type"], first["facility"], first["sequence"]) == (
        "journal.1",
        "record_base",
        "facility-1",
        1,
    )
    assert first["received_at_ms"] <= second["received_at_ms"]
    assert bank.read("/healthz") == {"status": "ok"}


def test_what_is_not_signed_or_not_fresh_is_not_believed(bank: Bank) -> None:
    body = json.dumps(event(1))
    good = signed(body, "journal.1")
    refused = [
        signed(body, "journal.1", secret=WRONG_SECRET),
        signed(body, "journal.1", age_s=301),
        signed(body, "journal.1", age_s=-301),
        signed(body + " ", "journal.1"),
        signed(body, "journal.2") | {"webhook-id": "journal.1"},
        good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)},
        good | {"webhook-timestamp": "now"},
        good | {"webhook-signature": "v1"},
        good | {"webhook-signature": "v1,!!!"},
        good | {"webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        *({key: value for key, value in good.items() if key != missing} for missing in good if "webhook" in missing),
    ]
    for headers in refused:
        assert_problem(bank.client.post("/messages", content=body.encode(), headers=headers), 401)
    assert bank.counts() == {"received": len(refused), "rejected": len(refused)}
    assert bank.client.post("/messages", content=body.encode(), headers=good).status_code == 200
    both = good | {"webhook-signature": f"v1,AAAA {good['webhook-signature']}"}
    assert bank.client.post("/messages", content=body.encode(), headers=both).status_code == 200, "one of two is enough"


def test_a_large_body_is_refused_before_it_is_read_whole(bank: Bank) -> None:
    exact = event(1, data={"padding": ""})
    exact["data"]["padding"] = "x" * (MAX_BODY_BYTES - len(json.dumps(exact)))
    assert bank.send(exact).status_code == 200
    exact["data"]["padding"] += "x"
    assert_problem(bank.send(exact | {"id": "journal.2"}), 413)


@pytest.mark.parametrize(
    "wrong",
    [
        *({missing: None} for missing in event(1)),
        {"specversion": "0.3"},
        {"sequence": "-1"},
        {"sequence": "²"},
        {"sequence": "9" * 20},
        {"sequence": 5},
        {"facility": {"id": 1}},
        {"facility": ""},
        {"facility": "\ud800"},
        {"subject": 7},
        {"data": "release"},
        {"data": [1]},
        {"data": {"value_minor": float("inf")}},
        {"data": {"value_minor": float("nan")}},
    ],
    ids=str,
)
def test_what_is_no_message_of_ours_is_refused(bank: Bank, wrong: dict[str, Any]) -> None:
    one = {key: value for key, value in (event(1) | wrong).items() if value is not None}
    answer = bank.send(one)
    if set(wrong) <= {"time", "datacontenttype"}:  # CloudEvents leaves these to the sender
        assert answer.status_code == 200
    else:
        # Signed for the id that it should have.
        assert_problem(answer if "id" in one else bank.send_text(json.dumps(one), "journal.1"), 422)
        assert "booked" not in bank.counts()
    assert bank.client.get("/ledger").status_code == 200


@pytest.mark.parametrize("body", ["", "{", "null", "[]", '"id"', "5", "[" * 100_000, json.dumps([event(1)])])
def test_what_is_no_event_at_all_is_refused(bank: Bank, body: str) -> None:
    assert_problem(bank.send_text(body, "journal.1"), 422)


def test_bytes_that_are_no_text_are_refused(bank: Bank) -> None:
    answer = bank.client.post("/messages", content=b"\xff", headers=signed("x", "journal.1"))
    assert_problem(answer, 422)


def test_the_signed_id_is_the_events_id(bank: Bank) -> None:
    assert_problem(bank.send_text(json.dumps(event(1)), "journal.2"), 422)


def test_a_repeat_is_answered_and_books_nothing(bank: Bank) -> None:
    for _ in range(3):
        assert bank.send(event(1)).status_code == 200
    assert bank.counts() == {"received": 3, "verified": 3, "booked": 1, "repeats": 2}
    assert_problem(bank.send(event(1, data={"value_minor": 5})), 409)
    assert bank.counts()["conflicts"] == 1
    assert bank.read()["facilities"]["facility-1"]["base"]["value_minor"] == 100


def test_order_is_kept_by_facility(bank: Bank) -> None:
    for number, facility in [(1, "a"), (1, "b"), (2, "a"), (5, "a"), (3, "a"), (2, "b")]:
        assert bank.send(event(number, facility=facility, id=f"{facility}.{number}")).status_code == 200
    assert bank.counts() == {"received": 6, "verified": 6, "booked": 6, "gaps": 1, "out_of_order": 1}
    values = {facility: book["base"]["value_minor"] for facility, book in bank.read()["facilities"].items()}
    assert values == {"a": 500, "b": 200}, "the last value by its number, not by its arrival"
    arrived = [(one["facility"], one["sequence"]) for one in bank.read()["messages"]]
    assert arrived == [("a", 1), ("b", 1), ("a", 2), ("a", 5), ("a", 3), ("b", 2)]


def test_alerts_open_and_close(bank: Bank) -> None:
    story = [("raise_alert", "warm"), ("raise_alert", "late"), ("raise_alert", "warm"), ("raise_alert", "wet")]
    story += [("clear_alert", "late"), ("withdraw_alert", "wet"), ("clear_alert", "never raised")]
    for number, (name, subject) in enumerate(story, start=1):
        bank.send(event(number, name, subject=subject, data={}))
    assert bank.read()["facilities"]["facility-1"]["alerts_open"] == ["warm"]


def test_a_milestone_releases_once(bank: Bank) -> None:
    release = {"amount_minor": 2_500_000, "currency": "USD", "payee": "exporter"}
    bank.send(event(1, "release_disbursement", subject="gated-in", data=release))
    bank.send(event(2, "release_disbursement", subject="gated-in", data=release | {"amount_minor": 9}))
    bank.send(event(3, "release_disbursement", subject="sold", data=release))
    bank.send(event(4, "question_release", subject="sold", data={}))
    bank.send(event(5, "question_release", subject="never released", data={}))
    assert bank.counts()["double_releases"] == 1
    assert bank.read()["facilities"]["facility-1"]["releases"] == {
        "gated-in": {**release, "message": "journal.1", "status": "released", "refused": ["journal.2"]},
        "sold": {**release, "message": "journal.3", "status": "in question", "refused": []},
    }
    bank.send(event(6, "reaffirm_release", subject="sold", data={}))
    assert bank.read()["facilities"]["facility-1"]["releases"]["sold"]["status"] == "released"


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "com.pledgewatch.ring_bell.v1"},
        {"type": "com.example.record_base"},
        {"type": "record_base"},
        *({"type": "com.pledgewatch.release_disbursement.v1", "data": {"amount_minor": one}} for one in (-5, 0, 1.5)),
        {"type": "com.pledgewatch.release_disbursement.v1", "data": {}},
        {"type": "com.pledgewatch.release_disbursement.v1", "data": {"amount_minor": True}},
    ],
    ids=str,
)
def test_what_it_does_not_understand_is_not_booked(bank: Bank, wrong: dict[str, Any]) -> None:
    """A 2xx for a message that moves nothing would tell the sender that it had been acted on."""
    assert_problem(bank.send(event(1, **wrong)), 422)
    assert bank.counts() == {"received": 1, "rejected": 1}


def test_the_core_understands_every_message_that_the_cloud_sends(bank: Bank) -> None:
    release = {"amount_minor": 1, "currency": "USD", "payee": "exporter"}
    for number, name in enumerate(MessageType, start=1):
        assert bank.send(event(number, name, subject="some", data=release)).status_code == 200, name


def test_the_ledger_is_paged(bank: Bank) -> None:
    for number in range(1, 504):
        bank.ledger.book(event(number), json.dumps(event(number)))
    first = bank.read("/ledger/messages")
    rest = bank.read(f"/ledger/messages?after={first[-1]['arrival']}")
    assert [one["sequence"] for one in (*first, *rest)] == list(range(1, 504))
    assert len(first) == 500
    assert first[0]["data"] == event(1)["data"]
    assert [one["sequence"] for one in bank.read()["messages"]] == list(range(4, 504))
    assert_problem(bank.client.get("/ledger/messages?after=then"), 422)
    assert_problem(bank.client.get("/elsewhere"), 404)


def test_another_core_over_the_same_ledger_goes_on(tmp_path: Path) -> None:
    first = Bank(tmp_path)
    release = {"data": {"amount_minor": 1, "currency": "USD", "payee": "exporter"}}
    for number, name in [(1, "record_base"), (2, "raise_alert"), (2, "raise_alert"), (4, "release_disbursement")]:
        first.send(event(number, name, **(release if number == 4 else {})))
    second = Bank(tmp_path)  # the first was not closed: what was answered is on disk
    assert second.read() == first.read()
    second.send(event(4, "release_disbursement", **release))
    assert second.counts() == {"received": 5, "verified": 5, "booked": 3, "repeats": 2, "gaps": 1}
    modes = [
        second.ledger._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    ]
    assert modes == ["wal", 2], "written to the disk (FULL) before it is answered"
    first.ledger.close()
    second.ledger.close()


def test_it_misbehaves_as_told(tmp_path: Path) -> None:
    bank = Bank(tmp_path, fail_first=2, answer_500_share=0.4, lose_answer_share=0.4, seed=5)
    answers = []
    for number in range(1, 31):
        while True:
            answers.append(bank.send(event(number)).status_code)
            if answers[-1] == 200:
                break
    assert answers[:2] == [503, 503]
    assert set(answers) == {200, 500, 503, 504}
    counts = bank.counts()
    assert counts["booked"] == 30, "each message once, however often its answer was lost"
    assert counts["repeats"] == answers.count(504)
    assert counts["received"] == answers.count(200) + answers.count(504)
    assert "gaps" not in counts
    assert "out_of_order" not in counts
    bank.ledger.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(1, 9)), st.lists(st.integers(1, 8), max_size=6))
def test_order_and_repeats_change_nothing_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], again: list[int]
) -> None:
    names = ["raise_alert", "clear_alert", "raise_alert", "release_disbursement"]
    names += ["question_release", "record_base", "reaffirm_release", "record_base"]
    messages = {number: event(number, name) for number, name in enumerate(names, start=1)}
    ended = []
    for numbers in (range(1, 9), [*order, *again]):
        ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
        for number in numbers:
            ledger.book(messages[number], json.dumps(messages[number]))
        ended.append(ledger.facilities())
        ledger.close()
    assert ended[0] == ended[1]


def test_the_sample_file_is_one() -> None:
    loaded = load(ROOT / "samples" / "bank.toml", BankFile)
    assert loaded.bank.port == 8430
    assert loaded.misbehave == MisbehaviourSettings()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[bank]\ndatabase = 'x'\nsecret_files = []", "secret_files is empty"),
        ("[bank]\ndatabase = 'x'\nsecret_files = ['y']\nport = 70000", "port is 70000"),
        ("[bank]\ndatabase = 'x'\nsecret_files = ['y']\npost = 1", "[bank] post is no key"),
        ("[bank]\ndatabase = 'x'\nsecret_files = ['y']\n[misbehave]\nanswer_500_share = 10", "answer_500_share is 10"),
        ("[bank]\ndatabase = 'x'\nsecret_files = ['y']\n[misbehave]\nfail_first = -3", "fail_first is -3"),
        ("[bank]\ndatabase = 'x'\nsecret_files = ['y']\n[misbehave]\nslow_s = -0.1", "slow_s is -0.1"),
        ("[bank]\ndatabase = 'x'\nsecret_files = ['y']\n[misbehave]\nslow_s = nan", "it must be a finite number"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bank.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=complaint.replace("[", r"\[")):
        load(path, BankFile)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "whsec_c2hvcnQ=", "whsec_" + "A" * 400, "ä"])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, secret: str) -> None:
    path = tmp_path / "secret"
    path.write_text(secret)
    with pytest.raises(SettingsError):
        read_secrets((path,))
    with pytest.raises(SettingsError, match="cannot be read"):
        read_secrets((tmp_path / "nowhere",))
    make_secret(tmp_path / "new" / "secret")
    (made,) = read_secrets((tmp_path / "new" / "secret",))
    assert made != SECRET
    assert (tmp_path / "new" / "secret").stat().st_mode & 0o777 == 0o600
    path.write_text(SECRET + "\n")
    assert read_secrets((path,)) == [SECRET]


class Running:
    """The program itself, on a free port, over a folder."""

    def __init__(self, folder: Path) -> None:
        (folder / "secret").write_text(SECRET)
        config = '[bank]\ndatabase = "ledger.sqlite"\nsecret_files = ["secret"]\nport = 0\nport_file = "port"\n'
        (folder / "bank.toml").write_text(config)
        (folder / "port").unlink(missing_ok=True)
        command = [sys.executable, "-m", "pledgewatch_sim", "bank", "--config", str(folder / "bank.toml")]
        self.program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + PATIENCE_S
        while not (folder / "port").exists():
            assert self.program.poll() is None, self.program.communicate()[0]
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{int((folder / 'port').read_text())}"

    def send(self, number: int) -> int:
        """Send message `number`."""
        body = json.dumps(event(number))
        headers = signed(body, f"journal.{number}")
        return httpx2.post(f"{self.url}/messages", content=body.encode(), headers=headers).status_code

    def end(self, number: signal.Signals) -> int:
        """Signal it, and wait. Returns its exit code."""
        os.kill(self.program.pid, number)
        self.program.communicate(timeout=PATIENCE_S)
        return self.program.returncode


def test_a_killed_core_has_what_it_answered(tmp_path: Path) -> None:
    core = Running(tmp_path)
    assert [core.send(number) for number in (1, 2, 3)] == [200, 200, 200]
    assert core.end(signal.SIGKILL) == -signal.SIGKILL
    core = Running(tmp_path)
    assert [core.send(number) for number in (3, 4)] == [200, 200]
    counts = httpx2.get(f"{core.url}/ledger").json()["counts"]
    assert (counts["booked"], counts["repeats"], counts["gaps"]) == (4, 1, 0)
    assert core.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_core_ends_in_order(tmp_path: Path, number: signal.Signals) -> None:
    core = Running(tmp_path)
    assert core.send(1) == 200
    assert core.end(number) == 0
    assert not (tmp_path / "ledger.sqlite-wal").exists(), "the ledger was closed"


@pytest.mark.parametrize(
    ("bank", "words"),
    [
        ('database = "ledger.sqlite"\nsecret_files = ["odd"]', "{folder}/odd: is not whsec_ and base64\n"),
        ('database = "ledger.sqlite"\nsecret_files = ["odd/new"]', "{folder}/odd cannot be used: File exists\n"),
        ('database = "x"\nsecret_files = ["new"]\nhost = "192.0.2.1"', "192.0.2.1:8430 cannot be used: "),
        ('database = "odd"\nsecret_files = ["new"]', "{folder}/odd cannot be used: file is not a database\n"),
        ('database = "."\nsecret_files = ["new"]', "{folder} cannot be used: unable to open database file\n"),
    ],
)
def test_the_program_says_what_it_cannot_use(tmp_path: Path, bank: str, words: str) -> None:
    (tmp_path / "odd").write_text("no secret")
    path = tmp_path / "bank.toml"
    path.write_text(f"[bank]\n{bank}\n")
    command = [sys.executable, "-m", "pledgewatch_sim", "bank", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert words.format(folder=tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
