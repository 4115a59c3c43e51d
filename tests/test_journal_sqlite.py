"""The journal on disk: it is there after a crash, and one changed byte is found with its entry's number."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import (
    AT_SEA,
    IN_LOS_ANGELES,
    MINUTE_MS,
    NOON_MS,
    Device,
    ManualClock,
    book_document,
    position,
    temperature,
)

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.journal import anchor, form, sqlite_outbox
from pledgewatch_cloud.journal.form import DamagedError, WrittenEntry
from pledgewatch_cloud.journal.outbox import CORE, Begin, DeliveryRecord, Wanted
from pledgewatch_cloud.journal.spans import SpanTail
from pledgewatch_cloud.journal.sqlite import FILE_NAME, SqliteStore
from pledgewatch_cloud.journal.store import Quarantined, StoreError
from pledgewatch_cloud.replay import replay
from pledgewatch_cloud.spine.spine import Spine, recover
from pledgewatch_wire.codec import Status

SAID = Status(True, 1, 12, 0, "1.2")  # noqa: FBT003


@pytest.fixture(autouse=True)
def _few_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the index of readings is written within a few entries."""
    monkeypatch.setattr(SpanTail, "BUCKETS", 3)


def told(folder: Path, entries: int = 12) -> str:
    """A journal with amendments, readings, ticks, events, messages and snapshots. Returns the digest of its state."""
    device, clock = Device(), ManualClock()
    store = SqliteStore(folder)
    spine = Spine(store, clock, snapshot_every_entries=4)
    spine.commit(drafts.amend, book_document(device))
    places = [position(AT_SEA), position(IN_LOS_ANGELES)]
    for minute in range(entries):
        reading = device.measure(NOON_MS + minute * 15 * MINUTE_MS, *places[minute // 3 % 2], temperature(minute * 900))
        spine.take([device.arrival([reading], [device.checkpoint()])])
        clock.at_ms += 15 * MINUTE_MS
        if minute % 4 == 3:
            spine.tick()
    digest = state_module.digest(spine.state)
    store.declare("desk", Wanted(types=("record_base",)), Begin.FIRST)
    (first,) = store.due(CORE, clock.at_ms)
    store.delivered(first, DeliveryRecord(CORE, first.id, clock.at_ms, 1, 200, b'{"id":"x"}', "0a1b2c3d"))
    (second,) = store.due(CORE, clock.at_ms)
    store.failed(CORE, second, "the core says 503", clock.at_ms + 5_000)
    store.quarantine([Quarantined("pw/1/op/no/up", NOON_MS, "unknown version", "version is 9", bytes(range(90)))] * 2)
    store.keep_said({device.name: [SAID, SAID]})
    store.close()
    # One file, no log beside it: what a byte is flipped in below.
    with sqlite3.connect(folder / FILE_NAME) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    return digest


def test_replay_gives_the_same_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = told(tmp_path)
    found = replay(tmp_path)
    assert (found.digest, found.entries, found.readings) == (digest, 16, 12)
    assert main(["replay", "--data", str(tmp_path)]) == 0
    assert digest in capsys.readouterr().out


CHANGES = [
    ("entry", "body"),
    ("entry", "hash"),
    ("entry", "outcome"),
    ("entry", "kind"),
    ("entry", "recorded_at_ms"),
    ("event", "body"),
    ("event", "subject"),
    ("outbox", "body"),
    ("outbox", "facility"),
    ("span", "last"),
    ("snapshot", "body"),
]


@pytest.mark.parametrize(("table", "column"), CHANGES)
def test_a_change_in_any_column_is_reported_with_its_entry(tmp_path: Path, table: str, column: str) -> None:
    told(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        number = "number" if table == "entry" else "entry"
        entry, value = connection.execute(
            f"SELECT {number}, {column} FROM {table} WHERE length({column}) > 0 ORDER BY {number} DESC LIMIT 1 OFFSET 1"
        ).fetchone()
        key = f"{number} = {entry} AND {column} = ?"
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key}", (changed(value), value))
    connection.close()
    with pytest.raises(DamagedError) as caught:
        replay(tmp_path)
    assert caught.value.entry == entry


def changed(value: bytes | str | int) -> bytes | str | int:
    """The value with one bit changed in its middle."""
    if isinstance(value, int):
        return value ^ 1
    raw = bytearray(value.encode() if isinstance(value, str) else value)
    raw[len(raw) // 2] ^= 1
    return raw.decode() if isinstance(value, str) else bytes(raw)


NOTED = [
    ("outbox", "withdrawn_by"),
    ("outbox", "seal"),
    ("outbox_facility", "last"),
    ("endpoint", "begin"),
    ("endpoint", "types"),
    ("endpoint", "facilities"),
    ("endpoint", "stopped_at_ms"),
    ("lane", "endpoint"),
    ("lane", "done"),
    ("lane", "tried"),
    ("lane", "attempts"),
    ("lane", "next_attempt_at_ms"),
    ("lane", "last_error"),
    ("lane", "is_dead"),
    ("lane", "records"),
    ("delivery", "endpoint"),
    ("delivery", "message"),
    ("delivery", "at_ms"),
    ("delivery", "attempt"),
    ("delivery", "status"),
    ("delivery", "answer"),
    ("delivery", "keys"),
    ("delivery", "seal"),
    ("quarantine", "topic"),
    ("quarantine", "received_at_ms"),
    ("quarantine", "reason"),
    ("quarantine", "detail"),
    ("quarantine", "raw"),
    ("quarantine", "raw_sha256"),
    ("quarantine", "count"),
    ("quarantine_count", "reason"),
    ("quarantine_count", "count"),
    ("said", "device"),
    ("said", "body"),
    ("said", "seal"),
    ("meta", "name"),
    ("meta", "value"),
]


@pytest.mark.parametrize(("table", "column"), NOTED)
def test_a_change_in_what_is_noted_beside_the_entries_is_reported(tmp_path: Path, table: str, column: str) -> None:
    told(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        wanted = f"SELECT {KEYS[table]}, {column} FROM {table} WHERE length({column}) > 0"
        rows = connection.execute(wanted).fetchall()
    connection.close()
    assert rows
    for key, value in rows:
        copy = copied(tmp_path, tmp_path / "copy")
        with sqlite3.connect(copy / FILE_NAME) as connection:
            statement = f"UPDATE {table} SET {column} = ? WHERE {KEYS[table]} = ?"
            connection.execute(statement, (changed(value), key))
        connection.close()
        with pytest.raises((DamagedError, StoreError)):
            replay(copy)


KEYS = {"quarantine": "id", "quarantine_count": "reason", "said": "device", "meta": "name", **sqlite_outbox.KEYS}


def test_evidence_and_lanes_that_are_gone_are_reported(tmp_path: Path) -> None:
    told(tmp_path)
    for table, words in (
        ("delivery", "rows of lane do not count the deliveries"),
        ("lane", "rows of lane do not count the deliveries"),
        ("outbox_facility", "rows of outbox_facility do not say which message was the last"),
    ):
        copy = copied(tmp_path, tmp_path / "copy")
        with sqlite3.connect(copy / FILE_NAME) as connection:
            connection.execute(f"DELETE FROM {table}")
        connection.close()
        with pytest.raises(DamagedError, match=words):
            replay(copy)


def test_a_message_that_no_entry_withdraws_is_reported_with_the_entry_that_is_said_to(tmp_path: Path) -> None:
    """The row's seal is as it should be; only deciding again shows that it was never withdrawn."""
    told(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.create_function("seal", -1, form.seal, deterministic=True)
        (message_id,) = connection.execute("SELECT id FROM outbox WHERE entry = 1").fetchone()
        connection.execute("UPDATE outbox SET withdrawn_by = 7 WHERE id = ?", (message_id,))
        connection.execute(f"UPDATE outbox SET seal = {sqlite_outbox.SEALS['outbox']}")
    connection.close()
    with pytest.raises(DamagedError, match="entry 7: the messages that it withdraws are not those"):
        replay(tmp_path)


@pytest.mark.parametrize("table", ["entry", "event", "outbox", "span"])
def test_a_row_that_is_gone_is_reported(tmp_path: Path, table: str) -> None:
    told(tmp_path)
    number = "number" if table == "entry" else "entry"
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        (entry,) = connection.execute(f"SELECT {number} FROM {table} ORDER BY {number} LIMIT 1 OFFSET 2").fetchone()
        connection.execute(f"DELETE FROM {table} WHERE {number} = ?", (entry,))
    connection.close()
    with pytest.raises(DamagedError) as caught:
        replay(tmp_path)
    assert caught.value.entry == entry


def test_a_byte_flipped_anywhere_in_the_file_is_reported_or_lies_where_nothing_is_kept(tmp_path: Path) -> None:
    told(tmp_path)
    path = tmp_path / FILE_NAME
    # In small pages less of the file is empty: most bytes are of something.
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA page_size = 512")
        connection.execute("VACUUM")
    connection.close()
    whole = path.read_bytes()
    content = dump(path)
    dice = random.Random(20_260_101)
    reported = []
    for place in dice.sample(range(len(whole)), 200):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        try:
            replay(tmp_path)
        except DamagedError as error:
            reported.append(error.entry)
        else:
            assert dump(path) == content, f"byte {place} changed what is kept, and replay did not see it"
    assert len(reported) > 100
    assert set(reported) <= set(range(18)), "0 is what is kept of the journal itself"


def test_a_snapshot_that_became_a_text_is_reported(tmp_path: Path) -> None:
    """As by a flipped byte, for one byte of a row says of which type it is."""
    told(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        rows = connection.execute("SELECT entry, body FROM snapshot").fetchall()
        connection.execute("DROP TABLE snapshot")
        connection.execute("CREATE TABLE snapshot (entry INTEGER PRIMARY KEY, body NOT NULL)")  # which holds any type
        changed = [(entry, "no blob" if entry == 8 else body) for entry, body in rows]
        connection.executemany("INSERT INTO snapshot VALUES (?, ?)", changed)
    connection.close()
    with pytest.raises(DamagedError) as caught:
        replay(tmp_path)
    assert caught.value.entry == 8


TABLES = ("entry", "event", "span", "snapshot", "quarantine", "quarantine_count", "said", "meta", *sqlite_outbox.KEYS)


def dump(path: Path) -> list[tuple[object, ...]]:
    """All rows of the journal's truth; of a snapshot what it holds, for some bits of what is deflated mean nothing."""
    with sqlite3.connect(path) as connection:
        rows: list[tuple[object, ...]] = []
        for table in TABLES:
            some = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            rows += [(entry, zlib.decompress(body)) for entry, body in some] if table == "snapshot" else some
    connection.close()
    return rows


def test_the_command_reports_the_entry_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE entry SET body = CAST(body || x'00' AS BLOB) WHERE number = 5")
    connection.close()
    assert main(["replay", "--data", str(tmp_path)]) == 1
    assert "entry 5" in capsys.readouterr().err


def test_a_folder_without_a_journal_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--data", str(tmp_path / "nowhere")]) == 2
    assert "there is no journal here" in capsys.readouterr().err


WRITER = """
import sys
from pathlib import Path
from builders import MINUTE_MS, NOON_MS, Device, ManualClock, book_document, temperature
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.journal.spans import SpanTail
from pledgewatch_cloud.journal.sqlite import SqliteStore
SpanTail.BUCKETS = 3
device = Device()
spine = Spine(SqliteStore(Path(sys.argv[1])), ManualClock(), snapshot_every_entries=3)
spine.commit(drafts.amend, book_document(device))
for minute in range(10_000):
    spine.take([device.arrival([device.measure(NOON_MS + minute * MINUTE_MS, temperature(minute))])])
    print(minute + 1, flush=True)
"""


def killed(folder: Path, wanted: int) -> int:
    """A journal whose writer was killed after `wanted` readings or a few more: how many it had said were committed."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent / "support")}
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert child.stdout is not None
    said = 0
    for line in child.stdout:
        said = int(line)
        if said >= wanted:
            break
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read().split()
    child.stdout.close()
    child.wait()
    return int(rest[-1]) if rest else said


@pytest.mark.parametrize("seed", range(5))
def test_what_was_committed_before_a_kill_is_there_after_it(tmp_path: Path, seed: int) -> None:
    said = killed(tmp_path, random.Random(seed).randrange(1, 60))
    store = SqliteStore(tmp_path)
    sequences = sorted(one.sequence for one in store.readings(["container-1"], 10**9))
    store.close()
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) >= said
    assert replay(tmp_path).readings == len(sequences)


def test_a_byte_flipped_in_the_log_of_a_killed_writer_is_reported_or_changed_nothing(tmp_path: Path) -> None:
    """SQLite takes the first frame that does not check for the end of its log; the anchor knows better."""
    whole = tmp_path / "whole"
    killed(whole, 40)
    committed = replay(copied(whole, tmp_path / "copy")).entries
    content = dump(copied(whole, tmp_path / "copy") / FILE_NAME)
    log = (whole / LOG_NAME).read_bytes()
    dice = random.Random(20_260_102)
    reported = []
    for place in [*range(0, 56, 5), *dice.sample(range(len(log)), 120)]:
        copy = copied(whole, tmp_path / "copy")
        flipped = bytearray(log)
        flipped[place] ^= 1 << dice.randrange(8)
        (copy / LOG_NAME).write_bytes(flipped)
        try:
            replay(copy)
        except DamagedError as error:
            reported.append(error.entry)
            assert (copy / LOG_NAME).read_bytes() == flipped, "what is left of the log is gone"
            with pytest.raises((DamagedError, StoreError)):
                SqliteStore(copy)
            assert (copy / LOG_NAME).read_bytes() == flipped, "what is left of the log is gone"
        else:
            assert dump(copy / FILE_NAME) == content, f"byte {place} changed what is kept, and replay did not see it"
    assert len(reported) > 100
    assert set(reported) <= set(range(committed + 2))


LOG_NAME = FILE_NAME + "-wal"


def copied(folder: Path, to: Path) -> Path:
    """The journal as it lies there, in another folder."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for name in (FILE_NAME, LOG_NAME, anchor.FILE_NAME):
        if (folder / name).exists():
            shutil.copy(folder / name, to)
    return to


def test_last_entries_that_are_gone_are_reported(tmp_path: Path) -> None:
    told(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        for table, number in (("entry", "number"), ("event", "entry"), ("outbox", "entry"), ("span", "entry")):
            connection.execute(f"DELETE FROM {table} WHERE {number} > 9")
        connection.execute("DELETE FROM snapshot WHERE entry > 9")
    connection.close()
    with pytest.raises(DamagedError, match=r"entry 10: is missing: journal\.anchor says that entry 16 was committed"):
        replay(tmp_path)
    with pytest.raises(DamagedError, match="entry 10: is missing"):
        SqliteStore(tmp_path)


def test_a_delivery_that_was_noted_and_is_gone_is_reported(tmp_path: Path) -> None:
    told(tmp_path)
    before = copied(tmp_path, tmp_path / "before")
    store = SqliteStore(tmp_path)
    (one,) = store.due(CORE, 2 * NOON_MS)
    store.delivered(one, DeliveryRecord(CORE, one.id, NOON_MS, 2))
    store.close()
    shutil.copy(tmp_path / anchor.FILE_NAME, before)
    with pytest.raises(DamagedError, match="entry 16: what was noted after it, of deliveries or of quarantine"):
        replay(before)


def test_the_anchor_is_never_ahead_of_what_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the two must leave an anchor that lags, or an honest journal would be refused."""
    written: list[anchor.Head] = []
    write = anchor.Anchor.write

    def checked(self: anchor.Anchor, head: anchor.Head) -> None:
        with sqlite3.connect(f"{(tmp_path / FILE_NAME).as_uri()}?mode=ro", uri=True) as reader:
            ((entries,),) = reader.execute("SELECT count(*) FROM entry").fetchall()
            ((changes,),) = reader.execute("SELECT value FROM meta WHERE name = 'changes'").fetchall()
        reader.close()
        assert (head.entry, head.changes) == (entries, int(changes))
        written.append(head)
        write(self, head)

    monkeypatch.setattr(anchor.Anchor, "write", checked)
    told(tmp_path)
    # made; each entry; each fourth's snapshot; an endpoint, two attempts, quarantine and what a device said
    assert len(written) == 1 + 16 + 4 + 5


def test_a_new_journal_has_its_anchor_on_disk_before_anything_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(str(Path(f"/proc/self/fd/{file}").readlink())))
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(str(Path(f"/proc/self/fd/{file}").readlink())))
    store = SqliteStore(tmp_path)
    assert synced == [str(tmp_path / anchor.FILE_NAME), str(tmp_path)]
    store.close()


def test_a_book_file_is_taken_once_for_each_content(tmp_path: Path) -> None:
    device, clock = Device(), ManualClock()
    store = SqliteStore(tmp_path)
    spine = Spine(store, clock)
    document = book_document(device)
    assert spine.commit(drafts.amend_from_file, "book.yaml", "a", document) is not None
    price = {"prices": [{"sku": "sofa", "unit_price_minor": 60_800, "currency": "USD"}]}
    assert spine.commit(drafts.amend, price) is not None
    store.close()

    store = SqliteStore(tmp_path)
    spine = Spine(store, clock)
    assert (
        spine.commit(drafts.amend_from_file, "book.yaml", "a", document) is None
    )  # a restart brings no old price back
    assert spine.state.book.prices["sofa"].unit_price_minor == 60_800
    assert spine.commit(drafts.amend_from_file, "book.yaml", "b", {**document, "lots": []}) is not None
    assert (
        spine.commit(drafts.amend_from_file, "book.yaml", "a", document) is not None
    )  # somebody put the old file back
    store.close()
    assert replay(tmp_path).entries == 4


def test_a_start_folds_only_what_came_after_the_newest_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = told(tmp_path)  # 16 entries, a snapshot after each fourth
    store = SqliteStore(tmp_path)
    asked: list[int] = []
    entries = store.entries

    def noted(after: int = 0) -> Iterator[WrittenEntry]:
        asked.append(after)
        return entries(after)

    monkeypatch.setattr(store, "entries", noted)
    assert state_module.digest(recover(store)) == digest
    assert asked == [16]
    store.close()


def test_an_anchor_that_is_gone_damaged_or_of_another_journal_is_reported(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    told(mine)
    told(other)
    line = (mine / anchor.FILE_NAME).read_bytes()
    for place in range(len(line)):
        flipped = bytearray(line)
        flipped[place] ^= 1
        (mine / anchor.FILE_NAME).write_bytes(flipped)
        with pytest.raises(DamagedError, match=r"journal\.anchor is not as it was written"):
            replay(mine)
    shutil.copy(other / anchor.FILE_NAME, mine)
    with pytest.raises(DamagedError, match=r"entry 16: is not the one that journal\.anchor says was committed"):
        SqliteStore(mine)
    (mine / anchor.FILE_NAME).unlink()
    for read_only in (True, False):
        with pytest.raises(DamagedError, match=r"entry 16: journal\.anchor is missing"):
            SqliteStore(mine, read_only=read_only)
    (other / FILE_NAME).unlink()
    with pytest.raises(DamagedError, match=r"journal\.sqlite is gone"):
        SqliteStore(other)


def test_an_anchor_that_lags_is_no_damage(tmp_path: Path) -> None:
    """A kill between the commit and the anchor, or a power cut, leaves one that says less."""
    store = SqliteStore(tmp_path)
    first = (tmp_path / anchor.FILE_NAME).read_bytes()
    store.close()
    entries = replay(tmp_path).entries
    told(tmp_path)
    (tmp_path / anchor.FILE_NAME).write_bytes(first)
    assert replay(tmp_path).entries == entries + 16
    SqliteStore(tmp_path).close()
    assert (tmp_path / anchor.FILE_NAME).read_bytes() > first


@pytest.mark.parametrize("change", ["DROP INDEX outbox_queue", "CREATE INDEX more ON event (body)"])
def test_a_declaration_that_is_not_as_it_was_made_is_reported(tmp_path: Path, change: str) -> None:
    told(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(DamagedError, match="is not declared as it was made"):
        replay(tmp_path)


def test_an_entry_is_there_with_all_that_it_led_to_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction fails at each of its statements in turn, and each time nothing of the entry is left."""
    monkeypatch.setattr(SpanTail, "BUCKETS", 1)
    device, clock = Device(), ManualClock(NOON_MS + MINUTE_MS)
    device.measure(NOON_MS - MINUTE_MS, *position(AT_SEA))
    device.measure(NOON_MS, *position(AT_SEA), temperature(5_000))
    device.measure(NOON_MS + MINUTE_MS, *position(IN_LOS_ANGELES))
    for table in ("entry", "span", "event", "outbox", "outbox_facility", "quarantine", "quarantine_count", "said"):
        folder = tmp_path / table
        store = SqliteStore(folder)
        spine = Spine(store, clock, snapshot_every_entries=1)
        spine.commit(drafts.amend, book_document(device))
        spine.take([device.arrival(device.readings[:1])])
        before = everything(folder)
        with sqlite3.connect(folder / FILE_NAME) as connection:
            connection.execute(
                f"CREATE TRIGGER no BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        connection.close()
        aside = [Quarantined("topic", NOON_MS, "reason", "detail", b"raw")]
        with pytest.raises(StoreError, match="the disk is full"):
            spine.take([device.arrival(device.readings[1:])], aside, {device.name: [SAID]})
        assert [line for line in everything(folder) if "TRIGGER" not in line] == before, table
        with sqlite3.connect(folder / FILE_NAME) as connection:
            connection.execute("DROP TRIGGER no")
        connection.close()
        spine.take([device.arrival(device.readings[1:])], aside)
        assert store.counts()[:2] == (3, 5)
        assert state_module.digest(recover(store)) == state_module.digest(spine.state)
        store.close()


def everything(folder: Path) -> list[str]:
    """All that stands in a journal, as text."""
    with sqlite3.connect(f"file:{folder / FILE_NAME}?mode=ro", uri=True) as connection:
        return list(connection.iterdump())


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """synchronous = FULL (2) in write-ahead mode: what append returned from survives a power cut."""
    store = SqliteStore(tmp_path)
    assert store._rows("PRAGMA synchronous") == [(2,)]
    assert store._rows("PRAGMA journal_mode") == [("wal",)]
    store.close()


def test_decisions_that_have_changed_are_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that decides otherwise than the one that wrote the journal says so, at the entry."""
    told(tmp_path)
    base_of = bases.base_of
    monkeypatch.setattr(bases, "base_of", lambda *asked: base_of(*asked)._replace(gross_minor=1))
    store = SqliteStore(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("DELETE FROM snapshot")
    connection.close()
    with pytest.raises(DamagedError, match="entry 1: leads to other events or messages"):
        recover(store)
    store.close()


CHANGES = [
    ("UPDATE entry SET body = CAST(body AS TEXT), kind = 'readings' WHERE number = 3", "entry 3"),
    ("UPDATE outbox SET withdrawn_by = -1", "the row of outbox that is called"),
    ("UPDATE lane SET attempts = -1", "the row of lane that is called core facility-1 is not as it was"),
    ("UPDATE lane SET done = 99", "1 rows of lane are beyond their facility's messages"),
    ("UPDATE delivery SET message = 'm'", "rows of delivery speak of no message"),
    ("UPDATE meta SET name = 'jourmal' WHERE name = 'journal'", "which journal it is"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_what_no_program_can_have_written_is_reported(tmp_path: Path, change: str, words: str) -> None:
    told(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '')" if "CAST" in change else "SELECT 1"
        )
        connection.commit()
    connection.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(DamagedError, match=words):
        replay(tmp_path)


def test_a_mistyped_folder_is_named_and_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbox", "--data", str(tmp_path / "typo")]) == 2
    assert "there is no journal here" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()
