"""The bookmark of a series in SQLite: it moves in the same transaction as whatever else is written there."""

import sqlite3

from pledgewatch_cloud.series.series import Bookmark, Told

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY CHECK (one = 1), journal TEXT NOT NULL,
    entry INTEGER NOT NULL, evidence_ms INTEGER NOT NULL) STRICT""",
    "CREATE TABLE IF NOT EXISTS installed (device TEXT PRIMARY KEY, asset TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS newest (asset TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID",
)


def is_of(connection: sqlite3.Connection, journal: str) -> bool:
    """Make the tables where there are none; whether they belong to the journal, or now do."""
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT OR IGNORE INTO cursor VALUES (1, ?, 0, 0)", (journal,))
    found: tuple[str] = connection.execute("SELECT journal FROM cursor").fetchone()
    return found[0] == journal


def read(connection: sqlite3.Connection) -> Bookmark:
    """The bookmark."""
    entry, evidence_ms = connection.execute("SELECT entry, evidence_ms FROM cursor").fetchone()
    installed = dict(connection.execute("SELECT device, asset FROM installed"))
    return Bookmark(entry, installed, dict(connection.execute("SELECT asset, at_ms FROM newest")), evidence_ms)


def move(connection: sqlite3.Connection, told: Told) -> None:
    """Move it behind what was told."""
    connection.executemany("INSERT OR REPLACE INTO installed VALUES (?, ?)", told.installed.items())
    connection.executemany(
        "INSERT INTO newest VALUES (?, ?) ON CONFLICT DO UPDATE SET at_ms = max(at_ms, excluded.at_ms)",
        told.newest.items(),
    )
    connection.execute("UPDATE cursor SET entry = ?, evidence_ms = ?", (told.entry, told.evidence_ms))


def clear(connection: sqlite3.Connection, journal: str) -> None:
    """Back to the beginning of a journal."""
    connection.execute("DELETE FROM installed")
    connection.execute("DELETE FROM newest")
    connection.execute("UPDATE cursor SET journal = ?, entry = 0, evidence_ms = 0", (journal,))
