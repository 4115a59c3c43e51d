"""The statement: what the ledger comes to, facility by facility, each worked out from what is booked.

Messages count in their facility's own order, not in that of their arrival, so what is shown is the same whatever order
they came in. Only what was paid, and when, is history that order has made.
"""

import json
import sqlite3
from typing import Any

from pledgewatch_sim.bank import releases
from pledgewatch_sim.bank.releases import Word

LISTED_MAX = 500  # of a facility's movements, repayments and answers the latest so many are shown; sums are of all


def facilities(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """Every facility that was opened or spoken of, as it stands. Amounts are in minor units of its currency."""
    holes = missing(connection)
    books = {}
    for facility, currency, opening_minor in connection.execute(
        "SELECT id, currency, opening_minor FROM facility ORDER BY id"
    ).fetchall():
        books[facility] = {
            "currency": currency or None,
            "opening_minor": opening_minor,
            **_sums(connection, facility, opening_minor),
            "alerts_open": [],
            "releases": _releases(connection, facility),
            "base": None,
            "cover": None,
            "margin_call": None,
            "missing": holes.get(facility, []),
            **_lists(connection, facility),
        }
    for identity, name, facility, subject, body in connection.execute(
        "SELECT id, type, facility, subject, body FROM message WHERE release = '' ORDER BY facility, sequence, id"
    ):
        _apply(books[facility], identity, name, subject, json.loads(body)["data"])
    for book in books.values():
        if book["margin_call"]:
            called = book["margin_call"]["message"]
            book["margin_call"]["answers"] = [one for one in book["answers"] if one["margin_call"] == called]
    return books


def outstanding_minor(connection: sqlite3.Connection, facility: str) -> int:
    """What was lent before, with all drawdowns, less all repayments."""
    (opening_minor,) = connection.execute("SELECT opening_minor FROM facility WHERE id = ?", (facility,)).fetchone()
    return int(_sums(connection, facility, opening_minor)["outstanding_minor"])


def words(connection: sqlite3.Connection, facility: str, release: str) -> list[Word]:
    """What was said of a release on a facility."""
    rows = connection.execute(
        "SELECT id, type, sequence, body FROM message WHERE release = ? AND facility = ? ORDER BY sequence, id",
        (release, facility),
    )
    return [Word(identity, name, sequence, json.loads(body)["data"]) for identity, name, sequence, body in rows]


def missing(connection: sqlite3.Connection) -> dict[str, list[tuple[int, int]]]:
    """The holes in each facility's sequence, first and last: what was sent before something that came, has not come
    itself, and was not withdrawn."""
    holes: dict[str, list[tuple[int, int]]] = {}
    for facility, before, sequence in connection.execute(
        "SELECT facility, before, sequence FROM (SELECT facility, sequence,"
        " lag(sequence, 1, 0) OVER (PARTITION BY facility ORDER BY sequence) AS before FROM"
        " (SELECT facility, sequence FROM message UNION SELECT facility, sequence FROM withdrawn))"
        " WHERE sequence - before > 1 ORDER BY facility, sequence"
    ):
        holes.setdefault(facility, []).append((before + 1, sequence - 1))
    return holes


def _sums(connection: sqlite3.Connection, facility: str, opening_minor: int) -> dict[str, int]:
    """Summed here and not by SQLite, whose sums end at 2^63."""
    moved = {"drawdown": 0, "repayment": 0}
    for kind, amount_minor in connection.execute(
        "SELECT kind, amount_minor FROM movement WHERE facility = ?", (facility,)
    ):
        moved[kind] += amount_minor
    surplus = connection.execute("SELECT surplus_minor FROM repayment WHERE facility = ?", (facility,))
    return {
        "drawn_minor": moved["drawdown"],
        "repaid_minor": moved["repayment"],
        "outstanding_minor": opening_minor + moved["drawdown"] - moved["repayment"],
        "surplus_minor": sum(amount_minor for (amount_minor,) in surplus),
    }


def _releases(connection: sqlite3.Connection, facility: str) -> dict[str, dict[str, Any]]:
    """Every release that was spoken of, by its id."""
    asked = "SELECT release, amount_minor, at_ms, message FROM movement WHERE facility = ? AND kind = 'drawdown'"
    paid = {release: rest for release, *rest in connection.execute(asked, (facility,))}
    asked = "SELECT DISTINCT release FROM message WHERE facility = ? AND release != '' ORDER BY release"
    found = {}
    for (release,) in connection.execute(asked, (facility,)).fetchall():
        said = words(connection, facility, release)
        amount_minor, at_ms, by = paid.get(release, (None, None, None))
        payer = next((word for word in said if word.message == by), None)
        found[release] = {
            "milestone": next((word.data["milestone"] for word in said if "milestone" in word.data), None),
            "status": releases.standing(said, is_paid=by is not None),
            "booked": by is not None,
            "booked_by": by,
            "booked_at_ms": at_ms,
            "amount_minor": amount_minor,
            "currency": payer.data.get("currency") if payer else None,
            "payee": payer.data.get("payee") if payer else None,
            "messages": [word.message for word in said],
        }
    return found


def _lists(connection: sqlite3.Connection, facility: str) -> dict[str, list[dict[str, Any]]]:
    lists = {
        "movements": _rows(
            connection, facility, "movement", ("id", "kind", "amount_minor", "at_ms", "release", "told", "fault")
        ),
        "repayments": _rows(
            connection,
            facility,
            "repayment",
            ("id", "amount_minor", "repaid_minor", "surplus_minor", "reference", "at_ms"),
        ),
        "answers": _rows(connection, facility, "answer", ("id", "margin_call", "at_ms", "content")),
    }
    for one in lists["movements"]:
        one["told"] = bool(one["told"])
    lists["answers"] = [{**json.loads(one.pop("content")), **one} for one in lists["answers"]]
    return lists


def _rows(connection: sqlite3.Connection, facility: str, table: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = connection.execute(
        f"SELECT {', '.join(columns)} FROM {table} WHERE facility = ? ORDER BY number DESC LIMIT {LISTED_MAX}",  # noqa: S608 - all of it ours
        (facility,),
    ).fetchall()
    return [dict(zip(columns, row, strict=True)) for row in reversed(rows)]


def _apply(book: dict[str, Any], identity: str, name: str, subject: str, data: dict[str, Any]) -> None:
    """What one message that is about no release does to a facility's book."""
    match name:
        case "raise_alert":
            if subject not in book["alerts_open"]:
                book["alerts_open"].append(subject)
        case "clear_alert" | "withdraw_alert":
            book["alerts_open"] = [alert for alert in book["alerts_open"] if alert != subject]
        case "record_base":
            book["base"] = data
        case "record_breach" | "record_cover":
            book["cover"] = data.get("cover")
            if name == "record_cover":
                book["margin_call"] = None
        case "call_margin":
            called = {key: data.get(key) for key in ("call_minor", "currency", "cure_by_ms")}
            book["margin_call"] = {"message": identity, **called}
