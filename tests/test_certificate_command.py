"""Certificates from a journal: what each ineligible rests on, the same files twice, and what is refused."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from builders import IN_LOS_ANGELES, position
from certified import KEY, PUBLIC_KEY, Journal
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.certificate.model import Stated
from pledgewatch_cloud.certificate.stated_file import StatedError, read_stated
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.journal.sqlite import SqliteStore

# The command.


class Desk:
    """A journal on disk, a key, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.out, self.key = folder / "data", folder / "out", folder / "signing.pem"
        store = SqliteStore(self.data)
        self.journal = Journal(store)
        self.journal.tell()
        self.key.touch(0o600)
        self.key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def close(self) -> None:
        self.journal.store.close()

    def arguments(self, *more: object, **instead: object) -> list[str]:
        """What makes a certificate."""
        given = {"data": self.data, "facility": "facility-1", "key": self.key, "out": self.out, **instead}
        options = [str(one) for name, value in given.items() for one in (f"--{name.replace('_', '-')}", value)]
        return ["certificate", "make", *options, *map(str, more)]

    def made(self, *more: object, **instead: object) -> dict[str, bytes]:
        """The files that a run makes."""
        assert main(self.arguments(*more, **instead)) == 0
        return files(Path(str(instead.get("out", self.out))))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    made = Desk(tmp_path)
    yield made
    made.close()


def test_six_files_are_made_and_every_one_is_verified(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    made = desk.made()
    said = json.loads(capsys.readouterr().out)
    name = "certificate-facility-1-20260101T140000Z-8"
    assert list(made) == sorted(
        f"{name}.{form}{end}" for form in ("csv", "pdf", "xlsx") for end in ("", ".signature.json")
    )
    assert said == {
        "facility": "facility-1",
        "as_of": "2026-01-01T14:00:00Z",
        "known_at": "2026-01-01T14:00:00Z",
        "entry": 8,
        "public_key": PUBLIC_KEY,
        "files": [
            str(desk.out / f"{name}.{form}{end}") for form in ("csv", "xlsx", "pdf") for end in ("", ".signature.json")
        ],
    }
    for form in ("csv", "xlsx", "pdf"):
        assert main(["certificate", "verify", str(desk.out / f"{name}.{form}"), "--key-of", PUBLIC_KEY]) == 0
        said_so = capsys.readouterr().out
        assert said_so.startswith(
            f"{name}.{form} is unchanged: the base of facility facility-1 as of 2026-01-01T14:00:00Z"
        )
        assert f"signed with the key {PUBLIC_KEY}." in said_so
    assert main(["certificate", "verify", str(desk.out / f"{name}.pdf")]) == 0
    assert "which only the signature file itself names" in capsys.readouterr().out


def test_what_does_not_verify_is_found_wrong_and_what_is_not_there_cannot_be_done(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.made()
    (path,) = desk.out.glob("*.csv")
    other = "ab" * 32
    assert main(["certificate", "verify", str(path), "--key-of", other]) == 1
    path.write_bytes(path.read_bytes().replace(b"7600.00", b"9600.00"))
    assert main(["certificate", "verify", str(path), "--key-of", PUBLIC_KEY]) == 1
    path.with_name(path.name + ".signature.json").unlink()
    assert main(["certificate", "verify", str(path)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1, "only what the making said"
    assert err.splitlines() == [
        f"the certificate is signed with the key {PUBLIC_KEY}, not with {other}",
        f"the file is not the one that was signed as {path.name}: its SHA-256 is another",
        f"{path}.signature.json cannot be read: No such file or directory",
    ]


def test_the_same_journal_gives_the_same_files(desk: Desk) -> None:
    """In another folder, in another process, from a snapshot, and after more has happened since."""
    first = desk.made()
    assert desk.made() == first
    assert desk.made(out=desk.folder / "again") == first
    program = [sys.executable, "-m", "pledgewatch_cloud", *desk.arguments(out=desk.folder / "process")]
    surroundings = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    subprocess.run(program, check=True, capture_output=True, env=surroundings)
    assert files(desk.folder / "process") == first
    spine = desk.journal.spine
    desk.journal.store.keep_snapshot(spine.state.entry, state_module.pieces(spine.state))
    assert desk.made(out=desk.folder / "snapshot") == first
    desk.journal.measure(2, "14:20", *position(IN_LOS_ANGELES))
    moments = ("--known-at", "2026-01-01T14:00:00Z")
    assert desk.made(*moments, out=desk.folder / "later") == first
    other = desk.made("--as-of", "2026-01-01T14:00:00Z", out=desk.folder / "other")
    assert not set(other) & set(first), "what is known since has another entry, and other names"


def lines_of(made: Mapping[str, bytes], section: str) -> list[list[str]]:
    (data,) = [data for name, data in made.items() if name.endswith(".csv")]
    return [line[1:] for line in csv.reader(data.decode().splitlines()) if line[0] == section]


def test_the_files_say_what_the_journal_says(desk: Desk) -> None:
    made = desk.made()
    lots = {line[0]: line for line in lines_of(made, "lots")}
    told = {name: " ".join(line) for name, line in lots.items()}
    assert f"condition: event {desk.journal.id_of('condition_breached')}" in told["lot-breached"]
    assert "evidence: container-2 1 1 of 2026-01-01T12:02:00Z" in told["lot-stale"]
    figures = {line[0]: line[2] for line in lines_of(made, "waterfall")}
    assert (figures["gross"], figures["eligible"], figures["outstanding"]) == ("7600.00", "3440.00", "2000.00")
    assert figures["base"] == "2536.00", "80 % of 2,720.00 at port and 50 % of 720.00 at sea"
    facts = dict(line[:2] for line in lines_of(made, "certificate"))
    assert facts["entry"] == "8"
    assert facts["journal"] == desk.journal.store.journal


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own.json", '{"gross": "8400.00", "outstanding": "2000.00"}'),
        ("own.csv", "figure,amount\ngross,8400\noutstanding,2000.0\n"),
        ("own.txt", "\ufeffFigure, Amount\r\n\r\nGross , 8400.00\r\noutstanding,2000"),
    ],
)
def test_the_borrowers_own_figures_stand_beside_ours(desk: Desk, name: str, text: str) -> None:
    path = desk.folder / name
    path.write_text(text, encoding="utf-8")
    made = desk.made("--stated", path)
    rows = {line[0]: line for line in lines_of(made, "waterfall")}
    assert rows["gross"][4:6] == ["8400.00", "800.00"]
    assert "would explain it exactly" in rows["gross"][6]
    assert rows["outstanding"][6] == "The borrower's outstanding agrees."
    assert rows["base"][4:7] == ["", "", ""]
    assert dict(line[:2] for line in lines_of(made, "certificate"))["stated_in"] == name


HEADER = "figure,amount\n"


@pytest.mark.parametrize(
    ("name", "text", "errors"),
    [
        ("a.json", "{", ["line 1, column 2: Expecting property name enclosed in double quotes"]),
        ("a.json", "[]", ['an object is needed, as {"gross": "1250000.00"}']),
        ("a.json", "{}", ["no figure is there; state one or more of gross, eligible, base, outstanding"]),
        ("a.json", '{"gross": "1", "gross": "2"}', ["the key 'gross' comes twice in one object"]),
        (
            "a.json",
            '{\n "gross": "1,000.00",\n "eligible": 7.5,\n "base": "1.005",\n "loan": "1",\n "outstanding": true\n}',
            [
                ":2: gross: '1,000.00' is not a decimal number from 0, as \"1250000.00\"",
                ':3: eligible: 7.5 is a binary fraction and not what was stated: write "7.5", as text',
                ":4: base: 1.005 has more decimals than EUR, which has 2",
                ":5: 'loan' is no figure; there are gross, eligible, base, outstanding",
                ':6: outstanding: True is not a decimal number from 0, as "1250000.00"',
            ],
        ),
        ("a.csv", "", [":1: a header figure,amount is needed, and a line for each figure"]),
        ("a.csv", "\ngross,1\n", [":2: a header figure,amount is needed, and a line for each figure"]),
        ("a.csv", HEADER, ["no figure is there; state one or more of gross, eligible, base, outstanding"]),
        (
            "a.csv",
            f"{HEADER}gross,1,000.00\nbase\n",
            [
                ":2: 3 cells where figure and amount are needed; write amounts without separators",
                ":3: 1 cells where figure and amount are needed; write amounts without separators",
            ],
        ),
        (
            "a.csv",
            f"{HEADER}gross,-1\nbase,1e3\neligible,007\n\nloan,5\noutstanding,5\noutstanding,5\n",
            [
                ":2: gross: '-1' is not a decimal number from 0, as \"1250000.00\"",
                ":3: base: '1e3' is not a decimal number from 0, as \"1250000.00\"",
                ":4: eligible: '007' is not a decimal number from 0, as \"1250000.00\"",
                ":6: 'loan' is no figure; there are gross, eligible, base, outstanding",
                ":8: outstanding comes twice",
            ],
        ),
        ("a.csv", f'{HEADER}gross,"1', [":2: no CSV: unexpected end of data"]),
    ],
)
def test_figures_that_cannot_be_taken_are_told_by_their_lines(
    tmp_path: Path, name: str, text: str, errors: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StatedError) as refused:
        read_stated(path, "EUR")
    assert list(refused.value.errors) == [f"{path}{'' if one.startswith(':') else ': '}{one}" for one in errors]


def test_figures_are_minor_units_of_the_currency(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text('{"gross": "12.5", "base": 7, "outstanding": "0"}', encoding="utf-8")
    assert read_stated(path, "KWD") == Stated(12_500, None, 7_000, 0, "own.json")
    with pytest.raises(StatedError, match=r"gross: 12.5 has more decimals than JPY, which has 0"):
        read_stated(path, "JPY")
    path.write_bytes(b"\xff")
    with pytest.raises(StatedError, match="not UTF-8 at byte 0"):
        read_stated(path, "USD")
    path.write_bytes(b" " * 65_537)
    with pytest.raises(StatedError, match="more than 65536 bytes"):
        read_stated(path, "USD")


def test_what_cannot_be_certified_is_said_in_one_sentence(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    bad = desk.folder / "bad.csv"
    bad.write_text("figure,amount\ngross,x\nbase,y\n", encoding="utf-8")
    shared = desk.folder / "shared.pem"
    shared.write_bytes(desk.key.read_bytes())
    shared.chmod(0o644)
    for arguments, *sentences in (
        (
            desk.arguments(facility="ghost"),
            "there was no facility 'ghost' at 2026-01-01T14:00:00Z; there were: facility-1",
        ),
        (
            desk.arguments("--as-of", "noon"),
            "--as-of: 'noon' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z",
        ),
        (
            desk.arguments("--known-at", ""),
            "--known-at: '' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z",
        ),
        (
            desk.arguments("--as-of", "2026-01-01T13:00:01Z", "--known-at", "2026-01-01T13:00:00Z"),
            "as of 2026-01-01T13:00:01Z lies after known at 2026-01-01T13:00:00Z: nobody knew then",
        ),
        (
            desk.arguments("--known-at", "2026-01-01T11:00:00Z"),
            "there was no facility 'facility-1' at 2026-01-01T11:00:00Z; there were: none",
        ),
        (
            desk.arguments("--known-at", "9999-01-01T00:00:00Z"),
            "9999-01-01T00:00:00Z is still to come: what is known then nobody can sign",
        ),
        (
            desk.arguments("--as-of", "9999-01-01T00:00:00Z"),
            "9999-01-01T00:00:00Z is still to come: what is known then nobody can sign",
        ),
        (
            desk.arguments(key=desk.folder / "none.pem"),
            f"{desk.folder / 'none.pem'}: cannot be read: No such file or directory",
        ),
        (desk.arguments(key=shared), f"{shared}: other users may read the signing key; run chmod 600 on it"),
        (
            desk.arguments("--stated", bad),
            f"{bad}:2: gross: 'x' is not a decimal number from 0, as \"1250000.00\"",
            f"{bad}:3: base: 'y' is not a decimal number from 0, as \"1250000.00\"",
        ),
        (
            desk.arguments("--stated", desk.folder / "none.csv"),
            f"{desk.folder / 'none.csv'} cannot be used: No such file or directory",
        ),
        (desk.arguments(out=bad), f"{bad} cannot be used: File exists"),
        (
            desk.arguments(data=desk.folder / "typo"),
            f"{desk.folder / 'typo' / 'journal.sqlite'}: there is no journal here",
        ),
    ):
        assert main(arguments) == 2, arguments
        out, err = capsys.readouterr()
        assert (out, err.splitlines()) == ("", sentences)
    assert not desk.out.exists(), "nothing was written"


def test_the_command_tells_its_acts(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["certificate", "--help"], ("make", "verify")),
        (["certificate", "make", "--help"], ("--data", "--facility", "--key", "--out", "--as-of", "--stated")),
        (["certificate", "verify", "--help"], ("--key-of",)),
    ):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 0
        told = capsys.readouterr().out
        assert all(word in told for word in words)
    with pytest.raises(SystemExit) as done:
        main(["certificate"])
    assert done.value.code == 2
