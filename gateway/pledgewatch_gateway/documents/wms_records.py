"""The records of a stock system as the JSON form of docs/STOCK.md: fields renamed, kinds renamed, nothing judged.

A field of ours is the path of theirs (`quantity = "line.qty"`), or one text for all records (`fixed`). What their kinds
are called here is a list, as in the CSV mapping of the book: a kind that is not in it goes as it came, and the cloud
refuses it by that name. A quantity keeps every digit that was written. What has no such shape at all (a record that is
no object, a SKU that is a list) is no answer of a stock system, and nothing of it is taken.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from pledgewatch_gateway.documents import DOCUMENT_MAX_BYTES, AwayError

RECORDS_MAX: Final = 100_000
LEFT_OUT: Final = "left_out"
"""The kind of records that are no stock."""
KINDS: Final = ("received", "shipped", "sold", "returned", "adjusted", "moved", LEFT_OUT)
_OF_MOVEMENTS_ONLY: Final = ("id", "kind", "at", "to_bin", "reason", "cancels")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSettings:
    """Where each field is in a record: names with points between them, `line.0.qty`. Empty: it is not there."""

    id: str = ""
    kind: str = ""
    at: str = ""
    owner: str = ""
    sku: str = ""
    bin: str = ""
    to_bin: str = ""
    unit: str = ""
    quantity: str = ""
    lot: str = ""
    expiry: str = ""
    cost: str = ""
    currency: str = ""
    reason: str = ""
    cancels: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedSettings:
    """What is the same in all records. Empty: nothing is."""

    kind: str = ""
    owner: str = ""
    bin: str = ""
    unit: str = ""
    currency: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSettings:
    """What a kind of theirs is: one of docs/STOCK.md, or `left_out`. Where `turned`, the sign of the quantity is: a
    sale that they write as -3 is 3 that went. `signed`: a quantity without a sign is written with one, as an
    adjustment needs it. `reason` is why stock was adjusted where no field says it."""

    theirs: str
    kind: str
    turned: bool = False
    signed: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is none; there are {', '.join(KINDS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSettings:
    """That the answer is a count. `id` and `at` are paths in the whole answer; without an id it is named by its moment;
    where `at` is empty, the moment is the answer's own (its Date). `complete`: of the `owner`'s goods it leaves nothing
    out."""

    id: str = ""
    at: str = ""
    owner: str = ""
    complete: bool = False

    def __post_init__(self) -> None:
        if self.complete and not self.owner:
            raise ValueError("complete needs an owner; name whose goods the count leaves nothing out of")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings:
    """What the answer of a stock system is made of. `records` is where in it the list is; empty: it is the list."""

    records: str = ""
    fields: FieldSettings
    fixed: FixedSettings = field(default_factory=FixedSettings)
    kinds: tuple[KindSettings, ...] = ()
    snapshot: SnapshotSettings | None = None

    def __post_init__(self) -> None:
        mapped = _said(self.fields)
        if twice := sorted(mapped.keys() & _said(self.fixed).keys()):
            raise ValueError(f"fields and fixed both have {twice[0]}; leave one of them out")
        theirs = [one.theirs for one in self.kinds]
        if twice := sorted({one for one in theirs if theirs.count(one) > 1}):
            raise ValueError(f"kinds has {twice[0]!r} more than once; say once what it is")
        if self.snapshot is None:
            return
        if odd := [name for name in _OF_MOVEMENTS_ONLY if name in mapped | _said(self.fixed)]:
            raise ValueError(f"a record of a snapshot has no {odd[0]}; leave it out of fields and fixed")
        if self.kinds:
            raise ValueError("a record of a snapshot has no kind; leave kinds out")


def records_of(settings: RecordSettings, answer: Any) -> Sequence[Mapping[str, Any]]:
    """The records of an answer. Raises AwayError where there is no list of objects, or too long a one."""
    found = at_path(answer, settings.records)
    where = f"at {settings.records!r}" if settings.records else "as its answer"
    if not isinstance(found, list):
        raise AwayError(f"has no list {where}; look at the records of its section")
    if len(found) > RECORDS_MAX:
        raise AwayError(f"has {len(found)} records in one answer, and {RECORDS_MAX} are taken; ask for fewer")
    for number, one in enumerate(found):
        if not isinstance(one, dict):
            raise AwayError(f"has a record {number} that is no object")
    return found


def rows_of(settings: RecordSettings, records: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, str]]:
    """Records as rows of the JSON form, without those that are no stock. Raises AwayError where a field is no text and
    no number."""
    paths, fixed = _said(settings.fields), _said(settings.fixed)
    kinds = {one.theirs: one for one in settings.kinds}
    rows = []
    for number, record in enumerate(records):
        row = dict(fixed)
        for name, path in paths.items():
            if text := _text(at_path(record, path), f"{path} of record {number}"):
                row[name] = text
        rule = kinds.get(row.get("kind", "")) if "kind" in paths else None
        if rule is None:
            rows.append(row)
        elif rule.kind != LEFT_OUT:
            rows.append(_ruled(rule, row))
    return rows


def movements(rows: Sequence[Mapping[str, str]]) -> bytes:
    """Rows that add, as a document. Raises AwayError where it would be too long."""
    return _document({"movements": rows})


def snapshot(settings: SnapshotSettings, identity: str, at: str, rows: Sequence[Mapping[str, str]]) -> bytes:
    """Rows that set, as a document: what there was at a moment, as `movements`."""
    frame: dict[str, Any] = {"id": identity, "at": at, "complete": settings.complete}
    if settings.owner:
        frame["owner"] = settings.owner
    return _document({"snapshots": [{**frame, "rows": rows}]})


def text_at(answer: Any, path: str) -> str:
    """The text or number at a path of an answer, as text; empty where there is none. Raises AwayError where it is
    neither."""
    return _text(at_path(answer, path), path)


def at_path(found: Any, path: str) -> Any:
    """What is at a path; None where nothing is. The empty path leads to the whole."""
    for name in path.split(".") if path else ():
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _ruled(rule: KindSettings, row: dict[str, str]) -> dict[str, str]:
    written = row.get("quantity", "")
    if rule.turned and written:
        written = written[1:] if written.startswith("-") else f"-{written.removeprefix('+')}"
    if rule.signed and written[:1] not in {"", "+", "-"}:
        written = f"+{written}"
    row["kind"] = rule.kind
    if written:
        row["quantity"] = written
    if rule.reason:
        row.setdefault("reason", rule.reason)
    return row


def _text(found: Any, where: str) -> str:
    if found is None or isinstance(found, str):
        return found or ""
    if isinstance(found, Decimal):
        return format(found, "f")
    raise AwayError(f"has no text and no number at {where}; look at the fields of its section")


def _said(settings: FieldSettings | FixedSettings) -> dict[str, str]:
    """The fields that have something, by name."""
    found = {one.name: getattr(settings, one.name) for one in dataclasses.fields(settings)}
    return {name: text for name, text in found.items() if text}


def _document(told: Mapping[str, Any]) -> bytes:
    data = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if len(data) > DOCUMENT_MAX_BYTES:
        raise AwayError(f"makes a document of {len(data)} bytes, and {DOCUMENT_MAX_BYTES} are taken; ask for fewer")
    return data
