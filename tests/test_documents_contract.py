"""What every source of documents does: hand on once, move on after that, and come to the same when it is killed."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from wms import SOURCE, Server, Shelf, StockSystem, secret_file, serving

from pledgewatch_gateway.documents import DOCUMENT_MAX_BYTES, AwayError, Document, DocumentSource, Form, FullError
from pledgewatch_gateway.documents.drop_folder import DropSettings, DropSource
from pledgewatch_gateway.documents.position import PagingSettings
from pledgewatch_gateway.documents.rest_poll import RestSettings, RestSource
from pledgewatch_gateway.documents.wms_records import FieldSettings, RecordSettings

NOW_MS = 1_780_000_000_000
BY_MOMENT = PagingSettings(since="since", since_field="changed", page_size=10, overlap_s=60.0)
PAGED = PagingSettings(since="since", since_field="changed", page="page", size="limit", page_size=10, overlap_s=60.0)
FED = PagingSettings(cursor="after", next_cursor="next")
MOVES = RecordSettings(
    records="data.moves",
    fields=FieldSettings(id="no", kind="what", at="when", sku="line.item", quantity="line.qty"),
)


class Bench(Protocol):
    """A source with the world that it reads."""

    def new(self) -> DocumentSource:
        """The source as another process would make it."""
        ...

    def add(self) -> None:
        """Something that is worth two documents at least."""
        ...

    def away(self) -> contextlib.AbstractAsyncContextManager[None]:
        """The world is not there meanwhile."""
        ...

    def said(self, documents: Sequence[Document]) -> list[str]:
        """What is handed on, each thing by a name of its own."""
        ...

    @property
    def all(self) -> list[str]:
        """All that there is to say."""
        ...


class Files:
    """A drop folder."""

    def __init__(self, folder: Path, form: Form) -> None:
        self._folder = folder / "drop"
        self._folder.mkdir()
        self._form = form
        self._secret = secret_file(folder)
        self.all: list[str] = []

    def new(self) -> DocumentSource:
        return DropSource(
            DropSettings(
                source=SOURCE,
                secret_file=self._secret,
                folder=self._folder,
                form=self._form,
                ending=".txt",
                quiet_s=0.0,
            )
        )

    def add(self) -> None:
        for _ in range(3):
            name = f"file-{len(self.all)}"
            text = {
                Form.CSV: f"{name}\n",
                Form.X12: "ISA" + f"*{name}*".ljust(102, "0") + "~IEA*1*1~\n",
                Form.JSON: json.dumps(name),
            }[self._form]
            (self._folder / f"{name}.TXT").write_text(text, encoding="ascii")
            os.utime(self._folder / f"{name}.TXT", (1_000 + len(self.all),) * 2)
            self.all.append(name)

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        elsewhere = self._folder.with_name("elsewhere")
        self._folder.rename(elsewhere)
        yield
        elsewhere.rename(self._folder)

    def said(self, documents: Sequence[Document]) -> list[str]:
        assert {one.form for one in documents} <= {self._form}
        return [
            one.name.removesuffix(".TXT") for one in documents if one.name.removesuffix(".TXT").encode() in one.data
        ]


class Polled:
    """A stock system that is asked."""

    def __init__(self, folder: Path, server: Server, system: StockSystem, paging: PagingSettings) -> None:
        self._folder = folder
        self._server = server
        self._system = system
        self._settings = RestSettings(
            source=SOURCE,
            secret_file=secret_file(folder),
            url=f"{server.url}/{'feed' if paging.cursor else 'moves'}",
            answer=MOVES,
            paging=paging,
        )

    def new(self) -> DocumentSource:
        return RestSource(self._settings, self._folder / "cursors", lambda: NOW_MS)

    def add(self) -> None:
        self._system.add(27)

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        respond, self._server.respond = self._server.respond, lambda _: None
        yield
        self._server.respond = respond

    def said(self, documents: Sequence[Document]) -> list[str]:
        assert {one.form for one in documents} <= {Form.JSON}
        return [row["id"] for one in documents for row in json.loads(one.data)["movements"]]

    @property
    def all(self) -> list[str]:
        return [str(one["no"]) for one in self._system.moves]


@pytest.fixture(params=["csv", "x12", "json", "paged", "untagged", "fed", "by_moment"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param in {"paged", "untagged", "fed", "by_moment"}:
        system = StockSystem(is_tagged=request.param == "paged")
        async with serving(system.respond) as server:
            paging = {"fed": FED, "by_moment": BY_MOMENT}.get(request.param, PAGED)
            yield Polled(tmp_path, server, system, paging)
    else:
        yield Files(tmp_path, Form(request.param))


def in_order(said: Sequence[str]) -> list[str]:
    """What was said, each the first time; what is said again is nothing new."""
    return list(dict.fromkeys(said))


async def test_what_is_there_is_handed_on_once_and_what_comes_later_after_it(bench: Bench) -> None:
    shelf, source = Shelf(), bench.new()
    bench.add()
    await source.look(shelf.put)
    assert bench.said(shelf.documents) == bench.all
    assert len(shelf.documents) > 1
    assert all(one.source == SOURCE and 0 < len(one.data) <= DOCUMENT_MAX_BYTES for one in shelf.documents)
    count = len(shelf.documents)
    bench.add()
    await source.look(shelf.put)
    assert in_order(bench.said(shelf.documents)) == bench.all
    assert len(shelf.documents) > count


async def test_where_nothing_is_new_nothing_new_is_handed_on_by_this_source_or_the_next(bench: Bench) -> None:
    shelf, source = Shelf(), bench.new()
    await source.look(shelf.put)
    assert shelf.documents == []
    bench.add()
    await source.look(shelf.put)
    await source.look(shelf.put)  # what is put back in time says the last few once more
    count = len(shelf.documents)
    for _ in range(3):
        await source.look(shelf.put)
    assert len(shelf.documents) == count
    await bench.new().look(shelf.put)
    assert {one.digest for one in shelf.documents[count:]} <= {one.digest for one in shelf.documents[:count]}
    assert in_order(bench.said(shelf.documents)) == bench.all


@pytest.mark.parametrize("is_made_anew", [False, True])
async def test_what_was_not_taken_comes_first_the_next_time(bench: Bench, is_made_anew: bool) -> None:
    shelf, source = Shelf(), bench.new()
    bench.add()
    shelf.is_full = True
    for _ in range(2):
        with pytest.raises(FullError):
            await source.look(shelf.put)
    shelf.is_full = False
    if is_made_anew:
        source = bench.new()
    await source.look(shelf.put)
    assert bench.said(shelf.documents) == bench.all


async def test_a_source_that_is_stopped_before_it_moves_on_hands_the_same_bytes_on_again(bench: Bench) -> None:
    shelf, wanted = Shelf(), Shelf()
    bench.add()
    for stopped_at in range(1, 4):

        async def put(document: Document, stopped_at: int = stopped_at) -> None:
            await shelf.put(document)
            if len(shelf.documents) == stopped_at:
                raise asyncio.CancelledError

        with contextlib.suppress(asyncio.CancelledError):
            await bench.new().look(put)
        if len(shelf.documents) >= 2:
            break
    assert shelf.documents[0].digest == shelf.documents[1].digest
    await bench.new().look(wanted.put)
    assert in_order(bench.said([*shelf.documents, *wanted.documents])) == bench.all


async def test_a_world_that_is_away_is_said_and_nothing_is_lost(bench: Bench) -> None:
    shelf, source = Shelf(), bench.new()
    bench.add()
    async with bench.away():
        for _ in range(2):
            with pytest.raises(AwayError):
                await source.look(shelf.put)
    await source.look(shelf.put)
    assert bench.said(shelf.documents) == bench.all
