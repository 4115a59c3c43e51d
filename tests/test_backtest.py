"""The back-test command: files and journals through a book, compared with another, and every slip named."""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from builders import NOON_MS, Device, ManualClock, book_document, temperature
from needed import DATA, needs

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_edge.framing import checksum

NAB = "temp-nab/machine_temperature_system_failure.csv"


def book(path: Path, high: int = 8_000, grace_s: int = 600) -> Path:
    document = book_document(Device())
    document["lots"][0]["limits"] = [{"channel": "temperature_mc", "low": 0, "high": high, "grace_s": grace_s}]
    document["milestones"] = []
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def rows(path: Path) -> Path:
    values = [(0, "5.0"), (5, "9.0"), (20, "9.5"), (30, "5.0625")]
    lines = [f'{{"time": "2026-01-01T12:{minute:02d}:00Z", "temperature_c": {value}}}' for minute, value in values]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, object]]:
    assert main(["backtest", *map(str, arguments), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_lines_through_a_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readings = rows(tmp_path / "readings.jsonl")
    found = told(capsys, "--book", book(tmp_path / "book.json"), "--readings", readings, "--device", "container-1")
    kinds = [one["type"] for one in found]
    assert "condition_breached" in kinds
    assert "condition_restored" in kinds
    (breach,) = (one for one in found if one["type"] == "condition_breached")
    assert breach["at_ms"] == NOON_MS + 15 * 60_000, "when the grace was over"
    late = told(
        capsys, "--book", tmp_path / "book.json", "--readings", readings, "--device", "container-1",
        "--from", "2026-01-01T12:25:00Z",
    )  # fmt: skip
    assert [one["type"] for one in late if one["subject"] == "asset-container-1"] == ["condition_known"]


def sentence(minute: int, latitude: str, longitude: str, mode: str = "A") -> str:
    """RMC at a minute after noon."""
    body = f"GPRMC,12{minute:02d}00.00,A,{latitude},N,{longitude},W,0.0,,010126,,,{mode}"
    return f"${body}*{checksum(body.encode()):02X}\r\n"


SEA, PORT = ("3342.0000", "11930.0000"), ("3342.0000", "11816.2000")


@pytest.mark.parametrize(("mode", "entered"), [("A", 1), ("S", 0)])
def test_recorded_nmea_is_read_by_the_agents_parser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str, entered: int
) -> None:
    """A fix that the receiver itself calls simulated enters nothing."""
    log = tmp_path / "port.log"
    lines = [sentence(1, *SEA), "noise\r\n", sentence(2, *SEA), sentence(20, *PORT, mode), sentence(21, *PORT, mode)]
    log.write_text("".join(lines), encoding="ascii")
    found = told(capsys, "--book", book(tmp_path / "book.json"), "--readings", log, "--device", "container-1")
    crossings = [one["at_ms"] for one in found if one["type"] == "fence_entered"]
    assert crossings == [NOON_MS + 20 * 60_000][:entered]


@pytest.mark.parametrize(("quality", "entered"), [("good", 1), ("spoofed", 0), ("no_fix", 0)])
def test_a_quality_stands_against_a_rows_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quality: str, entered: int
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [(1, 33.7, -119.5, "good"), (20, 33.7, -118.27, quality), (21, 33.7, -118.27, quality)]
    lines = [
        {"time": f"2026-01-01T12:{minute:02d}:00Z", "latitude": latitude, "longitude": longitude, "quality": said}
        for minute, latitude, longitude, said in rows
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = told(capsys, "--book", book(tmp_path / "book.json"), "--readings", path, "--device", "container-1")
    assert sum(one["type"] == "fence_entered" for one in found) == entered


@pytest.mark.parametrize(("quality", "breached"), [("good", True), ("no_fix", True), ("sensor_gone", False)])
def test_a_quality_that_is_about_no_place_stands_against_the_other_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quality: str, breached: bool
) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [
        {"time": f"2026-01-01T12:{minute:02d}:00Z", "temperature_c": 9, "quality": quality} for minute in (0, 20, 40)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = told(capsys, "--book", book(tmp_path / "book.json"), "--readings", path, "--device", "container-1")
    assert any(one["type"] == "condition_breached" for one in found) is breached


def test_two_books_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readings, strict = rows(tmp_path / "readings.jsonl"), book(tmp_path / "book.json")
    lax = book(tmp_path / "lax.json", grace_s=3_600)
    arguments = ["--book", strict, "--readings", readings, "--device", "container-1", "--compare"]
    differ = told(capsys, *arguments, lax)
    assert {(one["only_in"], one["type"]) for one in differ} == {
        ("book", "condition_breached"),
        ("book", "condition_restored"),
        ("book", "alert_opened"),
        ("book", "alert_cleared"),
    }
    assert told(capsys, *arguments, strict) == []


def test_a_journal_through_another_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device, clock = Device(), ManualClock()
    store = SqliteStore(tmp_path / "data")
    spine = Spine(store, clock)
    spine.commit(drafts.amend, json.loads(book(tmp_path / "lax.json", high=99_000).read_text()))
    for minute, value in ((0, 5_000), (5, 9_000), (20, 9_500)):
        clock.at_ms = NOON_MS + minute * 60_000
        spine.take([device.arrival([device.measure(clock.at_ms, temperature(value))])])
        spine.tick()
    store.close()
    strict = book(tmp_path / "book.json")
    found = told(capsys, "--book", strict, "--journal", tmp_path / "data")
    assert [one["type"] for one in found if one["type"] == "condition_breached"] == ["condition_breached"]
    same = told(capsys, "--book", tmp_path / "lax.json", "--journal", tmp_path / "data")
    assert [one["type"] for one in same if one["subject"] == "asset-container-1"] == ["condition_known"]


@needs(NAB)
def test_a_csv_by_a_map_of_its_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Of the eleven weeks the three days in which it fails first: a step for each row, and each minute.
    readings = tmp_path / "machine.csv"
    titles, *lines = (DATA / NAB).read_text(encoding="ascii").splitlines(keepends=True)
    readings.write_text("".join([titles, *lines[3_500:4_300]]), encoding="ascii")
    found = told(
        capsys, "--book", book(tmp_path / "book.json", high=46_000, grace_s=3_600), "--readings", readings,
        "--device", "container-1", "--map", "time=timestamp", "--map", "temperature_f=value",
    )  # fmt: skip
    kinds = Counter(one["type"] for one in found)
    assert kinds["condition_breached"] == kinds["condition_restored"] == 1, "the machine was too warm once"
    assert min(str(one["at_ms"]) for one in found if one["type"] == "base_recomputed") > "1380000000000"


@pytest.mark.parametrize("line", ["2026-01-01T12:01:00Z", "2026-01-01T12:01:00Z,5,6"])
def test_a_line_of_another_width_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    readings = tmp_path / "readings.csv"
    readings.write_text(f"when,value\n2026-01-01T12:00:00Z,5\n{line}\n", encoding="utf-8")
    maps = ["--map", "time=when", "--map", "temperature_c=value"]
    arguments = ["--book", book(tmp_path / "book.json"), "--readings", readings, "--device", "container-1", *maps]
    assert main(["backtest", *map(str, arguments)]) == 2
    assert "readings.csv: line 3: not as many columns as the first line has: 2" in capsys.readouterr().err


SLIPS = [
    ('{"time": "yesterday", "temperature_c": 5}', "line 1: Invalid isoformat string"),
    ('{"time": "2026-01-01T12:00:00Z", "smell": 5}', "line 1: there is no quantity 'smell'"),
    ('{"time": "2026-01-01T12:00:00Z", "temperature_c": "NaN"}', "line 1: temperature_c 'NaN' is no number"),
    ('{"time": "2026-01-01T12:00:00Z", "temperature_c": 5}\n[', "line 2: no JSON: Expecting value at character 2"),
    ("[1]", "line 1: an object is needed"),
    ("\n\n[1]", "line 3: an object is needed"),
    ("[" * 100_000, "line 1: no JSON that can be read: nested too deeply"),
    ('{"measured_at_ms": [1], "temperature_c": 5}', "line 1: measured_at_ms '[1]' is no whole number"),
    ('{"time": "2026-01-01T12:00:00Z", "temperature_c": true}', "line 1: temperature_c True is no number"),
    ('{"time": "2026-01-01T12:00:00Z", "temperature_c": 5, "temperature_mc": 5000}', "line 1: temperature_mc is given"),
    ('{"time": "2099-01-01T00:00:00Z", "temperature_c": 5}', "is dated 2099-01-01T00:00:00Z: not yet"),
    ('{"time": "1949-06-11T00:00:00Z", "temperature_c": 5}', "line 1: the time 1949-06-11T00:00:00Z is none that"),
    ('{"measured_at_ms": 99999999999999, "temperature_c": 5}', "line 1: the time 99999999999999 is none that"),
    ('{"time": "2026-01-01T12:00:00Z", "temperature_c": 1e30}', "line 1: temperature_c Decimal('1E+30') is more than"),
]


@pytest.mark.parametrize(("text", "words"), SLIPS)
def test_a_row_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    readings = tmp_path / "readings.jsonl"
    readings.write_text(text, encoding="utf-8")
    arguments = ["--book", str(book(tmp_path / "book.json")), "--readings", str(readings), "--device", "container-1"]
    assert main(["backtest", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_slips_of_the_command_line_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readings, good = rows(tmp_path / "readings.jsonl"), book(tmp_path / "book.json")
    bad = tmp_path / "bad.yaml"
    bad.write_text("lots:\n  - {id: a}\n", encoding="utf-8")
    for arguments, words in (
        (["--book", bad, "--readings", readings], f"{bad}:2: lots[0].asset: is missing"),
        (["--book", tmp_path / "none.json", "--readings", readings], "cannot be read: No such file"),
        (["--book", good, "--readings", readings], "line 1: no device"),
        (["--book", good, "--readings", readings, "--from", "noon"], "--from: 'noon' is not a time"),
        (["--book", good, "--readings", readings, "--map", "time"], "--map takes QUANTITY=COLUMN"),
        (["--book", good, "--journal", tmp_path / "none"], "there is no journal here"),
        (
            ["--book", good, "--readings", readings, "--from", "2026-01-02T12:00:00Z", "--to", "2026-01-01T12:00:00Z"],
            "--from is not before --to",
        ),
    ):
        assert main(["backtest", *map(str, arguments)]) == 2
        assert words in capsys.readouterr().err
    assert main(["backtest", "--book", str(good), "--readings", str(readings), "--device", "ghost"]) == 1
    said = capsys.readouterr().err
    assert "ghost is not installed" in said
    assert "no reading was folded" in said


def breaches(path: Path, rows: list[tuple[int, int]]) -> Path:
    """Rows of (minute, degrees)."""
    lines = [{"measured_at_ms": NOON_MS + minute * 60_000, "temperature_c": degrees} for minute, degrees in rows]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def ruled(path: Path, **rule: int) -> Path:
    """A book whose rule for breaches says so; nobody is missed."""
    document = json.loads(book(path, grace_s=0).read_text())
    document["installations"][0]["silent_after_s"] = 0
    document["alert_rules"] = [{"id": "warm", "on": "condition_breached", "group_by": "lot", **rule}]
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_alerts_come_as_they_would_have_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    often = breaches(tmp_path / "often.jsonl", [(5 * k, 9 if k % 9 in (4, 5) else 5) for k in range(180)])
    found = told(capsys, "--book", ruled(tmp_path / "book.json"), "--readings", often, "--device", "container-1")
    kinds = Counter(one["type"] for one in found)
    assert kinds["alert_opened"] == kinds["alert_cleared"] == kinds["condition_breached"] == 20
    long = breaches(tmp_path / "long.jsonl", [(0, 5), (10, 9), (610, 5)])
    strict = ruled(tmp_path / "strict.json", escalate_after_s=3_600, repeat_s=3_600)
    found = told(capsys, "--book", strict, "--readings", long, "--device", "container-1")
    kinds = Counter(one["type"] for one in found)
    assert (kinds["alert_opened"], kinds["alert_escalated"], kinds["alert_repeated"]) == (1, 1, 9)


def test_the_order_of_a_file_is_no_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told_rows = [(5 * k, 9 if k % 9 in (4, 5) else 5) for k in range(60)]
    mixed = Random(3).sample(told_rows, len(told_rows))
    files = [breaches(tmp_path / "a.jsonl", told_rows), breaches(tmp_path / "b.jsonl", mixed)]
    strict = ruled(tmp_path / "book.json")
    one, other = (told(capsys, "--book", strict, "--readings", file, "--device", "container-1") for file in files)
    assert one == other


def test_a_span_of_a_journal_is_that_span(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A backlog in one payload; and nothing is missed because its span has ended."""
    device, clock = Device(), ManualClock()
    store = SqliteStore(tmp_path / "data")
    spine = Spine(store, clock)
    spine.commit(drafts.amend, json.loads(book(tmp_path / "book.json", grace_s=0).read_text()))
    for minute, value in ((0, 5_000), (10, 9_000), (20, 5_000), (120, 5_000), (130, 9_500), (140, 5_000)):
        device.measure(NOON_MS + minute * 60_000, temperature(value))
    clock.at_ms = NOON_MS + 150 * 60_000
    spine.take([device.arrival(checkpoints=[device.checkpoint()])])
    for hour in range(3, 30):
        clock.at_ms = NOON_MS + hour * 3_600_000
        spine.tick()
    store.close()
    whole = told(capsys, "--book", tmp_path / "book.json", "--journal", tmp_path / "data")
    assert Counter(one["type"] for one in whole)["condition_breached"] == 2
    assert "source_fell_silent" in {one["type"] for one in whole}
    part = told(
        capsys, "--book", tmp_path / "book.json", "--journal", tmp_path / "data",
        "--from", "2026-01-01T13:30:00Z", "--to", "2026-01-01T14:25:00Z",
    )  # fmt: skip
    mine = [(one["type"], one["at_ms"]) for one in part if one["subject"] == "asset-container-1"]
    expected = [("condition_known", 120), ("condition_breached", 130), ("condition_restored", 140)]
    assert mine == [(kind, NOON_MS + minute * 60_000) for kind, minute in expected]


def test_a_comparison_names_what_differs_and_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readings = breaches(tmp_path / "rows.jsonl", [(0, 5), (10, 9), (20, 5)])
    strict = ruled(tmp_path / "book.json")
    document = json.loads(strict.read_text())
    document["lots"][0]["limits"].append({"id": "h", "channel": "humidity_cpercent", "low": 0, "high": 5_000})
    lines = [json.loads(line) | {"humidity_percent": 40} for line in readings.read_text().splitlines()]
    readings.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document), encoding="utf-8")
    differ = told(capsys, "--book", strict, "--readings", readings, "--device", "container-1", "--compare", other)
    assert [(one["only_in"], one["type"]) for one in differ] == [("compare", "condition_known")]
