"""The CSV form: whatever table a stock system writes, read by a mapping that the book gives for its source.

A mapping says which column holds which field, what is the same in all rows, and by rules over cells what kind of
movement of stock a row is: a sale, a return, an adjustment, or nothing that is stock. The first rule that fits counts.

Whether rows add or set is said by what is mapped: `quantity` makes movements of stock, `on_hand` makes snapshots, and a
mapping with both, or rows of which the moment is not said, are refused.

A table without an id for each row is made to have one: the hash of what the mapping reads of the row, which is the
cells of the mapped fields, by field, and of the columns that rules look at, by column. So a file that is read again
says nothing new, also where its columns stand in another order or one more is there. What two equal rows of one file
mean cannot be told from them: a line twice on the invoice, or a line written twice. The mapping says it (`repeats`),
and where it does not, the second is a fault. Rows that are equal must come in one file.

Nothing but a trailer shows that a table is whole. One without it whose last line has no end may be cut within its last
number, 40 to 4, and is refused.
"""

import csv
import re
from collections.abc import Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.moments import iso, short
from pledgewatch_cloud.decide.stock import texts
from pledgewatch_cloud.decide.stock.gathering import Gathering, Laid, refused
from pledgewatch_cloud.decide.stock.rows import (
    COUNT_FIELDS,
    KINDS,
    MOVEMENT_FIELDS,
    Fault,
    Fields,
    Report,
    RowError,
    Snapshot,
    StockError,
    Terms,
    composed,
    identity_of,
    moment,
    owner_of,
    quantity,
)

LEFT_OUT = "left_out"
"""The kind of rows that are no stock."""
REPEATS = ("refused", "each", "once")
"""What equal rows of one file without ids mean: a fault, one movement of stock each, or one together."""
DELIMITERS = (",", ";", "\t", "|")
FIELDS = (*MOVEMENT_FIELDS, "on_hand", "snapshot")
"""What a column may hold: the fields of the JSON form; `on_hand`, a count; `snapshot`, the id of a snapshot."""
_ID_SIGNS = 32


class Rule(NamedTuple):
    """What rows are whose cells match: for each column named, all of its cell matches the regular expression.

    `kind` is one of KINDS or LEFT_OUT. Where `turned`, the sign of the quantity is: a return that the system writes as
    -3 is 3 that came back. `signed`: a quantity without a sign is written with one, as an adjustment needs it.
    `reason` is why rows are left out, or why stock was adjusted where no column says it.
    """

    when: Mapping[str, str]
    kind: str
    turned: bool = False
    signed: bool = False
    reason: str = ""


class CsvMapping(NamedTuple):
    """How a table of a source is read.

    `columns` gives the column of a field, `fixed` the text of a field in all rows, `kinds` what the source calls a
    kind. `rules` go before both. `trailer` is the first cell of a last row that gives the number of rows and the sum
    of quantities as they are written, both left out where empty. `complete`: a snapshot leaves nothing of the owner's
    out.
    """

    columns: Mapping[str, str]
    fixed: Mapping[str, str] = {}
    kinds: Mapping[str, str] = {}
    rules: tuple[Rule, ...] = ()
    delimiter: str = ","
    decimal: str = "."
    repeats: str = "refused"
    trailer: str = ""
    complete: bool = False


class _Line(NamedTuple):
    number: int
    cells: list[str]


def read(terms: Terms, mapping: CsvMapping, data: bytes | str) -> Report:
    """What a table says. Never raises: what is wrong is in the report."""
    try:
        check(mapping)
        text = texts.decoded(terms, data)
        table = _table(mapping, text)
        places = _header(mapping, table)
        width = len(table[0].cells)
        rows = _without_trailer(mapping, places, table[1:]) if mapping.trailer else _ended(text, table)
        gathering = Gathering(terms)
        if "on_hand" in mapping.columns:
            _snapshots(gathering, mapping, places, _sound(gathering, mapping, width, rows))
        else:
            _movements(gathering, mapping, places, _sound(gathering, mapping, width, rows))
    except StockError as error:
        return refused(terms, *error.faults)
    return gathering.report()


def check(mapping: CsvMapping) -> None:
    """Whether a mapping can be read by. Raises StockError with all that is wrong with it."""
    named = {*mapping.columns, *mapping.fixed}
    wrong = [f"{name} is no field; there are {', '.join(FIELDS)}" for name in sorted(named - set(FIELDS))]
    wrong += [f"{name} is a column and fixed: leave one" for name in sorted(mapping.columns.keys() & mapping.fixed)]
    sets, adds = "on_hand" in mapping.columns, "quantity" in mapping.columns
    if sets == adds:
        wrong.append(
            "map either quantity (rows add) or on_hand (rows set): one of the two, so that nobody has to guess"
        )
    if "at" not in named:
        wrong.append("at is not mapped: without its moment no row can be told from another")
    if sets and named & {"kind", "id", "to_bin", "cancels"}:
        wrong.append("rows with on_hand are counts, which have no kind, id, to_bin or cancels")
    if sets and mapping.rules and any(one.kind != LEFT_OUT for one in mapping.rules):
        wrong.append("rules for counts can only leave rows out")
    if adds and "kind" not in named and not mapping.rules:
        wrong.append("kind is not mapped, and no rule gives it")
    wrong += [
        f"a rule's kind {short(one.kind)} is none of {', '.join((*KINDS, LEFT_OUT))}"
        for one in mapping.rules
        if one.kind not in (*KINDS, LEFT_OUT)
    ]
    wrong += [
        "a rule leaves rows out without a reason" for one in mapping.rules if one.kind == LEFT_OUT and not one.reason
    ]
    wrong += _unread(mapping)
    if mapping.delimiter not in DELIMITERS:
        wrong.append(f"delimiter: {short(mapping.delimiter)} is none of {', '.join(map(repr, DELIMITERS))}")
    if mapping.decimal not in {".", ","} or mapping.repeats not in REPEATS:
        wrong.append(f"decimal is '.' or ',', and repeats one of {', '.join(REPEATS)}")
    if wrong:
        raise StockError(tuple(Fault(0, f"mapping: {text}") for text in wrong))


def _unread(mapping: CsvMapping) -> list[str]:
    found = []
    for pattern in (pattern for one in mapping.rules for pattern in one.when.values()):
        try:
            re.compile(pattern)
        except re.error as error:
            found.append(f"{short(pattern)} is no regular expression: {error}")
    return found


def _table(mapping: CsvMapping, text: str) -> list[_Line]:
    """The rows of a table with the line that each begins on; empty ones are passed over. Raises StockError."""
    reader = csv.reader(texts.lines(text), delimiter=mapping.delimiter, strict=True)
    found, begins = [], 1
    try:
        for cells in reader:
            if any(cells):
                found.append(_Line(begins, [composed(cell.strip()) for cell in cells]))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise StockError((Fault(begins, f"no CSV: {error}"),)) from None
    if not found:
        raise StockError((Fault(0, "is empty: a header and rows are needed"),))
    return found


def _header(mapping: CsvMapping, table: list[_Line]) -> dict[str, int]:
    """Where each column is that the mapping names. Raises StockError with those that are not there, or twice."""
    line, cells = table[0]
    named = {*mapping.columns.values(), *(column for one in mapping.rules for column in one.when)}
    wrong = []
    for column in sorted(named):
        times = cells.count(column)
        if times != 1:
            said = f"there {times} times" if times else f"not there; there are {', '.join(cells)[:200]}"
            wrong.append(Fault(line, f"the column {short(column)} is {said}"))
    if wrong:
        raise StockError(tuple(wrong))
    return {column: cells.index(column) for column in named}


def _ended(text: str, table: list[_Line]) -> list[_Line]:
    """The rows of a table without a trailer. Raises StockError where its last line has no end."""
    if not text.endswith(("\r", "\n")):
        cure = "was it cut? end the line, or have the source write a trailer"
        raise StockError((Fault(table[-1].number, f"the last line has no end: {cure}"),))
    return table[1:]


def _without_trailer(mapping: CsvMapping, places: Mapping[str, int], rows: list[_Line]) -> list[_Line]:
    """The rows before the trailer. Raises StockError where it is missing or does not add up: then none is taken."""
    if not rows or rows[-1].cells[0] != mapping.trailer:
        line = rows[-1].number if rows else 0
        raise StockError((Fault(line, f"the last row is to begin with {mapping.trailer!r}: is the file whole?"),))
    line, (_, *said) = rows.pop()
    wanted, total = ([*said, "", ""])[:2]
    if wanted and wanted != str(len(rows)):
        raise StockError((Fault(line, f"the trailer says {short(wanted)} rows, but there are {len(rows)}"),))
    column = places[mapping.columns.get("quantity") or mapping.columns["on_hand"]]
    try:
        found = sum(
            quantity("quantity", _number(mapping, one.cells[column])) for one in rows if len(one.cells) > column
        )
        if total and quantity("the trailer's sum", _number(mapping, total)) != found:
            written = f"{found / 1000:.3f}"
            raise StockError((Fault(line, f"the trailer says {total} in all, but the rows add up to {written}"),))
    except RowError as error:
        raise StockError(
            tuple(Fault(line, f"the trailer cannot be checked: {text}") for text in error.errors)
        ) from None
    return rows


def _sound(gathering: Gathering, mapping: CsvMapping, width: int, rows: list[_Line]) -> list[_Line]:
    """The rows with as many cells as the header. Raises StockError where a count has not: nobody knows of what."""
    faults = [
        Fault(one.number, f"{len(one.cells)} cells where the header has {width}: is a delimiter unquoted?")
        for one in rows
        if len(one.cells) != width
    ]
    if faults and "on_hand" in mapping.columns:
        raise StockError(tuple(faults))
    gathering.faults += faults
    return [one for one in rows if len(one.cells) == width]


def _number(mapping: CsvMapping, text: str) -> str:
    """A number with a point, whatever the source writes."""
    if mapping.decimal == ".":
        return text
    return text.replace(",", ".") if "." not in text else f"{text} (a decimal comma is expected)"


def _laid_out(
    gathering: Gathering, mapping: CsvMapping, places: Mapping[str, int], line: _Line
) -> tuple[dict[str, str], Rule | None] | None:
    """A row as texts by field, and the rule that fits; None where it is left out."""
    rule = next((one for one in mapping.rules if _fits(one, places, line.cells)), None)
    if rule is not None and rule.kind == LEFT_OUT:
        gathering.leave_out(rule.reason)
        return None
    fields = {**mapping.fixed, **{field: line.cells[places[column]] for field, column in mapping.columns.items()}}
    for name in ("quantity", "on_hand", "cost"):
        if fields.get(name):
            fields[name] = _number(mapping, fields[name])
    return fields, rule


def _fits(rule: Rule, places: Mapping[str, int], cells: list[str]) -> bool:
    return all(re.fullmatch(pattern, cells[places[column]]) for column, pattern in rule.when.items())


def _movements(gathering: Gathering, mapping: CsvMapping, places: Mapping[str, int], table: list[_Line]) -> None:
    seen: dict[str, tuple[int, int]] = {}
    for line in table:
        found = _laid_out(gathering, mapping, places, line)
        if found is None:
            continue
        fields, rule = found
        if "id" not in fields:
            identity = _hashed(gathering, mapping, places, line, seen)
            if not identity:
                continue
            fields["id"] = identity
        gathering.movement(_of_kind(mapping, rule, fields), line.number)


def _hashed(
    gathering: Gathering,
    mapping: CsvMapping,
    places: Mapping[str, int],
    line: _Line,
    seen: dict[str, tuple[int, int]],
) -> str:
    """The id of a row that has none; empty where it repeats another and that is a fault, or nothing new."""
    name = canonical.digest(_read_of(mapping, places, line.cells))[:_ID_SIGNS]
    first, times = seen.get(name, (line.number, 0))
    seen[name] = (first, times + 1)
    if not times:
        return name
    if mapping.repeats == "refused":
        cure = "say in the mapping whether repeats count each or once, or map an id"
        gathering.fault(line.number, f"says the same as line {first}: {cure}")
    elif mapping.repeats == "once":
        gathering.leave_out("repeats another row")
    return f"{name}.{times + 1}" if mapping.repeats == "each" else ""


def _read_of(mapping: CsvMapping, places: Mapping[str, int], cells: list[str]) -> list[dict[str, str]]:
    """What the mapping reads of a row, as it is written: by field, and by column where only rules look at it."""
    mapped = {*mapping.columns.values()}
    fields = {field: cells[places[column]] for field, column in mapping.columns.items()}
    others = {column for one in mapping.rules for column in one.when if column not in mapped}
    return [fields, {column: cells[places[column]] for column in others}]


def _of_kind(mapping: CsvMapping, rule: Rule | None, fields: dict[str, str]) -> Fields:
    """The fields with the kind as it is called here, and the quantity with the sign that the kind needs."""
    written = fields.get("quantity", "")
    if rule is not None:
        fields["kind"] = rule.kind
        fields["reason"] = fields.get("reason") or rule.reason
        if rule.turned and written:
            written = written[1:] if written.startswith("-") else f"-{written.removeprefix('+')}"
        if rule.signed and written[:1] not in {"", "+", "-"}:
            written = f"+{written}"
    elif mapping.kinds and fields.get("kind"):
        fields["kind"] = mapping.kinds.get(fields["kind"], fields["kind"])
    return {**fields, "quantity": written}


def _snapshots(gathering: Gathering, mapping: CsvMapping, places: Mapping[str, int], table: list[_Line]) -> None:
    """One snapshot for each id, or for each moment where no id is mapped."""
    frames: dict[str, Snapshot] = {}
    rows: dict[str, list[Laid]] = {}
    for line in table:
        found = _laid_out(gathering, mapping, places, line)
        if found is None:
            continue
        fields = found[0]
        try:
            at_ms = moment(gathering.terms, "at", fields.get("at", ""))
            identity = identity_of("snapshot", fields.get("snapshot") or f"at-{iso(at_ms)}")
            owner = owner_of(gathering.terms, fields.get("owner", "")) if mapping.complete else ""
        except RowError as error:
            raise StockError(tuple(Fault(line.number, f"{text}: nothing is taken") for text in error.errors)) from None
        frame = Snapshot(identity, at_ms, gathering.terms.warehouse, owner, (), mapping.complete, "", line.number)
        first = frames.setdefault(identity, frame)
        if first._replace(line=0) != frame._replace(line=0):
            where = f"line {first.line}"
            raise StockError((Fault(line.number, f"snapshot {identity} has another moment or owner than on {where}"),))
        count = {name: fields[name] for name in COUNT_FIELDS if fields.get(name)} | {"quantity": fields["on_hand"]}
        rows.setdefault(identity, []).append(Laid(count, line.number))
    for identity, frame in frames.items():
        gathering.lists_all(frame)
        gathering.snapshot(frame, rows[identity])
