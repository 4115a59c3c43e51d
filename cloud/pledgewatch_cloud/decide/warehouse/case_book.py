"""The cases of one entry: each mismatch as it is now is settled against the case that is open about it.

What becomes of a case is said as it happens, so events come in the order in which things are judged. Cases have so much
room as there was before the entry; what finds none is opened later, once there is.
"""

from collections.abc import Mapping

from pledgewatch_cloud.decide.events import EventType, event
from pledgewatch_cloud.decide.log import Log
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.warehouse import cases as cases_module
from pledgewatch_cloud.decide.warehouse.cases import NOT_COUNTED, OPEN_MAX, Case, CaseMove, CaseState, Mismatch
from pledgewatch_cloud.decide.warehouse.counting import Count
from pledgewatch_cloud.decide.warehouse.shortfall import Counts, Pool

About = tuple[str, ...]


class CaseBook:
    """Cases while an entry is judged. `open` are those that are, by what they are about; `numbered` how many there ever
    were; `lacked_room`: a case was not opened for want of room."""

    def __init__(
        self, cases: Mapping[str, Case], numbered: int, counts: Counts, count: Count | None, now_ms: int, log: Log
    ) -> None:
        """`counts` are the newest of all keys, `count` what the entry has brought of them."""
        self.open = {one.about: one for one in cases.values() if one.is_open}
        self.numbered, self.lacked_room = numbered, False
        self._room = OPEN_MAX - len(self.open)
        self._before, self._changed = cases, dict[str, Case]()
        self._counts, self._now_ms, self._log = counts, now_ms, log
        self._digest = count.digest if count else ""
        self._counted = frozenset(key for key, _ in count.rows) if count else frozenset[StockKey]()
        self._pools = frozenset(map(Pool.of, self._counted))

    def settle(self, about: About, mismatch: Mismatch | None) -> None:
        """Open, amend or close the case about something, by the mismatch there is (None: there is none)."""
        case = self.open.get(about)
        if case is not None and self.answered_ms(case) is not None:
            self._close(case, CaseMove.COUNT)
            case = None
        elif case is not None and mismatch is None:
            is_counted = not self._counted.isdisjoint(case.keys) or case.about[1:] in self._pools
            self._close(case, CaseMove.COUNT if is_counted else CaseMove.EXPLAIN)
        elif case is not None and mismatch is not None and mismatch.amount != case.amount:
            self._say(EventType.CASE_AMENDED, cases_module.amended(case, mismatch, self._counted_ms(mismatch)))
        if case is None and mismatch is not None and self._room <= 0:
            self.lacked_room = True
        elif case is None and mismatch is not None:
            self._room -= 1
            self.numbered += 1
            found = cases_module.opened(self.numbered, mismatch, self._counted_ms(mismatch), self._now_ms)
            self._say(EventType.CASE_OPENED, found)

    def answered_ms(self, case: Case) -> int | None:
        """The moment up to which the entry's count has answered a case, each of whose keys was counted since it was
        opened; None where one was not, or it asks for no count."""
        if self._counted.isdisjoint(case.keys):
            return None
        counts = [self._counts.get(key) for key in case.keys]
        if not case.due_ms or any(one is None or one.at_ms < case.opened_ms for one in counts):
            return None
        return min((one.at_ms for one in counts if one), default=None)

    @property
    def has_room(self) -> bool:
        """Whether another case could be opened by the next entry."""
        return len(self.open) < OPEN_MAX

    def fall_due(self) -> None:
        """Say of the counts that were not made in time that they are overdue."""
        for case in sorted(self.waiting(), key=lambda one: one.about):
            if case.due_ms <= self._now_ms:
                self._say(EventType.CASE_AMENDED, cases_module.overdue(case))

    def waiting(self) -> list[Case]:
        """The open cases that wait for a count which is not overdue yet."""
        return [one for one in self.open.values() if one.state is CaseState.OPEN and one.due_ms]

    def kept(self) -> Mapping[str, Case]:
        """All cases after the entry, by id."""
        return cases_module.kept({**self._before, **self._changed}.values()) if self._changed else self._before

    def _close(self, case: Case, move: CaseMove) -> None:
        digest = self._digest if move is CaseMove.COUNT else ""
        self._say(EventType.CASE_CLOSED, cases_module.closed(case, move, self._now_ms, digest))

    def _counted_ms(self, one: Mismatch) -> int:
        counts = [self._counts.get(key) for key in one.keys]
        return min((one.at_ms if one else NOT_COUNTED for one in counts), default=NOT_COUNTED)

    def _say(self, kind: EventType, case: Case) -> None:
        self._changed[case.id] = case
        if case.is_open:
            self.open[case.about] = case
        else:
            del self.open[case.about]
        about: dict[str, int | str] = {
            "case": case.id,
            "kind": case.kind,
            "about": "|".join(case.subject),
            "state": case.state.value,
            "missing_milli": case.missing_milli,
            "risk": case.risk,
        }
        about |= {name: value for name in ("due_ms", "measured", "by_count") if (value := getattr(case, name))}
        self._log.say(event(kind, self._now_ms, case.warehouse, **about))
