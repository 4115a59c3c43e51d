"""How many connections the API takes at once, over real sockets: more are told to come again, and who says nothing, or
says it slowly, keeps nobody else out."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from api_cloud import TOKEN, ApiCloud

from pledgewatch_cloud import connections
from pledgewatch_cloud.config import ApiSettings
from pledgewatch_cloud.serving import Server

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
STREAM = f"GET /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
Connect = Callable[[], socket.socket]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, token=TOKEN)
    yield made
    made.close()


@contextlib.contextmanager
def served(cloud: ApiCloud, most: int) -> Iterator[Connect]:
    """The API with so many connections at most, as the service runs it; gives what connects to it."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        cloud.client.app, log_config=None, lifespan="off", http=connections.bounded(most), timeout_graceful_shutdown=1
    )
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="api")
    thread.start()
    try:
        with contextlib.ExitStack() as stack:
            yield lambda: stack.enter_context(socket.create_connection(listening.getsockname(), timeout=10))
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()
    assert not thread.is_alive()


def answer(made: socket.socket, asked: bytes = ASK) -> bytes:
    """The beginning of what is answered; nothing where it is cut off."""
    with contextlib.suppress(ConnectionError):
        made.sendall(asked)
        return made.recv(2**16)
    return b""


def wait_for(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_streams_count_and_who_comes_when_all_are_taken_is_told_to_come_again(
    cloud: ApiCloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pledgewatch_cloud")
    with served(cloud, 3) as connect:
        streams = [connect() for _ in range(3)]
        assert all(answer(one, STREAM).startswith(b"HTTP/1.1 200 ") for one in streams)
        for _ in range(2):
            one = connect()
            said = answer(one)
            assert said.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: 5\r\n" in said
            assert b"application/problem+json" in said
            assert one.recv(1) == b"", "it is cut off"
        streams.pop().close()
        wait_for(lambda: answer(connect()).startswith(b"HTTP/1.1 200 "))
    told = [one for one in caplog.messages if "connections" in one]
    assert told[:2] == [
        "the API has 3 connections, the most that there may be ([api] connections_max): more get 503",
        "the API has room for connections again",
    ]


def test_who_says_nothing_or_not_all_is_closed_and_keeps_nobody_out(
    cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    with served(cloud, 2) as connect:
        mute, slow = connect(), connect()
        slow.sendall(ASK[:-2])
        assert [mute.recv(1), slow.recv(1)] == [b"", b""]
        again = connect()
        assert answer(again).startswith(b"HTTP/1.1 200 ")
        again.sendall(ASK[:9])  # on one that has asked before
        while again.recv(2**16):  # what is left of the answer; raises where it is not closed
            pass
        assert answer(connect()).startswith(b"HTTP/1.1 200 ")


def test_those_that_are_refused_and_say_nothing_are_bounded_too(
    cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REFUSED_MAX", 2)
    monkeypatch.setattr(connections, "REFUSED_S", 0.5)
    with served(cloud, 1) as connect:
        assert answer(connect(), STREAM).startswith(b"HTTP/1.1 200 ")
        waiting = [connect(), connect()]
        time.sleep(0.1)
        assert answer(connect()) == b"", "it is cut off at once"
        for one in waiting:
            with contextlib.suppress(ConnectionError):
                assert one.recv(1) == b""
        assert answer(connect()).startswith(b"HTTP/1.1 503 ")


def test_there_is_room_for_one_at_least() -> None:
    with pytest.raises(ValueError, match="connections_max is 0"):
        ApiSettings(connections_max=0)
