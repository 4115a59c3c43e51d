"""Messages to the financing core, in the imperative: CloudEvents 1.0 in structured JSON.

A message is decided with the entry that caused it and stored with it, byte for byte as it will be sent; sending it
again sends the same bytes. `id` names the journal, the entry and the place in it, so it is unique for ever; `sequence`
counts a facility's messages from 1 without a gap, so the core can see order and loss by itself.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.moments import iso


class MessageType(StrEnum):
    """What the core is asked to do."""

    RAISE_ALERT = "raise_alert"
    ACKNOWLEDGE_ALERT = "acknowledge_alert"
    ESCALATE_ALERT = "escalate_alert"
    DE_ESCALATE_ALERT = "de_escalate_alert"
    REPEAT_ALERT = "repeat_alert"
    AMEND_ALERT = "amend_alert"
    CLEAR_ALERT = "clear_alert"
    WITHDRAW_ALERT = "withdraw_alert"
    RELEASE_DISBURSEMENT = "release_disbursement"
    HOLD_RELEASE = "hold_release"
    RETRACT_RELEASE = "retract_release"
    RESUME_RELEASE = "resume_release"
    QUESTION_RELEASE = "question_release"
    REAFFIRM_RELEASE = "reaffirm_release"
    RECORD_EXPIRY = "record_expiry"
    RECORD_BASE = "record_base"
    RECORD_BREACH = "record_breach"
    CALL_MARGIN = "call_margin"
    RECORD_COVER = "record_cover"


class Message(NamedTuple):
    """One message, ready to be sent. `sequence` counts within the facility from 1."""

    id: str
    type: MessageType
    facility: str
    sequence: int
    body: bytes


def message(
    journal: str,
    place: str,
    message_type: MessageType,
    facility: str,
    sequence: int,
    subject: str,
    at_ms: int,
    data: dict[str, Any],
) -> Message:
    """Write a message. `journal` names this journal, `place` the event in it, `at_ms` when that happened."""
    identity = f"{journal}.{place}"
    body = canonical.encode(
        {
            "specversion": "1.0",
            "id": identity,
            "source": f"urn:pledgewatch:journal:{journal}",
            "type": f"com.pledgewatch.{message_type}.v1",
            "subject": subject,
            "time": iso(at_ms, always_milliseconds=True),
            "datacontenttype": "application/json",
            "facility": facility,
            "sequence": f"{sequence:020d}",
            "data": data,
        }
    )
    return Message(identity, message_type, facility, sequence, body)
