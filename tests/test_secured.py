"""Connections over TLS are bounded as those without it are, from when they are there: before hands are shaken, too."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority
from connecting import ASK, Connecting, answer, served, wait_for
from test_spoken import BEGUN, LARGE, LONG, App, all_of, get, problem, until

from pledgewatch_cloud import connections, spoken
from pledgewatch_cloud.serving import ServingError, secured_by


class Ends:
    """What both ends of a connection speak TLS by."""

    def __init__(self, folder: Path) -> None:
        Authority(folder).issue("here")
        own = secured_by(folder / "here.pem", folder / "here.key", "[listen]")
        assert own is not None
        self.own = own
        self.theirs = ssl.create_default_context(cafile=folder / "ca.pem")
        self.stack = contextlib.ExitStack()

    def hands(self, made: socket.socket) -> ssl.SSLSocket:
        """Shake them; it is closed with all others."""
        return self.stack.enter_context(self.theirs.wrap_socket(made, server_hostname="here"))


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Ends:
    return Ends(tmp_path_factory.mktemp("ends"))


@pytest.fixture
def app() -> App:
    return App()


@contextlib.contextmanager
def over_tls(app: App, ends: Ends, most: int = 9, share: int = 0) -> Iterator[Connecting]:
    """The application, by TLS alone."""
    with served(app, most, share, tls=ends.own) as connect, ends.stack:
        yield connect


def is_served(made: socket.socket) -> bool:
    """Whether what asks is answered."""
    return answer(made).startswith(b"HTTP/1.1 200 ")


def test_who_shakes_no_hands_counts_and_is_cut_off(app: App, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    with over_tls(app, ends, 3, 2) as connect:
        mute = [connect(), connect()]
        mute[1].sendall(b"\x16\x03\x01")  # TLS begins so, and goes on
        wait_for(lambda: answer(ends.hands(connect())).startswith(b"HTTP/1.1 429 "))
        mute.append(connect("127.0.0.2"))
        wait_for(lambda: answer(ends.hands(connect("127.0.0.3"))).startswith(b"HTTP/1.1 503 "))
        for one in mute:
            assert all_of(one) == b""
        wait_for(lambda: is_served(ends.hands(connect())))


def test_who_speaks_no_tls_or_breaks_it_off_gives_the_place_back(app: App, ends: Ends) -> None:
    with over_tls(app, ends, 2) as connect:
        for _ in range(6):
            made = connect()
            made.sendall(ASK)
            assert not all_of(made).startswith(b"HTTP/"), "nothing is answered to who speaks no TLS"
            connect().close()
        wait_for(lambda: is_served(ends.hands(connect())))


def test_streams_count_and_give_their_places_back(app: App, ends: Ends) -> None:
    with over_tls(app, ends, 3) as connect:
        own = [ends.hands(connect()) for _ in range(3)]
        for one in own:
            one.sendall(get("/wait"))
        wait_for(lambda: app.asked == 3)
        for _ in range(2):
            one = ends.hands(connect())
            assert answer(one).startswith(b"HTTP/1.1 503 ")
            assert all_of(one) == b""
        own.pop().close()
        wait_for(lambda: app.gone == 1)
        wait_for(lambda: is_served(ends.hands(connect())))


def test_those_that_are_refused_are_bounded_too(app: App, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REFUSED_MAX", 1)
    monkeypatch.setattr(connections, "REFUSED_S", 1.0)
    with over_tls(app, ends, 1) as connect:
        ends.hands(connect()).sendall(get("/wait"))
        wait_for(lambda: app.asked == 1)
        waiting = connect()
        time.sleep(0.1)
        assert answer(connect()) == b"", "it is cut off at once"
        assert all_of(waiting) == b""
        assert answer(ends.hands(connect())).startswith(b"HTTP/1.1 503 ")


def test_who_says_nothing_after_hands_are_shaken_is_closed(
    app: App, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    with over_tls(app, ends, 1) as connect:
        mute = ends.hands(connect())
        assert all_of(mute) == b""
        mute.close()
        wait_for(lambda: is_served(ends.hands(connect())))


def test_what_comes_with_the_last_of_tls_own_words_is_heard(app: App, ends: Ends) -> None:
    with over_tls(app, ends) as connect:
        made = connect()
        read, write = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ends.theirs.wrap_bio(read, write, server_hostname="here")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                made.sendall(write.read())
                read.write(made.recv(2**16))
        tls.write(ASK)
        made.sendall(write.read())
        told = b""
        while b"\r\n\r\n" not in told:
            read.write(made.recv(2**16))
            with contextlib.suppress(ssl.SSLWantReadError):
                told += tls.read(2**16)
        assert told.startswith(b"HTTP/1.1 200 ")


def test_a_long_body_comes_whole(app: App, ends: Ends) -> None:
    with over_tls(app, ends) as connect:
        made = ends.hands(connect())
        length = 2**21
        made.sendall(f"POST /taken HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n".encode() + bytes(length))
        assert until(made, b"%d;" % length).startswith(b"HTTP/1.1 200 ")


def test_a_head_that_does_not_end_is_answered_431(app: App, ends: Ends) -> None:
    with over_tls(app, ends) as connect:
        made = ends.hands(connect())
        made.sendall(BEGUN + b"A: " + LONG * 4)
        assert "64 KiB" in problem(all_of(made), 431)


def test_of_many_requests_at_once_few_are_held_and_all_are_answered(app: App, ends: Ends) -> None:
    with over_tls(app, ends) as connect:
        made = ends.hands(connect())
        made.sendall(get("/wait") + b"".join(get(f"/{at}") for at in range(3_000)))
        wait_for(lambda: app.asked == 1)
        time.sleep(0.2)
        (one,) = connect.held
        assert len(one.pipeline) <= 60
        app.may_go = True
        until(made, b"/2999;")


@pytest.mark.parametrize("path", ["/large", "/pieces"])
@pytest.mark.parametrize("heads", [(), ("Connection: close",)])
def test_who_takes_no_answer_gives_the_place_back(
    app: App, ends: Ends, monkeypatch: pytest.MonkeyPatch, path: str, heads: tuple[str, ...]
) -> None:
    monkeypatch.setattr(spoken, "TAKEN_S", 0.5)
    with over_tls(app, ends, 3) as connect:
        own = [ends.hands(connect.sparing(2048)) for _ in range(3)]
        for made in own:
            made.sendall(get(path, *heads) * 30)
        wait_for(lambda: app.asked >= 3)
        wait_for(lambda: not connect.held)
        assert app.asked <= 6, "one is not taken, and the next waits to be told"
        wait_for(lambda: app.ended == app.asked)
        assert is_served(ends.hands(connect()))


def test_who_takes_a_large_answer_slowly_is_told_all_of_it(
    app: App, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spoken, "TAKEN_S", 3.0)
    with over_tls(app, ends) as connect:
        made = ends.hands(connect.sparing(2**15))
        made.sendall(get("/large", "Connection: close"))
        began_s = time.monotonic()
        length = 0
        while time.monotonic() < began_s + 4.5:
            length += len(made.recv(2**14))
            time.sleep(0.1)
        assert length < LARGE // 4
        told = length + len(all_of(made))
        assert LARGE < told < LARGE + 300


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path, ends: Ends) -> None:
    assert secured_by(None, None, "[listen]") is None
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate", encoding="ascii")
    with pytest.raises(ServingError, match=r"\[listen\] certificate_file .*broken.pem and its key cannot be used"):
        secured_by(broken, None, "[listen]")
