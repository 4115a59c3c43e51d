"""The JSON form: movements of stock and snapshots as this product says them itself.

    {"movements": [{"id": "M-1", "kind": "received", "at": "2026-03-01T09:30:00Z", "sku": "SOFA-3", "bin": "A-01",
                    "unit": "EA", "quantity": "40", "lot": "L7"},
                   {"id": "M-2", "at": "2026-03-01T10:00:00Z", "cancels": "M-1"}],
     "snapshots": [{"id": "S-1", "at": "2026-03-31T23:59:59Z", "owner": "exporter", "complete": true,
                    "rows": [{"sku": "SOFA-3", "bin": "A-01", "unit": "EA", "quantity": "38"}]}],
     "totals": {"rows": 3, "quantity": "78"}}

Quantities are texts or whole numbers, never binary fractions. A key that nobody knows is a fault: the form is ours, so
it can only be a slip. `totals` may be left out; where it stands, `rows` counts every row of the document and
`quantity` is the sum of all quantities as they are written, and a document that does not add up is refused whole.
"""

import re
from collections.abc import Iterator
from typing import Any

from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.stock import texts
from pledgewatch_cloud.decide.stock.gathering import Gathering, Laid, refused
from pledgewatch_cloud.decide.stock.rows import (
    COUNT_FIELDS,
    MOVEMENT_FIELDS,
    Fault,
    Fields,
    Report,
    RowError,
    Snapshot,
    StockError,
    Terms,
    identity_of,
    moment,
    owner_of,
    quantity,
)
from pledgewatch_cloud.decide.strict_json import JsonError, strict_json

_SNAPSHOT_KEYS = ("id", "at", "owner", "complete", "cancels", "rows")
_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]\n]')
_LEVELS_OF_ROWS = (3, 5)  # {"movements": [{…}], "snapshots": [{"rows": [{…}]}]}


def read(terms: Terms, data: bytes | str) -> Report:
    """What a document of the JSON form says. Never raises: what is wrong is in the report."""
    try:
        text = texts.decoded(terms, data)
        document = strict_json(text)
        _check_shape(document)
        gathering = Gathering(terms)
        starts = _starts(text)
        for name, value in document.items():
            if name == "movements":
                for one in value:
                    line = next(starts)
                    before = len(gathering.faults)
                    fields = _fields(gathering, one, MOVEMENT_FIELDS, line)
                    gathering.movement(fields, line, is_sound=len(gathering.faults) == before)
            elif name == "snapshots":
                for one in value:
                    _snapshot(gathering, one, starts)
        _check_totals(document, text)
    except JsonError as error:
        return refused(terms, Fault(0, f"no JSON: {error}"))
    except StockError as error:
        return refused(terms, *error.faults)
    return gathering.report()


def _check_shape(document: Any) -> None:
    """Raises StockError where the lists of rows are none."""
    if not isinstance(document, dict) or not document.keys() & {"movements", "snapshots"}:
        raise StockError(
            (Fault(0, 'an object with "movements" (they add), "snapshots" (they set), or both is needed'),)
        )
    wrong = [f"{name}: no such key" for name in document if name not in {"movements", "snapshots", "totals"}]
    for name in ("movements", "snapshots"):
        wrong += _not_objects(name, document.get(name, []))
    for number, one in enumerate([] if wrong else document.get("movements", [])):
        wrong += _nested(f"movements[{number}]", one)
    for number, one in enumerate([] if wrong else document.get("snapshots", [])):
        rows = one.get("rows")
        inner = _not_objects(f"snapshots[{number}].rows", rows)
        wrong += inner + _nested(f"snapshots[{number}]", {**one, "rows": None})
        for place, row in enumerate([] if inner else rows):
            wrong += _nested(f"snapshots[{number}].rows[{place}]", row)
    if wrong:
        raise StockError(tuple(Fault(0, text) for text in wrong))


def _not_objects(where: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        return [f"{where}: a list is needed, not {short(value)}"]
    return [f"{where}[{number}]: an object is needed" for number, one in enumerate(value) if not isinstance(one, dict)]


def _nested(where: str, value: dict[str, Any]) -> list[str]:
    return [f"{where}.{key}: a text is needed" for key, one in value.items() if isinstance(one, dict | list)]


def _starts(text: str) -> Iterator[int]:
    """The lines on which rows and snapshots begin, in order."""
    return (line for mark, level, line in _marks(text) if mark == "{" and level in _LEVELS_OF_ROWS)


def _line_of(text: str, key: str) -> int:
    """The line on which a key of the document itself stands."""
    return next((line for mark, level, line in _marks(text) if mark == f'"{key}"' and level == 1), 0)


def _marks(text: str) -> Iterator[tuple[str, int, int]]:
    """Brackets and texts in order, each with its level and its line; an opening bracket is on the level that it
    opens."""
    line, level = 1, 0
    for found in _MARK.finditer(text):
        mark = found[0]
        if mark == "\n":
            line += 1
            continue
        level += mark in "{["
        yield mark, level, line
        level -= mark in "}]"


def _fields(gathering: Gathering, value: dict[str, Any], known: tuple[str, ...], line: int) -> Fields:
    """An object as texts by field; what is no text or whole number is a fault, and is left empty."""
    found = dict[str, str]()
    for name, one in value.items():
        if name not in known:
            gathering.fault(line, f"{name}: no such key")
        elif isinstance(one, str) or (isinstance(one, int) and not isinstance(one, bool)):
            found[name] = str(one)
        elif isinstance(one, float):
            gathering.fault(line, f'{name}: {one!r} is a binary fraction: write "{one!r}", as text')
        elif one is not None:
            gathering.fault(line, f"{name}: a text is needed, not {short(one)}")
    return found


def _snapshot(gathering: Gathering, value: dict[str, Any], starts: Iterator[int]) -> None:
    terms, line = gathering.terms, next(starts)
    rows = [(one, next(starts)) for one in value["rows"]]
    before = len(gathering.faults)
    framing = {key: one for key, one in value.items() if key not in {"rows", "complete"}}
    said = _fields(gathering, framing, _SNAPSHOT_KEYS, line)
    complete = value.get("complete", False)
    if not isinstance(complete, bool):
        gathering.fault(line, f"complete: {short(complete)} is neither true nor false")
    frame = Snapshot("", 0, terms.warehouse, "", (), complete is True, "", line)
    try:
        if "at" not in said:
            gathering.fault(line, "at: is missing: without its moment nobody can tell a count from what was added")
        else:
            frame = frame._replace(at_ms=moment(terms, "at", said["at"]))
        frame = frame._replace(id=identity_of("id", said.get("id", "")))
        if said.get("cancels"):
            frame = frame._replace(cancels=identity_of("cancels", said["cancels"]))
        if frame.complete or said.get("owner"):
            frame = frame._replace(owner=owner_of(terms, said.get("owner", "")))
    except RowError as error:
        gathering.fault(line, *error.errors)
    gathering.lists_all(frame)
    if frame.cancels and frame.cancels == frame.id:
        gathering.fault(line, "cancels: names the snapshot itself")
    framed = [
        Laid({"owner": said.get("owner", ""), **_fields(gathering, one, COUNT_FIELDS, at)}, at) for one, at in rows
    ]
    if len(gathering.faults) > before:
        gathering.fault(line, "the snapshot is not taken, for what frames it or a key of its rows has a fault")
    else:
        gathering.snapshot(frame, framed)


def _check_totals(document: dict[str, Any], text: str) -> None:
    """Raises StockError where the document does not add up to what it says itself."""
    said = document.get("totals")
    if said is None:
        return
    line = _line_of(text, "totals")
    if not isinstance(said, dict) or not said or said.keys() - {"rows", "quantity"}:
        raise StockError((Fault(line, 'totals: an object with "rows", "quantity" or both is needed'),))
    rows = [*document.get("movements", []), *(row for one in document.get("snapshots", []) for row in one["rows"])]
    faults = []
    if "rows" in said and said["rows"] != len(rows):
        faults.append(
            Fault(line, f"totals.rows: {short(said['rows'])}, but there are {len(rows)} rows: nothing is taken")
        )
    if "quantity" in said:
        try:
            total = sum(quantity("quantity", str(row["quantity"])) for row in rows if row.get("quantity") is not None)
            if quantity("totals.quantity", str(said["quantity"])) != total:
                written = f"{total // 1000}.{total % 1000:03d}"
                faults.append(Fault(line, f"totals.quantity: {said['quantity']}, but the rows add up to {written}"))
        except RowError as error:
            faults += [Fault(line, f"totals cannot be checked: {one}") for one in error.errors]
    if faults:
        raise StockError(tuple(faults))
