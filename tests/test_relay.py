"""The outbox on its way to the core: in order, again until taken, once at the other end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from random import Random

import httpx2
import pytest
from builders import NOON_MS, Device, ManualClock, book_document
from standardwebhooks import Webhook

from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.store import OutboxMessage
from pledgewatch_cloud.outbox.core import Answer, Attempt
from pledgewatch_cloud.outbox.http_core import HttpCore
from pledgewatch_cloud.outbox.relay import Relay
from pledgewatch_cloud.spine.spine import Spine

SECRET = "whsec_" + "c2FuZGJveC1zZWNyZXQtZm9yLXRlc3Rz"
TAKEN, LATER, REFUSED = Attempt(Answer.TAKEN), Attempt(Answer.LATER, "HTTP 503"), Attempt(Answer.REFUSED, "HTTP 422")


class ScriptedCore:
    """A core that answers as told, then takes everything; remembers what it was offered."""

    def __init__(self, *answers: Attempt) -> None:
        self.answers = list(answers)
        self.offered: list[str] = []
        self.taken: list[str] = []

    async def deliver(self, message: OutboxMessage) -> Attempt:
        """Answer as told."""
        self.offered.append(message.id)
        answer = self.answers.pop(0) if self.answers else TAKEN
        if answer is TAKEN:
            self.taken.append(message.id)
        return answer


def outbox_of(facilities: int, prices: int) -> MemoryStore:
    """A store whose outbox holds `prices` messages for each facility."""
    store = MemoryStore()
    spine = Spine(store, ManualClock())
    document = book_document(Device())
    lot = document["lots"][0]
    document["facilities"] = [
        document["facilities"][0] | {"id": f"facility-{n + 1}", "outstanding_minor": 0} for n in range(facilities)
    ]
    document["lots"] = [lot | {"id": f"lot-{n + 1}", "facility": f"facility-{n + 1}"} for n in range(facilities)]
    document["milestones"] = []
    spine.amend(document)
    for price in range(1, prices):
        spine.amend({"prices": [{"sku": "sofa", "unit_price_minor": price, "currency": "USD"}]})
    return store


def relay_for(store: MemoryStore, core: ScriptedCore, clock: ManualClock, attempts_max: int = 5) -> Relay:
    return Relay(store, core, clock, Random(1), retry_first_s=1, retry_max_s=60, attempts_max=attempts_max)


async def drain(relay: Relay, clock: ManualClock, store: MemoryStore) -> None:
    """Let time pass until nothing is pending."""
    for _ in range(1_000):
        await relay.deliver_due()
        if store.counts().outbox_pending == 0:
            return
        clock.at_ms += 10_000
    raise AssertionError("the outbox does not drain")


async def test_each_facility_hears_its_messages_in_order_whatever_fails_between() -> None:
    store, clock = outbox_of(3, 6), ManualClock()
    dice = Random(7)
    core = ScriptedCore(*(dice.choice([TAKEN, LATER]) for _ in range(60)))
    await drain(relay_for(store, core, clock, attempts_max=100), clock, store)
    assert len(core.taken) == len(set(core.taken)) == 18
    by_facility: dict[str, list[int]] = {}
    for one in core.taken:
        message = store._outbox[one]
        by_facility.setdefault(message.facility, []).append(message.sequence)
    assert by_facility == {f"facility-{n}": [1, 2, 3, 4, 5, 6] for n in (1, 2, 3)}


async def test_a_failure_is_tried_again_not_before_its_time() -> None:
    store, clock = outbox_of(1, 1), ManualClock()
    core = ScriptedCore(LATER)
    relay = relay_for(store, core, clock)
    assert await relay.deliver_due() == 0
    clock.at_ms += 499
    assert (await relay.deliver_due(), len(core.offered)) == (0, 1)
    clock.at_ms += 501
    assert (await relay.deliver_due(), len(core.offered)) == (1, 2)


async def test_the_core_may_ask_to_be_left_alone() -> None:
    store, clock = outbox_of(1, 1), ManualClock()
    core = ScriptedCore(Attempt(Answer.LATER, "HTTP 429", retry_after_s=120))
    relay = relay_for(store, core, clock)
    await relay.deliver_due()
    clock.at_ms += 119_000
    assert (await relay.deliver_due(), len(core.offered)) == (0, 1)
    clock.at_ms += 1_000
    assert await relay.deliver_due() == 1


async def test_what_is_refused_for_good_or_too_often_holds_its_facility_and_no_other() -> None:
    store, clock = outbox_of(2, 3), ManualClock()
    refused, failing = (one.id for one in store.due(NOON_MS))
    core = ScriptedCore(REFUSED, LATER, LATER)
    relay = relay_for(store, core, clock, attempts_max=2)
    for _ in range(20):
        await relay.deliver_due()
        clock.at_ms += 10_000
    assert {one.id: one.last_error for one in store.dead_letters()} == {refused: "HTTP 422", failing: "HTTP 503"}
    assert core.taken == []
    store.send_again(refused, NOON_MS)
    store.pass_over(failing)
    await drain(relay, clock, store)
    by_facility: dict[str, list[int]] = {}
    for one in core.taken:
        by_facility.setdefault(store._outbox[one].facility, []).append(store._outbox[one].sequence)
    assert sorted(by_facility.values()) == [[1, 2, 3], [2, 3]]


async def test_the_relay_runs_until_it_is_cancelled_and_wakes_at_once() -> None:
    store, clock = outbox_of(1, 1), ManualClock()
    core = ScriptedCore()
    relay = relay_for(store, core, clock)
    relay._poll_s = 3_600
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(5):
        while store.counts().outbox_delivered < 1:
            await asyncio.sleep(0.01)
    (first,) = core.taken
    store.buried(first, "by hand")
    store.send_again(first, 0)
    relay.wake()
    async with asyncio.timeout(5):
        while len(core.taken) < 2:
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


MESSAGE = OutboxMessage("j.1.0", "record_base", "facility-1", 1, b'{"id":"j.1.0","specversion":"1.0"}')


@pytest.fixture
async def core(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[[Callable[[httpx2.Request], httpx2.Response]], HttpCore]]:
    """Makes an HttpCore whose other side is a function."""
    made = []

    def make(handler: Callable[[httpx2.Request], httpx2.Response]) -> HttpCore:
        one = HttpCore("https://core.test/messages", SECRET, timeout_s=1)
        one._client._transport = httpx2.MockTransport(handler)  # the client, and what it was told, is the real one
        made.append(one)
        return one

    yield make
    for one in made:
        await one._client.aclose()


async def test_what_is_sent_is_signed_cloudevents(core: Callable[..., HttpCore]) -> None:
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(HTTPStatus.ACCEPTED)

    assert await core(handler).deliver(MESSAGE) == TAKEN
    (request,) = seen
    assert request.content == MESSAGE.body
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["webhook-id"] == MESSAGE.id
    age_s = datetime.now(UTC).timestamp() - int(request.headers["webhook-timestamp"])
    assert 0 <= age_s < 60
    assert Webhook(SECRET).verify(request.content, dict(request.headers)) == json.loads(MESSAGE.body)


ANSWERS = [
    (200, Answer.TAKEN),
    (204, Answer.TAKEN),
    (301, Answer.LATER),
    (400, Answer.REFUSED),
    (401, Answer.LATER),
    (409, Answer.REFUSED),
    (404, Answer.LATER),
    (410, Answer.LATER),
    (413, Answer.REFUSED),
    (422, Answer.REFUSED),
    (429, Answer.LATER),
    (500, Answer.LATER),
    (503, Answer.LATER),
]


@pytest.mark.parametrize(("status", "answer"), ANSWERS)
async def test_what_an_answer_means(core: Callable[..., HttpCore], status: int, answer: Answer) -> None:
    attempt = await core(lambda _: httpx2.Response(status, headers={"location": "https://elsewhere.test"})).deliver(
        MESSAGE
    )
    assert attempt.answer is answer


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(core: Callable[..., HttpCore], status: int) -> None:
    """The signature is meant for one address; whoever answers there cannot pass it on."""
    asked = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.host)
        return httpx2.Response(status, headers={"location": "https://elsewhere.test/messages"})

    assert (await core(handler).deliver(MESSAGE)).answer is Answer.LATER
    assert asked == ["core.test"]


@pytest.mark.parametrize(
    ("value", "low", "high"), [("120", 120, 120), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("soon", 0, 0), ("-5", 0, 0)]
)
async def test_retry_after_is_read(core: Callable[..., HttpCore], value: str, low: float, high: float) -> None:
    attempt = await core(lambda _: httpx2.Response(503, headers={"retry-after": value})).deliver(MESSAGE)
    assert low <= attempt.retry_after_s <= high


async def test_a_core_that_is_away_is_tried_later(core: Callable[..., HttpCore]) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody there", request=request)

    assert (await core(handler).deliver(MESSAGE)).answer is Answer.LATER


ODD_ANSWERS = [
    b"HTTP/1.1 500 no\r\ncontent-type: text/plain; charset=base64\r\ncontent-length: 3\r\n\r\nabc",
    b"HTTP/1.1 500 no\r\ncontent-type: text/plain; charset=utf-16\r\ncontent-length: 3\r\n\r\n\xff\xfeA",
    b"HTTP/1.1 500 no\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
    b"HTTP/1.1 500 no\r\n\r\n" + b"x" * 10_000_000,
    b"\x00\xff not http at all\r\n\r\n",
    b"",
]


@pytest.mark.parametrize("answer", ODD_ANSWERS, ids=["charset", "utf-16", "gzip", "endless", "garbage", "nothing"])
async def test_an_odd_answer_is_tried_later_and_stops_nobody(answer: bytes) -> None:
    async with odd_core(answer) as core:
        attempt = await core.deliver(OutboxMessage("m", "t", "f", 1, b"{}"))
    assert (attempt.answer, len(attempt.reason) < 300) == (Answer.LATER, True)


async def test_an_answer_that_drips_is_given_up() -> None:
    async with odd_core(b"HTTP/1.1 200 ok\r\ncontent-length: 99\r\n", drip=True) as core, asyncio.timeout(20):
        attempt = await core.deliver(OutboxMessage("m", "t", "f", 1, b"{}"))
    assert (attempt.answer, attempt.reason) == (Answer.LATER, "no whole answer within 1 s")


@contextlib.asynccontextmanager
async def odd_core(answer: bytes, *, drip: bool = False) -> AsyncIterator[HttpCore]:
    """A core that answers with these bytes, or lets them and many headers more fall one by one."""

    links: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        links.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while drip and not writer.is_closing():
                writer.write(b"x-more: y\r\n")
                await writer.drain()
                await asyncio.sleep(0.1)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, HttpCore(f"http://127.0.0.1:{port}/", SECRET, timeout_s=1) as core:
        yield core
        for link in links:
            link.transport.abort()
            with contextlib.suppress(OSError):
                await link.wait_closed()


async def test_a_facility_that_waits_for_its_answer_keeps_no_other_waiting() -> None:
    store = outbox_of(2, 5)
    answered = asyncio.Event()

    class SlowForOne(ScriptedCore):
        async def deliver(self, message: OutboxMessage) -> Attempt:
            if message.facility == "facility-1":
                await answered.wait()
            return await super().deliver(message)

    core = SlowForOne()
    relay = relay_for(store, core, ManualClock())
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(20):
        while len(core.taken) < 5:
            await asyncio.sleep(0.01)
        assert store.counts().outbox_delivered >= 4
        answered.set()
        while store.counts().outbox_pending:
            await asyncio.sleep(0.01)
    running.cancel()
    assert len(core.taken) == len(set(core.taken)) == 10
