"""Webhooks: what is sent, by which keys it is signed, what an answer means, and where requests may not go."""

import asyncio
import base64
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import jsonschema
import pytest
from authority import Authority
from builders import NOON_MS, ManualClock
from fault_proxy import FaultProxy
from hypothesis import given
from hypothesis import strategies as st
from needed import DATA, needs
from outboxes import ALERT, BASE, RELEASE, Bench, not_withdrawn
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from pledgewatch_cloud.clock import SystemClock
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import ANSWER_MAX_BYTES, OutboxMessage
from pledgewatch_cloud.outbox.addresses import ForbiddenAddressError, Resolver, refuse_private
from pledgewatch_cloud.outbox.endpoint import UNCLEAR, WITHDRAWN, Answer, Failure
from pledgewatch_cloud.outbox.webhook import Tls, Webhook
from pledgewatch_cloud.signature import Key

OLD, NEW = (
    "whsec_" + base64.b64encode(text.encode()).decode() for text in ("for-tests-alone-" * 2, "other-tests-key-" * 2)
)
MESSAGE = OutboxMessage("j.1.0", "record_base", "facility-1", 1, b'{"id":"j.1.0","specversion":"1.0"}')
CLOUDEVENTS = "std-cloudevents/cloudevents.json"

NO_TLS = Tls()
Handler = Callable[[httpx2.Request], httpx2.Response]


def webhook(url: str, *secrets: str, timeout_s: float = 20, tls: Tls = NO_TLS, allow_private: bool = True) -> Webhook:
    keys = tuple(Key(one) for one in secrets or (NEW,))
    return Webhook(url, keys, SystemClock(), timeout_s=timeout_s, tls=tls, allow_private=allow_private)


@contextlib.asynccontextmanager
async def answered_by(handler: Handler, *secrets: str, clock: ManualClock | None = None) -> AsyncIterator[Webhook]:
    """A webhook whose other side is a function."""
    async with webhook("https://core.test/messages", *secrets) as one:
        one._client._transport = httpx2.MockTransport(lambda request: unread(handler(request)))  # all else is real
        one._clock = clock or one._clock
        yield one


def unread(response: httpx2.Response) -> httpx2.Response:
    """The response as it comes over a line: nothing of its body is there yet."""
    stream = httpx2.ByteStream(response.content)
    return httpx2.Response(response.status_code, headers=response.headers, stream=stream)


async def test_what_is_sent_is_a_cloudevent_signed_with_every_live_key() -> None:
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(HTTPStatus.ACCEPTED)

    async with answered_by(handler, OLD, NEW) as one:
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    (request,) = seen
    assert request.content == MESSAGE.body
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["webhook-id"] == MESSAGE.id
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for secret in (OLD, NEW):
        assert Verifier(secret).verify(request.content, dict(request.headers)) == json.loads(MESSAGE.body)
    stranger = "whsec_" + base64.b64encode(b"a-key-that-nobody-knows-here").decode()
    with pytest.raises(WebhookVerificationError):
        Verifier(stranger).verify(request.content, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Verifier(NEW).verify(request.content + b" ", dict(request.headers))
    assert attempt.keys.split() == [Key(OLD).fingerprint, Key(NEW).fingerprint]
    assert all(len(one) == 8 for one in attempt.keys.split())


@given(st.binary(min_size=24, max_size=64), st.text(min_size=1), st.integers(0, 2**33), st.text())
def test_a_signature_is_the_one_that_the_scheme_asks_for(key: bytes, message_id: str, at_s: int, body: str) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    wanted = Verifier(secret).sign(message_id, datetime.fromtimestamp(at_s, UTC), body)
    assert Key(secret).sign(message_id, at_s, body.encode()) == wanted


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("c2VjcmV0", "begins with whsec_"),
        ("whsec_not base64", "is not base64"),
        ("whsec_" + base64.b64encode(b"short").decode(), "it holds 5 bytes; 24 to 64"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "it holds 65 bytes"),
    ],
)
def test_a_secret_that_is_none_is_named(secret: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Key(secret)


def test_a_key_is_not_shown() -> None:
    assert OLD.removeprefix("whsec_") not in repr(Key(OLD)) + str(vars(Key(OLD)))


@needs(CLOUDEVENTS)
def test_messages_are_cloudevents() -> None:
    schema = json.loads((DATA / CLOUDEVENTS).read_text(encoding="utf-8"))
    store = MemoryStore()
    Bench(store).put(("f", BASE), ("f", RELEASE), ("g", ALERT))
    checked = [json.loads(one.body) for one in store._outbox.values()]
    validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
    assert [list(validator.iter_errors(one)) for one in checked] == [[], [], []]
    assert list(validator.iter_errors({**checked[0], "id": ""}))


ANSWERS = [
    # status, answer, failure, whether any other message would have failed too
    (200, Answer.TAKEN, None, False),
    (204, Answer.TAKEN, None, False),
    (299, Answer.TAKEN, None, False),
    (301, Answer.LATER, Failure.REDIRECT, False),
    (400, Answer.REFUSED, Failure.REFUSED, False),
    (401, Answer.LATER, Failure.CLIENT_ERROR, False),
    (404, Answer.LATER, Failure.CLIENT_ERROR, False),
    (409, Answer.REFUSED, Failure.REFUSED, False),
    (410, Answer.GONE, Failure.GONE, False),
    (413, Answer.REFUSED, Failure.REFUSED, False),
    (415, Answer.REFUSED, Failure.REFUSED, False),
    (422, Answer.REFUSED, Failure.REFUSED, False),
    (429, Answer.LATER, Failure.RATE_LIMITED, False),
    (500, Answer.LATER, Failure.SERVER_ERROR, True),
    (503, Answer.LATER, Failure.SERVER_ERROR, True),
    (599, Answer.LATER, Failure.SERVER_ERROR, True),
]


@pytest.mark.parametrize(("status", "answer", "failure", "is_about_the_endpoint"), ANSWERS)
async def test_what_an_answer_means(
    status: int, answer: Answer, failure: Failure | None, is_about_the_endpoint: bool
) -> None:
    async with answered_by(lambda _: httpx2.Response(status, text="so it is")) as one:
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, attempt.status, attempt.said) == (answer, status, b"so it is")
    assert attempt.is_about_the_endpoint == is_about_the_endpoint
    if failure is not None:
        assert (attempt.failure, attempt.reason) == (failure, f"HTTP {status}: so it is")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """The signature is meant for one address; whoever answers there cannot pass it on."""
    asked = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.host)
        return httpx2.Response(status, headers={"location": "https://elsewhere.test/messages"})

    async with answered_by(handler) as one:
        assert (await one.deliver(MESSAGE, not_withdrawn)).answer is Answer.LATER
    assert asked == ["core.test"]


NOON = datetime.fromtimestamp(NOON_MS / 1_000, UTC)
RETRY_AFTER = [
    ("120", 120.0),
    (format_datetime(NOON + timedelta(hours=2), usegmt=True), 7_200.0),
    (format_datetime(NOON - timedelta(hours=2), usegmt=True), 0.0),
    (format_datetime((NOON + timedelta(minutes=1)).replace(tzinfo=None)), 60.0),
    ("999999999", 86_400.0),
    ("soon", 0.0),
    ("-5", 0.0),
    ("", 0.0),
    ("Wed, 99 Oct 2015 07:28:00 GMT", 0.0),
]


@pytest.mark.parametrize(("value", "wait_s"), RETRY_AFTER)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_read(value: str, wait_s: float, status: int) -> None:
    clock = ManualClock()
    clock.at_ms = NOON_MS
    async with answered_by(lambda _: httpx2.Response(status, headers={"retry-after": value}), clock=clock) as one:
        assert (await one.deliver(MESSAGE, not_withdrawn)).retry_after_s == wait_s


async def test_nobody_else_may_ask_to_be_left_alone() -> None:
    async with answered_by(lambda _: httpx2.Response(404, headers={"retry-after": "9"})) as one:
        assert (await one.deliver(MESSAGE, not_withdrawn)).retry_after_s == 0


RELEASES = [
    (b'{"id": "x", "release": "booked"}', "booked"),
    (b'{"release": "none"}', "none"),
    (b'{"release": "perhaps"}', UNCLEAR),
    (b'{"release": "NONE"}', UNCLEAR),
    (b'{"release": ["booked"]}', UNCLEAR),
    (b'["booked"]', ""),
    (b"booked", ""),
    (b"", ""),
    (b"\xff\xfe", ""),
    (b"[" * 2_000, ""),
    (b'{"release": "booked", "more": "' + b"x" * ANSWER_MAX_BYTES + b'"}', UNCLEAR),
    (b'{"release": "none"}' + b" " * (ANSWER_MAX_BYTES - 19), "none"),
    (b'{"release": "none"}' + b" " * (ANSWER_MAX_BYTES - 18), UNCLEAR),
]


@pytest.mark.parametrize(("said", "release"), RELEASES)
async def test_what_is_said_of_the_release(said: bytes, release: str) -> None:
    async with answered_by(lambda _: httpx2.Response(200, content=said)) as one:
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.release, attempt.said) == (release, said[:ANSWER_MAX_BYTES])


async def test_who_is_away_is_tried_later() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody there", request=request)

    async with answered_by(handler) as one:
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, attempt.failure) == (Answer.LATER, Failure.CONNECTION)


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
    async with odd_server(answer) as url, webhook(url) as one:
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, len(attempt.reason) < 300) == (Answer.LATER, True)
    assert len(attempt.said) <= ANSWER_MAX_BYTES


async def test_an_answer_that_drips_is_given_up() -> None:
    head = b"HTTP/1.1 200 ok\r\ncontent-length: 99\r\n"
    async with odd_server(head, drip=b"x-more: y\r\n") as url, webhook(url, timeout_s=1) as one, asyncio.timeout(20):
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, attempt.reason) == (Answer.LATER, "no whole answer within 1 s")
    assert attempt.failure is Failure.TIMEOUT


@pytest.mark.parametrize("drip", [b"x", b""], ids=["drips", "breaks off"])
async def test_a_2xx_counts_whatever_becomes_of_what_follows(drip: bytes) -> None:
    head = b"HTTP/1.1 200 ok\r\ncontent-length: 99\r\n\r\n"
    async with odd_server(head, drip=drip) as url, webhook(url, timeout_s=2) as one:
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, attempt.release) == (Answer.TAKEN, UNCLEAR)
    assert attempt.keys == Key(NEW).fingerprint


@contextlib.asynccontextmanager
async def odd_server(answer: bytes, *, drip: bytes = b"", tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers with these bytes, or lets them and more fall one by one. Yields its URL."""

    links: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        links.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while drip and not writer.is_closing():
                writer.write(drip)
                await writer.drain()
                await asyncio.sleep(0.1)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
        await let_go_of(links)


async def let_go_of(links: list[asyncio.StreamWriter]) -> None:
    for link in links:
        link.transport.abort()
        with contextlib.suppress(OSError):
            await link.wait_closed()


# Where requests may not go, and why: the forms in which a private address can be written or carried.
FORBIDDEN = [
    ("this host", "0.0.0.0"),
    ("loopback", "127.0.0.1"),
    ("loopback too", "127.255.255.254"),
    ("private", "10.0.0.1"),
    ("private", "172.16.0.1"),
    ("private", "192.168.1.1"),
    ("a provider's inner network", "100.64.0.1"),
    ("link-local: a cloud's metadata", "169.254.169.254"),
    ("documentation", "192.0.2.1"),
    ("benchmarks", "198.18.0.1"),
    ("relays of 6to4", "192.88.99.1"),
    ("multicast", "224.0.0.1"),
    ("multicast with a wide scope", "239.255.255.250"),
    ("reserved", "240.0.0.1"),
    ("broadcast", "255.255.255.255"),
    ("unspecified", "::"),
    ("loopback", "::1"),
    ("link-local", "fe80::1"),
    ("link-local with a zone", "fe80::1%eth0"),
    ("site-local", "fec0::1"),
    ("unique local", "fd12:3456::1"),
    ("multicast", "ff02::1"),
    ("multicast with a global scope", "ff0e::1"),
    ("protocol assignments, anycast", "192.0.0.9"),
    ("documentation", "2001:db8::1"),
    ("documentation", "3fff::1"),
    ("the last of it", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("discard only", "100::1"),
    ("a dummy prefix", "100:0:0:1::1"),
    ("segment routing", "5f00::1"),
    ("benchmarks", "2001:2::1"),
    ("ORCHID", "2001:10::1"),
    ("ORCHID, the second", "2001:20::1"),
    ("drones", "2001:30::1"),
    ("Teredo of a public one", "2001:0:0808:0808:0:0:f7f7:f7f7"),
    ("not given out", "4000::1"),
    ("not given out", "1::1"),
    ("translated", "::ffff:0:8.8.8.8"),
    ("ISATAP of a private one", "2606:4700::5efe:10.0.0.1"),
    ("ISATAP of loopback", "2606:4700::200:5efe:127.0.0.1"),
    ("ISATAP of metadata", "2606:4700:1:2:0:5efe:a9fe:a9fe"),
    ("ISATAP at home", "fe80::5efe:8.8.8.8"),
    ("6to4 of a public one, ISATAP of a private one", "2002:808:808::5efe:192.168.0.1"),
    ("mapped loopback", "::ffff:127.0.0.1"),
    ("mapped metadata", "::ffff:a9fe:a9fe"),
    ("compatible", "::10.0.0.1"),
    ("compatible with a public one", "::8.8.8.8"),
    ("NAT64 of a private one", "64:ff9b::10.0.0.1"),
    ("NAT64 of loopback", "64:ff9b::7f00:1"),
    ("NAT64, local", "64:ff9b:1::8.8.8.8"),
    ("6to4 of a private one", "2002:c0a8:0101::1"),
    ("6to4 of loopback", "2002:7f00:0001::"),
    ("Teredo of a private one", "2001:0:0808:0808:0:0:3f57:fefe"),
]
ALLOWED = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:0808:0808::1"]
ALLOWED += ["2606:4700::5efe:8.8.8.8", "2606:4700::200:5efe:8.8.8.8", "2606:4700::100:5efe:10.0.0.1"]
ALLOWED += ["3ffe:ffff::1", "3fff:1000::1", "2001:200::1", "2620:4f:8000::1", "2a00:1450::1", "192.31.196.1"]


@pytest.mark.parametrize(("why", "address"), FORBIDDEN)
def test_an_address_that_is_not_public_is_refused(why: str, address: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="which is not public; set allow_private_networks = true"):
        refuse_private("host.test", address)


@pytest.mark.parametrize("address", ALLOWED)
def test_a_public_address_is_not_refused(address: str) -> None:
    assert not is_refused(address)


def is_refused(address: str) -> bool:
    try:
        refuse_private("host.test", address)
    except ForbiddenAddressError:
        return True
    return False


def named(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """The name server says these, one after the other, the last for ever. Returns who was asked for."""
    asked: list[str] = []
    left = list(answers)

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


async def test_a_name_is_looked_up_once_and_its_very_address_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: the second look would have found this machine."""
    asked = named(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    called: list[str] = []

    async def call(request: httpx2.Request) -> httpx2.Response:
        called.append(f"{request.url} {request.headers['host']} {request.extensions['sni_hostname']}")
        return unread(httpx2.Response(200))

    async with webhook("https://core.test/messages", allow_private=False) as one:
        monkeypatch.setattr(one._client._transport._transport, "handle_async_request", call)  # type: ignore[attr-defined]
        assert (await one.deliver(MESSAGE, not_withdrawn)).answer is Answer.TAKEN
        assert called == ["https://8.8.8.8/messages core.test core.test"]
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, attempt.failure, len(called)) == (Answer.LATER, Failure.FORBIDDEN_ADDRESS, 1)
    assert attempt.reason.startswith("core.test is at 127.0.0.1, which is not public")
    assert asked == ["core.test", "core.test"]


async def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    async with webhook("https://core.test/", allow_private=False) as one:
        assert (await one.deliver(MESSAGE, not_withdrawn)).failure is Failure.FORBIDDEN_ADDRESS


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1", "localhost", "[::ffff:127.0.0.1]"]
)
async def test_this_machine_is_not_reached_however_it_is_written(host: str) -> None:
    reached = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(host)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with webhook(f"http://{host}:{port}/", allow_private=False) as one:
            attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, reached) == (Answer.LATER, [])
    assert attempt.failure in (Failure.FORBIDDEN_ADDRESS, Failure.CONNECTION)


async def test_the_next_address_is_tried_where_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with odd_server(b"HTTP/1.1 204 ok\r\n\r\n") as url:
        port = url.rpartition(":")[2].rstrip("/")
        named(monkeypatch, ["127.255.255.254", "127.0.0.1"])
        async with webhook(f"http://core.test:{port}/") as one:
            attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert attempt.answer is Answer.TAKEN


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with odd_server(b"HTTP/1.1 204 ok\r\n\r\n") as url, webhook(url) as one:
        assert (await one.deliver(MESSAGE, not_withdrawn)).answer is Answer.TAKEN


async def test_a_name_server_that_is_silent_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many messages wait for one look-up, in one thread that the pool does not miss."""
    asked: list[str] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def silent(host: str, _: int, **__: Any) -> list[Any]:
        asked.append(host)
        asyncio.run_coroutine_threadsafe(done.wait(), loop).result()
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    async with webhook("http://core.test/", timeout_s=0.2) as one:
        attempts = await asyncio.gather(*(one.deliver(MESSAGE, not_withdrawn) for _ in range(40)))
        assert await asyncio.to_thread(lambda: "free") == "free"
    done.set()
    assert {attempt.failure for attempt in attempts} == {Failure.TIMEOUT}
    assert len(asked) == 1


async def test_a_name_that_nobody_knows_is_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with webhook("https://core.test/", allow_private=False) as one:
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, attempt.failure) == (Answer.LATER, Failure.CONNECTION)
    resolver = Resolver(allow_private=True)
    with pytest.raises(OSError, match="Name or service"):
        await resolver.addresses("core.test", 1)
    assert resolver._under_way == {}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    one = Authority(tmp_path)
    for name in ("core.test", "other.test", "cloud"):
        one.issue(name)
    return one


def server_context(authority: Authority, name: str, *, wants_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / f"{name}.pem", authority.folder / f"{name}.key")
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.folder / "ca.pem")
    return context


@contextlib.asynccontextmanager
async def hearing(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that takes every request and keeps connections. Yields its port, and what it has heard on each."""
    heard: list[bytes] = []
    links: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        links.append(writer)
        place = len(heard)
        heard.append(b"")
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                heard[place] += piece
                if heard[place].endswith(MESSAGE.body):
                    writer.write(b"HTTP/1.1 204 ok\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1], heard
        await let_go_of(links)


async def test_what_is_withdrawn_while_its_name_is_looked_up_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, found, withdrawn = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(_: str, port: int, **__: Any) -> list[Any]:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(found.wait(), loop).result()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async with hearing() as (port, heard):
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        async with webhook(f"http://core.test:{port}/", timeout_s=20) as one:
            attempt = asyncio.create_task(one.deliver(MESSAGE, withdrawn.is_set))
            await begun.wait()
            withdrawn.set()
            found.set()
            assert await attempt == WITHDRAWN
            assert (await one.deliver(MESSAGE, not_withdrawn)).answer is Answer.TAKEN, "the next one goes"
    assert b"".join(heard).count(b"POST") == 1


async def test_what_is_withdrawn_while_the_connection_is_made_is_not_sent(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other side is slow to greet: TCP is there, TLS is not."""
    tls = Tls(authority.folder / "ca.pem")
    withdrawn = asyncio.Event()
    async with (
        hearing(server_context(authority, "core.test")) as (port, heard),
        FaultProxy(port, Random(1)) as proxy,
        webhook(f"https://core.test:{proxy.port}/", tls=tls, timeout_s=20) as one,
    ):
        named(monkeypatch, ["127.0.0.1"])
        proxy.half_open()
        attempt = asyncio.create_task(one.deliver(MESSAGE, withdrawn.is_set))
        async with asyncio.timeout(20):
            while not proxy._writers:
                await asyncio.sleep(0.01)
        withdrawn.set()
        proxy.resume()
        assert await attempt == WITHDRAWN
        assert b"".join(heard) == b"", "not one byte of the request"
        assert (await one.deliver(MESSAGE, not_withdrawn)).answer is Answer.TAKEN
    assert b"".join(heard).count(b"POST") == 1


async def test_what_is_withdrawn_is_not_sent_on_a_connection_that_is_there() -> None:
    async with hearing() as (port, heard), webhook(f"http://127.0.0.1:{port}/", timeout_s=20) as one:
        assert (await one.deliver(MESSAGE, not_withdrawn)).answer is Answer.TAKEN
        said = list(heard)
        assert await one.deliver(MESSAGE, lambda: True) == WITHDRAWN
        assert (heard, len(said)) == (said, 1), "neither there nor on a new one"
        assert (await one.deliver(MESSAGE, not_withdrawn)).answer is Answer.TAKEN


TLS = [
    # who answers, who we trust, whether we show who we are, whether that is asked for, what comes of it
    ("core.test", "ca.pem", False, False, Answer.TAKEN),
    ("other.test", "ca.pem", False, False, Answer.LATER),
    ("core.test", None, False, False, Answer.LATER),
    ("core.test", "ca.pem", True, True, Answer.TAKEN),
    ("core.test", "ca.pem", False, True, Answer.LATER),
]


@pytest.mark.parametrize(("name", "ca", "shows", "is_asked", "answer"), TLS)
async def test_both_sides_are_known_by_their_certificates(
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    ca: str | None,
    shows: bool,
    is_asked: bool,
    answer: Answer,
) -> None:
    """The certificate must be for the URL's name, though the connection is made to an address."""
    folder = authority.folder
    tls = Tls(
        None if ca is None else folder / ca,
        folder / "cloud.pem" if shows else None,
        folder / "cloud.key" if shows else None,
    )
    context = server_context(authority, name, wants_client=is_asked)
    async with odd_server(b"HTTP/1.1 204 ok\r\n\r\n", tls=context) as url:
        port = url.rpartition(":")[2].rstrip("/")
        named(monkeypatch, ["127.0.0.1"])
        async with webhook(f"https://core.test:{port}/", tls=tls) as one:
            attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert attempt.answer is answer
    assert answer is Answer.TAKEN or attempt.failure is Failure.CONNECTION
