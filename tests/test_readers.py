"""Reads by a process of their own: every answer is the service's own, what is handed on is handed on as it is, and
nothing is answered of a state that is not near."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from api_cloud import ApiCloud
from asking import answers
from inviting import Inviting
from keeping import LINE
from receipting import BANK, FIRST, OTHER_BANK
from seeing import OTHER_LINE, SECOND, USERS
from starlette.types import Message, Receive, Scope, Send
from walked import paths
from warehouses import TRACKER, ZONE

from pledgewatch_cloud.access.audit import Audit, Rows
from pledgewatch_cloud.api.access import Reading
from pledgewatch_cloud.api.app import create_app, is_read
from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.readers import pace as pace_module
from pledgewatch_cloud.readers.forward import ENTRY, Forward, Placed
from pledgewatch_cloud.readers.front import Front, Own
from pledgewatch_cloud.readers.pace import Pace
from pledgewatch_cloud.readers.socket_path import listen_in, path_in
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.serving import Server, at_our_socket
from pledgewatch_cloud.spine.following import Following

TOKEN = "not-a-secret"
OF_THE_SERVICE = {
    *("/audit", "/devices", "/devices/{device}", "/devices/{device}/commands/{command}/result", "/epcis/events"),
    *("/epcis/capture/{capture_id}", "/healthz", "/outbox/dead"),
    *("/outbox/endpoints", "/outbox/{message_id}/deliveries", "/quarantine", "/readyz", "/receipts/issuer"),
    *("/receipts/register", "/receipts/status-lists/{number}", "/receipts/status-lists/{purpose}/{number}"),
    *("/receipts/{receipt}/credential", "/receipts/{receipt}/credentials/{number}", "/receipts/{receipt}/sheet"),
    *("/registry", "/status"),
}
"""What only the service can answer: it speaks of the service, of what it hears from devices, or signs."""


class Reader:
    """A reader's part in the test's own process, over the folder of a journal that the test writes."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.noted: Rows = []
        store = SqliteStore(folder, read_only=True)
        self.following = Following(store)
        self.series = EmbeddedSeries(folder, store.journal)
        audit = Audit(self.following, self._note, clock)
        kept: dict[str, Any] = {"store": store, "series": self.series, "audit": audit, "clock": clock}
        self.reading = Reading(current=self.following, token=TOKEN, **kept)
        self.app = create_app(self.reading)

    async def _note(self, rows: Rows) -> None:
        self.noted += rows


def test_every_read_is_answered_as_the_service_answers_it(tmp_path: Path) -> None:
    seeing, dice = Inviting(tmp_path), random.Random(11)
    steps: tuple[Callable[[], object], ...] = (
        lambda: seeing.lend_on_sea(LINE),
        lambda: seeing.pledge(FIRST, BANK),
        lambda: seeing.pledge(SECOND, OTHER_BANK),
        lambda: seeing.release(FIRST),
        lambda: seeing.lend_on_sea(OTHER_LINE),
        lambda: seeing.pledge(FIRST, BANK),
    )
    for step in steps:
        step()
        for device in (TRACKER, ZONE):
            seeing.read(device)
        seeing.tick(dice.randrange(1, 600))
    reader = Reader(tmp_path, seeing.keeping.clock)
    seeing.keeping.row("sold", 25, minute=seeing.minute)
    reader.following.take_up()
    every = [one for one in paths(seeing) if is_read(one.partition("?")[0])]
    assert len(every) > 60
    held = 0
    for user, asking in USERS.items():
        asked = [(path, {"authorization": f"Bearer {asking.key}"}) for path in every]
        asyncio.run(reader.reading.audit.commit())  # a note changes the service's own state, so both ask first
        own, service = answers(reader.app, asked), answers(seeing.client.app, asked)
        for path, mine, its in zip(every, own, service, strict=True):
            assert (mine.status, mine.body, mine.headers) == (its.status, its.body, its.headers), (user, path)
            held += mine.status == 200
    assert held > 400
    assert {row[1] for row in reader.noted} <= set(USERS)
    assert {row[1] for row in reader.noted} >= {"lender-one", "operator-two"}
    seeing.close()


def test_only_what_needs_the_service_is_handed_on(tmp_path: Path) -> None:
    cloud = ApiCloud(tmp_path)
    every = cloud.client.app.openapi()["paths"]
    cloud.close()
    found = {
        path for path, said in every.items() if "get" in said and not is_read(path.replace("{", "").replace("}", ""))
    }
    assert found == OF_THE_SERVICE
    assert is_read("/live")
    assert not is_read("/book/amendments")
    assert not is_read("/console/console.js")
    assert not is_read("/nothing")


class Paced:
    """A journal, and the pace of who follows it."""

    def __init__(self, folder: Path) -> None:
        self.cloud = ApiCloud(folder)
        self.following = Following(SqliteStore(folder, read_only=True))
        self.pace = Pace(self.following)

    def commit(self) -> int:
        """One more entry."""
        return self.cloud.spine.tick().state.entry

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take up as it does in a reader."""
        task = asyncio.create_task(self.pace.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.cloud.close()


async def test_who_waits_for_an_entry_has_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "STEP_S", 60.0)
    paced = Paced(tmp_path)
    async with paced.running(), asyncio.timeout(20):
        for _ in range(3):
            entry = paced.commit()
            await asyncio.gather(*(paced.pace.reach(entry) for _ in range(3)))
            assert paced.following.state.entry == entry
        await paced.pace.reach(1)


async def test_between_steps_the_state_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "STEP_S", 60.0)
    paced = Paced(tmp_path)
    async with paced.running(), asyncio.timeout(20):
        await paced.pace.reach(first := paced.commit())
        paced.pace.hear(paced.commit())
        await asyncio.sleep(0.3)
        assert paced.following.state.entry == first
        assert paced.pace.is_near, "it may be so old"
        monkeypatch.setattr(pace_module, "BEHIND_MAX_S", 0.0)
        assert not paced.pace.is_near


async def test_a_state_that_cannot_follow_is_not_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "BEHIND_MAX_S", 0.05)
    paced, away = Paced(tmp_path), True
    take_up = paced.following.take_up

    def tried() -> None:
        if away:
            raise StoreError("the disk is away")
        take_up()

    monkeypatch.setattr(pace_module, "_RETRY_S", 0.05)
    monkeypatch.setattr(paced.following, "take_up", tried)
    found = []
    async with paced.running(), asyncio.timeout(20):
        paced.pace.hear(entry := paced.commit())
        found.append(paced.pace.is_near)
        await asyncio.sleep(0.1)
        found.append(paced.pace.is_near)
        away = False
        await paced.pace.reach(entry)
        found.append(paced.pace.is_near)
    assert found == [True, False, True]


async def test_a_journal_that_leads_elsewhere_is_never_near_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paced = Paced(tmp_path)

    def damaged() -> None:
        raise DamagedError(1, "leads to other events")

    monkeypatch.setattr(paced.following, "take_up", damaged)
    async with paced.running(), asyncio.timeout(20):
        await paced.pace.reach(paced.commit())
        assert not paced.pace.is_near
        paced.pace.hear(paced.commit())
        assert not paced.pace.is_near
    assert "everything is asked of the service itself" in caplog.text


async def test_who_follows_changes_is_woken_by_what_leads_to_events(tmp_path: Path) -> None:
    paced = Paced(tmp_path)
    async with paced.running(), asyncio.timeout(20):
        turn = paced.following.said.next
        await paced.pace.reach(paced.commit())
        assert not turn.is_set(), "a tick says nothing"
        paced.cloud.sail_into_port()
        await paced.pace.reach(paced.cloud.spine.state.entry)
        assert turn.is_set()
        assert paced.following.said_entry == paced.cloud.spine.said_entry


class Service:
    """An application as the service's is, at the socket of its readers, that notes what comes to it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.clients: list[str] = []
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the path."""
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.clients.append(f"{scope['scheme']} {scope['client'][0]}")
        if scope["path"] == "/early":
            await _answer(send, 413, b"too much")
            return
        body = b""
        while (said := await receive())["type"] == "http.request":
            body += said.get("body", b"")
            if not said.get("more_body", False):
                break
        path = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        self.asked.append((scope["method"], path, headers, body))
        if scope["path"] == "/endless":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"so", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
            return
        await _answer(send, 201, b"answered")


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class _At:
    """Where a journal stands."""

    class state:  # noqa: N801 - as a Current has it
        """Its state."""

        entry = 7


@contextlib.asynccontextmanager
async def at_its_socket(service: Service, folder: Path) -> AsyncIterator[tuple[httpx2.AsyncClient, list[int]]]:
    """A client of a reader that answers nothing itself, and the entries that it was to reach."""
    reached: list[int] = []

    async def reach(entry: int) -> None:
        reached.append(entry)

    listener = listen_in(folder)
    assert (folder / "api.sock").stat().st_mode & 0o777 == 0o600
    server = Server(at_our_socket(Placed(service, _At())))  # type: ignore[arg-type]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    with path_in(folder) as path:
        forward = Forward(path, reach)
        asking = httpx2.ASGITransport(Front(forward), client=("203.0.113.9", 4_711))
        async with (
            httpx2.AsyncClient(transport=asking, base_url="https://watch.example") as client,
            asyncio.timeout(30),
        ):
            yield client, reached
        await forward.close()
    server.should_exit = True
    await serving
    listener.close()


async def test_a_request_is_handed_on_as_it_is_and_so_is_its_answer(tmp_path: Path) -> None:
    folder = tmp_path / ("deep-" * 20) / ("er-" * 20)
    folder.mkdir(parents=True)
    service = Service()
    async with at_its_socket(service, folder) as (client, reached):
        sent = {
            "x-forwarded-for": "10.0.0.1",
            "X-Forwarded-Proto": "ftp",
            "forwarded": "for=10.0.0.1",
            "origin": "https://a",
        }
        answer = await client.post("/a%20b/%C3%BC?x=1&y=%26", content=b"said", headers=sent)
        assert (answer.status_code, answer.content) == (201, b"answered")
        assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert ENTRY.decode() not in answer.headers
        assert reached == [7], "what is answered is known here first"
        ((method, path, headers, body),) = service.asked
        assert (method, path, body) == ("POST", "/a%20b/%C3%BC?x=1&y=%26", b"said")
        assert (headers["host"], headers["origin"]) == ("watch.example", "https://a")
        assert service.clients == ["https 203.0.113.9"], "whom a client says it asks for is not believed"
        assert "forwarded" not in headers


async def test_a_body_goes_through_as_it_comes_and_may_be_refused_before_its_end(tmp_path: Path) -> None:
    service = Service()
    async with at_its_socket(service, tmp_path) as (client, _):

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield b"x" * 65_536

        answer = await client.post("/much", content=pieces())
        assert answer.status_code == 201
        assert len(service.asked[0][3]) == 64 * 65_536
        refused = await client.post("/early", content=pieces())
        assert (refused.status_code, refused.content) == (413, b"too much")


async def test_a_service_that_is_away_is_a_problem_with_safe_headers(tmp_path: Path) -> None:
    with path_in(tmp_path) as path:
        forward = Forward(path, lambda _: asyncio.sleep(0))
        asking = httpx2.ASGITransport(Front(forward), client=("203.0.113.9", 4_711))
        async with httpx2.AsyncClient(transport=asking, base_url="http://watch.example") as client:
            answer = await client.get("/status")
        await forward.close()
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the service does not answer; ask again"
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_who_goes_away_is_not_answered_further(tmp_path: Path) -> None:
    service = Service()
    async with at_its_socket(service, tmp_path):
        with path_in(tmp_path) as path:
            forward = Forward(path, lambda _: asyncio.sleep(0))
            heard = asyncio.Event()
            said: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

            async def receive() -> Message:
                if said:
                    return said.pop()
                await heard.wait()
                return {"type": "http.disconnect"}

            async def send(message: Message) -> None:
                if message.get("body"):
                    heard.set()

            scope = {"type": "http", "method": "GET", "path": "/endless", "raw_path": b"/endless", "query_string": b""}
            scope |= {"scheme": "http", "headers": [(b"host", b"watch.example")], "client": ("203.0.113.9", 1)}
            await forward(scope, receive, send)
            await service.left.wait()
            await forward.close()


async def test_nothing_is_answered_here_of_a_state_that_is_not_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def named(name: str) -> Any:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            asked.append(name)
            await _answer(send, 200, b"")

        return app

    front, paced = Front(named("service")), Paced(tmp_path)
    asking = httpx2.ASGITransport(front)
    async with httpx2.AsyncClient(transport=asking, base_url="http://watch.example") as client:
        await client.get("/assets")
        front.own = Own(named("here"), paced.pace)
        await client.get("/assets")
        await client.head("/assets")
        await client.post("/assets")
        await client.get("/status")
        paced.pace.hear(paced.commit())
        monkeypatch.setattr(pace_module, "BEHIND_MAX_S", -1.0)
        await client.get("/assets")
    paced.cloud.close()
    assert asked == ["service", "here", "here", "service", "service", "service"]
