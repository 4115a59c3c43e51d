"""A thousand sofas at 200.00 in one bin of a warehouse, on an electronic receipt: acts, stock reports and counts, over
the real spine of a lender's desk."""

import json
from typing import Any

from lending import HALF, Bench, Happening, at_ms, lot, moment
from receipting import BANK, DEPOSITOR, FIRST, OTHER_BANK, WAREHOUSE, begins, signed
from warehouses import SURVEYOR, count_text, party

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.receipts.register import register_of

SOFAS = {"sku": "sofa", "quantity_milli": 1_000_000, "unit": "piece", "bin": "A-01"}
SOURCE = {"id": "wms", "warehouse": WAREHOUSE, "means": "both", "units": {"EA": "piece"}, "owner": DEPOSITOR}
ON_RECEIPT = {"receipt": {"id": FIRST}, "warehouse": WAREHOUSE}


def bench_of(**terms: Any) -> Bench:
    """A lot of which the book names the receipt, which nobody has issued yet."""
    parties = [party(one) for one in (WAREHOUSE, DEPOSITOR, BANK, OTHER_BANK, SURVEYOR)]
    warehouses = [{"id": WAREHOUSE, "inspectors": [SURVEYOR]}]
    book: dict[str, Any] = {"parties": parties, "warehouses": warehouses, "stock_sources": [SOURCE]}
    book |= {"lots": [lot(**ON_RECEIPT)], "policy": HALF | {"receipt": 1}, "facility": {"lender": BANK}}
    return Bench(**book | terms)


def acts(by: str, kind: str, receipt: str = FIRST, **body: Any) -> Happening:
    """Somebody signs an act on the receipt."""

    def happens(bench: Bench) -> None:
        known = bench.spine.state.receipts.get(receipt)
        head = {"after": known.head if known else "", "at": moment_of(bench)}
        told = begins(kind, known.head if known else "", register_of(bench.spine.state.journal)) | body
        text = signed(by, {"act": kind, "receipt": receipt, "by": by, **head, **told})
        assert bench.spine.commit(drafts.act, text, bench.clock.at_ms) is not None
        bench.look()

    return happens


def issued(units: int = 1_000) -> Happening:
    """The warehouse issues the receipt for so many; they came in that morning."""
    goods, received = [SOFAS | {"quantity_milli": 1_000 * units}], {"from": moment(-6), "until": moment(-3)}
    return acts(WAREHOUSE, "issue", depositor=DEPOSITOR, goods=goods, received=received, until=moment(9_000))


def moment_of(bench: Bench) -> str:
    """The bench's clock as documents have it."""
    return moment((bench.clock.at_ms - at_ms(0)) / 3_600_000)


def has(units: int) -> Happening:
    """The stock system counts so many sofas."""
    return says_of(None, units)


def says_of(hour: float | None, units: int) -> Happening:
    """The stock system says how many sofas there were at an hour, or are now."""

    def happens(bench: Bench) -> None:
        at = moment_of(bench) if hour is None else moment(hour)
        rows = [{"sku": "sofa", "bin": "A-01", "unit": "EA", "quantity": str(units)}]
        report = {"snapshots": [{"id": f"S-{units}-{at}", "at": at, "owner": DEPOSITOR, "rows": rows}]}
        data = json.dumps(report).encode()
        assert bench.spine.commit(drafts.report, "wms", "json", data, bench.clock.at_ms) is not None
        bench.look()

    return happens


def sees(units: int) -> Happening:
    """A surveyor counts so many sofas and signs that."""

    def happens(bench: Bench) -> None:
        text = count_text([("sofa", "A-01", units)], at=moment_of(bench))
        assert bench.spine.commit(drafts.count, text, bench.clock.at_ms) is not None
        bench.look()

    return happens
