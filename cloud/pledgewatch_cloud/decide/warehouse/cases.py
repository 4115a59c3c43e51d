"""Cases: mismatches between what receipts claim, what a stock system says and what can be seen of the goods.

    (none) ──open──► open ──amend──► open          overdue ──amend──► overdue
                      │  └──fall due──► overdue
                      └──count──► counted          overdue ──count──► counted
                      └──explain──► explained      overdue ──explain──► explained

A case is opened by what is so, and stays while it is so; whatever is so again after its end is another case. It asks
for a count of its keys, of which each must be counted at or after the moment at which it was opened: that ends it, and
what was counted stands (shortfall). It also ends where there is a mismatch no longer: late rows of the stock system
explain it, the goods are back, or receipts claim less. Two kinds ask for no count: `count_below`, as it was counted
already, and `misplaced`, as nothing is missing. Goods that left and that a count has looked for and not found
are asked for once only.

How urgent a count is, is its *risk*, from 0 to 100, in whole points rounded down:

    points of the kind + 40 x missing / what there should be (at most 40) + 1 for each 3 days since the last count (30)

Goods of which some were never counted have not been counted for long: 30 points. The count is due 72 hours after the
case was opened, less by the risk's share of that, in whole hours, and not before 4 hours.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.stock.rows import StockKey

OPEN_MAX = 20_000
"""Open cases. Over that none is opened, and what is missing is missing all the same."""
CLOSED_MAX = 2_000
"""Closed cases that are kept, the newest."""
NOT_COUNTED = -1
_DAY_MS, _HOUR_MS = 86_400_000, 3_600_000
_SHARE_POINTS, _AGE_POINTS, _DAYS_PER_POINT = 40, 30, 3
_DUE_HOURS, _DUE_MIN_HOURS = 72, 4


class CaseState(StrEnum):
    """States of a case. NONE: there is none."""

    NONE = "none"
    OPEN = "open"
    OVERDUE = "overdue"
    COUNTED = "counted"
    EXPLAINED = "explained"


class CaseMove(StrEnum):
    """What happens to a case."""

    OPEN = "open"
    AMEND = "amend"
    FALL_DUE = "fall_due"
    COUNT = "count"
    EXPLAIN = "explain"


_S, _M = CaseState, CaseMove
LIFE: Mapping[tuple[CaseState, CaseMove], CaseState] = {
    (_S.NONE, _M.OPEN): _S.OPEN,
    (_S.OPEN, _M.AMEND): _S.OPEN,
    (_S.OPEN, _M.FALL_DUE): _S.OVERDUE,
    (_S.OPEN, _M.COUNT): _S.COUNTED,
    (_S.OPEN, _M.EXPLAIN): _S.EXPLAINED,
    (_S.OVERDUE, _M.AMEND): _S.OVERDUE,
    (_S.OVERDUE, _M.COUNT): _S.COUNTED,
    (_S.OVERDUE, _M.EXPLAIN): _S.EXPLAINED,
}
"""Every move there is."""
CLOSED = frozenset({_S.COUNTED, _S.EXPLAINED})
"""States that nothing leads out of."""


class CaseKind(NamedTuple):
    """A kind of case: the points of risk that it begins with, and whether a count is asked for and ends it."""

    points: int
    is_counted: bool


KINDS: Mapping[str, CaseKind] = {
    "goods_left": CaseKind(30, is_counted=True),
    "stock_below_receipts": CaseKind(25, is_counted=True),
    "count_below": CaseKind(25, is_counted=False),
    "pieces_below": CaseKind(20, is_counted=True),
    "weight_below": CaseKind(15, is_counted=True),
    "door_out_of_hours": CaseKind(10, is_counted=True),
    "uncounted": CaseKind(10, is_counted=True),
    "misplaced": CaseKind(0, is_counted=False),
}
"""All kinds: goods are gone by a gate or out of the fences; the stock system has less than receipts claim; a count
found less than they claim; a zone holds fewer pieces or tags, or less weight, than the stock system says; a door was
open while the warehouse is not; goods are there, but not in the bin of their receipt."""


class Mismatch(NamedTuple):
    """What does not fit, as it is now. `subject` tells it from others of its kind in the warehouse: a pool's words, an
    asset, a receipt's line, a key. `missing_milli` are thousandths of units, of all keys together, and `of_milli` what
    there should be; `measured` is by how much a zone is below, in grams or pieces, or how often a door was open.
    `keys` are what to count; `was_counted`: that was done since, and has found it so."""

    kind: str
    warehouse: str
    subject: tuple[str, ...]
    missing_milli: int
    of_milli: int
    keys: tuple[StockKey, ...]
    measured: int = 0
    was_counted: bool = False

    @property
    def about(self) -> tuple[str, ...]:
        """What tells it from every other."""
        return (self.kind, self.warehouse, *self.subject)

    @property
    def amount(self) -> tuple[int, int]:
        """What a case is amended for: what is missing, and how often a door was open. A scale always says another
        weight, so that is not in it."""
        return self.missing_milli, self.measured if self.kind == "door_out_of_hours" else 0


class Case(NamedTuple):
    """A case. All but the last fields as in Mismatch. `due_ms`: until when its keys should be counted, 0 where no count
    is asked for. `closed_ms` is 0 while it is open; `by_count` is the digest of the count that ended
    it."""

    id: str
    kind: str
    warehouse: str
    subject: tuple[str, ...]
    state: CaseState
    opened_ms: int
    missing_milli: int
    of_milli: int
    measured: int
    keys: tuple[StockKey, ...]
    risk: int
    due_ms: int
    closed_ms: int = 0
    by_count: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state not in CLOSED

    @property
    def about(self) -> tuple[str, ...]:
        """What tells it from every other case that is open."""
        return (self.kind, self.warehouse, *self.subject)

    @property
    def amount(self) -> tuple[int, int]:
        """As in Mismatch."""
        return self.missing_milli, self.measured if self.kind == "door_out_of_hours" else 0

    def as_row(self) -> list[Any]:
        """The case as JSON."""
        return [str(one) if isinstance(one, CaseState) else one for one in self]

    @staticmethod
    def from_row(row: list[Any]) -> "Case":
        """The case behind its JSON."""
        case = Case._make(row)
        keys = tuple(StockKey(*one) for one in case.keys)
        return case._replace(subject=tuple(case.subject), state=CaseState(case.state), keys=keys)


def after(state: CaseState, move: CaseMove) -> CaseState:
    """Where a move leads. Raises ValueError for one that there is not."""
    found = LIFE.get((state, move))
    if found is None:
        raise ValueError(f"a case that is {state} cannot {move}")
    return found


def opened(number: int, one: Mismatch, counted_ms: int, now_ms: int) -> Case:
    """The case of a mismatch, the `number`th of all. `counted_ms` is when the key that was not counted for longest was
    counted last, NOT_COUNTED where one never was."""
    risk = risk_of(one, counted_ms, now_ms)
    return Case(
        f"case-{number}",
        *(one.kind, one.warehouse, one.subject, after(CaseState.NONE, CaseMove.OPEN), now_ms),
        *(one.missing_milli, one.of_milli, one.measured, one.keys, risk),
        due_ms(risk, now_ms) if KINDS[one.kind].is_counted and not one.was_counted else 0,
    )


def amended(case: Case, one: Mismatch, counted_ms: int) -> Case:
    """The case of a mismatch that is more or less than it was. A count is never due later than it was."""
    risk = risk_of(one, counted_ms, case.opened_ms)
    due = min(case.due_ms, due_ms(risk, case.opened_ms))
    return case._replace(
        state=after(case.state, CaseMove.AMEND),
        missing_milli=one.missing_milli,
        of_milli=one.of_milli,
        measured=one.measured,
        risk=risk,
        due_ms=due,
    )


def overdue(case: Case) -> Case:
    """The case once its count was not made in time."""
    return case._replace(state=after(case.state, CaseMove.FALL_DUE))


def closed(case: Case, move: CaseMove, now_ms: int, count: str = "") -> Case:
    """The case at its end, by COUNT or EXPLAIN."""
    return case._replace(state=after(case.state, move), closed_ms=now_ms, by_count=count)


def risk_of(one: Mismatch, counted_ms: int, now_ms: int) -> int:
    """How urgent a count is, from 0 to 100."""
    share = min(_SHARE_POINTS, _SHARE_POINTS * one.missing_milli // one.of_milli) if one.of_milli else 0
    days = (now_ms - counted_ms) // _DAY_MS
    age = _AGE_POINTS if counted_ms == NOT_COUNTED else min(_AGE_POINTS, max(0, days) // _DAYS_PER_POINT)
    return KINDS[one.kind].points + share + age


def due_ms(risk: int, opened_ms: int) -> int:
    """Until when a case of a risk should be counted."""
    return opened_ms + _HOUR_MS * max(_DUE_MIN_HOURS, _DUE_HOURS * (100 - risk) // 100)


def kept(cases: Iterable[Case]) -> dict[str, Case]:
    """Cases by id: all that are open, and the newest of those that are closed."""
    every = list(cases)
    ended = sorted((one for one in every if not one.is_open), key=lambda one: (one.closed_ms, _number(one)))
    return {one.id: one for one in (*(one for one in every if one.is_open), *ended[-CLOSED_MAX:])}


def _number(case: Case) -> int:
    return int(case.id.rpartition("-")[2])
