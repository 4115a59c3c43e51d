"""What tests of the stock share: a source's terms, documents of each form as text, and rows of a book."""

from collections.abc import Iterable, Sequence
from typing import Any

from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.moments import moment_ms
from pledgewatch_cloud.decide.stock.rows import NO_KEY, Fault, Report, Snapshot, StockKey, StockRow, Terms
from pledgewatch_cloud.decide.stock.stock_book import StockBook

DAY_MS = 86_400_000
NOON_MS = moment_ms("noon", "2026-03-01T12:00:00Z")
LATER_MS = NOON_MS + 30 * DAY_MS
TERMS = Terms(
    *("wms", "la-1", "both", {"EA": "piece", "CA": "carton"}),
    owner="exporter",
    owners={"DEP1": "exporter"},
    bin="A-01",
    inventory_advice="partial",
)
SOFA = StockKey("la-1", "exporter", "SOFA-3", "A-01", "piece")
CHAIR = SOFA._replace(sku="CHAIR-1")


def row(identity: str, kind: str, quantity: int, at_ms: int = NOON_MS, key: StockKey = SOFA, **named: Any) -> StockRow:
    """A movement of stock of whole units."""
    return StockRow(identity, kind, at_ms, key, quantity * 1_000, **named)


def cancelling(identity: str, other: str, at_ms: int = NOON_MS) -> StockRow:
    """A row that takes another back and says nothing more."""
    return StockRow(identity, "", at_ms, NO_KEY, cancels=other)


def counted(identity: str, at_ms: int, counts: dict[StockKey, int], **named: Any) -> Snapshot:
    """A snapshot of whole units."""
    rows = tuple(StockRow(identity, "counted", at_ms, key, units * 1_000) for key, units in sorted(counts.items()))
    return Snapshot(identity, at_ms, "la-1", "exporter", rows, **named)


def said(*some: StockRow | Snapshot, source: str = "wms") -> Report:
    """A report of rows and snapshots."""
    rows = tuple(one for one in some if isinstance(one, StockRow))
    return Report(source, rows, tuple(one for one in some if isinstance(one, Snapshot)))


def book(*some: StockRow | Snapshot) -> StockBook:
    """A book that took these."""
    return StockBook().taken(said(*some))


def json_text(**sections: Any) -> str:
    """A document of the JSON form, each row on a line of its own."""
    return encode(sections).decode().replace("[{", "[\n{").replace("},{", "},\n{")


def moved_in(identity: str = "M-1", **named: Any) -> dict[str, Any]:
    """A movement of stock as the JSON form has it."""
    said = {
        "id": identity,
        "kind": "received",
        "at": "2026-03-01T12:00:00Z",
        "sku": "SOFA-3",
        "unit": "EA",
        "quantity": "40",
    }
    return {name: value for name, value in {**said, **named}.items() if value is not None}


def transaction(code: str, *body: str, number: str = "0001") -> list[str]:
    """The segments of a set, ST and SE around them."""
    return [f"ST*{code}*{number}", *body, f"SE*{len(body) + 2}*{number}"]


def interchange(
    *sets: Sequence[str], marks: Sequence[str] = ("*", ">", "~"), lines: str = "\n", version: str = "00401"
) -> str:
    """The text of an interchange of one group; `marks` separate elements and components and end segments."""
    element, component, end = marks
    code = sets[0][0].split("*")[1]
    group = {"846": "IB", "944": "RE", "945": "SW"}.get(code, "ZZ")
    control = f"{'U' if version < '00402' else '^'}*{version}*000000001*0*P*>"
    isa = f"ISA*00*{'':10}*00*{'':10}*ZZ*{'WAREHOUSE':15}*ZZ*{'BANK':15}*260301*1200*{control}"
    head = f"GS*{group}*WAREHOUSE*BANK*20260301*1200*7*X*004010"
    segments = [isa, head, *(one for some in sets for one in some), f"GE*{len(sets)}*7", "IEA*1*000000001"]
    return "".join(one.replace("*", element).replace(">", component) + end + lines for one in segments)


def texts(faults: Iterable[Fault]) -> list[str]:
    """Faults as `line: text`."""
    return [f"{one.line}: {one.text}" for one in faults]


def assert_faults(faults: Iterable[Fault], *wanted: tuple[int, str]) -> None:
    """There are these faults and no other, each by its line and a part of its text."""
    found = list(faults)
    assert [one.line for one in found] == [line for line, _ in wanted], texts(found)
    for one, (_, part) in zip(found, wanted, strict=True):
        assert part in one.text, one.text
