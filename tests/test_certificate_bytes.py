"""Certificates: the same bytes every time, and no byte changed unseen."""

import hashlib
import io
import os
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from certificates import KEY, PUBLIC_KEY, assert_agrees, certificate, forms, lot, stated
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from openpyxl import load_workbook
from pypdf import PdfReader

from pledgewatch_cloud import signing_key
from pledgewatch_cloud.certificate import csv_form, pdf_form, signing, xlsx_form
from pledgewatch_cloud.certificate.model import facts, stem
from pledgewatch_cloud.certificate.signing import CertificateError
from pledgewatch_cloud.decide.canonical import decode, encode
from pledgewatch_cloud.signing_key import SigningKeyError

# The same bytes.

ELSEWHERE = """
import sys
sys.path.insert(0, {support!r})
import certificates as it
one = it.certificate(stated=it.stated(21_200_000, 17_000_000, 11_000_000))
for data in it.forms(one).values():
    print(__import__("hashlib").sha256(data).hexdigest())
"""


@pytest.mark.parametrize(
    "surroundings",
    [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8"},
        {
            "PYTHONHASHSEED": "3",
            "TZ": "America/St_Johns",
            "LC_ALL": "POSIX",
            "PYTHONUTF8": "0",
        },
        {
            "SOURCE_DATE_EPOCH": "1",
            "RL_pageCompression": "1",
            "RL_invariant": "0",
            "RL_pdfComments": "1",
            "RL_pdfMultiLine": "1",
            "RL_ttfAsciiReadable": "0",
            "RL_canvas_baseColor": "red",
            "RL_canvas_basefontname": "Times-Roman",
            "RL_defaultPageSize": "letter",
            "RL_documentLang": "de",
        },
    ],
)
def test_another_process_makes_the_same_bytes(surroundings: dict[str, str]) -> None:
    one = certificate(stated=stated(21_200_000, 17_000_000, 11_000_000))
    here = [hashlib.sha256(data).hexdigest() for data in forms(one).values()]
    code = ELSEWHERE.format(support=str(Path(__file__).parent / "support"))
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **surroundings}
    )
    assert made.stdout.split() == here


def test_no_form_depends_on_a_compressor() -> None:
    made = forms(certificate())
    assert b"FlateDecode" not in made["pdf"]
    with zipfile.ZipFile(io.BytesIO(made["xlsx"])) as archive:
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_order_in_which_a_mapping_was_filled_is_not_seen() -> None:
    one = certificate(stated=stated(21_200_000, 17_000_000, 11_000_000))
    base = one.base

    def turned(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return dict(reversed(list(mapping.items())))

    other = one._replace(
        base=base._replace(
            ineligible=turned(base.ineligible),
            advance=turned(base.advance),
            held_back=turned(base.held_back),
            reserves=turned(base.reserves),
        ),
        lines=tuple(line._replace(ineligible=turned(line.ineligible)) for line in one.lines),
        evidence=turned(one.evidence),
    )
    assert list(other.base.ineligible) != list(base.ineligible)
    assert forms(other) == forms(one)


def test_a_certificate_between_two_others_changes_nothing() -> None:
    one = forms(certificate())
    forms(certificate([lot("Øther-Ünïcode", 100)], borrower="Ćelebić"))
    assert forms(certificate()) == one


def test_no_form_names_a_time_of_making() -> None:
    data = pdf_form.render(certificate(), PUBLIC_KEY)
    assert set(re.findall(rb"D:[0-9]+", data)) == {b"D:20260101120101"}
    book = load_workbook(io.BytesIO(xlsx_form.render(certificate())))
    assert book.properties.created == book.properties.modified == datetime(2026, 1, 1, 12, 1, 1)  # noqa: DTZ001 - openpyxl's UTC


def test_two_thousand_lots_in_every_form() -> None:
    lines = [lot(f"lot-{number:05}", 10_000 + number, stock=number) for number in range(2_000)]
    one = certificate(lines, evidence={line.id: (f"wms-1/count/{line.id}",) for line in lines})
    assert_agrees(one)
    reader = PdfReader(io.BytesIO(pdf_form.render(one, PUBLIC_KEY)))
    texts = [page.extract_text() for page in reader.pages]
    assert len(texts) > 40
    for number, text in enumerate(texts, 1):
        assert f"page {number} of {len(texts)}" in text
        assert "Taken for" in text or number == 1
    words = " ".join(texts).split()
    assert [word for word in words if word.startswith("lot-")] == [line.id for line in lines]


# Signing.


def signed() -> tuple[bytes, bytes]:
    data = csv_form.render(certificate())
    return data, signing.sign(data, "it.csv", certificate(), KEY)


def test_a_signature_says_what_is_signed_and_by_whom() -> None:
    data, signature = signed()
    assert signing.verify(data, signature, PUBLIC_KEY.upper()) == (
        "it.csv is unchanged: the base of facility facility-1 as of 2026-01-01T12:00:00Z, known at "
        "2026-01-01T12:01:01.001Z, from entry 4711 of journal 9f86d081-journal, signed with the key " + PUBLIC_KEY + "."
    )
    assert "which only the signature file itself names" in signing.verify(data, signature, None)
    said = decode(signature)
    assert said["format"] == "pledgewatch-certificate-1"
    unsigned = {name: value for name, value in said.items() if name != "signature"}
    KEY.public_key().verify(bytes.fromhex(said["signature"]), encode(unsigned))


def test_a_flipped_bit_anywhere_in_the_signature_file_is_seen() -> None:
    data, signature = signed()
    for place in range(len(signature)):
        for bit in (1, 0x20, 0x80):
            wrong = bytearray(signature)
            wrong[place] ^= bit
            with pytest.raises(CertificateError):
                signing.verify(data, bytes(wrong), PUBLIC_KEY)
            with pytest.raises(CertificateError):
                signing.verify(data, bytes(wrong), None)


def test_a_flipped_bit_in_any_form_is_seen() -> None:
    one = certificate()
    for name, data in forms(one).items():
        signature = signing.sign(data, name, one, KEY)
        for place in range(0, len(data), max(1, len(data) // 50)):
            wrong = bytearray(data)
            wrong[place] ^= 1
            with pytest.raises(CertificateError, match=f"not the one that was signed as {name}"):
                signing.verify(bytes(wrong), signature, PUBLIC_KEY)


def test_another_key_is_another_signer() -> None:
    data, signature = signed()
    other = Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32).public_key().public_bytes_raw().hex()
    with pytest.raises(CertificateError, match=f"is signed with the key {PUBLIC_KEY}, not with {other}"):
        signing.verify(data, signature, other)
    hostile = encode({**decode(signature), "file": "\u001b[2J"})
    with pytest.raises(CertificateError, match=r"signed as \\u\{1b\}\[2J"):
        signing.verify(data + b"x", hostile, PUBLIC_KEY)
    swapped = encode({**decode(signature), "public_key": other})
    with pytest.raises(CertificateError, match="the signature is not by the key"):
        signing.verify(data, swapped, other)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda said: b"", "is no JSON"),
        (lambda said: b"[" * 60_000, "is no JSON"),
        (lambda said: b" " * 70_000, "is larger than 65536 bytes"),
        (lambda said: b"[]", "does not say that its format is pledgewatch-certificate-1"),
        (lambda said: encode({**said, "format": "other"}), "does not say that its format is"),
        (lambda said: encode({**said, "more": 1}), "too many: more"),
        (lambda said: encode({name: said[name] for name in said if name != "file"}), "lacks these members .*: file"),
        (lambda said: encode({**said, "entry": True}), "of the wrong type"),
        (lambda said: encode({**said, "file": 1}), "of the wrong type"),
        (lambda said: encode({**said, "signature": said["signature"].upper()}), "128 lower-case hexadecimal digits"),
        (lambda said: encode(said) + b"\n", "is not in canonical JSON"),
        (lambda said: encode({**said, "entry": 4_712}), "what it covers was changed"),
        (lambda said: encode({**said, "public_key": "ff" * 32}), "the signature is not by the key"),
    ],
)
def test_a_signature_file_that_is_none_is_refused_with_a_sentence(spoil: Any, sentence: str) -> None:
    data, signature = signed()
    with pytest.raises(CertificateError, match=sentence):
        signing.verify(data, spoil(decode(signature)), None)


def test_six_files_are_written_and_again_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "certificates"
    paths = signing.write(certificate(), folder, KEY)
    name = "certificate-facility-1-20260101T120000Z-4711"
    assert [path.name for path in paths] == [
        f"{name}.{form}{end}" for form in ("csv", "xlsx", "pdf") for end in ("", ".signature.json")
    ]
    assert sorted(folder.iterdir()) == sorted(paths)
    before = [path.read_bytes() for path in paths]
    held = [path.open("rb") for path in paths]
    assert [path.read_bytes() for path in signing.write(certificate(), folder, KEY)] == before
    for path, file in zip(paths, held, strict=True):
        with file:
            assert os.fstat(file.fileno()).st_ino != path.stat().st_ino, "it took the place by rename"
    for path in paths[::2]:
        signature = path.with_name(path.name + ".signature.json").read_bytes()
        assert signing.verify(path.read_bytes(), signature, PUBLIC_KEY).startswith(f"{path.name} is unchanged")


def test_what_was_there_stays_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = signing.write(certificate(), tmp_path, KEY)
    before = [path.read_bytes() for path in paths]
    written = 0

    def full(_: int) -> None:
        nonlocal written
        written += 1
        if written == 6:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        signing.write(certificate(borrower="another"), tmp_path, KEY)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert [path.read_bytes() for path in paths] == before


def test_facilities_never_share_a_file() -> None:
    names = [stem(certificate(facility=name)) for name in ("a/b", "a:b", "a-b", "../../etc", "", "x" * 300, "x" * 301)]
    assert len(set(names)) == len(names)
    assert all("/" not in name and len(name) < 130 and not name.startswith(".") for name in names)


# Keys.


def pem(key: Any, how: KeySerializationEncryption | None = None) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption()))


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.write_bytes(pem(KEY))
    path.chmod(stat.S_IRUSR)
    assert signing.public_key_hex(signing_key.load(path)) == PUBLIC_KEY


@pytest.mark.parametrize(
    ("content", "mode", "sentence"),
    [
        (None, 0o600, "cannot be read: No such file"),
        (pem(KEY), 0o640, "other users may read the signing key; run chmod 600"),
        (b"nonsense", 0o600, "is no private key in PEM"),
        (pem(generate_private_key(SECP256R1())), 0o600, "is no Ed25519 key"),
        (pem(KEY, BestAvailableEncryption(b"word")), 0o600, "the key is encrypted"),
    ],
)
def test_a_key_that_cannot_be_used_is_said_to_be_so(
    tmp_path: Path, content: bytes | None, mode: int, sentence: str
) -> None:
    path = tmp_path / "signing.key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(SigningKeyError, match=f"{path}: {sentence}"):
        signing_key.load(path)


def test_facts_name_the_file_of_the_borrower_only_where_there_is_one() -> None:
    assert "stated_in" not in dict(facts(certificate()))
    assert dict(facts(certificate(stated=stated(gross=1))))["stated_in"] == "borrower-2025-12.xlsx"
