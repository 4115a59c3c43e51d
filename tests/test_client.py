"""The Python client against the API: pages, tags, writes said twice, refusals, the stream."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx2
import pytest
from builders import NOON_MS
from keeping import LINE
from receipting import BANK, FIRST
from seeing import HALL_LOT, SECOND_LOT, USERS, Seeing
from streaming import Served, told_until_quiet
from test_notices_api import CUSTOMS, TOKEN, NoticeCloud, epcis_document, epcis_event, plain, signed
from test_warehouse_api import CasesCloud, counted

from pledgewatch_cloud import client as client_module
from pledgewatch_cloud.client import ApiError, Client
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.stretches import NEVER

MOVED = {"movements": [{"id": "m1", "kind": "drawdown", "at": iso(NOON_MS), "amount_minor": 5}]}
PATH = f"/facilities/{LINE}/movements"


class Between(httpx2.BaseTransport):
    """The way to the service: what went over it, and answers that are lost on it."""

    def __init__(self, lost: int = 0) -> None:
        self._inner, self.lost = httpx2.HTTPTransport(), lost
        self.went: list[tuple[str, int]] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Let it be answered; the first answers are lost."""
        answer = self._inner.handle_request(request)
        self.went.append((request.method, answer.status_code))
        if self.lost:
            self.lost -= 1
            answer.close()
            raise httpx2.ReadError("the answer was lost")
        return answer

    def close(self) -> None:
        """Let go of the connections."""
        self._inner.close()


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    yield made
    made.close()


@pytest.fixture
def served(seeing: Seeing) -> Iterator[Served]:
    with Served(seeing.client.app) as one:
        yield one


def of(served: Served, user: str, way: Between | None = None) -> Client:
    """A client with a user's key."""
    return Client(served.url, USERS[user].key, transport=way)


def test_every_page_is_followed_and_what_is_known_is_not_fetched_again(served: Served) -> None:
    way = Between()
    with of(served, "keeper-kim", way) as client:
        for _ in range(2):
            assert [one["id"] for one in client.each("/lots", limit=1)] == [HALL_LOT, SECOND_LOT]
        assert way.went == [("GET", 200)] * 2 + [("GET", 304)] * 2
        assert [one["id"] for one in client.each("/assets", limit=2)] == [
            one["id"] for one in client.get("/assets")["features"]
        ]
        assert client.get("/lots", facility="ghost") == []
        assert next(client.tables("/assets")).startswith("id,")


def test_what_was_given_out_may_be_changed_and_is_given_out_anew_as_it_was(served: Served) -> None:
    way = Between()
    with of(served, "keeper-kim", way) as client:
        for lot in client.each("/lots"):
            lot["id"] = "mine"
        facilities = client.get("/facilities")
        before = [one["id"] for one in facilities]
        facilities.clear()
        assert [one["id"] for one in client.each("/lots")] == [HALL_LOT, SECOND_LOT]
        assert [one["id"] for one in client.get("/facilities")] == before
        assert [status for _, status in way.went] == [200, 200, 304, 304]


def test_a_write_whose_answer_is_lost_is_done_once(
    seeing: Seeing, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pledgewatch_cloud.client.time.sleep", lambda _: None)
    way = Between(lost=2)
    with of(served, "lender-one", way) as client:
        assert client.write(PATH, MOVED)["changed"]
        assert way.went == [("POST", 200)] * 3
        assert client.write(PATH, MOVED) == {"entry": None, "changed": False}
    entries = [one for one in seeing.store.entries() if b'"m1"' in one.body]
    assert len(entries) == 1
    with of(served, "lender-one", Between(lost=5)) as client, pytest.raises(httpx2.ReadError):
        client.write(PATH, MOVED)


def answering(asked: list[httpx2.Request], *answers: httpx2.Response) -> Client:
    """A client that is answered so, one after the other."""
    given = iter(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return next(given)

    return Client("http://service", "key", transport=httpx2.MockTransport(answer))


def test_a_name_that_would_make_another_path_is_refused() -> None:
    asked: list[httpx2.Request] = []
    client = answering(asked)
    for name in ("", ".", ".."):
        with pytest.raises(ValueError, match="is no name"):
            client.lot(name)
        with pytest.raises(ValueError, match="is no name"):
            client.acknowledge(name, "night desk")
    assert asked == []
    assert answering(asked, httpx2.Response(200, json={"id": "..a"})).lot("..a")["id"] == "..a"


def test_every_page_of_a_table_is_given() -> None:
    asked: list[httpx2.Request] = []
    more = {"link": '</lots?after=l1&limit=1>; rel="next"'}
    pages = httpx2.Response(200, text="id\r\nl1\r\n", headers=more), httpx2.Response(200, text="id\r\nl2\r\n")
    assert list(answering(asked, *pages).tables("/lots", limit=1)) == ["id\r\nl1\r\n", "id\r\nl2\r\n"]
    assert [str(one.url) for one in asked] == ["http://service/lots?limit=1", "http://service/lots?after=l1&limit=1"]


def test_what_is_kept_of_answers_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "KNOWN_BYTES_MAX", 25)
    asked: list[httpx2.Request] = []
    found = [httpx2.Response(200, json="x" * 8, headers={"etag": f'"{name}"'}) for name in "abca"]
    client = answering(asked, *found)
    for name in "abca":
        client.get(f"/{name}")
    assert ["if-none-match" in one.headers for one in asked] == [False] * 4, "the first was let go for the third"


def test_stress_is_asked_without_a_key_that_would_have_it_kept() -> None:
    asked: list[httpx2.Request] = []
    answering(asked, httpx2.Response(200, json={"stressed": [], "unknown": []})).stress({"shocks": []})
    assert [(one.method, one.headers.get("idempotency-key")) for one in asked] == [("POST", None)]


def test_what_is_refused_is_told_with_every_fault(served: Served) -> None:
    with of(served, "lender-one") as client:
        with pytest.raises(ApiError, match="404: there is no lot 'ghost'") as caught:
            client.get("/lots/ghost")
        assert caught.value.status == 404
        with pytest.raises(ApiError) as caught:
            client.write(PATH, {"movements": [{"id": "m1"}]})
        assert caught.value.errors
        with pytest.raises(ApiError, match="409"):
            next(client.changes(after_entry=10**6))
    with Client(served.url, "wrong") as client, pytest.raises(ApiError, match="401"):
        client.get("/lots")


def test_changes_are_told_and_taken_up(seeing: Seeing, served: Served) -> None:
    with of(served, "lender-one") as client:
        seeing.pledge(FIRST, BANK)
        service = seeing.client.app.state.service
        served.run(service.writer.tick(NEVER))
        wanted = [one["id"] for one in client.get("/events")["events"]]
        stream = client.changes(after_entry=0)
        found = [next(stream) for _ in wanted]
        stream.close()  # type: ignore[attr-defined]
        assert [one.id for one in found] == wanted
        assert all(one.type == one.event["type"] for one in found)
        rest = client.changes(last_id=found[0].id)
        assert next(rest).id == wanted[1]
        rest.close()  # type: ignore[attr-defined]


# What Unicode, or some reader of lines, ends a line with, and JSON may have in a text as it is.
ENDS_OF_LINES = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"


def test_a_change_with_an_odd_sign_in_it_is_a_change_like_any_other(seeing: Seeing, served: Served) -> None:
    words = f"gate{ENDS_OF_LINES}opened"
    with of(served, "lender-one") as client:
        seeing.pledge(FIRST, BANK)
        seeing.tick()
        seeing.keeping.row("sold", 10, minute=seeing.minute)
        (alert,) = client.each("/alerts")
        entry = seeing.writer.state.entry
        client.write(f"/alerts/{alert['id']}/comments", {"by": "x", "text": words})
        stream = client.changes(after_entry=entry)
        assert next(stream).type == "alert_commented"
        stream.close()  # type: ignore[attr-defined]
    told = told_until_quiet(seeing.client.app, USERS["lender-one"].key, entry)
    assert told
    assert all(one.data.isascii() for one in told), "so that another's reader of lines takes it too"


def test_lines_of_a_stream_end_with_a_line_feed_alone() -> None:
    """Another's stream need not be in ASCII, and comes in whatever pieces."""
    text = f'id: 1.0\nevent: e\ndata: {{"t":"{ENDS_OF_LINES[:3]}"}}\n\n: nothing new\nid: 2\n\n'

    def pieces(size: int) -> Iterator[bytes]:
        raw = text.encode()
        return (raw[at : at + size] for at in range(0, len(raw), size))

    for size in (1, 2, 7, 1_000):
        stream = httpx2.MockTransport(
            lambda _, size=size: httpx2.Response(
                200, content=pieces(size), headers={"content-type": "text/event-stream"}
            )
        )
        with Client("http://testserver", transport=stream) as client:
            found: list[tuple[str, object]] = [(one.id, one.event) for one in client.changes()]
            assert found == [("1.0", {"t": ENDS_OF_LINES[:3]})]


def test_senders_hand_in_by_a_token_or_by_signing_what_is_sent(tmp_path: Path) -> None:
    cloud = NoticeCloud(tmp_path)
    asked: list[bytes] = []

    def sign(body: bytes) -> dict[str, str]:
        asked.append(body)
        return signed(CUSTOMS, body) | {"x-pledgewatch-sender": "customs"}

    with Served(cloud.client.app) as there:
        with Client(there.url, TOKEN) as warehouse:
            assert warehouse.notify(plain())["changed"]
            assert warehouse.notify(plain()) == {"entry": None, "changed": False, "detail": "already known"}
        with Client(there.url, sign=sign) as customs:
            assert customs.notify(plain("2"))["changed"]
            assert customs.capture(epcis_document(epcis_event()))["captureID"]
            assert customs.capture_event(epcis_event("urn:uuid:2"))["eventID"]
        assert len(asked) == 3
        with Client(there.url) as nobody, pytest.raises(ApiError, match="401"):
            nobody.notify(plain("3"))
    cloud.close()


def test_what_is_signed_is_handed_in_as_it_is(tmp_path: Path) -> None:
    cloud = CasesCloud(tmp_path)
    cloud.short()
    (case,) = cloud.get("/warehouses/la-1/cases")
    with Served(cloud.client.app) as there, Client(there.url) as client:
        taken = client.count(counted(40))
        assert (taken["changed"], taken["ended"]) == (True, [case["case"]])
        assert not client.count(counted(40))["changed"]
        with pytest.raises(ApiError, match="422"):
            client.act("a.b.c")
    cloud.close()


@pytest.mark.parametrize(("form", "kind"), [("json", "application/json"), ("csv", "text/csv")])
def test_a_report_is_of_its_form(form: Literal["json", "csv"], kind: str) -> None:
    went: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        went.append(request)
        return httpx2.Response(200, json={})

    with Client("http://testserver", transport=httpx2.MockTransport(answer)) as client:
        client.report_stock("till", "a,b\n", form)
    (one,) = went
    assert (one.url.path, dict(one.url.params)) == ("/stock/reports", {"source": "till", "form": form})
    assert (one.headers["content-type"], one.content) == (kind, b"a,b\n")
