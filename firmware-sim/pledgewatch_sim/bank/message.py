"""What the core believes: a CloudEvent that is signed and fresh, of a type that it knows.

    request ─► size ─► signature, age ─► JSON ─► attributes, type ─► what the type needs ─► Message

Whatever is not, is refused with the status that says why, and nothing is booked of it. A message of an unknown type is
refused too: 2xx for one that moves nothing would tell the sender that it had been acted on.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from standardwebhooks import Webhook, WebhookVerificationError

from pledgewatch_sim.bank.releases import ABOUT_A_RELEASE, WITH_ALL_DATA

AMOUNT_MAX_MINOR = 10**15
_PREFIX, _SUFFIX = "com.pledgewatch.", ".v1"
# What CloudEvents 1.0 requires, what it leaves to us, and our own two extension attributes.
_TEXTS = ("id", "source", "type", "specversion", "subject", "facility", "sequence")
# What a message can ask for. The simulator imports nothing of the cloud; a test holds the two lists together.
TYPES = ABOUT_A_RELEASE | {
    "raise_alert",
    "acknowledge_alert",
    "escalate_alert",
    "de_escalate_alert",
    "repeat_alert",
    "amend_alert",
    "clear_alert",
    "withdraw_alert",
    "record_base",
    "record_breach",
    "call_margin",
    "record_cover",
}
_CURRENCY = re.compile(r"[A-Z]{3}")
_SEQUENCE = re.compile(r"[0-9]{1,20}")
_SEQUENCE_MAX = 2**63 - 1  # what an integer of the ledger holds


class RejectedError(Exception):
    """A request that is not booked, with the status that says why."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Withdrawn(NamedTuple):
    """A message that will not be sent any more; `sequence` is missing for good."""

    message: str
    sequence: int


class Message(NamedTuple):
    """A verified message. `name` is its type without prefix and version; `release` the id of the release that it is
    about, empty where it is about none; `body` is exactly what was signed."""

    id: str
    name: str
    facility: str
    sequence: int
    subject: str
    release: str
    withdrawn: Withdrawn | None
    data: dict[str, Any]
    body: str


def verified(body: bytes, headers: Mapping[str, str], secrets: list[str]) -> Message:
    """The message in a request's body. Raises RejectedError."""
    try:
        text = body.decode()
        reasons = [_signature_fault(secret, text, headers) for secret in secrets]
    except UnicodeDecodeError:
        raise _unprocessable("the body is not UTF-8") from None
    if all(reasons):
        raise RejectedError(HTTPStatus.UNAUTHORIZED, str(reasons[0]))
    message = read(text)
    if message.id != headers["webhook-id"]:
        raise _unprocessable("webhook-id is not the event's id")
    return message


def read(text: str) -> Message:
    """A CloudEvent 1.0 with our extension attributes, as a message. Raises RejectedError where it is none."""
    event = _object(text)
    wrong = [name for name in _TEXTS if not isinstance(event.get(name), str) or not event[name]]
    if not isinstance(event.get("data"), dict):
        wrong.append("data")
    if "specversion" not in wrong and event["specversion"] != "1.0":
        wrong.append("specversion")
    if "sequence" not in wrong and _sequence(event["sequence"]) is None:
        wrong.append("sequence")
    if wrong:
        raise _unprocessable(f"attributes missing or wrong: {', '.join(wrong)}")
    name = event["type"].removeprefix(_PREFIX).removesuffix(_SUFFIX)
    if name not in TYPES or event["type"] != f"{_PREFIX}{name}{_SUFFIX}":
        raise _unprocessable(f"there is no message of the type {event['type']!r}")
    sequence, data = int(event["sequence"]), event["data"]
    release, withdrawn = "", None
    if name in ABOUT_A_RELEASE:
        # A sender that names no release speaks of one by its milestone, which is the subject.
        release = data.get("release", event["subject"])
        if not isinstance(release, str) or not release:
            raise _unprocessable("data.release must be the id of a release")
        withdrawn = _withdrawn(data, sequence)
    if name in WITH_ALL_DATA or (name in ABOUT_A_RELEASE and "amount_minor" in data):
        _check_amount(data)
    return Message(
        event["id"], name, event["facility"], sequence, event["subject"], release, withdrawn, data, body=text
    )


def _object(text: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
        # What cannot be written again (a lone surrogate, an infinite number) is not booked: /ledger must stay readable.
        json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise _unprocessable(f"the body is not JSON: {error}") from None
    if not isinstance(event, dict):
        raise _unprocessable("the body is no JSON object")
    return event


def _check_amount(data: dict[str, Any]) -> None:
    amount, currency = data.get("amount_minor"), data.get("currency")
    if type(amount) is not int or not 0 < amount <= AMOUNT_MAX_MINOR:
        raise _unprocessable("data.amount_minor must be a whole number from 1 to 10^15")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise _unprocessable("data.currency must be three capital letters")


def _withdrawn(data: dict[str, Any], own_sequence: int) -> Withdrawn | None:
    """The message that this one says will not come, if it says so."""
    message, sequence = data.get("release_message"), _sequence(data.get("release_sequence"))
    if message is None and "release_sequence" not in data:
        return None
    if not isinstance(message, str) or not message or sequence is None or sequence >= own_sequence:
        text = "must be the id and the sequence of an earlier message"
        raise _unprocessable(f"data.release_message and data.release_sequence {text}")
    return Withdrawn(message, sequence)


def _sequence(value: object) -> int | None:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not _SEQUENCE.fullmatch(text) or int(text) > _SEQUENCE_MAX:
        return None
    return int(text)


def _signature_fault(secret: str, text: str, headers: Mapping[str, str]) -> str | None:
    try:
        Webhook(secret).verify(text, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError) as error:
        return f"the signature does not verify: {error}"
    return None


def _unprocessable(detail: str) -> RejectedError:
    return RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
