"""A stock system that is asked: what its records become, how it is read on, and what is no answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from stocking import TERMS
from wms import SOURCE, Answer, Request, Server, Shelf, StockSystem, answer, changed_from, secret_file, serving

from pledgewatch_cloud.decide.stock import json_form
from pledgewatch_gateway.documents import AwayError
from pledgewatch_gateway.documents.position import (
    PagingSettings,
    Position,
    afresh,
    after,
    as_json,
    from_json,
    parameters,
)
from pledgewatch_gateway.documents.rest_poll import ANSWER_MAX_BYTES, RestSettings, RestSource
from pledgewatch_gateway.documents.wms_records import (
    FieldSettings,
    FixedSettings,
    KindSettings,
    RecordSettings,
    SnapshotSettings,
    at_path,
    records_of,
    rows_of,
)
from pledgewatch_gateway.sources.strict_json import read_json

NOW = datetime(2026, 3, 10, tzinfo=UTC)
DAY_MS = 86_400_000
FIELDS = FieldSettings(id="no", kind="what", at="when", sku="line.item", quantity="line.qty", reason="why")
FIXED = FixedSettings(unit="EA")
KINDS = (
    KindSettings(theirs="PUT", kind="received"),
    KindSettings(theirs="OUT", kind="sold", turned=True),
    KindSettings(theirs="ADJ", kind="adjusted", signed=True, reason="recount"),
    KindSettings(theirs="NOTE", kind="left_out"),
)
MOVES = RecordSettings(records="data.moves", fields=FIELDS, fixed=FIXED, kinds=KINDS)
PAGED = PagingSettings(since="since", since_field="changed", page="page", size="limit", page_size=10, overlap_s=60.0)


def record(what: str, quantity: str, **more: str) -> dict[str, Any]:
    text = json.dumps({"no": 7, "what": what, "when": "2026-03-01T09:00:00Z", **more})[:-1]
    found = read_json((text + f', "line": {{"item": "SOFA-3", "qty": {quantity}}}}}').encode(), 10_000)
    assert isinstance(found, dict)
    return found


# What the stock system writes, and the kind, quantity and reason that the cloud is told.
RECORDS = [
    (("PUT", "40"), ("received", "40", None)),
    (("PUT", "40.0"), ("received", "40.0", None)),
    (("PUT", '"0040.500"'), ("received", "0040.500", None)),
    (("PUT", "0.1"), ("received", "0.1", None)),  # no binary fraction comes in between
    (("PUT", "4E1"), ("received", "40", None)),
    (("PUT", "-3"), ("received", "-3", None)),  # for the cloud to refuse
    (("OUT", "-3"), ("sold", "3", None)),
    (("OUT", '"+3"'), ("sold", "-3", None)),  # for the cloud to refuse
    (("ADJ", "3"), ("adjusted", "+3", "recount")),
    (("ADJ", "-3"), ("adjusted", "-3", "recount")),
    (("LOST", "3"), ("LOST", "3", None)),  # for the cloud to refuse, by its name
    (("PUT", "null"), ("received", None, None)),
]


@pytest.mark.parametrize(("theirs", "ours"), RECORDS)
def test_a_record_is_renamed_and_not_judged(theirs: tuple[str, str], ours: tuple[str, str | None, str | None]) -> None:
    (row,) = rows_of(MOVES, [record(*theirs)])
    assert (row["kind"], row.get("quantity"), row.get("reason")) == ours
    assert (row["id"], row["at"], row["sku"], row["unit"]) == ("7", "2026-03-01T09:00:00Z", "SOFA-3", "EA")
    assert row.keys() <= {"id", "kind", "at", "sku", "unit", "quantity", "reason"}


def test_a_record_that_is_no_stock_is_left_out_and_a_reason_of_theirs_stays() -> None:
    rows = rows_of(MOVES, [record("NOTE", "1"), record("ADJ", "1", why="leg broken")])
    assert [(row["kind"], row["reason"]) for row in rows] == [("adjusted", "leg broken")]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", {"a": [{"b": 1}, None]}),
        ("a.0.b", 1),
        ("a.1", None),
        ("a.2", None),
        ("a.x", None),
        ("a.0.b.c", None),
        ("c", None),
    ],
)
def test_a_path_leads_to_what_is_there_or_to_nothing(path: str, found: object) -> None:
    assert at_path({"a": [{"b": 1}, None]}, path) == found


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"data": {}}, "has no list at 'data.moves'"),
        ([], "has no list at 'data.moves'"),
        ({"data": {"moves": {"no": 1}}}, "has no list at 'data.moves'"),
        ({"data": {"moves": [{}, 1]}}, "has a record 1 that is no object"),
    ],
)
def test_an_answer_without_records_is_none(body: object, words: str) -> None:
    with pytest.raises(AwayError, match=words):
        records_of(MOVES, body)


@pytest.mark.parametrize("odd", [["SOFA-3"], {"code": "SOFA-3"}, True])
def test_a_field_that_is_no_text_is_no_record(odd: object) -> None:
    with pytest.raises(AwayError, match=r"no text and no number at line\.item of record 0"):
        rows_of(MOVES, [{"no": "1", "line": {"item": odd}}])


def asked_and_led(
    settings: PagingSettings, pages: Sequence[tuple[Sequence[str], str]]
) -> tuple[list[dict[str, str]], list[bool], Position]:
    """What is asked for each page (its records by when they changed, and its next cursor), and whether it ended the
    round; and where that leads."""
    position, asked, ends = Position(), list[dict[str, str]](), list[bool]()
    for changed, cursor in pages:
        asked.append(parameters(settings, position))
        records = [{"changed": one} for one in changed]
        step = after(settings, position, {"next": cursor or None}, records, NOW)
        position = step.position
        ends.append(step.is_end)
    return asked, ends, position


def test_rounds_go_by_the_newest_moment_put_back() -> None:
    settings = PagingSettings(
        since="from",
        since_field="changed",
        since_first="2026-01-01",
        overlap_s=300.0,
        cursor="after",  # nothing leads on, so each answer is the last of its round
        next_cursor="next",
    )
    pages = [
        (["2026-03-01T10:00:00Z", "2026-03-01T09:00:00Z"], ""),
        ([], ""),
        (["2026-03-01T09:59:00Z", "2026-03-01T13:00:00+02:00"], ""),
        (["2099-01-01T00:00:00Z"], ""),
        ([], ""),
    ]
    asked, ends, _ = asked_and_led(settings, pages)
    assert [one["from"] for one in asked] == [
        "2026-01-01",
        "2026-03-01T09:55:00Z",
        "2026-03-01T09:55:00Z",
        "2026-03-01T12:55:00+02:00",
        "2026-03-01T12:55:00+02:00",
    ]
    assert all(ends)


@pytest.mark.parametrize(
    ("newest", "asked"),
    [
        ("2026-03-01 10:00:00", "2026-03-01 09:55:00"),
        ("2026-03-01T10:00:00.250Z", "2026-03-01T09:55:00.250000Z"),
        ("2026-03-01", "2026-02-28T23:55:00"),
        ("4711", "4611"),
        ("004711", "004611"),
        ("7", "0"),
    ],
)
def test_a_moment_is_put_back_as_it_was_written(newest: str, asked: str) -> None:
    settings = PagingSettings(since="from", since_field="changed", page_size=10)
    assert parameters(settings, Position(since=newest)) == {"from": asked}


def test_numbers_are_compared_as_numbers() -> None:
    settings = PagingSettings(since="from", since_field="changed", page_size=10)
    asked, _, _ = asked_and_led(settings, [(["9"], ""), (["10"], ""), (["11", "2"], ""), ([], "")])
    assert [one.get("from") for one in asked] == [None, "8", "9", "10"]


def test_by_since_alone_a_round_goes_on_from_the_newest_of_each_answer_until_one_leads_no_further() -> None:
    settings = PagingSettings(since="from", since_field="changed", page_size=2)
    pages = [
        (["2026-03-01T10:00:00Z", "2026-03-01T10:01:00Z"], ""),
        (["2026-03-01T10:01:00Z", "2026-03-01T10:02:00.250Z"], ""),
        (["2026-03-01T10:02:00.250Z"], ""),  # leads no further: the end of the round
        (["2026-03-01T10:00:00Z", "2026-03-01T10:01:00Z"], ""),  # what was put back, and more than an answer holds
        (["2026-03-01T10:01:00Z", "2026-03-01T10:03:00Z"], ""),
        (["2026-03-01T10:03:00Z"], ""),
        ([], ""),
    ]
    asked, ends, position = asked_and_led(settings, pages)
    assert [one.get("from") for one in asked] == [
        None,
        "2026-03-01T10:00:59Z",  # from just before, for those who give only what is later
        "2026-03-01T10:02:00.249000Z",
        "2026-03-01T09:57:00.250000Z",
        "2026-03-01T10:00:59Z",
        "2026-03-01T10:02:59Z",
        "2026-03-01T09:58:00Z",
    ]
    assert ends == [False, False, True, False, False, True, True]
    assert position == Position(since="2026-03-01T10:03:00Z", newest="2026-03-01T10:03:00Z")


def test_what_was_in_the_answer_before_is_not_said_again_and_what_has_changed_is() -> None:
    settings = PagingSettings(since="from", since_field="changed", page_size=3)
    first = [{"no": 1, "changed": "2026-03-01"}, {"no": 2, "changed": "2026-03-02"}]
    second = [{"no": 2, "changed": "2026-03-02"}, {"no": 3, "changed": "2026-03-02"}]
    step = after(settings, Position(), {}, first, NOW)
    assert (step.fresh, step.stuck) == (first, "")
    kept = from_json(json.loads(json.dumps(as_json(step.position))))
    assert kept is not None
    step = after(settings, kept, {}, second, NOW)
    assert (step.fresh, step.is_end, step.stuck) == (second[1:], True, "")


def test_more_of_one_moment_than_an_answer_holds_is_told() -> None:
    settings = PagingSettings(since="from", since_field="changed", page_size=2)
    records = [{"no": number, "changed": "2026-03-01"} for number in (1, 2)]
    step = after(settings, Position(), {}, records, NOW)
    assert (step.is_end, step.stuck) == (False, "")
    stuck = after(settings, step.position, {}, records, NOW).stuck
    assert stuck.startswith("has 2 records at 2026-03-01, and an answer holds no more")
    assert after(settings, step.position, {}, records[:1], NOW).stuck == ""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["yesterday"], "has 'yesterday' where a moment"),
        (["5", "2026-03-01"], "moments and numbers"),
        ([""], "none has changed"),
        (["1" * 5_000], "more than 4096"),
        (["2026-03-01\ud800"], "cannot be asked with"),
    ],
)
def test_what_rounds_cannot_go_by_is_no_answer(changed: list[str], words: str) -> None:
    with pytest.raises(AwayError, match=words):
        asked_and_led(PagingSettings(since="from", since_field="changed", page_size=10), [(changed, "")])


def test_pages_are_counted_until_one_is_short_and_since_moves_at_the_end() -> None:
    settings = PagingSettings(
        since="from", since_field="changed", page="page", page_first=0, size="limit", page_size=2, overlap_s=0.0
    )
    pages = [(["2026-03-01", "2026-03-02"], ""), (["2026-03-03", "2026-03-04"], ""), (["2026-03-05"], ""), ([], "")]
    asked, ends, _ = asked_and_led(settings, pages)
    assert asked == [
        {"page": "0", "limit": "2"},
        {"page": "1", "limit": "2"},
        {"page": "2", "limit": "2"},
        {"from": "2026-03-05", "page": "0", "limit": "2"},
    ]
    assert ends == [False, False, True, True]


def test_a_last_page_that_is_given_over_and_over_ends_the_round() -> None:
    settings = PagingSettings(page="page", page_size=1)
    _, ends, position = asked_and_led(settings, [(["2026-03-01"], ""), (["2026-03-02"], ""), (["2026-03-02"], "")])
    assert (ends, position.page) == ([False, False, True], 0)


def test_a_cursor_goes_on_for_ever_or_with_since_to_the_end_of_the_round() -> None:
    feed = PagingSettings(cursor="after", next_cursor="next")
    pages = [(["1"], "a"), (["2"], "b"), ([], "b"), (["3"], "c"), ([], "")]
    asked, ends, position = asked_and_led(feed, pages)
    assert [one.get("after") for one in asked] == [None, "a", "b", "b", "c"]
    assert (ends, position.cursor) == ([False, False, True, False, True], "c")
    both = PagingSettings(cursor="after", next_cursor="next", since="from", since_field="changed")
    asked, ends, _ = asked_and_led(both, [(["1"], "a"), (["3"], ""), ([], "")])
    assert asked == [{}, {"after": "a"}, {"from": "0"}]
    assert ends == [False, True, True]


def test_a_position_is_kept_whole_or_not_believed() -> None:
    position = Position("a", "b", "c", 3, "d", "e", "f", "g", 7)
    assert from_json(json.loads(json.dumps(as_json(position)))) == position
    kept = as_json(position)
    broken: list[object] = [None, [], {}, {**kept, "page": "3"}, {**kept, "page": True}, {**kept, "more": 1}]
    assert [from_json(one) for one in broken] == [None] * len(broken)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"since": "from"}, "since and since_field go together"),
        ({"next_cursor": "next"}, "cursor and next_cursor go together"),
        ({"cursor": "a", "next_cursor": "n", "page": "p"}, "two ways to go on"),
        ({"since_first": "1"}, "needs since"),
        ({"page": "p", "size": "p"}, "same parameter"),
        ({"page_size": 0}, "page_size 0 is out of range"),
        ({"size": "limit"}, "size needs cursor or page"),
        ({"since": "from", "since_field": "changed", "size": "limit", "page_size": 50}, "size needs cursor or page"),
        ({"since": "from", "since_field": "changed"}, "needs page_size: say how many records an answer holds"),
    ],
)
def test_ways_to_go_on_that_cannot_be_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PagingSettings(**told)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"fixed": FixedSettings(reason="x")}, "both have reason"),
        ({"kinds": (KINDS[0], KINDS[0])}, "'PUT' more than once"),
        ({"snapshot": SnapshotSettings()}, "of a snapshot has no id"),
        ({"fields": FieldSettings(sku="sku"), "kinds": KINDS, "snapshot": SnapshotSettings()}, "leave kinds out"),
    ],
)
def test_records_that_cannot_be_read_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RecordSettings(**{"fields": FIELDS, **told})


class Bench:
    """A source over a server, with a clock set by hand."""

    def __init__(self, folder: Path, server: Server, **changes: Any) -> None:
        self.folder, self.server, self.now_ms = folder, server, 1_773_100_000_000  # 2026-03-09
        told = {"url": f"{server.url}/moves", "answer": MOVES, "paging": PAGED, "timeout_s": 2.0, **changes}
        self.settings = RestSettings(source=SOURCE, secret_file=secret_file(folder), **told)
        self.shelf = Shelf()
        self.source = RestSource(self.settings, folder / "cursors", lambda: self.now_ms)

    async def look(self) -> None:
        await self.source.look(self.shelf.put)

    @property
    def asked(self) -> list[str]:
        return [f"{one.asked.get('since', '-')} {one.asked.get('page', '-')}" for one in self.server.requests]

    @property
    def rows(self) -> list[Any]:
        return [row for one in self.shelf.documents for row in json.loads(one.data)["movements"]]


@asynccontextmanager
async def bench_over(
    folder: Path, respond: Callable[[Request], Answer] = lambda _: None, **changes: Any
) -> AsyncIterator[Bench]:
    async with serving(respond) as server:
        yield Bench(folder, server, **changes)


async def test_what_the_cloud_reads_of_a_page_is_what_the_stock_system_said(tmp_path: Path) -> None:
    system = StockSystem()
    system.add(3)
    fields = FieldSettings(id="no", kind="what", at="when", sku="line.item", quantity="line.qty")
    answers = RecordSettings(
        records="data.moves", fields=fields, fixed=FIXED, kinds=(KindSettings(theirs="IN", kind="received"),)
    )
    async with bench_over(tmp_path, system.respond, answer=answers) as bench:
        await bench.look()
    report = json_form.read(TERMS, bench.shelf.documents[0].data)
    assert report.faults == ()
    assert [(row.id, row.kind, row.quantity_milli, row.key.sku) for row in report.rows] == [
        (str(number), "received", 1_500, "SOFA-3") for number in (1, 2, 3)
    ]


async def test_the_position_moves_page_by_page_and_outlives_the_process(tmp_path: Path) -> None:
    system = StockSystem()
    system.add(25)
    async with bench_over(tmp_path, system.respond) as bench:
        puts = 0

        async def third_fails(document: Any) -> None:
            nonlocal puts
            puts += 1
            if puts == 3:
                raise OSError(28, "No space left on device")
            await bench.shelf.put(document)

        with pytest.raises(OSError, match="No space"):
            await bench.source.look(third_fails)
        again = Bench(tmp_path, bench.server)
        await again.look()
        assert bench.asked == ["- 1", "- 2", "- 1", "- 3", "- 2", "- 3", "- 2"], "each page again once the next is read"
        assert [row["id"] for row in bench.rows + again.rows] == [str(number) for number in range(1, 26)]
        await again.look()
        assert bench.asked[7:] == ["2026-03-01T00:24:00Z 1"]


def test_a_round_that_begins_again_goes_by_what_was_newest_before_it() -> None:
    within = Position(
        since="a", newest="c", cursor="next", page=3, before="d", etag="e", etag_of="f", told="t", told_ms=1
    )
    assert afresh(within) == Position(since="a", newest="a", told="t", told_ms=1)


BY_MOMENT = PagingSettings(since="since", since_field="changed", page_size=10, overlap_s=6_000.0)


async def test_more_rows_within_the_overlap_than_an_answer_holds_all_come(tmp_path: Path) -> None:
    system = StockSystem()
    system.add(75)
    async with bench_over(tmp_path, changed_from(system, 10), paging=BY_MOMENT) as bench:
        await bench.look()
        assert [row["id"] for row in bench.rows] == [str(number) for number in range(1, 76)]
        system.add(1)
        late = {**system.moves[0], "no": 1_000, "changed": "2026-03-01T00:30:00Z"}  # within the overlap, amidst others
        system.moves.insert(30, late)
        await bench.look()
        assert {row["id"] for row in bench.rows} == {*(str(number) for number in range(1, 77)), "1000"}
        count = len(bench.shelf.documents)
        for _ in range(3):
            await bench.look()
        assert len(bench.shelf.documents) == count, "what is known is not said again"


async def test_more_rows_of_one_moment_than_an_answer_holds_are_trouble_until_pages_are_named(tmp_path: Path) -> None:
    system = StockSystem()
    system.add(12)
    for move in system.moves:
        move["changed"] = "2026-03-01T00:01:00Z"
    async with bench_over(tmp_path, changed_from(system, 10), paging=BY_MOMENT) as bench:
        for _ in range(2):
            with pytest.raises(AwayError, match="has 10 records at 2026-03-01T00:01:00Z, and an answer holds no more"):
                await bench.look()
        assert [row["id"] for row in bench.rows] == [str(number) for number in range(1, 11)]
        bench.server.respond = system.respond
        feed = PagingSettings(cursor="after", next_cursor="next")
        await Bench(tmp_path, bench.server, url=bench.settings.url, paging=feed).look()
        assert bench.server.requests[-1].asked == {}, "how far it was read is of another question"


async def test_what_has_not_changed_is_told_by_its_etag_and_hands_nothing_on(tmp_path: Path) -> None:
    system = StockSystem()
    system.add(3)
    async with bench_over(tmp_path, system.respond) as bench:
        for _ in range(4):
            await bench.look()
        count = len(bench.shelf.documents)
        tags = [one.headers.get("if-none-match") for one in bench.server.requests]
        assert tags[:2] == [None, None], "another question was asked before"
        assert tags[2] is not None
        assert count == 2, "the first time, and what is put back in time"
        system.add(1)
        await Bench(tmp_path, bench.server).look()
        assert len(bench.server.requests) == 5
        assert bench.server.requests[-1].headers["if-none-match"] == tags[2]


async def test_a_tag_that_cannot_be_sent_back_is_not(tmp_path: Path) -> None:
    said = answer(200, {"data": {"moves": []}}, etag='"caf\xe9"'.encode("latin-1").decode("utf-8", "replace"))
    async with bench_over(tmp_path, lambda _: said) as bench:
        for _ in range(3):
            await bench.look()
    assert [one.headers.get("if-none-match") for one in bench.server.requests] == [None] * 3


async def test_a_position_of_another_address_or_a_broken_one_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    system = StockSystem()
    system.add(3)
    async with bench_over(tmp_path, system.respond) as bench:
        await bench.look()
        await Bench(tmp_path, bench.server, url=f"{bench.server.url}/other").look()
        assert bench.asked == ["- 1", "- 1"]
        (tmp_path / "cursors" / f"{SOURCE}.json").write_bytes(b'{"url": ')
        await bench.look()
        assert bench.asked == ["- 1", "- 1", "- 1"]
    assert caplog.text.count("it is read from the beginning") == 2


async def test_a_token_goes_along_and_a_new_one_counts_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first-of-two\n", encoding="ascii")
    empty = answer(200, {"data": {"moves": []}})
    async with bench_over(tmp_path, lambda _: empty, token_file=token) as bench:
        await bench.look()
        token.write_text("second-of-two\n", encoding="ascii")
        await bench.look()
        token.unlink()
        with pytest.raises(AwayError, match="cannot be read: No such file"):
            await bench.look()
        token.write_text("two lines\nof it", encoding="ascii")
        with pytest.raises(AwayError, match="holds no token") as refused:
            await bench.look()
        assert "two lines" not in str(refused.value)
    said = [one.headers["authorization"] for one in bench.server.requests]
    assert said == ["Bearer first-of-two", "Bearer second-of-two"]


@pytest.mark.parametrize(
    ("url", "told", "words"),
    [
        ("http://wms.example.org/moves", {}, "needs https"),
        ("http://wms.example.org/moves", {"plain_token": True}, ""),
        ("https://wms.example.org/moves", {}, ""),
        ("http://localhost:8080/moves", {}, ""),
        ("https://me:pw@wms.example.org/", {}, "a secret goes into a file"),
        ("ftp://wms.example.org/", {}, "write it as https"),
        ("https:///moves", {}, "write it as https"),
        ("https://wms.example.org/a b", {}, "write it as https"),
        ("https://wms.example.org:99999/", {}, "write it as https"),
    ],
)
def test_a_token_goes_only_where_nobody_listens(url: str, told: dict[str, Any], words: str) -> None:
    file = Path("token")
    if words:
        with pytest.raises(ValueError, match=words):
            RestSettings(source=SOURCE, secret_file=file, url=url, answer=MOVES, token_file=file, **told)
    else:
        assert RestSettings(source=SOURCE, secret_file=file, url=url, answer=MOVES, token_file=file, **told).url == url


GOOD = {"data": {"moves": [{"no": 1, "changed": "2026-03-01"}]}}
WRONG: list[tuple[Answer, str]] = [
    (
        answer(200, b"<html>please log in</html>", content_type="text/html"),
        "answers HTTP 200, text/html, which is no JSON",
    ),
    (answer(200, GOOD, content_type="text/plain"), "which is no JSON"),
    (answer(200, b'{"data": {"moves": ['), "answers what is not JSON"),
    (answer(200, b'{"data": {"moves": [{"no": NaN}]}}'), "answers what has a number that is none"),
    (answer(200, b'{"data": 1, "data": 2}'), "answers what has a key twice"),
    (answer(200, b"[" * 100_000), "answers what is not JSON"),
    (answer(200, b"\xff\xfe"), "answers what is not UTF-8"),
    (answer(500, b"Traceback: stack", content_type="text/plain"), "answers HTTP 500, text/plain: Traceback"),
    (answer(401, {"error": "who are you"}), "answers HTTP 401"),
    (answer(204), "answers HTTP 204"),
    (answer(410), "answers HTTP 410"),
    (answer(302, location="http://127.0.0.1:1/elsewhere"), "redirects are not followed"),
    (answer(304), "was not asked for what has changed"),
    (answer(200, b" " * (ANSWER_MAX_BYTES + 1)), f"answers more than {ANSWER_MAX_BYTES} bytes"),
    (answer(200, GOOD)[:-5], "RemoteProtocolError"),
    (
        b"HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\n\r\n\x1f\x8b\x08",
        "not UTF-8|not JSON",
    ),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "RemoteProtocolError"),
    (None, "RemoteProtocolError"),
]


@pytest.mark.parametrize(("said", "words"), WRONG)
async def test_what_is_no_answer_is_nobodys_word_about_goods(tmp_path: Path, said: Answer, words: str) -> None:
    async with bench_over(tmp_path, lambda _: said) as bench:
        with pytest.raises(AwayError, match=words):
            await bench.look()
        assert bench.shelf.documents == []
        bench.server.respond = lambda request: answer(
            200, GOOD if request.asked["page"] == "1" else {"data": {"moves": []}}
        )
        await bench.look()
        assert [row["id"] for row in bench.rows] == ["1"]


async def test_an_answer_that_drips_is_given_up_and_the_stock_system_is_let_wait(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n")
        while not (reader.at_eof() or writer.transport.is_closing()):  # who leaves with bytes unread resets
            writer.write(b" ")
            await asyncio.sleep(0.05)
        writer.close()
        left.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        fake = Server(lambda _: None)
        fake.port = server.sockets[0].getsockname()[1]
        with pytest.raises(AwayError, match=r"no whole answer within 0\.3 s"):
            await Bench(tmp_path, fake, timeout_s=0.3).look()
        await asyncio.wait_for(left.wait(), 5)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("120", 120.0), ("999999999999", 3_600.0), ("soon", 0.0), ("Mon, 09 Mar 2026 23:47:40 GMT", 60.0), ("-5", 0.0)],
)
async def test_a_stock_system_may_ask_for_patience(tmp_path: Path, asked: str, seconds: float) -> None:
    async with bench_over(tmp_path, lambda _: answer(503, retry_after=asked)) as bench:
        bench.now_ms = 1_773_100_000_000
        with pytest.raises(AwayError) as refused:
            await bench.look()
    assert refused.value.asked_s == seconds


async def test_a_cursor_that_is_known_no_more_begins_the_round_again(tmp_path: Path) -> None:
    system, is_forgotten = StockSystem(), [False]
    system.add(12)

    def respond(request: Request) -> Answer:
        if is_forgotten[0] and "after" in request.asked:
            is_forgotten[0] = False
            return answer(410)
        return system.respond(request._replace(path="/feed"))

    async with bench_over(tmp_path, respond, paging=PagingSettings(cursor="after", next_cursor="next")) as bench:
        await bench.look()
        is_forgotten[0] = True
        await bench.look()
        asked = [one.asked.get("after") for one in bench.server.requests]
        assert asked == [None, "10", "12", "12", None, "10", "12"]
    assert [row["id"] for row in bench.rows] == [str(number) for number in range(1, 13)], "the same is not said again"


STOCK = RecordSettings(
    records="rows",
    fields=FieldSettings(sku="sku", bin="bin", quantity="qty"),
    fixed=FIXED,
    snapshot=SnapshotSettings(owner="exporter", complete=True),
)


class Counted:
    """A stock system that says what there is, in pages of two."""

    def __init__(self) -> None:
        self.rows = [{"sku": f"SOFA-{number}", "bin": "A-01", "qty": number} for number in range(1, 6)]
        self.date = "Mon, 09 Mar 2026 12:00:00 GMT"
        self.frame: dict[str, Any] = {}

    def respond(self, request: Request) -> Answer:
        number = int(request.asked.get("page", "1"))
        page = self.rows[2 * number - 2 : 2 * number] if "page" in request.asked else self.rows
        return answer(200, {**self.frame, "rows": page}, date=self.date)


async def test_a_snapshot_is_one_document_of_all_pages_at_the_moment_of_the_first(tmp_path: Path) -> None:
    system = Counted()
    paging = PagingSettings(page="page", page_size=2)
    async with bench_over(tmp_path, system.respond, answer=STOCK, paging=paging) as bench:
        await bench.look()
        (document,) = bench.shelf.documents
        report = json_form.read(TERMS, document.data)
        assert report.faults == ()
        (found,) = report.snapshots
        assert (found.id, found.at_ms, found.complete) == (f"{SOURCE}.2026-03-09T12:00:00Z", 1_773_057_600_000, True)
        assert [row.quantity_milli for row in found.rows] == [1_000, 2_000, 3_000, 4_000, 5_000]


async def test_an_equal_count_is_handed_on_once_a_day_and_another_at_once(tmp_path: Path) -> None:
    system = Counted()
    async with bench_over(tmp_path, system.respond, answer=STOCK, paging=PagingSettings()) as bench:
        told = []
        for step_ms, quantity in ((0, 1), (60_000, 1), (60_000, 2), (60_000, 2), (DAY_MS, 2), (60_000, 2)):
            bench.now_ms += step_ms
            system.rows[0]["qty"] = quantity
            system.date = datetime.fromtimestamp(bench.now_ms / 1_000, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
            before = len(bench.shelf.documents)
            await bench.look()
            told.append(len(bench.shelf.documents) - before)
    assert told == [1, 0, 1, 0, 1, 0]


async def test_a_count_that_names_its_moment_is_handed_on_by_it(tmp_path: Path) -> None:
    system = Counted()
    named = SnapshotSettings(id="run.no", at="run.at", owner="exporter", complete=True)
    answers = RecordSettings(records="rows", fields=STOCK.fields, fixed=FIXED, snapshot=named)
    async with bench_over(tmp_path, system.respond, answer=answers, paging=PagingSettings()) as bench:
        with pytest.raises(AwayError, match=r"has no moment at run\.at"):
            await bench.look()
        for number, at in ((1, "2026-03-01T06:00:00Z"), (1, "2026-03-01T06:00:00Z"), (2, "2026-03-02T06:00:00Z")):
            system.frame = {"run": {"no": number, "at": at}}
            bench.now_ms += 2 * DAY_MS
            await bench.look()
    told = [json.loads(one.data)["snapshots"][0] for one in bench.shelf.documents]
    assert [(one["id"], one["at"]) for one in told] == [("1", "2026-03-01T06:00:00Z"), ("2", "2026-03-02T06:00:00Z")]


async def test_a_snapshot_whose_round_breaks_off_says_nothing(tmp_path: Path) -> None:
    system, is_broken = Counted(), [True]
    paging = PagingSettings(page="page", page_size=2)

    def respond(request: Request) -> Answer:
        return None if is_broken[0] and request.asked["page"] == "3" else system.respond(request)

    async with bench_over(tmp_path, respond, answer=STOCK, paging=paging) as bench:
        with pytest.raises(AwayError):
            await bench.look()
        assert bench.shelf.documents == []
        is_broken[0] = False
        await bench.look()
        assert [one.asked["page"] for one in bench.server.requests] == ["1", "2", "3", "1", "2", "3"]
        assert len(bench.shelf.documents) == 1


def test_numbers_keep_every_digit() -> None:
    assert at_path(read_json(b'{"a": [1.10, 12345678901234567890.123]}', 100), "a.1") == Decimal(
        "12345678901234567890.123"
    )
