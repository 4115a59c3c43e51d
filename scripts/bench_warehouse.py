"""The `warehouse` measurement: a report of stock, an act on a receipt and a reading of a zone, each as a whole entry.

The baselines are what cannot be saved: to split the same report into cells, to check one Ed25519 signature, and a
reading of a device that is at no zone. In seconds of the processor, in turn, medians.
"""

import csv
import io
from collections.abc import Callable, Iterator
from statistics import median
from time import process_time
from typing import Any

from keeping import LOT, Keeping, lot, sofas
from receipting import BANK, DEPOSITOR, KEYS, WAREHOUSE, begins, signed, stated
from warehouses import HALL, TRACKER, ZONE

from pledgewatch_cloud.decide import drafts, jose
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_wire.reading import Cell, Channel

ROWS = 50_000
RECEIPTS = 1_000
RUNS = 5
MINUTE_MS = 60_000


def warehouse() -> list[dict[str, Any]]:
    """A row for each kind of entry."""
    return [_report(), _act(), _reading()]


def _report() -> dict[str, Any]:
    """A CSV of ROWS movements of stock of 500 SKUs, read and booked."""
    columns = {"id": "no", "kind": "what", "at": "when", "sku": "article", "unit": "unit", "quantity": "pieces"}
    mapping = {"columns": columns, "kinds": {"IN": "received"}, "delimiter": ","}
    source = {"id": "wms", "warehouse": WAREHOUSE, "means": "both", "units": {"EA": "piece"}, "owner": DEPOSITOR}

    def once(number: int) -> tuple[float, float]:
        kept = Keeping()
        kept.amend(stock_sources=[source | {"bin": "A-01", "csv": mapping}])
        at_ms = kept.clock.at_ms - 86_400_000
        lines = (f"r{number}-{row},IN,{iso(at_ms + row)},SKU-{row % 500},EA,4" for row in range(ROWS))
        text = "\n".join([",".join(columns.values()), *lines])
        taken = _seconds(lambda: kept.spine.commit(drafts.report, "wms", "csv", text.encode(), kept.clock.at_ms))
        return taken, _seconds(lambda: list(csv.reader(io.StringIO(text))))

    return _row("warehouse-report", once, ROWS, "microseconds a row of a report", "to split it into cells")


def _act() -> dict[str, Any]:
    """Issues of RECEIPTS receipts, each of goods of its own bin, all of one SKU and owner: the dearest, as all
    bins of a pool are looked at for each."""

    def once(_: int) -> tuple[float, float]:
        kept = Keeping()
        places = [f"P-{number}" for number in range(RECEIPTS)]
        for number, place in enumerate(places, 1):
            kept.row("received", number, place)
        texts = list(_issues(kept, places))
        taken = _seconds(lambda: [kept.spine.commit(drafts.act, text, kept.clock.at_ms) for text in texts])
        assert len(kept.spine.state.receipts) == RECEIPTS
        key = KEYS[WAREHOUSE].public_key().public_bytes_raw()
        checked = _seconds(lambda: [jose.verifies(key, jose.read(text)) for text in texts])
        return taken, checked

    return _row(
        "warehouse-act",
        once,
        RECEIPTS,
        f"microseconds an act among {RECEIPTS} in one pool",
        "to read it and check its signature",
    )


def _issues(kept: Keeping, places: list[str]) -> Iterator[str]:
    """An issue for each place; of another number of sofas each, or they would come close to each other."""
    for number, place in enumerate(places):
        at = iso(kept.clock.at_ms)
        said = {"act": "issue", "receipt": f"{WAREHOUSE}:{number}", "after": "", "by": WAREHOUSE, "at": at}
        said |= begins("issue", "", register_of(kept.spine.state.journal))
        yield signed(WAREHOUSE, {**said, **stated(sofas(number + 1, place))})


def _reading() -> dict[str, Any]:
    """A new weight of a zone with 100 bins, as many receipts and lots, 2,000 stock rows."""
    places = [f"P-{number}" for number in range(100)]
    lots = [lot(f"{LOT}-{place}", f"{WAREHOUSE}:{number}") for number, place in enumerate(places)]
    kept = Keeping(*lots, zones=[{"asset": HALL, "bins": places, "weight_tolerance_g": 1_000}])
    for number, place in enumerate(places * 20):
        kept.row("received", number % 100 + 1, place)
    for number, text in enumerate(_issues(kept, places)):
        kept.spine.commit(drafts.act, text, kept.clock.at_ms)
        kept.act(DEPOSITOR, "pledge", f"{WAREHOUSE}:{number}", pledgee=BANK)

    def once(run: int) -> tuple[float, float]:
        minutes = range(1 + 50 * run, 51 + 50 * run)

        def read(device: str, cell: Cell) -> float:
            arrivals = [kept.measured(device, minute, cell) for minute in minutes]
            return _seconds(lambda: [kept.spine.take([one]) for one in arrivals])

        kept.at(minutes[-1])
        return read(ZONE, Cell(Channel.WEIGHT_G, 10_000 + run)), read(TRACKER, Cell(Channel.BATTERY_MV, 3_700))

    return _row("warehouse-reading", once, 50, "microseconds a reading of a zone of 100 bins", "one of no zone")


def _seconds(work: Callable[[], object]) -> float:
    begun = process_time()
    work()
    return process_time() - begun


def _row(name: str, once: Callable[[int], tuple[float, float]], count: int, unit: str, baseline: str) -> dict[str, Any]:
    found = [once(run) for run in range(RUNS)]
    value, below = (median(one[place] for one in found) * 1e6 / count for place in (0, 1))
    ratio = round(median(one / other for one, other in found), 2)
    unit = f"{unit}; baseline: {baseline}"
    return {
        "name": name,
        "value": round(value, 1),
        "unit": unit,
        "baseline": round(below, 1),
        "ratio": ratio,
        "runs": RUNS,
    }
