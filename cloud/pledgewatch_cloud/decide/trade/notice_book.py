"""The notices that were taken, and which of them stand.

A notice stands until its sender withdraws it, replaces it, or writes a newer edition of its event. What was withdrawn
or replaced once never stands again, whatever becomes of the notice that took it back: who wants it back says it anew
under a new id. So it does not matter in which order notices come, or how often: what is known is a set, and a
withdrawal may be here before what it withdraws.

A book is a value. Taking a notice makes another book that shares all but a few shelves with the one before, so what
it costs does not grow with how many notices are kept.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError

KEPT_MAX = 250_000
"""Notices in a book. What comes then is refused, and nothing that is kept is dropped for it."""
WITHDRAWALS_MAX = 250_000
"""Room beyond that, for what takes back a notice that is kept: nobody may fill the book so that no word can be taken
back any more."""

_Keys = tuple[tuple[int, str], ...]
_Index = Shelves[_Keys]


@dataclass(frozen=True, slots=True)
class NoticeBook:
    """Notices by key; by what they are about; by what they take back; and the editions of events.

    The lists of keys are in order, each with what it is ordered by before it.
    """

    _notices: Shelves[Notice] = field(default_factory=Shelves[Notice])
    _about: _Index = field(default_factory=Shelves[_Keys])
    _against: _Index = field(default_factory=Shelves[_Keys])
    _editions: _Index = field(default_factory=Shelves[_Keys])

    def __len__(self) -> int:
        return self._notices.count

    def get(self, key: str) -> Notice | None:
        """The notice with a key, whether it stands or not."""
        return self._notices.get(key)

    def fresh(self, some: Iterable[Notice]) -> list[Notice]:
        """Those that are not known yet, each once, in their order.

        Raises NoticeError where a key is known, or comes twice, with other content.
        """
        found: dict[str, Notice] = {}
        errors = []
        for one in some:
            known = self._notices.get(one.key) or found.get(one.key)
            if known is None:
                found[one.key] = one
            elif known != one:
                changed = [name for name in Notice._fields if getattr(known, name) != getattr(one, name)]
                errors.append(
                    f"{one.key}: was said before with another {', '.join(changed)}; a correction has an id of its own "
                    "and says what it replaces"
                )
        if errors:
            raise NoticeError(errors)
        return list(found.values())

    def taken(self, some: Iterable[Notice]) -> "NoticeBook":
        """The book with some notices more. Raises NoticeError: other content under a known key, or too many."""
        fresh = self.fresh(some)
        if not fresh:
            return self
        most = KEPT_MAX + (WITHDRAWALS_MAX if all(self.is_taking_back(one) for one in fresh) else 0)
        if len(self) + len(fresh) > most:
            raise NoticeError(
                [f"{len(self)} notices are kept and {len(fresh)} more would be over {most}: nothing is taken"]
            )
        return self.put(fresh)

    def put(self, fresh: Sequence[Notice]) -> "NoticeBook":
        """The book with notices that are not known yet, whatever its bound."""
        about = [(reference, (one.happened_ms, one.key)) for one in fresh for reference in one.references]
        against = [(other, (0, one.key)) for one in fresh for other in (one.withdraws, one.replaces) if other]
        editions = [(one.event, (one.edition_ms, one.key)) for one in fresh if one.event]
        return NoticeBook(
            self._notices.put({one.key: one for one in fresh}),
            _entered(self._about, about),
            _entered(self._against, against),
            _entered(self._editions, editions),
        )

    def about(self, reference: str) -> list[Notice]:
        """All that was ever said about something, by (happened_ms, key)."""
        return self._listed(self._about, reference)

    def standing(self, reference: str) -> list[Notice]:
        """What has happened to something as it stands: actual, said and not taken back, by (happened_ms, key)."""
        return [
            one
            for one in self.about(reference)
            if one.kind and one.classifier == "actual" and self.fate(one.key) == "standing"
        ]

    def fate(self, key: str) -> str:
        """Whether a notice is `standing`, `withdrawn` or `replaced`. Raises KeyError for one that is not known."""
        one = self._known(key)
        names = {one.key, one.event} - {""}
        others = self.against(key)
        if any(other.withdraws in names or not other.kind for other in others):
            return "withdrawn"
        return "replaced" if others else "standing"

    def against(self, key: str) -> list[Notice]:
        """The notices that took one back: by withdrawing or replacing it, or as the newest edition of its event.

        Raises KeyError for a notice that is not known.
        """
        one = self._known(key)
        found = self._listed(self._against, one.key)
        if one.event not in ("", one.key):
            found += self._listed(self._against, one.event)
        editions = self._listed(self._editions, one.event or one.key)
        newest_ms = editions[-1].edition_ms if editions else one.edition_ms
        if newest_ms > one.edition_ms:
            found += [other for other in editions if other.edition_ms == newest_ms]
        return found

    def is_taking_back(self, one: Notice) -> bool:
        """Whether a notice says nothing but that one which is kept, and stands, is taken back."""
        return not one.kind and any(self.fate(other.key) == "standing" for other in self.touched_by(one))

    def touched_by(self, one: Notice) -> list[Notice]:
        """The notices whose fate a notice may change: those that it takes back, and other editions of its event.

        Each once, in an order that the book alone decides.
        """
        found = dict[str, Notice]()
        for name in sorted({one.withdraws, one.replaces, one.event} - {""}):
            named = self.get(name)
            found.update((other.key, other) for other in ([named] if named else []))
            found.update((other.key, other) for other in self._listed(self._editions, name))
        found.pop(one.key, None)
        return list(found.values())

    def as_json(self) -> list[list[Any]]:
        """The book as JSON, by key; equal books give equal JSON."""
        return [list(one) for one in sorted(self._notices.values())]

    @staticmethod
    def from_json(rows: Iterable[list[Any]]) -> "NoticeBook":
        """The book behind its JSON."""
        return NoticeBook().put([Notice(*row)._replace(references=tuple(row[5])) for row in rows])

    def _known(self, key: str) -> Notice:
        one = self._notices.get(key)
        if one is None:
            raise KeyError(key)
        return one

    def _listed(self, index: _Index, name: str) -> list[Notice]:
        return [self._known(key) for _, key in index.get(name) or ()]


def _entered(index: _Index, some: list[tuple[str, tuple[int, str]]]) -> _Index:
    found: dict[str, list[tuple[int, str]]] = {}
    for name, entry in some:
        found.setdefault(name, []).append(entry)
    return index.put({name: _inserted(index.get(name) or (), entries) for name, entries in found.items()})


def _inserted(known: _Keys, entries: list[tuple[int, str]]) -> _Keys:
    keys = list(known)
    for one in entries:
        insort(keys, one)
    return tuple(keys)
