"""What one connection may make the server hold, over real sockets: long heads, many requests, answers that nobody
takes. Who speaks well is answered whatever they pipeline, and however slowly they read."""

import asyncio
import contextlib
import json
import logging
import socket
import time
from typing import Any

import pytest
from connecting import ASK, answer, served, wait_for

from pledgewatch_cloud import spoken

LARGE = 2**23
BEGIN = {"type": "http.response.start", "status": 200, "headers": []}


class App:
    """Answers its path at once; `/large` and `/pieces` say LARGE bytes, whole or one by one, `/some` 50,000, `/taken`
    how long the body is that it was told, `/heads` the names of its headers after that, and `/wait` nothing until who
    asks hangs up or `may_go` is set, and `/begun` no end at all; `/beats` says LARGE bytes, and then a little at a
    time. `waiting` counts who knows that there is no body and waits for what else comes."""

    def __init__(self) -> None:
        self.asked = self.ended = self.gone = self.waiting = 0
        self.may_go = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        path = scope["path"]
        said = [path.encode() + b";"]
        if path == "/large":
            said = [bytes(LARGE)]
        elif path == "/some":
            said = [bytes(50_000)]
        elif path == "/pieces":
            said = [bytes(2**16)] * (LARGE // 2**16)
        elif path in ("/taken", "/heads"):
            length, more = 0, True
            while more:
                heard = await receive()
                length, more = length + len(heard.get("body", b"")), heard.get("more_body", False)
            said = [b"%d;" % length if path == "/taken" else b",".join(name for name, _ in scope["headers"]) + b";"]
        elif path == "/wait":
            await self.wait(receive)
        elif path == "/begun":
            await send(BEGIN)
            await send({"type": "http.response.body", "body": b"begun;", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            self.ended += 1
            return
        elif path == "/beats":
            await self.beat(send)
            return
        whole = str(sum(map(len, said))).encode()
        await send({**BEGIN, "headers": [(b"content-length", whole)]})
        for at, piece in enumerate(said, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": at < len(said)})
        self.ended += 1

    async def wait(self, receive: Any) -> None:
        hears = asyncio.ensure_future(receive())
        while not self.may_go:
            await asyncio.sleep(0.01)
            if hears.done():
                if hears.result()["type"] == "http.disconnect":
                    self.gone += 1
                    return
                self.waiting += 1
                hears = asyncio.ensure_future(receive())
        hears.cancel()

    async def beat(self, send: Any) -> None:
        await send(BEGIN)
        await send({"type": "http.response.body", "body": bytes(LARGE), "more_body": True})
        for _ in range(10):
            await asyncio.sleep(0.15)
            await send({"type": "http.response.body", "body": b"beat;", "more_body": True})
        await send({"type": "http.response.body", "body": b"end;", "more_body": False})


def get(path: str, *heads: str) -> bytes:
    """A request."""
    return "".join(f"{one}\r\n" for one in (f"GET {path} HTTP/1.1", "Host: localhost", *heads, "")).encode()


def all_of(made: socket.socket) -> bytes:
    """What comes until it is closed."""
    told = b""
    with contextlib.suppress(ConnectionError):
        while came := made.recv(2**20):
            told += came
    return told


def until(made: socket.socket, last: bytes) -> bytes:
    """What comes, as far as this."""
    told = b""
    while not told.endswith(last):
        came = made.recv(2**20)
        assert came, told[-300:]
        told += came
    return told


def problem(told: bytes, status: int) -> str:
    """The detail of an answer that is the last of its connection."""
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), told[:300]
    assert b"\r\ncontent-type: application/problem+json\r\n" in head
    assert head.endswith(b"\r\nconnection: close")
    assert b"\r\ncontent-length: %d\r\n" % len(body) in head
    told_of = json.loads(body)
    assert (told_of["type"], told_of["status"]) == ("about:blank", status)
    return str(told_of["detail"])


BEGUN = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"POST /taken HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"a" * (spoken.HEAD_MAX + 2 * spoken.PIECE)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(BEGUN + b"A: " + LONG, id="a value"),
        pytest.param(BEGUN + LONG, id="a name"),
        pytest.param(b"GET /" + LONG, id="an address"),
        pytest.param(BEGUN + b"a:b\r\n" * (spoken.HEADERS_MAX + 1), id="many headers"),
        pytest.param(b"\r\n" * len(LONG), id="nothing"),
        pytest.param(BODY + b"1\r\na\r\n0\r\nA: " + LONG, id="what comes after a body"),
        pytest.param(BODY + b"1\r\na\r\n0\r\n" + b"a:b\r\n" * (spoken.HEADERS_MAX + 1), id="many that come after it"),
        pytest.param(BODY + b"1\r\na\r\n1;" + LONG, id="an extension of a chunk"),
    ],
)
def test_a_head_that_does_not_end_is_answered_431_and_cut_off(asked: bytes) -> None:
    with served(App()) as connect:
        made = connect()
        made.sendall(asked)
        detail = problem(all_of(made), 431)
        assert "at most 64 KiB and 100 headers: ask with fewer or shorter ones" in detail
        made.close()
        wait_for(lambda: not connect.held)


def test_who_goes_on_to_say_a_long_head_is_heard_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "LINGER_S", 0.5)
    with served(App()) as connect:
        made = connect()
        made.sendall(BEGUN + b"A: ")
        began_s = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < began_s + 8:
                made.sendall(LONG)
                for one in connect.held:
                    assert len(one._rest) <= 2**16
        assert time.monotonic() < began_s + 5, "it is cut off"


def test_heads_within_the_bounds_are_heard() -> None:
    long = "a" * (spoken.HEAD_MAX - 200)
    with served(App()) as connect:
        made = connect()
        for asked in (
            get("/", f"A: {long}"),
            get(f"/?{long}"),
            get("/", *["a:b"] * (spoken.HEADERS_MAX - 1)),
            BODY + b"1\r\na\r\n" * 2**16 + b"0\r\nA: b\r\n\r\n",
        ):
            made.sendall(asked)
            assert until(made, b";").startswith(b"HTTP/1.1 200 ")


def test_what_comes_after_a_body_is_no_header() -> None:
    with served(App()) as connect:
        made = connect()
        made.sendall(
            BODY.replace(b"/taken", b"/heads") + b"0\r\nAuthorization: Bearer key\r\nExpect: 100-continue\r\n\r\n"
        )
        assert until(made, b";").endswith(b"\r\n\r\nhost,transfer-encoding;")
        made.sendall(get("/heads", "A: b"))
        assert until(made, b";").endswith(b"\r\n\r\nhost,a;"), "the next has its own again"


def test_of_many_requests_at_once_few_are_held() -> None:
    app = App()
    with served(app) as connect:
        made = connect()
        made.settimeout(0)
        waits = get("/wait") + b"GET / HTTP/1.1\r\n\r\n" * 2**15
        sent = 0
        with contextlib.suppress(BlockingIOError):
            for _ in range(100):
                sent += made.send(waits[sent:])
                time.sleep(0.01)
        assert sent > 4 * spoken.READ_MAX, "the kernel took more than is heard"
        wait_for(lambda: app.asked == 1)
        (one,) = connect.held
        wait_for(lambda: bool(one._rest))
        assert 0 < len(one.pipeline) <= 57
        assert 0 < len(one._rest) <= 2**16


def test_each_of_many_requests_at_once_is_answered_in_turn() -> None:
    app = App()
    with served(app) as connect:
        made = connect()
        asked = [get(f"/{number}") for number in range(3000)]
        asked[7] = BODY + b"5\r\nhello\r\n" * 3000 + b"0\r\n\r\n"
        asked[1000] = BODY.replace(b"Transfer-Encoding: chunked", b"Content-Length: 300000") + bytes(300_000)
        made.sendall(b"".join(asked[:1500]))
        told = until(made, b"/1499;")
        for at in range(1500, 3000, 50):  # in pieces that end anywhere
            some = b"".join(asked[at : at + 50])
            made.sendall(some[:-9])
            made.sendall(some[-9:])
        told += until(made, b"/2999;")
    bodies = [one.partition(b"\r\n\r\n")[2] for one in told.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    wanted = [b"/%d;" % number for number in range(3000)]
    wanted[7], wanted[1000] = b"15000;", b"300000;"
    assert bodies == wanted


def test_of_a_body_that_nobody_asks_for_little_is_held() -> None:
    with served(App()) as connect:
        made = connect()
        made.settimeout(0)
        made.sendall(get("/wait", "Content-Length: 9999999"))
        with contextlib.suppress(BlockingIOError):
            for _ in range(100):
                made.send(bytes(2**18))
                time.sleep(0.01)
        wait_for(lambda: bool(connect.held))
        (one,) = connect.held
        wait_for(lambda: one.cycle is not None and len(one.cycle.body) + len(one._rest) > 2**16)
        time.sleep(0.1)  # it could go on to read more
        assert len(one.cycle.body) + len(one._rest) <= 2**17


def test_who_hangs_up_with_requests_behind_is_known_to_have_gone() -> None:
    app = App()
    with served(app) as connect:
        made = connect()
        made.sendall(get("/wait") + ASK)
        wait_for(lambda: app.waiting == 1)
        made.close()
        wait_for(lambda: app.gone == 1)
        assert app.asked == 1


def test_who_hangs_up_with_more_behind_than_is_read_is_known_to_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "GONE_S", 0.1)
    app = App()
    with served(app) as connect:
        made = connect()
        made.sendall(get("/wait") + ASK * 100)
        wait_for(lambda: app.waiting == 1)
        time.sleep(0.3)
        assert app.gone == 0, "who stays is waited for"
        made.close()
        wait_for(lambda: app.gone == 1)
        assert app.asked == 1
        wait_for(lambda: not connect.held)


def test_who_says_that_no_more_comes_is_told_what_they_are_taking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "GONE_S", 0.1)
    with served(App()) as connect:
        made = connect.sparing(2**15)
        made.sendall(get("/large") + get("/pieces") + get("/last") * 100)
        made.shutdown(socket.SHUT_WR)
        told, began_s = 0, time.monotonic()
        while came := made.recv(2**14):
            told += len(came)
            if time.monotonic() < began_s + 0.5:
                time.sleep(0.02)
        assert told > 2 * LARGE


def test_an_answer_is_made_once_the_one_before_has_left() -> None:
    app = App()
    with served(app) as connect:
        made = connect.sparing(2**15)
        made.sendall(get("/large"))
        wait_for(lambda: app.ended == 1)
        (one,) = connect.held
        one.timeout_keep_alive = 0.2
        made.settimeout(0)
        sent = 0
        with contextlib.suppress(BlockingIOError):  # nor is what comes meanwhile taken for the next
            for _ in range(100):
                sent += made.send(
                    (get("/second") + get("/third") + get("/wait") + BEGUN) if not sent else b"A: " + bytes(2**16)
                )
                time.sleep(0.01)
        made.settimeout(60)
        assert (app.asked, one.is_answering) == (1, True)
        assert len(one._rest) <= spoken.READ_MAX, "nor more held than is read at once"
        told = b""
        while not told.endswith(b"/third;"):
            told += made.recv(2**20)
        assert b"/second;" in told
        wait_for(lambda: app.waiting == 1)
        time.sleep(0.5)  # longer than a connection is kept that asks nothing
        app.may_go = True
        told = all_of(made)
        assert b"/wait;" in told
        problem(told.partition(b"/wait;")[2], 400)


def test_what_comes_while_an_answer_is_taken_is_read_to_its_end() -> None:
    with served(App()) as connect:
        made = connect.sparing(2**15)
        made.sendall(get("/large"))
        wait_for(lambda: bool(connect.held) and connect.held[0].transport.get_write_buffer_size() > 0)
        made.sendall(get("/second")[:-9])
        (one,) = connect.held
        wait_for(lambda: bool(one._rest))
        length = 0
        while length < LARGE:
            length += len(made.recv(2**20))
        made.sendall(get("/second")[-9:])
        assert until(made, b"/second;").endswith(b"/second;")


def test_who_takes_a_large_answer_at_once_and_stays_is_told_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "TAKEN_S", 0.4)
    with served(App()) as connect:
        made = connect()
        made.sendall(get("/beats", "Connection: close"))
        told = all_of(made)
        assert (told.count(b"beat;"), b"end;" in told[-20:]) == (10, True)


def test_who_hangs_up_with_an_answer_untaken_is_looked_at_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spoken, "TAKEN_S", 0.5)
    with served(App()) as connect:
        made = connect.sparing(2048)
        made.sendall(get("/large"))
        wait_for(lambda: bool(connect.held) and bool(connect.held[0].untaken))
        (one,) = connect.held
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        made.close()
        wait_for(lambda: not connect.held)
        assert not one.untaken
        time.sleep(0.8)
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def test_what_waits_to_be_taken_is_bounded_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "UNTAKEN_MAX", 2 * LARGE)
    app = App()
    with served(app, 20) as connect:
        taking = connect.sparing(2**15)
        taking.sendall(get("/large"))
        length = 0
        while length < 2**19:  # the other side's kernel says so by half a buffer at worst
            length += len(taking.recv(2**14))
        idle = []
        for number in range(6):
            idle.append(connect.sparing(2048))
            idle[-1].sendall(get("/large"))
            wait_for(lambda number=number: app.asked == number + 2)  # type: ignore[misc]
            wait_for(lambda: sum(one.transport.get_write_buffer_size() for one in connect.held) <= 2 * LARGE)
        wait_for(lambda: len(connect.held) <= 3)
        while length < LARGE:
            came = taking.recv(2**20)
            assert came, "who takes it is told all of it"
            length += len(came)


@pytest.mark.parametrize("path", ["/large", "/pieces"])
@pytest.mark.parametrize("heads", [(), ("Connection: close",)])
@pytest.mark.parametrize("times", [1, 30])
def test_who_takes_no_answer_gives_the_place_back(
    monkeypatch: pytest.MonkeyPatch, path: str, heads: tuple[str, ...], times: int
) -> None:
    monkeypatch.setattr(spoken, "TAKEN_S", 0.5)
    app = App()
    with served(app, 3) as connect:
        own = [connect.sparing(2048) for _ in range(3)]
        for made in own:
            made.sendall(get(path, *heads) * times)
        wait_for(lambda: app.asked >= 3)
        wait_for(lambda: not connect.held)
        assert app.asked <= 6, "one is not taken, and the next waits to be told"
        wait_for(lambda: app.ended == app.asked)  # nobody goes on to wait for who is cut off
        assert answer(connect()).startswith(b"HTTP/1.1 200 ")


def test_what_is_less_than_the_servers_own_bound_is_taken_in_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "TAKEN_S", 0.5)
    with served(App()) as connect:
        made = connect.sparing(2048)
        wait_for(lambda: bool(connect.held))
        (one,) = connect.held
        one.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        made.sendall(get("/some", "Connection: close"))
        wait_for(lambda: 0 < one.transport.get_write_buffer_size() < 2**16)
        wait_for(lambda: not connect.held)
        assert one.transport.get_write_buffer_size() == 0, "what waited is let go with the place"


def test_who_takes_a_large_answer_slowly_is_told_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "TAKEN_S", 3.0)
    with served(App()) as connect:
        made = connect.sparing(2**15)
        made.sendall(get("/large"))
        length = len(made.recv(2**10).partition(b"\r\n\r\n")[2])
        began_s = time.monotonic()
        # Slower than it is seen from what waits in the process: of the kernel's queue, which is megabytes here, a third
        # must be free before any of that leaves.
        while time.monotonic() < began_s + 4.5:
            length += len(made.recv(2**14))
            time.sleep(0.1)
        assert length < LARGE // 4
        while length < LARGE:
            came = made.recv(2**20)
            assert came, length
            length += len(came)


def test_what_is_no_request_is_answered_after_what_was_asked_before() -> None:
    app = App()
    with served(app) as connect:
        made = connect()
        made.sendall(get("/wait") + get("/second") + b"\0\r\n\r\n")
        wait_for(lambda: app.asked == 1)
        app.may_go = True
        told = all_of(made)
        assert b"/wait;" in told
        before, _, last = told.partition(b"/second;")
        assert before.count(b"HTTP/1.1 200 ") == 2
        assert "ask by plain HTTP/1.1" in problem(last, 400)


def test_a_body_that_is_none_is_not_read_behind_what_was_asked_before() -> None:
    app = App()
    with served(app) as connect:
        made = connect()
        made.sendall(get("/wait") + BODY + b"zz\r\n")
        wait_for(lambda: app.asked == 1)
        app.may_go = True
        told = all_of(made)
        assert (b"/wait;" in told, app.asked) == (True, 1)
        problem(told.partition(b"/wait;")[2], 400)


def test_an_answer_that_was_begun_is_followed_by_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "LINGER_S", 600.0)
    app = App()
    with served(app) as connect:
        made = connect()
        made.sendall(BODY.replace(b"/taken", b"/begun"))
        told = until(made, b"begun;\r\n")
        made.sendall(b"zz\r\n")
        assert (told + all_of(made)).count(b"HTTP/1.1") == 1
        wait_for(lambda: app.ended == 1)


def test_who_reads_a_body_that_is_none_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "LINGER_S", 600.0)
    app = App()
    with served(app) as connect:
        made = connect()
        made.sendall(BODY.replace(b"/taken", b"/wait"))
        wait_for(lambda: app.asked == 1)
        made.sendall(b"1\r\na\r\n")
        wait_for(lambda: app.waiting >= 1)
        made.sendall(b"zz\r\n")
        wait_for(lambda: app.gone == 1)
        assert (app.asked, app.gone) == (1, 1)
        made.close()


def test_who_goes_on_to_say_more_is_not_cut_off_before_they_have_read_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken, "LINGER_S", 60.0)
    with served(App()) as connect:
        made = connect()
        made.sendall(BEGUN + b"A: " + LONG)
        assert "64 KiB" in problem(all_of(made), 431)
        sent = 0
        for _ in range(5):
            made.sendall(b"a" * 1000)  # to a connection that is closed the second of these breaks
            sent += 1
            time.sleep(0.05)
        assert sent == 5


def test_what_comes_after_a_body_is_no_part_of_the_next_head() -> None:
    with served(App()) as connect:
        made = connect()
        long = "a" * (spoken.HEAD_MAX * 2 // 3)
        made.sendall(BODY + f"0\r\nA: {long}\r\n\r\n".encode() + get("/second", f"A: {long}"))
        assert until(made, b"/second;").count(b"HTTP/1.1 200 ") == 2


def test_who_takes_long_to_ask_again_is_heard() -> None:
    with served(App()) as connect:
        made = connect()
        assert answer(made).startswith(b"HTTP/1.1 200 ")
        (one,) = connect.held
        one.timeout_keep_alive = 0.3
        made.sendall(get("/1"))
        until(made, b"/1;")
        made.sendall(get("/2")[:-9])
        time.sleep(0.6)
        made.sendall(get("/2")[-9:])
        until(made, b"/2;")


@pytest.mark.parametrize("path", ["/taken", "/wait"])
@pytest.mark.parametrize("is_asked_for", [True, False])
def test_a_body_that_is_no_body_is_answered_400_and_its_reader_is_told(
    path: str, caplog: pytest.LogCaptureFixture, *, is_asked_for: bool
) -> None:
    app = App()
    with served(app) as connect:
        made = connect()
        head = BODY.replace(b"/taken", path.encode()).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        if is_asked_for:
            made.sendall(head)
            assert made.recv(2**10).startswith(b"HTTP/1.1 100 ")
            head = b""
        made.sendall(head + b"no length\r\n")
        problem(all_of(made), 400)
        wait_for(lambda: app.ended == 1)
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAA")


def test_who_asks_for_another_protocol_is_answered_by_this_one() -> None:
    with served(App()) as connect:
        made = connect()
        made.sendall(get("/1", *UPGRADE) + get("/2") + get("/3", *UPGRADE) + get("/4", "Content-Length: 0", *UPGRADE))
        told = until(made, b"/4;")
        assert told.count(b"HTTP/1.1 200 ") == 4
        # The parser would take such a body for the next request.
        for length in ("Content-Length: 37", "Transfer-Encoding: chunked"):
            made.sendall(get("/taken", length, *UPGRADE) + get("/hidden"))
            assert "without the header Upgrade" in problem(all_of(made), 400)
            made = connect()


@pytest.mark.parametrize("asked", [b"\0\r\n\r\n", get("/", *UPGRADE), b"GET /" + LONG])
def test_what_strangers_ask_is_said_once_a_minute(asked: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with served(App(), 40) as connect:
        for _ in range(30):
            assert answer(connect(), asked).startswith(b"HTTP/1.1 ")
    told = [one for one in caplog.messages if "server" not in one and one != "Shutting down"]
    assert len(told) == 1, told
    assert told[0].startswith("127.0.0.1 ")
