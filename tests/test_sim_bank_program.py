"""The sandbox core as a program: its configuration, its start and its end, and what a kill leaves."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from banks import PATIENCE_S, SECRET, about_release, event, signed

from pledgewatch_sim.bank.misbehaviour import MisbehaviourSettings
from pledgewatch_sim.bank.settings import BankFile, make_secret, read_secrets, read_token
from pledgewatch_wire.settings import SettingsError, load

ROOT = Path(__file__).resolve().parent.parent
LEAST = "[bank]\ndatabase = 'x'\nsecret_files = ['y']\n"


def test_the_sample_file_is_one() -> None:
    loaded = load(ROOT / "samples" / "bank.toml", BankFile)
    assert loaded.bank.port == 8430
    assert loaded.misbehave == MisbehaviourSettings()
    assert loaded.pledgewatch is None
    assert loaded.clock is None


def test_every_setting_of_the_sample_can_be_used(tmp_path: Path) -> None:
    text = (ROOT / "samples" / "bank.toml").read_text(encoding="utf-8")
    shown = re.sub(r"^# (\[|[a-z_]+ = )", r"\1", text, flags=re.MULTILINE)
    assert shown != text
    path = tmp_path / "bank.toml"
    path.write_text(shown)
    loaded = load(path, BankFile)
    assert loaded.pledgewatch is not None
    assert loaded.pledgewatch.url == "http://127.0.0.1:8420"
    assert loaded.clock is not None
    assert loaded.clock.speed == 1_000.0


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
        (f"{LEAST}[misbehave]\nstorm_s = 2", "storm_every_s is 0.0; it must be above storm_s, 2.0"),
        (f"{LEAST}[misbehave]\nstorm_s = 2\nstorm_every_s = 2", "storm_every_s is 2.0; it must be above"),
        (f"{LEAST}[misbehave]\ntake_twice_share = 1.1", "take_twice_share is 1.1; a share is 0 to 1"),
        (f"{LEAST}[misbehave]\nretry_after_s = -1", "retry_after_s is -1; it must be from 0"),
        (f"{LEAST}[pledgewatch]\ntoken_file = 'z'", "[pledgewatch] url is missing"),
        (f"{LEAST}[pledgewatch]\nurl = 'localhost:1'", "url is 'localhost:1'; it must begin with http://"),
        (f"{LEAST}[pledgewatch]\nurl = 'http://localhost'\nretry_max_s = 0", "retry_max_s is 0.0; it must be above 0"),
        (f"{LEAST}[clock]\nsimulated_start_ms = 1\nspeed = 0\nanchor_ms = 1", "speed is 0.0; it must be above 0"),
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


@pytest.mark.parametrize(("text", "complaint"), [("", "holds no token"), ("a\nb", "one line"), ("ä", "not ASCII")])
def test_a_token_that_is_none_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "token"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=complaint):
        read_token(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_token(tmp_path / "nowhere")
    path.write_text("not-a-secret\n")
    assert read_token(path) == "not-a-secret"
    assert read_token(None) is None


class Running:
    """The program itself, on a free port, over a folder."""

    def __init__(self, folder: Path, more: str = "") -> None:
        (folder / "secret").write_text(SECRET)
        config = '[bank]\ndatabase = "ledger.sqlite"\nsecret_files = ["secret"]\nport = 0\nport_file = "port"\n'
        (folder / "bank.toml").write_text(config + more)
        (folder / "port").unlink(missing_ok=True)
        command = [sys.executable, "-m", "pledgewatch_sim", "bank", "--config", str(folder / "bank.toml")]
        self.program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + PATIENCE_S
        while not (folder / "port").exists():
            assert self.program.poll() is None, self.program.communicate()[0]
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{int((folder / 'port').read_text())}"

    def send(self, one: dict[str, Any], timeout_s: float = PATIENCE_S) -> httpx2.Response:
        """Send a message."""
        body = json.dumps(one)
        headers = signed(body, one["id"])
        return httpx2.post(f"{self.url}/messages", content=body.encode(), headers=headers, timeout=timeout_s)

    def post(self, path: str, document: dict[str, Any]) -> httpx2.Response:
        """Post JSON."""
        return httpx2.post(f"{self.url}{path}", json=document, timeout=60)

    def ledger(self) -> dict[str, Any]:
        """What it shows."""
        found: dict[str, Any] = httpx2.get(f"{self.url}/ledger", timeout=60).json()
        return found

    def end(self, number: signal.Signals) -> int:
        """Signal it, and wait. Returns its exit code."""
        os.kill(self.program.pid, number)
        self.program.communicate(timeout=PATIENCE_S)
        return self.program.returncode


def test_a_killed_core_has_what_it_answered(tmp_path: Path) -> None:
    core = Running(tmp_path)
    story = [event(1), about_release(2, "release_disbursement"), event(3, "call_margin", data={"call_minor": 5})]
    assert [core.send(one).status_code for one in story] == [200, 200, 200]
    sale = {"id": "sale-1", "facility": "facility-1", "amount_minor": 3_000_000}
    goods = {"id": "goods", "kind": "substitution", "lots": ["lot-8"]}
    assert core.post("/repayments", sale).status_code == 200
    assert core.post("/margin-calls/facility-1/answers", goods).status_code == 200
    before = core.ledger()
    assert core.end(signal.SIGKILL) == -signal.SIGKILL
    core = Running(tmp_path)
    assert core.ledger() == before
    assert [core.send(one).status_code for one in (story[1], event(4))] == [200, 200]
    assert core.post("/repayments", sale).json()["surplus_minor"] == 500_000
    counts = core.ledger()["counts"]
    assert (counts["booked"], counts["repeats"], counts["gaps"], counts["payments"]) == (4, 1, 0, 1)
    assert core.ledger()["facilities"]["facility-1"]["repaid_minor"] == 2_500_000
    assert core.end(signal.SIGTERM) == 0


def test_it_books_and_never_answers(tmp_path: Path) -> None:
    core = Running(tmp_path, "[misbehave]\nnever_answer_share = 1.0\n")
    with pytest.raises(httpx2.TimeoutException):
        core.send(about_release(1, "release_disbursement"), timeout_s=0.5)
    assert core.ledger()["counts"]["payments"] == 1
    assert core.post("/misbehave", {"never_answer_share": 0.0}).json()["never_answer_share"] == 0.0
    answer = core.send(about_release(1, "release_disbursement"))
    assert answer.json() == {"id": "journal.1", "release": "booked"}
    assert core.ledger()["counts"]["payments"] == 1
    assert core.end(signal.SIGTERM) == 0


def test_it_ends_in_order_while_pledgewatch_is_not_there(tmp_path: Path) -> None:
    core = Running(tmp_path, '[pledgewatch]\nurl = "http://127.0.0.1:9"\n')
    assert core.send(about_release(1, "release_disbursement")).status_code == 200
    deadline = time.monotonic() + PATIENCE_S
    while not (fault := core.ledger()["facilities"]["facility-1"]["movements"][0]["fault"]):
        assert time.monotonic() < deadline, "nothing was told"
        time.sleep(0.02)
    assert "ConnectError" in fault
    assert core.end(signal.SIGTERM) == 0
    assert not (tmp_path / "ledger.sqlite-wal").exists(), "the ledger was closed"


def test_money_moves_in_simulated_time(tmp_path: Path) -> None:
    anchor_ms = time.time_ns() // 1_000_000
    clock = f"[clock]\nsimulated_start_ms = 1_000_000\nspeed = 1_000.0\nanchor_ms = {anchor_ms}\n"
    core = Running(tmp_path, clock + "simulated_end_ms = 1_500_000\n")
    assert core.send(about_release(1, "release_disbursement")).status_code == 200
    at_ms = core.ledger()["facilities"]["facility-1"]["movements"][0]["at_ms"]
    assert 1_000_000 < at_ms < 2_000_000
    assert core.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_core_ends_in_order(tmp_path: Path, number: signal.Signals) -> None:
    core = Running(tmp_path)
    assert core.send(event(1)).status_code == 200
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
