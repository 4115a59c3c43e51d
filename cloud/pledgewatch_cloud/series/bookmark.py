"""The bookmark of a series in SQLite: it moves in the same transaction as whatever else is written there."""

import sqlite3

from pledgewatch_cloud.series.series import Bookmark, Fitted, Told

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), journal TEXT NOT NULL,
    entry INTEGER NOT NULL, gauged_ms INTEGER NOT NULL, pipeline_ms INTEGER NOT NULL) STRICT""",
    """CREATE TABLE IF NOT EXISTS fitted (device TEXT PRIMARY KEY, asset TEXT NOT NULL, since_ms INTEGER NOT NULL,
    is_retired INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS heard (device TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS standing (name TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID",
)
# Of a bookmark that knows less: what lies behind it lacks gauges, so it is built again.
_BEFORE = ("cursor", "installed", "newest")


def is_of(connection: sqlite3.Connection, journal: str) -> bool:
    """Make the tables where there are none; whether they belong to the journal, or now do."""
    for name in _BEFORE:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    is_new = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'place'").fetchone() == (0,)
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT OR IGNORE INTO place VALUES (1, ?, 0, 0, 0)", (journal,))
    found: tuple[str] = connection.execute("SELECT journal FROM place").fetchone()
    return found[0] == journal and not is_new


def read(connection: sqlite3.Connection) -> Bookmark:
    """The bookmark."""
    entry, gauged_ms, pipeline_ms = connection.execute("SELECT entry, gauged_ms, pipeline_ms FROM place").fetchone()
    fitted = {
        device: Fitted(asset, since_ms, bool(is_retired))
        for device, asset, since_ms, is_retired in connection.execute("SELECT * FROM fitted")
    }
    heard = dict(connection.execute("SELECT device, at_ms FROM heard"))
    standing = dict(connection.execute("SELECT name, body FROM standing"))
    return Bookmark(entry, fitted, heard, gauged_ms, pipeline_ms, standing)


def move(connection: sqlite3.Connection, told: Told) -> None:
    """Move it behind what was told."""
    connection.executemany(
        "INSERT OR REPLACE INTO fitted VALUES (?, ?, ?, ?)",
        ((device, one.asset, one.since_ms, int(one.is_retired)) for device, one in told.fitted.items()),
    )
    connection.executemany(
        "INSERT INTO heard VALUES (?, ?) ON CONFLICT DO UPDATE SET at_ms = max(at_ms, excluded.at_ms)",
        told.heard.items(),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO standing VALUES (?, ?)", ((name, body) for name, body in told.standing.items() if body)
    )
    connection.executemany(
        "DELETE FROM standing WHERE name = ?", ((name,) for name, body in told.standing.items() if not body)
    )
    connection.execute(
        "UPDATE place SET entry = ?, gauged_ms = ?, pipeline_ms = ?", (told.entry, told.gauged_ms, told.pipeline_ms)
    )


def clear(connection: sqlite3.Connection, journal: str) -> None:
    """Back to the beginning of a journal."""
    for name in ("fitted", "heard", "standing"):
        connection.execute(f"DELETE FROM {name}")  # noqa: S608 - a name of ours
    connection.execute("UPDATE place SET journal = ?, entry = 0, gauged_ms = 0, pipeline_ms = 0", (journal,))
