"""An endpoint that is a folder: payment initiation files by ISO 20022 (pain.001.001.09), one for each release.

For `release_disbursement` and `resume_release` a customer credit transfer initiation is written, named by the release,
so that a second write is the same file. Debtor is the lender, creditor the supplier that the release names. A file is
written beside its place, synced and renamed, so whoever collects it never meets half of one; a mark in the folder
`.written` says that it was written, so a release that was collected is never put there again, whatever is sent twice.
The mark is begun before the file: whoever dies between the two leaves a mark without a file, of which nobody can tell
whether it was collected, so it is refused and a person decides.

The folder is a payer: what it says of a release moves its milestone. `booked` when the file is on disk or was written
before, `none` where none was written. Before it writes anything new it asks whether the release stands, so no replay
and no endpoint that begins with the first message pays what is paid already, held or in question.

No schema of a cancellation request (camt.055) could be had to check one against, so what is said later of a release
that was written (hold, retract, question, resume, reaffirm) is put beside it as the message itself, in JSON. Whoever
collects the payments reads those first. What is said of one that was not written needs no file.

MsgId, PmtInfId and EndToEndId have 35 characters; they are made from the release's id. Nothing depends on the moment of
writing: the same message makes the same bytes.
"""

import hashlib
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree as ET

from pledgewatch_cloud.decide.currencies import UnknownCurrencyError, exponent
from pledgewatch_cloud.decide.milestones.lifecycle import TAKEN_BACK
from pledgewatch_cloud.journal.outbox import OutboxMessage
from pledgewatch_cloud.outbox.aside import aside
from pledgewatch_cloud.outbox.endpoint import WITHDRAWN, Answer, Attempt, Failure, IsWithdrawn, WithdrawnError

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
PAYING = ("release_disbursement", "resume_release")
LATER_WORDS = {
    "hold_release": "hold",
    "retract_release": "retract",
    "question_release": "question",
    "resume_release": "resume",
    "reaffirm_release": "reaffirm",
}
TYPES = tuple(dict.fromkeys((*PAYING, *LATER_WORDS)))
_NAME_MAX = 120
_REFERENCE_MAX = 35
_TEXT_MAX = 140
_BEGUN = b"begun"
_NO_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold (production 2, Char), and the control characters that it had better not."""

Obstacle = Callable[[str, str], Awaitable[str]]
"""What stands against paying now what a message (its id) asks for a milestone; see milestones.lifecycle.obstacle."""


class UnpayableError(ValueError):
    """A release that no payment can be written from; the sentence says what it lacks."""


class UncertainError(Exception):
    """Nobody can tell whether a payment was written; the sentence says what to do."""


class Said(NamedTuple):
    """What became of a message: the file's name, or why there is none; and of its release: `booked`, `none`, or nothing
    where neither can be said."""

    text: str
    release: str = ""


class PaymentFolder:
    """An Endpoint that writes files into a folder."""

    def __init__(self, folder: Path, obstacle: Obstacle) -> None:
        self._folder = folder
        self._obstacle = obstacle

    async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
        """See Endpoint. TAKEN when the file is on disk, or none is to be written."""
        try:
            obstacle = ""
            if message.type in PAYING:
                obstacle = await self._obstacle(str(json.loads(message.body)["data"]["milestone"]), message.id)
            said = await aside(lambda: write(self._folder, message, obstacle, is_withdrawn))
        except WithdrawnError:
            return WITHDRAWN
        except UnpayableError as error:
            text = f"{error}; pay it by hand and pass this message over"
            return Attempt(Answer.REFUSED, text, failure=Failure.REFUSED)
        except UncertainError as error:
            return Attempt(Answer.REFUSED, str(error), failure=Failure.REFUSED)
        except OSError as error:
            text = f"{error.filename or self._folder} cannot be written: {error.strerror}"
            return Attempt(Answer.LATER, text, failure=Failure.DISK)
        return Attempt(Answer.TAKEN, said=said.text.encode(), release=said.release)


def write(folder: Path, message: OutboxMessage, obstacle: str, is_withdrawn: IsWithdrawn) -> Said:
    """Write what a message asks for. `obstacle`: why a payment that is not written yet must not be, or nothing.

    Raises UnpayableError, UncertainError, WithdrawnError, OSError.
    """
    if message.type not in TYPES:
        return Said(f"{message.type} asks for no file")
    event = json.loads(message.body)
    name = _file_name(str(event["data"]["release"]))
    mark, xml = folder / ".written" / name, folder / f"{name}.pain.001.xml"
    if mark.exists():
        text = f"{name} was written before"
        if message.type in LATER_WORDS:
            word = LATER_WORDS[message.type]
            text = _put(folder / f"{name}.{message.sequence:09d}.{word}.json", message.body)
        if mark.read_bytes() == _BEGUN:
            if not xml.exists():
                doubt = "it was begun, and whether it was written and collected cannot be told; look at the payments"
                cure = f"where it was not, remove {name} from .written and send this message again"
                otherwise = (
                    "where it was, say so of the milestone (booked), and pass this message over if it is still here"
                )
                raise UncertainError(f"{name}: {doubt}; {cure}; {otherwise}")
            _put(mark, _digest(xml.read_bytes()))
        return Said(text, "booked")
    if message.type not in PAYING:
        is_taking_back = message.type in TAKEN_BACK
        text = f"{name} was not written, so there is nothing to {LATER_WORDS[message.type]}"
        return Said(text, "none" if is_taking_back else "")
    if obstacle:
        return Said(f"{name} is not written: {obstacle}", "none")
    document = payment(event)
    if is_withdrawn():
        raise WithdrawnError
    mark.parent.mkdir(exist_ok=True)
    _put(mark, _BEGUN)
    try:
        written = _put(xml, document)
    except OSError:
        if not xml.exists():
            mark.unlink(missing_ok=True)
        raise
    _put(mark, _digest(document))
    return Said(written, "booked")


def payment(event: dict[str, Any]) -> bytes:
    """The payment initiation of a release's CloudEvent. Raises UnpayableError."""
    data = event["data"]
    reference = _reference(str(data["release"]))
    amount = _amount(data["amount_minor"], data["currency"])
    root = ET.Element("Document", xmlns=NAMESPACE)
    initiation = ET.SubElement(root, "CstmrCdtTrfInitn")
    header = ET.SubElement(initiation, "GrpHdr")
    _text(header, "MsgId", reference)
    _text(header, "CreDtTm", event["time"])
    _text(header, "NbOfTxs", "1")
    _text(header, "CtrlSum", amount)
    _party(header, "InitgPty", data["payer"], "payer")
    batch = ET.SubElement(initiation, "PmtInf")
    _text(batch, "PmtInfId", reference)
    _text(batch, "PmtMtd", "TRF")
    _text(batch, "NbOfTxs", "1")
    _text(batch, "CtrlSum", amount)
    _text(ET.SubElement(batch, "ReqdExctnDt"), "Dt", str(event["time"])[:10])
    _party(batch, "Dbtr", data["payer"], "payer")
    _account(batch, "DbtrAcct", data["payer"], "payer")
    _agent(batch, "DbtrAgt", data["payer"])
    transfer = ET.SubElement(batch, "CdtTrfTxInf")
    identity = ET.SubElement(transfer, "PmtId")
    _text(identity, "EndToEndId", reference)
    _text(identity, "UETR", _uetr(str(data["release"])))
    instructed = ET.SubElement(ET.SubElement(transfer, "Amt"), "InstdAmt", Ccy=data["currency"])
    instructed.text = amount
    _agent(transfer, "CdtrAgt", data["payee"])
    _party(transfer, "Cdtr", data["payee"], "payee")
    _account(transfer, "CdtrAcct", data["payee"], "payee")
    remittance = ET.SubElement(transfer, "RmtInf")
    _text(remittance, "Ustrd", f"{data['milestone']} of {data['facility']}"[:_TEXT_MAX])
    written: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return written + b"\n"


def _text(parent: ET.Element, name: str, text: str) -> None:
    """Raises UnpayableError where the text has a character that the file could not be read with."""
    odd = _NO_TEXT.search(text)
    if odd:
        raise UnpayableError(f"{name} is {text!r}, and {odd[0]!r} cannot stand in a payment file")
    ET.SubElement(parent, name).text = text


def _party(parent: ET.Element, name: str, party: dict[str, str], role: str) -> None:
    """Name, country and LEI, as far as they are known."""
    called = party.get("name") or party.get("id")
    if not called:
        raise UnpayableError(f"the release does not say who the {role} is")
    element = ET.SubElement(parent, name)
    _text(element, "Nm", called[:_TEXT_MAX])
    if "country" in party:
        _text(ET.SubElement(element, "PstlAdr"), "Ctry", party["country"])
    if "lei" in party:
        organisation = ET.SubElement(ET.SubElement(element, "Id"), "OrgId")
        _text(organisation, "LEI", party["lei"])


def _account(parent: ET.Element, name: str, party: dict[str, str], role: str) -> None:
    if not party.get("iban") and not party.get("account"):
        raise UnpayableError(f"the release names no account of the {role} {party.get('id', '')}".rstrip())
    identity = ET.SubElement(ET.SubElement(parent, name), "Id")
    if party.get("iban"):
        _text(identity, "IBAN", party["iban"])
    else:
        _text(ET.SubElement(identity, "Othr"), "Id", party["account"])


def _agent(parent: ET.Element, name: str, party: dict[str, str]) -> None:
    """The party's bank; where its BIC is not known that is said as the usage of SEPA has it."""
    bank = ET.SubElement(ET.SubElement(parent, name), "FinInstnId")
    if party.get("bic"):
        _text(bank, "BICFI", party["bic"])
    else:
        _text(ET.SubElement(bank, "Othr"), "Id", "NOTPROVIDED")


def _amount(amount_minor: int, currency: str) -> str:
    """Minor units as ISO 20022 writes them: with as many decimals as the currency has. Nothing is rounded."""
    try:
        digits = exponent(currency)
    except UnknownCurrencyError as error:
        raise UnpayableError(str(error)) from None
    if amount_minor <= 0:
        raise UnpayableError(f"the release is of {amount_minor} {currency}, which cannot be paid")
    whole, rest = divmod(amount_minor, 10**digits)
    return f"{whole}.{rest:0{digits}d}" if digits else str(whole)


def _reference(release: str) -> str:
    """A release's id where it fits into 35 characters of the plain set, or `PW-` and the beginning of its SHA-256."""
    is_plain = all(one.isascii() and (one.isalnum() or one in "-.:") for one in release)
    if is_plain and len(release) <= _REFERENCE_MAX:
        return release
    return f"PW-{hashlib.sha256(release.encode()).hexdigest()[: _REFERENCE_MAX - 3]}"


def _uetr(release: str) -> str:
    """The unique end-to-end reference: shaped as a version 4 UUID, which the schema asks for, from the release's id."""
    digest = hashlib.sha256(b"uetr\0" + release.encode()).hexdigest()
    variant = "89ab"[int(digest[16], 16) % 4]
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def _file_name(release: str) -> str:
    """A release's id as a file may be called."""
    name = quote(release, safe="")
    if len(name) <= _NAME_MAX:
        return name
    return f"{name[: _NAME_MAX - 17]}-{hashlib.sha256(release.encode()).hexdigest()[:16]}"


def _digest(document: bytes) -> bytes:
    return hashlib.sha256(document).hexdigest().encode()


def _put(path: Path, content: bytes) -> str:
    """Write a file whole or not at all, and have it on disk."""
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path.name
