"""Payment initiation files: valid by the published schema, of the right money, and each release once."""

import json
import os
from decimal import Decimal
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from outboxes import not_withdrawn

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.currencies import EXPONENTS
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.journal.outbox import OutboxMessage
from pledgewatch_cloud.outbox import pain001
from pledgewatch_cloud.outbox.endpoint import WITHDRAWN, Answer, Attempt, Failure, IsWithdrawn
from pledgewatch_cloud.outbox.pain001 import NAMESPACE, PaymentFolder, UnpayableError, payment

NS = {"p": NAMESPACE}
JOURNAL = "0123456789abcdef0123456789abcdef"
PAYER = {
    "id": "harbour-bank",
    "name": "Harbour Bank",
    "lei": "529900T8BM49AURSDO55",
    "iban": "DE89370400440532013000",
    "bic": "DEUTDEFF",
    "country": "DE",
}
PAYEE = {"id": "sofa-works", "name": "Sofa Works & Söhne <Ltd>", "account": "000-123456-789", "country": "VN"}


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    """pain.001.001.09 as sepaxml brings it along."""
    with as_file(files("sepaxml") / "schemas" / "pain.001.001.09.xsd") as path:
        return xmlschema.XMLSchema(str(path))


def event(**data: Any) -> dict[str, Any]:
    return {
        "id": f"{JOURNAL}.7.0",
        "time": "2026-03-01T12:00:00.000Z",
        "data": {
            "milestone": "loaded",
            "release": f"{JOURNAL}.loaded",
            "facility": "facility-1",
            "amount_minor": 1_234_567,
            "currency": "USD",
            "payee": PAYEE,
            "payer": PAYER,
            **data,
        },
    }


def message(kind: str, sequence: int = 1, **data: Any) -> OutboxMessage:
    body = json.dumps(event(**data)).encode()
    return OutboxMessage(f"{JOURNAL}.{sequence}.0", kind, "facility-1", sequence, body)


def text(document: bytes, path: str) -> str:
    """The text of the one element at a path."""
    (found,) = ET.fromstring(document).findall("/".join(f"p:{one}" for one in path.split("/")), NS)
    return found.text or ""


class Payments(PaymentFolder):
    """A folder for releases against which `obstacle` stands; keeps what it asked about."""

    def __init__(self, folder: Path, obstacle: str = "") -> None:
        super().__init__(folder, self._answer)
        self.obstacle = obstacle
        self.asked: list[tuple[str, str]] = []

    async def take(self, message: OutboxMessage, is_withdrawn: IsWithdrawn = not_withdrawn) -> Attempt:
        """One attempt."""
        return await self.deliver(message, is_withdrawn)

    async def _answer(self, milestone: str, message_id: str) -> str:
        self.asked.append((milestone, message_id))
        return self.obstacle


BATCH = "CstmrCdtTrfInitn/PmtInf"
TRANSFER = f"{BATCH}/CdtTrfTxInf"


def test_a_payment_says_who_pays_whom_how_much_and_for_what(schema: xmlschema.XMLSchema) -> None:
    document = payment(event())
    schema.validate(document.decode())
    for path, wanted in (
        ("CstmrCdtTrfInitn/GrpHdr/NbOfTxs", "1"),
        ("CstmrCdtTrfInitn/GrpHdr/CtrlSum", "12345.67"),
        ("CstmrCdtTrfInitn/GrpHdr/CreDtTm", "2026-03-01T12:00:00.000Z"),
        (f"{BATCH}/NbOfTxs", "1"),
        (f"{BATCH}/CtrlSum", "12345.67"),
        (f"{BATCH}/ReqdExctnDt/Dt", "2026-03-01"),
        (f"{BATCH}/Dbtr/Nm", "Harbour Bank"),
        (f"{BATCH}/Dbtr/Id/OrgId/LEI", "529900T8BM49AURSDO55"),
        (f"{BATCH}/DbtrAcct/Id/IBAN", "DE89370400440532013000"),
        (f"{BATCH}/DbtrAgt/FinInstnId/BICFI", "DEUTDEFF"),
        (f"{TRANSFER}/Amt/InstdAmt", "12345.67"),
        (f"{TRANSFER}/Cdtr/Nm", "Sofa Works & Söhne <Ltd>"),
        (f"{TRANSFER}/Cdtr/PstlAdr/Ctry", "VN"),
        (f"{TRANSFER}/CdtrAcct/Id/Othr/Id", "000-123456-789"),
        (f"{TRANSFER}/CdtrAgt/FinInstnId/Othr/Id", "NOTPROVIDED"),
        (f"{TRANSFER}/RmtInf/Ustrd", "loaded of facility-1"),
    ):
        assert text(document, path) == wanted, path
    assert document == payment(event()), "the same release is the same bytes"


def test_the_schema_refuses_what_is_wrong(schema: xmlschema.XMLSchema) -> None:
    """So that what it lets pass says something."""
    document = payment(event()).decode()
    for right, wrong in (("<NbOfTxs>1<", "<NbOfTxs>one<"), ("<PmtMtd>TRF<", "<PmtMtd>QQQ<"), ("DEUTDEFF", "deutdeff")):
        assert not schema.is_valid(document.replace(right, wrong))


@given(
    st.sampled_from(sorted(EXPONENTS)),
    st.integers(1, 10**15),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300),
)
def test_money_is_exact_in_every_currency_and_references_fit(currency: str, amount_minor: int, milestone: str) -> None:
    release = f"{JOURNAL}.{milestone}"
    document = payment(event(currency=currency, amount_minor=amount_minor, release=release, milestone=milestone))
    amount = text(document, f"{TRANSFER}/Amt/InstdAmt")
    assert Decimal(amount).scaleb(EXPONENTS[currency]) == amount_minor
    assert text(document, "CstmrCdtTrfInitn/GrpHdr/CtrlSum") == amount
    reference = text(document, f"{TRANSFER}/PmtId/EndToEndId")
    assert 1 <= len(reference) <= 35
    assert reference == text(document, "CstmrCdtTrfInitn/GrpHdr/MsgId")
    other = payment(event(release=f"{release}x"))
    assert text(other, f"{TRANSFER}/PmtId/EndToEndId") != reference
    assert text(other, f"{TRANSFER}/PmtId/UETR") != text(document, f"{TRANSFER}/PmtId/UETR")


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD", "CLF"])
@pytest.mark.parametrize("payee", [{**PAYEE, "iban": "GB82WEST12345698765432"}, PAYEE, {"id": "x", "account": "1"}])
def test_files_are_valid_whatever_is_known_of_the_parties(
    schema: xmlschema.XMLSchema, currency: str, payee: dict[str, str]
) -> None:
    long = {**payee, "name": "N" * 500}
    for one in (event(currency=currency, payee=payee), event(currency=currency, payee=long, milestone="m" * 300)):
        assert list(schema.iter_errors(payment(one).decode())) == []


def test_a_short_release_is_its_own_reference() -> None:
    assert text(payment(event(release="j.loaded")), f"{TRANSFER}/PmtId/EndToEndId") == "j.loaded"


UNPAYABLE: list[tuple[dict[str, Any], str]] = [
    ({"payee": {"id": "sofa-works"}}, "the release names no account of the payee sofa-works"),
    ({"payee": {"account": "1"}}, "the release does not say who the payee is"),
    ({"payer": {"id": "bank"}}, "the release names no account of the payer bank"),
    ({"amount_minor": 0}, "the release is of 0 USD, which cannot be paid"),
    ({"currency": "XAU"}, "'XAU' is no currency of ISO 4217"),
]


@pytest.mark.parametrize(("data", "words"), UNPAYABLE)
async def test_a_release_that_cannot_be_paid_is_refused_and_says_why(
    tmp_path: Path, data: dict[str, Any], words: str
) -> None:
    attempt = await Payments(tmp_path).take(message("release_disbursement", **data))
    assert (attempt.answer, attempt.failure) == (Answer.REFUSED, Failure.REFUSED)
    assert attempt.reason.startswith(words)
    assert attempt.reason.endswith("; pay it by hand and pass this message over")
    assert names(tmp_path) == []


def everything(folder: Path) -> list[str]:
    """All that is there, marks too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def names(folder: Path) -> list[str]:
    """The files that are there to be collected."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())


async def test_a_release_is_written_once_whatever_is_sent_twice(tmp_path: Path) -> None:
    folder = Payments(tmp_path)
    xml = f"{JOURNAL}.loaded.pain.001.xml"
    for sequence in (1, 1, 2):
        attempt = await folder.take(message("release_disbursement", sequence))
        assert attempt.answer is Answer.TAKEN
    assert names(tmp_path) == [xml]
    (tmp_path / xml).unlink()  # the bank has collected it
    attempt = await folder.take(message("release_disbursement", 1))
    assert (attempt.said, names(tmp_path)) == (f"{JOURNAL}.loaded was written before".encode(), [])
    await folder.take(message("resume_release", 3))
    assert names(tmp_path) == [f"{JOURNAL}.loaded.000000003.resume.json"]


async def test_what_is_said_of_a_release_that_was_written_lies_beside_it(tmp_path: Path) -> None:
    folder = Payments(tmp_path)
    await folder.take(message("release_disbursement", 1))
    said = [message(kind, number) for number, kind in enumerate(("hold_release", "retract_release"), 2)]
    for one in said:
        await folder.take(one)
    assert names(tmp_path) == [
        f"{JOURNAL}.loaded.000000002.hold.json",
        f"{JOURNAL}.loaded.000000003.retract.json",
        f"{JOURNAL}.loaded.pain.001.xml",
    ]
    assert (tmp_path / f"{JOURNAL}.loaded.000000002.hold.json").read_bytes() == said[0].body


async def test_a_hold_before_the_release_needs_no_file_and_its_resumption_pays(tmp_path: Path) -> None:
    """The release was withdrawn before it was sent: the hold comes first, and the resumption is the one payment."""
    folder = Payments(tmp_path)
    attempt = await folder.take(message("hold_release", 2))
    assert attempt.said == f"{JOURNAL}.loaded was not written, so there is nothing to hold".encode()
    assert names(tmp_path) == []
    await folder.take(message("resume_release", 3))
    assert names(tmp_path) == [f"{JOURNAL}.loaded.pain.001.xml"]


async def test_what_asks_for_no_file_is_taken_and_none_is_written(tmp_path: Path) -> None:
    attempt = await Payments(tmp_path).take(message("record_base"))
    assert (attempt.answer, names(tmp_path)) == (Answer.TAKEN, [])


def test_the_types_that_files_are_written_for_are_types_of_messages() -> None:
    assert set(pain001.TYPES) <= set(MessageType)


async def test_where_the_disk_refuses_the_file_nothing_is_left_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = pain001._put

    def full(path: Path, content: bytes) -> str:
        if path.suffix == ".xml":
            raise OSError(28, "No space left on device", str(path))
        return put(path, content)

    monkeypatch.setattr(pain001, "_put", full)
    folder = Payments(tmp_path)
    assert (await folder.take(message("release_disbursement"))).answer is Answer.LATER
    assert list((tmp_path / ".written").iterdir()) == []
    monkeypatch.setattr(pain001, "_put", put)
    assert (await folder.take(message("release_disbursement"))).answer is Answer.TAKEN


async def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails before the rename, nothing is to be collected, and the next attempt writes it."""
    folder = Payments(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        attempt = await folder.take(message("release_disbursement"))
    assert (attempt.answer, attempt.failure, attempt.is_about_the_endpoint) == (Answer.LATER, Failure.DISK, True)
    assert [one for one in names(tmp_path) if one.endswith(".xml")] == []
    assert (await folder.take(message("release_disbursement"))).answer is Answer.TAKEN
    assert names(tmp_path) == [f"{JOURNAL}.loaded.pain.001.xml"]


async def test_who_dies_between_the_mark_and_the_file_pays_nothing_twice_and_loses_no_retraction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, name = pain001._put, f"{JOURNAL}.loaded"
    written: list[str] = []

    def dying(path: Path, content: bytes) -> str:
        if written:
            raise KeyboardInterrupt
        written.append(path.name)
        return put(path, content)

    monkeypatch.setattr(pain001, "_put", dying)
    with pytest.raises(KeyboardInterrupt):
        pain001.write(tmp_path, message("release_disbursement"), "", not_withdrawn)
    monkeypatch.setattr(pain001, "_put", put)
    assert written == [name], "the mark comes first"
    attempt = await Payments(tmp_path).take(message("release_disbursement"))
    assert attempt.answer is Answer.REFUSED
    assert "cannot be told" in attempt.reason
    assert names(tmp_path) == []
    attempt = await Payments(tmp_path).take(message("retract_release", 2))
    assert attempt.answer is Answer.REFUSED, "nobody can say whether the money has moved"
    assert "where it was, say so of the milestone (booked)" in attempt.reason
    assert names(tmp_path) == [f"{name}.000000002.retract.json"]
    (tmp_path / ".written" / name).unlink()  # a person has looked: there is no such payment
    attempt = await Payments(tmp_path).take(message("retract_release", 2))
    assert (attempt.answer, attempt.release) == (Answer.TAKEN, "none")


async def test_who_dies_after_the_file_knows_it_even_when_it_is_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, name = pain001._put, f"{JOURNAL}.loaded"

    def dying(path: Path, content: bytes) -> str:
        if len(content) == 64:
            raise KeyboardInterrupt
        return put(path, content)

    monkeypatch.setattr(pain001, "_put", dying)
    with pytest.raises(KeyboardInterrupt):
        pain001.write(tmp_path, message("release_disbursement"), "", not_withdrawn)
    monkeypatch.setattr(pain001, "_put", put)
    attempt = await Payments(tmp_path, "milestone loaded is held").take(message("release_disbursement"))
    assert (attempt.answer, attempt.release) == (Answer.TAKEN, "booked"), "whatever stands against it now"
    (tmp_path / f"{name}.pain.001.xml").unlink()
    attempt = await Payments(tmp_path).take(message("question_release", 2))
    assert (attempt.answer, attempt.release) == (Answer.TAKEN, "booked")


WORDS = [
    # before it           what is said            what is answered of the release
    ("", "release_disbursement", "booked"),
    ("", "resume_release", "booked"),
    ("", "hold_release", "none"),
    ("", "retract_release", "none"),
    ("", "question_release", ""),
    ("", "reaffirm_release", ""),
    ("", "record_base", ""),
    ("release_disbursement", "release_disbursement", "booked"),
    ("release_disbursement", "resume_release", "booked"),
    ("release_disbursement", "hold_release", "booked"),
    ("release_disbursement", "retract_release", "booked"),
    ("release_disbursement", "question_release", "booked"),
    ("hold_release", "retract_release", "none"),
    ("hold_release", "resume_release", "booked"),
]


@pytest.mark.parametrize(("before", "kind", "release"), WORDS)
async def test_what_the_folder_says_of_a_release(tmp_path: Path, before: str, kind: str, release: str) -> None:
    folder = Payments(tmp_path)
    if before:
        await folder.take(message(before, 1))
    attempt = await folder.take(message(kind, 2))
    assert (attempt.answer, attempt.release) == (Answer.TAKEN, release)


@pytest.mark.parametrize("kind", pain001.PAYING)
async def test_what_does_not_stand_is_not_written(tmp_path: Path, kind: str) -> None:
    folder = Payments(tmp_path, "milestone loaded is in_question")
    attempt = await folder.take(message(kind, 3))
    assert (attempt.answer, attempt.release) == (Answer.TAKEN, "none")
    assert attempt.said == f"{JOURNAL}.loaded is not written: milestone loaded is in_question".encode()
    assert everything(tmp_path) == [], "no file and no mark"
    assert folder.asked == [("loaded", f"{JOURNAL}.3.0")]
    folder.obstacle = ""
    assert (await folder.take(message(kind, 3))).release == "booked"
    assert names(tmp_path) == [f"{JOURNAL}.loaded.pain.001.xml"]


async def test_what_is_withdrawn_before_its_mark_is_not_written(tmp_path: Path) -> None:
    folder = Payments(tmp_path)
    assert await folder.take(message("release_disbursement"), lambda: True) == WITHDRAWN
    assert everything(tmp_path) == []


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_every_document_can_be_read_or_is_not_made(name: str, account: str) -> None:
    payee = {"id": "x", "name": name, "account": account}
    try:
        document = payment(event(payee=payee))
    except UnpayableError:
        return
    assert text(document, f"{TRANSFER}/Cdtr/Nm").split() == name.split()


@pytest.mark.parametrize("odd", ["\ufffe", "\uffff", "\ud800", "\x00", "\x08", "\x0b", "\x1f", "\x7f", "\x9f"])
async def test_what_no_file_can_hold_makes_none_and_is_in_no_book(tmp_path: Path, odd: str) -> None:
    name = f"Sofa{odd}Works"
    for role, party in (("payee", {**PAYEE, "name": name}), ("payer", {**PAYER, "account": odd, "iban": ""})):
        attempt = await Payments(tmp_path).take(message("release_disbursement", 1, **{role: party}))
        assert attempt.answer is Answer.REFUSED
        assert f"{odd!r} cannot stand in a payment file; pay it by hand" in attempt.reason
    assert everything(tmp_path) == [], "no file and no mark"
    book = {"parties": [{"id": "sofa-works", "name": name}]}
    with pytest.raises(BookError, match=r"parties\[0\]\.name|no Unicode"):
        book_module.amend(book_module.empty(), book)
    book["parties"][0]["name"] = "Sofa Wörks 沙发 🛋"
    payee = {**PAYEE, "name": book_module.amend(book_module.empty(), book).parties["sofa-works"].name}
    assert text(payment(event(payee=payee)), f"{TRANSFER}/Cdtr/Nm") == "Sofa Wörks 沙发 🛋"


async def test_a_release_whose_name_is_no_file_name(tmp_path: Path) -> None:
    folder = Payments(tmp_path)
    for release in (f"{JOURNAL}.../../etc", f"{JOURNAL}.{'m/' * 100}", f"{JOURNAL}.{'m/' * 99}n"):
        assert (await folder.take(message("release_disbursement", release=release))).answer is Answer.TAKEN
    assert len(names(tmp_path)) == 3
    assert all(len(one) < 200 for one in names(tmp_path))
    assert not [one for one in names(tmp_path.parent) if "pain" in one]


async def test_a_folder_that_is_gone_is_tried_later(tmp_path: Path) -> None:
    attempt = await Payments(tmp_path / "gone").take(message("release_disbursement"))
    assert (attempt.answer, attempt.failure) == (Answer.LATER, Failure.DISK)
    assert attempt.reason.startswith(str(tmp_path / "gone"))
