"""Sandbox cores to test with: messages as the cloud writes and signs them, and a core over a folder."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from asking import AppClient
from standardwebhooks import Webhook

from pledgewatch_sim.bank import message
from pledgewatch_sim.bank.app import create_bank
from pledgewatch_sim.bank.ledger import Booking, Ledger
from pledgewatch_sim.bank.misbehaviour import MisbehaviourSettings

OLD_SECRET, SECRET, WRONG_SECRET = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))
PATIENCE_S = 60.0
RELEASE = "journal.gated-in"
PAYEE = {"id": "supplier", "name": "Sofa Works"}
PAYABLE = {"release": RELEASE, "milestone": "gated-in", "amount_minor": 2_500_000, "currency": "USD", "payee": PAYEE}


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


def about_release(number: int, name: str, *, withdraws: int = 0, **changes: Any) -> dict[str, Any]:
    """Message `number` about the one release: with amount and payee where the cloud says them, and naming the message
    `withdraws` as one that is not sent any more."""
    data: dict[str, Any] = {"release": RELEASE, "milestone": "gated-in"}
    if name in {"release_disbursement", "resume_release"}:
        data = dict(PAYABLE)
    if withdraws:
        data |= {"release_message": f"journal.{withdraws}", "release_sequence": withdraws}
    return event(number, name, subject="gated-in", data=data | changes)


def booked(ledger: Ledger, one: dict[str, Any]) -> Booking:
    """Book a message past HTTP."""
    return ledger.book(message.read(json.dumps(one)))


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
    """A core over a folder, and a client on its machine that signs."""

    def __init__(self, folder: Path, *, client_host: str = "127.0.0.1", **misbehaviour: Any) -> None:
        self.now_ms = 1_767_225_600_000
        self.moved = 0
        self.ledger = Ledger(folder / "ledger.sqlite", lambda: self.now_ms)
        settings = MisbehaviourSettings(**misbehaviour)
        self.app = create_bank(self.ledger, [OLD_SECRET, SECRET], settings, self._count_moved)
        self.client = AppClient(self.app, host=client_host)

    def send(self, one: dict[str, Any], **how: Any) -> httpx2.Response:
        """Send a message. `how`: secret, age_s."""
        return self.send_text(json.dumps(one), str(one.get("id", "nameless")), **how)

    def send_text(self, body: str, identity: str, **how: Any) -> httpx2.Response:
        """Send a body."""
        return self.client.post("/messages", content=body.encode(), headers=signed(body, identity, **how))

    def post(self, path: str, document: Any) -> httpx2.Response:
        """Post JSON."""
        return self.client.post(path, json=document)

    def read(self, path: str = "/ledger") -> Any:
        """The JSON at a path."""
        answer = self.client.get(path)
        assert answer.status_code == 200
        return answer.json()

    def facility(self) -> dict[str, Any]:
        """The one facility, as it is shown."""
        found: dict[str, Any] = self.read()["facilities"]["facility-1"]
        return found

    def counts(self) -> dict[str, int]:
        """Every count that is not 0."""
        return {name: value for name, value in self.read()["counts"].items() if value}

    def _count_moved(self) -> None:
        self.moved += 1


def assert_problem(answer: httpx2.Response, status: int, words: str = "") -> None:
    """A refusal in the form of RFC 9457, with these words in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert words in problem["detail"]
