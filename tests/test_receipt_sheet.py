"""The sheet of a receipt: what people read on it, and what a reader of square codes finds in its picture."""

import io
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pypdfium2
import pytest
import zxingcpp
from extracts import ISSUED_MS, JWK, NOW_MS, RECEIPT, lists, token
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwk as other_jwk
from jwcrypto.jws import JWS
from PIL import Image, ImageFilter
from pypdf import PdfReader

from pledgewatch_cloud.decide.receipts.goods import GoodsLine
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.receipts import sheet
from pledgewatch_cloud.receipts.credential import CredentialError
from pledgewatch_cloud.receipts.verify import verify

CHANGED = "the page is not the one that is drawn from the credential in it: believe the credential, not the page"
MANY = RECEIPT._replace(
    goods=tuple(GoodsLine(f"SOFA-{number:03}", 1_000 * number, "piece", f"A-{number:02}") for number in range(1, 61)),
    released_milli=(0,) * 60,
    ordered_milli=(0,) * 60,
    delivered_milli=(0,) * 60,
)
ON_PAPER = sheet.pdf(token())


def pictures(data: bytes, dots_per_inch: int = 150) -> list[Image.Image]:
    """The pages as a printer would show them."""
    found = pypdfium2.PdfDocument(data)
    try:
        return [page.render(scale=dots_per_inch / 72).to_pil() for page in found]
    finally:
        found.close()


def codes(picture: Image.Image) -> list[str]:
    return [
        one.text
        for one in zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
    ]


def words(data: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages).split())


def test_the_code_on_the_picture_of_the_page_holds_the_credential() -> None:
    found = [text for picture in pictures(ON_PAPER) for text in codes(picture)]
    assert found == [token()]
    other = JWS()
    other.deserialize(found[0], other_jwk.JWK.from_json(json.dumps(JWK)))
    assert json.loads(other.payload)["credentialSubject"]["receipt"] == "la-bonded-1:2026-0001"
    assert verify(found[0], JWK, lists(), NOW_MS).ok


@pytest.mark.parametrize("degrees", [0, 3, 90])
def test_the_code_is_read_from_a_poor_copy(degrees: int) -> None:
    """As a copier makes one: grey, a little blurred, laid on askew."""
    poor = pictures(ON_PAPER, 200)[-1].convert("L").filter(ImageFilter.GaussianBlur(1.5))
    poor = poor.rotate(degrees, expand=True, fillcolor=255)
    assert codes(poor) == [token()]


def test_what_is_too_long_for_a_code_is_named_by_its_digest_and_place() -> None:
    text = token(MANY)
    assert len(text) > sheet.QR_MOST_BYTES
    (found,) = [one for picture in pictures(sheet.pdf(text)) for one in codes(picture)]
    where, _, digest = found.partition("#sha256=")
    assert where == "https://register.example/receipts/la-bonded-1%3A2026-0001/credentials/7"
    assert digest == sha256(text.encode()).hexdigest()
    assert (
        verify(found, JWK, lists(), NOW_MS)
        .why[0]
        .startswith(f"this says only where the credential is: get it from '{where}'")
    )
    assert verify(sheet.pdf(text), JWK, lists(), NOW_MS).ok, "the file holds it all the same"


def test_the_longest_text_that_has_room_is_coded_whole() -> None:
    full, over = "x" * sheet.QR_MOST_BYTES, "x" * (sheet.QR_MOST_BYTES + 1)
    assert sheet.coded(full, "https://there") == full
    assert sheet.coded(over, "https://there").startswith("https://there#sha256=")


def test_people_read_on_it_what_was_signed() -> None:
    text = words(ON_PAPER)
    for shown in (
        "Receipt la-bonded-1:2026-0001",
        "Holder foshan-sofas",
        "Pledged to harbour-bank",
        "State pledged",
        "As of 2026-01-01T10:00:00Z",
        "Goods received from 2025-12-30T10:00:00Z until 2025-12-31T10:00:00Z",
        "Ends 2026-04-01T10:00:00Z",
        "SOFA-3S-GREY 120 0 0 piece A-01-02 MSKU1234565, CN778812, dev-17",
        "FABRIC-LINEN 1,250.5 250.5 50 m A-01-03",
        "ab" * 32,
        "It is not the receipt",
    ):
        assert shown in text
    other = RECEIPT._replace(pledgee="", until_ms=0, state=State.ISSUED, parent="LA-1", replaces="LA-0")
    free = words(sheet.pdf(token(other._replace(overrides=("goods[0] beside", "goods[1] lot")))))
    for shown in (
        *("Pledged to nobody", "Ends no end was set", "Split from LA-1", "Replaces LA-0", "State issued"),
        "Comes close to another receipt; asked and passed over: goods[0] beside, goods[1] lot",
    ):
        assert shown in free


def test_every_line_of_goods_is_on_one_of_the_pages() -> None:
    text = words(sheet.pdf(token(MANY)))
    assert all(f"SOFA-{number:03} {number} 0 0 piece A-{number:02}" in text for number in range(1, 61))
    assert text.count("Container, seal, device") > 1, "the titles of the columns are said again on the next page"


def test_a_name_can_turn_nothing_on_the_page_around() -> None:
    text = words(sheet.pdf(token(RECEIPT._replace(holder="abc\u202egnp.exe\n上海"))))
    assert r"Holder abc\u{202e}gnp.exe\u{a}\u{4e0a}\u{6d77}" in text


def test_a_sheet_is_the_same_bytes_in_another_process_at_another_time() -> None:
    code = (
        "import sys; from extracts import token; from pledgewatch_cloud.receipts import sheet; "
        "sys.stdout.buffer.write(sheet.pdf(token()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SOURCE_DATE_EPOCH": "1", "TZ": "Asia/Tokyo"},
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""
    assert done.stdout == ON_PAPER
    about = PdfReader(io.BytesIO(ON_PAPER)).metadata
    assert about is not None
    assert str(about["/CreationDate"]) == "D:20260101100000Z"


# Whether a sheet is believed.


def test_a_sheet_that_holds_is_believed() -> None:
    verdict = verify(ON_PAPER, JWK, lists(), NOW_MS)
    assert verdict.ok
    assert verdict.receipt is not None
    assert verdict.receipt.id == "la-bonded-1:2026-0001"
    assert verify(ON_PAPER, JWK, lists((7,)), NOW_MS).why == (
        "it is revoked: the receipt has ended, or is no longer what this says",
    )


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, len(ON_PAPER) - 1), bit=st.integers(0, 7))
def test_a_sheet_with_any_one_bit_flipped_is_not_believed(place: int, bit: int) -> None:
    flipped = bytearray(ON_PAPER)
    flipped[place] ^= 1 << bit
    assert not verify(bytes(flipped), JWK, lists(), NOW_MS).ok


def test_a_page_that_says_more_than_was_signed_is_told() -> None:
    """A page of one receipt with the credential of another, whose signature is good."""
    more = token(RECEIPT._replace(goods=(RECEIPT.goods[0]._replace(quantity_milli=12_000_000), RECEIPT.goods[1])))
    forged = sheet.pdf(more).replace(more.encode(), token().encode())
    assert "12,000" in words(forged)
    verdict = verify(forged, JWK, lists(), NOW_MS)
    assert verdict.why == (CHANGED,)
    assert verdict.receipt is not None
    assert verdict.receipt.goods[0].quantity_milli == 120_000


def test_a_pdf_with_two_credentials_is_none() -> None:
    with pytest.raises(CredentialError, match="the PDF holds no credential"):
        sheet.token_in(ON_PAPER + ON_PAPER)


@pytest.mark.parametrize(
    ("milli", "text"),
    [(0, "0"), (1, "0.001"), (500, "0.5"), (1_000, "1"), (12_340, "12.34"), (1_234_567_890, "1,234,567.89")],
)
def test_quantities_are_written_as_people_do(milli: int, text: str) -> None:
    assert sheet.quantity(milli) == text


def test_a_sheet_is_made_of_a_credential_of_a_receipt_only() -> None:
    with pytest.raises(CredentialError, match="it is no warehouse receipt"):
        sheet.pdf(lists(at_ms=ISSUED_MS).splitlines()[0])


def test_nothing_of_the_machine_is_in_the_file() -> None:
    assert str(Path.cwd()).encode() not in ON_PAPER
