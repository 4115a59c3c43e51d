"""A stock system that changes while it is read page by page: no record is skipped, and none is read for ever."""

import contextlib
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from wms import SOURCE, Answer, Request, Shelf, StockSystem, answer, secret_file, serving

from pledgewatch_gateway.documents import AwayError
from pledgewatch_gateway.documents.position import PagingSettings, Position, page_before, slipped
from pledgewatch_gateway.documents.rest_poll import BEGUN_MAX, RestSettings, RestSource
from pledgewatch_gateway.documents.wms_records import FieldSettings, RecordSettings

NOW_MS = 1_773_100_000_000  # 2026-03-09
MOVES = RecordSettings(records="moves", fields=FieldSettings(id="no", kind="what", quantity="quantity"))


def paged(size: int, **changes: Any) -> PagingSettings:
    return PagingSettings(since="since", since_field="changed", page="page", page_size=size, **changes)


def source_of(folder: Path, url: str, paging: PagingSettings) -> RestSource:
    settings = RestSettings(source=SOURCE, secret_file=secret_file(folder), url=url, answer=MOVES, paging=paging)
    return RestSource(settings, folder / "cursors", lambda: NOW_MS)


def told(shelf: Shelf) -> dict[str, set[str]]:
    """The quantities that were handed on of each booking."""
    found: dict[str, set[str]] = {}
    for document in shelf.documents:
        for row in json.loads(document.data)["movements"]:
            found.setdefault(row["id"], set()).add(row["quantity"])
    return found


class Edited:
    """Bookings that are given in the order in which they were last changed; clerks edit some between two questions."""

    def __init__(self, count: int, size: int, edit: Callable[["Edited"], None]) -> None:
        self.asked = 0
        self.changed = [minute(number) for number in range(count)]
        self.quantities = [1] * count
        self._size = size
        self._edit = edit
        self._now = count

    def touch(self, number: int) -> None:
        """Edit a booking: it is the newest now."""
        self._now += 1
        self.changed[number], self.quantities[number] = minute(self._now), self.quantities[number] + 1

    def respond(self, request: Request) -> Answer:
        """A page."""
        since, page = request.asked.get("since", ""), int(request.asked["page"])
        found = sorted((at, number) for number, at in enumerate(self.changed) if at >= since)
        moves: list[Mapping[str, object]] = [
            {"no": number, "what": "sold", "quantity": self.quantities[number], "changed": at}
            for at, number in found[(page - 1) * self._size : page * self._size]
        ]
        self.asked += 1
        self._edit(self)
        return answer(200, {"moves": moves})


def minute(number: int) -> str:
    return f"2026-03-{1 + number // 1_440:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z"


async def test_a_booking_that_moves_up_while_another_is_edited_is_not_skipped(tmp_path: Path) -> None:
    system = Edited(6, 2, lambda edited: edited.touch(0) if edited.asked == 1 else None)
    async with serving(system.respond) as server:
        source, shelf = source_of(tmp_path, server.url, paged(2, overlap_s=0.0)), Shelf()
        await source.look(shelf.put)
    assert told(shelf) == {"0": {"1", "2"}, **{str(number): {"1"} for number in range(1, 6)}}


@pytest.mark.parametrize("seed", range(6, 12))
async def test_whatever_is_edited_meanwhile_every_booking_comes_as_it_is_in_the_end(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)

    def edit(edited: Edited) -> None:
        for _ in range(dice.choice([0, 0, 1, 2])):
            edited.touch(dice.randrange(len(edited.changed)))

    size = dice.randint(3, 6)
    system = Edited(dice.randint(5, 30), size, edit)
    async with serving(system.respond) as server:
        shelf = Shelf()
        paging = paged(size, overlap_s=0.0)
        for _ in range(3):
            with contextlib.suppress(AwayError):  # it changes faster than it can be read
                await source_of(tmp_path, server.url, paging).look(shelf.put)
        system._edit = lambda _: None
        for _ in range(2):
            await source_of(tmp_path, server.url, paging).look(shelf.put)
    last = told(shelf)
    assert {name for name, said in last.items() if str(system.quantities[int(name)]) in said} == {
        str(number) for number in range(len(system.changed))
    }


async def test_what_changes_faster_than_it_can_be_read_is_told(tmp_path: Path) -> None:
    def edit(edited: Edited) -> None:
        for number in range(len(edited.changed)):
            edited.touch(number)

    system = Edited(6, 2, edit)
    async with serving(system.respond) as server:
        source = source_of(tmp_path, server.url, paged(2))
        with pytest.raises(AwayError, match="changes faster than it can be read page by page"):
            await source.look(Shelf().put)
    assert system.asked == 3 * (BEGUN_MAX + 1)


def test_only_where_a_round_goes_on_by_since_and_page_can_something_slip() -> None:
    third = Position(since="2026-03-01", page=2, before="x", etag="e", etag_of="u")
    assert page_before(paged(2), third) == third._replace(page=1, etag="", etag_of="")
    assert page_before(paged(2), third._replace(page=0)) is None
    assert page_before(PagingSettings(page="page", page_size=2), third) is None, "each round reads all of it"
    assert slipped(third, [{"no": 1}]) is None


async def test_a_number_that_is_committed_late_is_not_missed(tmp_path: Path) -> None:
    numbers = [*range(1_000, 1_010), 1_015]

    def respond(request: Request) -> Answer:
        first = int(request.asked.get("since", "0"))
        found = [one for one in sorted(numbers) if one > first][:10]
        return answer(200, {"moves": [{"no": one, "what": "sold", "quantity": 1, "changed": one} for one in found]})

    paging = PagingSettings(since="since", since_field="changed", page_size=10)
    async with serving(respond) as server:
        source, shelf = source_of(tmp_path, server.url, paging), Shelf()
        await source.look(shelf.put)
        numbers += [1_012, 1_016]
        await source.look(shelf.put)
    assert told(shelf).keys() == {str(one) for one in numbers}


async def test_where_the_cursor_was_removed_all_is_read_and_handed_on_again(tmp_path: Path) -> None:
    system = StockSystem(is_tagged=False)
    system.add(25)
    moves = RecordSettings(records="data.moves", fields=MOVES.fields)
    async with serving(system.respond) as server:
        settings = RestSettings(
            source=SOURCE, secret_file=secret_file(tmp_path), url=server.url, answer=moves, paging=paged(10)
        )
        source, shelf = RestSource(settings, tmp_path / "cursors", lambda: NOW_MS), Shelf()
        await source.look(shelf.put)
        count = len(shelf.documents)
        (kept,) = (tmp_path / "cursors").iterdir()
        kept.unlink()
        await source.look(shelf.put)
    assert count == 3
    assert [one.digest for one in shelf.documents[count:]] == [one.digest for one in shelf.documents[:count]]


async def test_without_a_cursor_gone_is_no_answer_and_is_not_asked_again_at_once(tmp_path: Path) -> None:
    async with serving(lambda _: answer(410)) as server:
        with pytest.raises(AwayError, match="answers HTTP 410"):
            await source_of(tmp_path, server.url, paged(10)).look(Shelf().put)
    assert len(server.requests) == 1
