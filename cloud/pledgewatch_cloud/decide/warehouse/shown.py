"""Cases and counts as the API and the command line show them: moments as ISO 8601, quantities in thousandths."""

from collections.abc import Iterable
from typing import Any

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.warehouse.cases import Case
from pledgewatch_cloud.decide.warehouse.shortfall import Pool


def cases_of(state: State, warehouse: str, *, with_closed: bool) -> list[Case]:
    """The cases of a warehouse, or of all where it is empty: the open ones, the most urgent first, then the closed
    ones, the newest first."""
    closed = [one for one in state.watch.cases.values() if with_closed and not one.is_open]
    closed.sort(key=lambda one: (-one.closed_ms, one.about, one.id))
    found = [*state.watch.open_cases(), *closed]
    return [one for one in found if warehouse in ("", one.warehouse)]


def tasks_of(state: State, warehouse: str) -> list[Case]:
    """The open cases that ask for a count, the most urgent first."""
    return [one for one in cases_of(state, warehouse, with_closed=False) if one.due_ms]


def as_json(case: Case) -> dict[str, Any]:
    """A case in short."""
    return {
        "case": case.id,
        "kind": case.kind,
        "warehouse": case.warehouse,
        "subject": list(case.subject),
        "state": str(case.state),
        "opened": iso(case.opened_ms),
        "missing_milli": case.missing_milli,
        "of_milli": case.of_milli,
        "measured": case.measured,
        "risk": case.risk,
        "due": iso(case.due_ms) if case.due_ms else None,
        "closed": iso(case.closed_ms) if case.closed_ms else None,
        "by_count": case.by_count,
    }


def in_full(state: State, case: Case) -> dict[str, Any]:
    """A case with what each of its keys is claimed, kept and counted as now, and the receipts and lots that it bears
    on."""
    receipts = {name for key in case.keys for name in state.receipts.claiming(*Pool.of(key))}
    lots = [{"lot": lot, "missing": one.missing} for lot, one in sorted(state.held.items()) if case.id in one.cases]
    return {
        **as_json(case),
        "keys": [_key_as_json(state, key) for key in case.keys],
        "receipts": sorted(receipts),
        "lots": lots,
    }


def _key_as_json(state: State, key: StockKey) -> dict[str, Any]:
    counted = state.watch.counts.get(key)
    return {
        **key._asdict(),
        "claimed_milli": state.receipts.live_milli(key),
        "stock_milli": state.stock.on_hand_milli(key, state.recorded_at_ms),
        "counted": None
        if counted is None
        else {"milli": counted.milli, "at": iso(counted.at_ms), "by": counted.by, "count": counted.digest},
    }


def form_of(case: Case, by: str) -> dict[str, Any]:
    """What whoever counts for a case fills in: a row for each key. What should be there is not said, so that it is
    counted and not copied."""
    rows = [{**key._asdict(), "quantity_milli": None} for key in case.keys]
    for one in rows:
        del one["warehouse"]
    return {"count": case.id, "warehouse": case.warehouse, "by": by, "at": None, "rows": rows, "photos": []}


def answered_by(cases: Iterable[Case], digest: str) -> list[str]:
    """The ids of the cases that a count has ended."""
    return sorted(one.id for one in cases if one.by_count == digest)


def line(case: Case) -> str:
    """A case as one line."""
    due = f", count due {iso(case.due_ms)}" if case.is_open and case.due_ms else ""
    missing = f"{case.missing_milli} of {case.of_milli} thousandths missing"
    measured = f", measured {case.measured}" if case.measured else ""
    about = " ".join((case.kind, *case.subject))
    return f"{case.id}: {case.state}, risk {case.risk}: {about} in {case.warehouse}: {missing}{measured}{due}"


def unknown(identity: str) -> str:
    """That there is no such case."""
    return f"there is no case {identity!r}; closed ones are kept for a while only, the newest of them"
