"""The commands `base` and `quotes`, end to end on a journal's folder and on files."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import AT_SEA, IN_LOS_ANGELES, position
from certified import Journal, book, lot

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.spine.base_at import base_at

CORRECTION = {"prices": [{"series": "steel", "date": "2025-12-31", "price": "8.00", "currency": "USD"}]}
TOMORROW = {"prices": [{"series": "steel", "date": "2026-01-02", "price": "7.00", "currency": "USD"}]}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """What was told by 14:00, and what came after it."""
    made = Journal(SqliteStore(tmp_path / "data"))
    made.tell()
    yield made
    made.store.close()


def command(tmp_path: Path, *more: str, facility: str = "facility-1") -> list[str]:
    return ["base", "--data", str(tmp_path / "data"), "--facility", facility, *more]


def told(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> list[dict[str, Any]]:
    """The lines that a command prints, each an object."""
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def at(clock: str) -> str:
    return f"2026-01-01T{clock}:00Z"


def test_base_prints_the_base_of_now(journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = told(capsys, command(tmp_path))
    assert found == json.loads(json.dumps(base_at(journal.store, "facility-1").as_json(lots=False)))
    assert (found["as_of"], found["known_at"], found["entry"]) == (at("14:00"), found["as_of"], 8)
    assert found["base"]["gross_minor"] == 760_000
    (found,) = told(capsys, command(tmp_path, "--lots"))
    assert [one["id"] for one in found["lines"]] == [one["id"] for one in book(journal.devices)["lots"]]
    assert sum(one["value_minor"] for one in found["lines"]) == 760_000


def test_base_of_a_moment_by_what_was_known_at_another(
    journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = told(capsys, command(tmp_path, "--as-of", at("12:15")))
    assert (found["as_of"], found["known_at"]) == ("2026-01-01T12:15:00Z", "2026-01-01T14:00:00Z")
    assert "condition" not in found["base"]["ineligible"]
    (found,) = told(capsys, command(tmp_path, "--known-at", at("12:00")))
    assert (found["as_of"], found["entry"], found["base"]["unvalued"]) == ("2026-01-01T12:00:00Z", 1, 7)
    (found,) = told(capsys, command(tmp_path, "--as-of", "2026-01-01T15:00:00+01:00", "--known-at", at("14:00")))
    assert (found["as_of"], found["base"]["gross_minor"]) == ("2026-01-01T14:00:00Z", 760_000)


def test_then_shows_what_has_become_known_and_why_it_differs(
    journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After 14:00: a corrected quote, one of tomorrow, a late reading in port, one of later, and a recount."""
    journal.at("14:10")
    journal.spine.commit(drafts.quote, CORRECTION)
    journal.spine.commit(drafts.quote, TOMORROW)
    one = journal.devices[1]
    late = one.measure(journal.at("13:55"), *position(IN_LOS_ANGELES))
    journal.at("14:20")
    journal.spine.take([one.arrival([late])])
    journal.measure(2, "14:25", *position(AT_SEA))
    journal.at("14:30")
    journal.spine.commit(drafts.amend, {"lots": [lot("short", counted=95, counted_at=at("13:00"))]})
    journal.measure(1, "14:40", *position(IN_LOS_ANGELES))
    arguments = command(tmp_path, "--as-of", at("14:00"), "--known-at", at("14:00"), "--then", at("14:30"))
    first, then, *why = told(capsys, arguments)
    assert (first["known_at"], first["entry"], first["base"]["gross_minor"]) == ("2026-01-01T14:00:00Z", 8, 760_000)
    assert (then["known_at"], then["entry"]) == ("2026-01-01T14:30:00Z", 13)
    assert then["as_of"] == first["as_of"]
    assert then["base"]["gross_minor"] == 200_000 + 7 * 64_000
    assert (first["base"]["ineligible"]["stock"], then["base"]["ineligible"]["stock"]) == (8_000, 3_200)
    assert first["base"]["ineligible"]["evidence"] == 80_000
    assert "evidence" not in then["base"]["ineligible"], "the second container was silent, and is not any more"
    assert [one.get("quotes") for one in why if one["entry"] == 9] == [["steel"]]
    assert not [one for one in why if one["entry"] == 10], "tomorrow's quote bears on nothing today"
    reading, entered = (one for one in why if one["entry"] == 11)
    assert reading == {"entry": 11, "known_at": "2026-01-01T14:20:00Z", "readings": {"asset-2": 1}}
    assert (entered["type"], entered["subject"], entered["facts"]["fence"]) == (
        "fence_entered",
        "asset-2",
        "los-angeles",
    )
    assert not [one for one in why if one["entry"] == 12], "what was measured later bears on nothing before"
    assert [one["amendment"] for one in why if one["entry"] == 13 and "amendment" in one] == [["lots"]]
    assert max(one["entry"] for one in why) == 13
    first, then, *why = told(capsys, command(tmp_path, "--known-at", at("14:00"), "--then", at("14:00"), "--lots"))
    assert (first, why) == (then, [])
    assert len(first["lines"]) == 8


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--as-of", "noon"), "--as-of: 'noon' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z"),
        (("--as-of", ""), "--as-of: '' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z"),
        (
            ("--known-at", "2026-01-01"),
            "--known-at: '2026-01-01' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z",
        ),
        (("--then", "soon"), "--then: 'soon' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z"),
        (
            ("--as-of", at("13:01"), "--known-at", at("13:00")),
            "as of 2026-01-01T13:01:00Z lies after known at 2026-01-01T13:00:00Z: nobody knew then",
        ),
        (
            ("--known-at", at("13:00"), "--then", at("12:59")),
            "--then 2026-01-01T12:59:00Z lies before known at 2026-01-01T13:00:00Z",
        ),
        (
            ("--known-at", at("11:00")),
            "there was no facility 'facility-1' at 2026-01-01T11:00:00Z; there were: none",
        ),
    ],
)
def test_a_base_that_cannot_be_had_is_one_sentence(
    journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], sentence: str
) -> None:
    assert main(command(tmp_path, *more)) == 2
    assert capsys.readouterr() == ("", sentence + "\n")


def test_an_unknown_facility_and_a_mistyped_folder_are_said(
    journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, facility="ghost")) == 2
    assert main(["base", "--data", str(tmp_path / "typo"), "--facility", "facility-1"]) == 2
    assert capsys.readouterr() == (
        "",
        "\n".join(
            [
                "there was no facility 'ghost' at 2026-01-01T14:00:00Z; there were: facility-1",
                f"{tmp_path / 'typo' / 'journal.sqlite'}: there is no journal here",
                "",
            ]
        ),
    )
    assert not (tmp_path / "typo").exists()


# Quotes.


def test_the_programs_themselves_print_what_can_be_posted(journal: Journal, tmp_path: Path) -> None:
    """As processes: a file becomes a document, the document becomes an entry, and the base is another one."""
    table = tmp_path / "prices.csv"
    table.write_text("date,series,price,currency\n2025-12-31,steel,8.00,USD\n2026-01-01,steel,9.00,USD\n")
    program = [sys.executable, "-m", "pledgewatch_cloud"]
    read = subprocess.run([*program, "quotes", str(table)], capture_output=True, text=True, check=True)
    document = json.loads(read.stdout)
    assert document["prices"] == [
        {"date": "2025-12-31", "series": "steel", "price": "8.00", "currency": "USD"},
        {"date": "2026-01-01", "series": "steel", "price": "9.00", "currency": "USD"},
    ]
    assert journal.spine.commit(drafts.quote, document) is not None
    found = subprocess.run([*program, *command(tmp_path)], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["base"]["gross_minor"] == 200_000 + 7 * 72_000
    failed = subprocess.run(
        [*program, *command(tmp_path, facility="ghost")], capture_output=True, text=True, check=False
    )
    assert (failed.returncode, failed.stdout, len(failed.stderr.splitlines())) == (2, "", 1)


def test_quotes_of_the_central_bank_and_up_to_a_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "rates.csv"
    table.write_text("Date,USD,JPY,\n2026-01-02,1.17,183.5,\n2025-12-31,1.25,N/A,\n")
    (found,) = told(capsys, ["quotes", str(table)])
    assert found == {
        "rates": [
            {"currency": "JPY", "date": "2026-01-02", "rate": "183.5"},
            {"currency": "USD", "date": "2025-12-31", "rate": "1.25"},
            {"currency": "USD", "date": "2026-01-02", "rate": "1.17"},
        ]
    }
    (found,) = told(capsys, ["quotes", str(table), "--kind", "ecb", "--until", "2026-01-01"])
    assert found == {"rates": [{"currency": "USD", "date": "2025-12-31", "rate": "1.25"}]}


def test_files_that_cannot_be_taken_are_told_with_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "prices.csv"
    table.write_text("date,series,price,currency\n2025-12-31,steel,8.00\n")
    missing = tmp_path / "missing.csv"
    header = tmp_path / "header.csv"
    header.write_text("day,price\n2025-12-31,8.00\n")
    for arguments, sentence in (
        ([str(table)], f"{table}:2: 3 columns where the header has 4: each number needs its name"),
        ([str(missing)], f"{missing} cannot be read: No such file or directory"),
        ([str(header), "--until", "soon"], f"{header}:1: a header date,series,price,currency"),
    ):
        assert main(["quotes", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(sentence)
        assert len(err.splitlines()) == 1
