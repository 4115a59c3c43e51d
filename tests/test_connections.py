"""How many connections the API takes at once, over real sockets: more are told to come again, and who says nothing, or
says it slowly, keeps nobody else out."""

import contextlib
import importlib.util
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import TOKEN, ApiCloud

from pledgewatch_cloud import connections, service
from pledgewatch_cloud.addresses import counted_as, is_among
from pledgewatch_cloud.config import ApiSettings, CloudSettings, ServiceSettings
from pledgewatch_cloud.serving import Server, at_the_address

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
STREAM = f"GET /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
Connect = Callable[..., socket.socket]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, token=TOKEN)
    yield made
    made.close()


@contextlib.contextmanager
def served(cloud: ApiCloud, most: int, share: int = 0, proxies: tuple[str, ...] = ()) -> Iterator[Connect]:
    """The API with so many connections at most, all of them or a share for one address, as the service runs it; gives
    what connects to it, from an address of this machine."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = at_the_address(cloud.client.app, proxies, most, share or most)
    config.timeout_graceful_shutdown = 1
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="api")
    thread.start()
    try:
        with contextlib.ExitStack() as stack:
            yield lambda of="127.0.0.1": stack.enter_context(
                socket.create_connection(listening.getsockname(), timeout=10, source_address=(of, 0))
            )
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


def assert_turned_away(made: socket.socket, status: bytes) -> None:
    """What asks gets this status and is told to come again."""
    said = answer(made)
    assert said.startswith(b"HTTP/1.1 %b " % status)
    assert b"\r\nretry-after: 5\r\n" in said
    assert b"application/problem+json" in said
    assert made.recv(1) == b"", "it is cut off"


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
            assert_turned_away(connect(), b"503")
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


def test_one_address_has_a_share_and_others_have_the_rest(cloud: ApiCloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pledgewatch_cloud")
    with served(cloud, 4, 2) as connect:
        own = [connect(), connect()]
        assert all(answer(one, STREAM).startswith(b"HTTP/1.1 200 ") for one in own)
        for _ in range(2):
            assert_turned_away(connect(), b"429")
        others = [connect("127.0.0.2"), connect("127.0.0.3")]
        assert all(answer(one, STREAM).startswith(b"HTTP/1.1 200 ") for one in others), "there is room for others"
        assert answer(connect("127.0.0.4")).startswith(b"HTTP/1.1 503 "), "and then for nobody"
        for one in (own.pop(), others.pop()):
            one.close()
        wait_for(lambda: answer(connect()).startswith(b"HTTP/1.1 200 "))
    told = [one for one in caplog.messages if "127.0.0.1 has" in one]
    assert told[0] == (
        "127.0.0.1 has 2 connections, the most of one address ([api] connections_per_address): more get 429"
    )
    assert len(told) == 1, "it is said once"


def test_who_is_refused_holds_nothing_of_the_share(cloud: ApiCloud) -> None:
    with served(cloud, 9, 2) as connect:
        for _ in range(3):
            own = both(connect)
            assert all(answer(connect()).startswith(b"HTTP/1.1 429 ") for _ in range(5))
            for one in own:
                one.close()


def both(connect: Connect) -> list[socket.socket]:
    """Two streams, once those of before have gone."""
    found: list[socket.socket] = []

    def are_there() -> bool:
        while found:
            found.pop().close()
        found.extend(connect() for _ in range(2))
        return all(answer(one, STREAM).startswith(b"HTTP/1.1 200 ") for one in found)

    wait_for(are_there)
    return found


@pytest.mark.parametrize("proxies", [("127.0.0.1",), ("10.0.0.2", "127.0.0.0/8")])
def test_a_trusted_proxy_may_have_all_of_them(cloud: ApiCloud, proxies: tuple[str, ...]) -> None:
    with served(cloud, 4, 1, proxies) as connect:
        streams = [connect() for _ in range(4)]
        assert all(answer(one, STREAM).startswith(b"HTTP/1.1 200 ") for one in streams)
        assert answer(connect()).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    ("host", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_an_address_is_counted_as_whose_it_is(host: str, whose: str) -> None:
    assert counted_as(host) == whose


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("10.0.0.2", True),
        ("10.1.2.3", True),
        ("::ffff:10.0.0.2", True),
        ("10.0.0.3", False),
        ("2001:db8::1", False),
        ("", False),
        ("proxy", False),
    ],
)
def test_a_proxy_is_known_by_its_address_or_its_network(host: str, *, is_one: bool) -> None:
    assert is_among(host, ("10.0.0.2", "10.1.0.0/16")) == is_one


def test_there_is_room_for_one_at_least() -> None:
    with pytest.raises(ValueError, match="connections_max is 0"):
        ApiSettings(connections_max=0)
    with pytest.raises(ValueError, match="connections_per_address is 0"):
        ApiSettings(connections_per_address=0)
    shares = [ApiSettings(connections_max=most).share_of_address for most in (800, 3, 1)]
    assert shares == [400, 1, 1], "half, and one at least"
    assert ApiSettings(connections_per_address=800).share_of_address == ApiSettings().connections_max


def test_the_service_gives_an_address_its_share(cloud: ApiCloud) -> None:
    api = ApiSettings(connections_max=40, connections_per_address=7, trusted_proxies=("10.0.0.2",))
    settings = CloudSettings(ServiceSettings(Path("data")), api=api)
    http: Any = service._server(settings, cloud.client.app.state.service).config.http
    assert (http.most, http.share, http.proxies) == (40, 7, ("10.0.0.2",))


def test_who_would_speak_another_protocol_takes_no_place_for_ever(cloud: ApiCloud) -> None:
    assert importlib.util.find_spec("websockets"), "else the server would not take it on anyway"
    upgrade = ASK.replace(
        b"\r\n\r\n",
        b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    with served(cloud, 3) as connect:
        for _ in range(6):
            one = connect()
            assert answer(one, upgrade).startswith(b"HTTP/1.1 ")
            one.close()
        wait_for(lambda: answer(connect()).startswith(b"HTTP/1.1 200 "))
