"""How many connections the API takes at once, over real sockets: more are told to come again, and who says nothing, or
says it slowly, keeps nobody else out."""

import contextlib
import importlib.util
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import TOKEN, ApiCloud
from connecting import ASK, Connecting, answer, served, wait_for

from pledgewatch_cloud import connections, service
from pledgewatch_cloud.addresses import counted_as, is_among
from pledgewatch_cloud.config import ApiSettings, CloudSettings, ServiceSettings

STREAM = f"GET /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, token=TOKEN)
    yield made
    made.close()


def assert_turned_away(made: socket.socket, status: bytes) -> None:
    """What asks gets this status and is told to come again."""
    said = answer(made)
    assert said.startswith(b"HTTP/1.1 %b " % status)
    assert b"\r\nretry-after: 5\r\n" in said
    assert b"application/problem+json" in said
    assert made.recv(1) == b"", "it is cut off"


def test_streams_count_and_who_comes_when_all_are_taken_is_told_to_come_again(
    cloud: ApiCloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pledgewatch_cloud")
    with served(cloud.client.app, 3) as connect:
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
    with served(cloud.client.app, 2) as connect:
        mute, slow = connect(), connect()
        slow.sendall(ASK[:-2])
        assert [mute.recv(1), slow.recv(1)] == [b"", b""]
        again = connect()
        assert answer(again).startswith(b"HTTP/1.1 200 ")
        again.sendall(ASK[:9])  # on one that has asked before
        while again.recv(2**16):  # what is left of the answer; raises where it is not closed
            pass
        assert answer(connect()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("before", [b"", ASK])
def test_who_asks_a_byte_at_a_time_is_closed_no_later(
    cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    with served(cloud.client.app, 2) as connect:
        slow = connect()
        assert not before or answer(slow).startswith(b"HTTP/1.1 200 ")
        slow.sendall(b"GET /")
        slow.settimeout(0.1)
        began_s = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < began_s + 5:
                slow.sendall(b"a")
                with contextlib.suppress(TimeoutError):
                    if not slow.recv(2**16):
                        break
        assert time.monotonic() < began_s + 3, "its time is from the first byte of what it asks"


def test_who_has_asked_in_pieces_is_not_closed_for_it(cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    with served(cloud.client.app, 2) as connect:
        stream = connect()
        for at in range(0, len(STREAM), 20):
            stream.sendall(STREAM[at : at + 20])
            time.sleep(0.02)
        assert stream.recv(2**16).startswith(b"HTTP/1.1 200 ")
        time.sleep(1)
        assert len(connect.held) == 1


def test_those_that_are_refused_and_say_nothing_are_bounded_too(
    cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REFUSED_MAX", 2)
    monkeypatch.setattr(connections, "REFUSED_S", 60.0)
    with served(cloud.client.app, 1) as connect:
        assert answer(connect(), STREAM).startswith(b"HTTP/1.1 200 ")
        waiting = [connect(), connect()]
        assert answer(connect()) == b"", "it is cut off at once"
        monkeypatch.setattr(connections, "REFUSED_S", 0.5)
        for one in waiting:
            one.close()
        wait_for(lambda: answer(connect()).startswith(b"HTTP/1.1 503 "))
        for one in (connect(), connect()):
            with contextlib.suppress(ConnectionError):
                assert one.recv(1) == b""
        assert answer(connect()).startswith(b"HTTP/1.1 503 ")


def test_one_address_has_a_share_and_others_have_the_rest(cloud: ApiCloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pledgewatch_cloud")
    with served(cloud.client.app, 4, 2) as connect:
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
    with served(cloud.client.app, 9, 2) as connect:
        for _ in range(3):
            own = both(connect)
            assert all(answer(connect()).startswith(b"HTTP/1.1 429 ") for _ in range(5))
            for one in own:
                one.close()


def test_bounds_that_are_reached_to_and_fro_are_said_once_a_minute(
    cloud: ApiCloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pledgewatch_cloud")

    def told(of: str) -> list[str]:
        return [one for one in caplog.messages if of in one]

    with served(cloud.client.app, 3, 1) as connect:
        for of in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
            own = connect(of)
            wait_for(lambda: len(connect.held) == 1)
            assert_turned_away(connect(of), b"429")
            own.close()
            wait_for(lambda: not connect.held)
        assert len(told("the most of one address")) == 1, "whoever it is, and however often"
        for _ in range(3):
            taken = [connect(f"127.0.0.{at}") for at in range(4, 7)]
            wait_for(lambda: len(connect.held) == 3)
            assert_turned_away(connect("127.0.0.7"), b"503")
            for one in taken:
                one.close()
            wait_for(lambda: not connect.held)
        assert len(told("the most that there may be")) == 1
        assert len(told("has room for connections again")) == 1


def both(connect: Connecting) -> list[socket.socket]:
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
    with served(cloud.client.app, 4, 1, proxies) as connect:
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
    with served(cloud.client.app, 3) as connect:
        for _ in range(6):
            one = connect()
            assert answer(one, upgrade).startswith(b"HTTP/1.1 ")
            one.close()
        wait_for(lambda: answer(connect()).startswith(b"HTTP/1.1 200 "))
