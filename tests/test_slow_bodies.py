"""Bodies that come slowly, or never end: each has its time, and all that are held at once have one room."""

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import ApiCloud, client_over
from streaming import Served

from pledgewatch_cloud.api import bounded
from pledgewatch_cloud.api.bounded import Bounded
from pledgewatch_cloud.config import ApiSettings

ACTS = "/receipts/acts"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path)
    yield made
    made.close()


def served(cloud: ApiCloud, body_s: float) -> Served:
    """The API at an address, where a body may take so long."""
    client = client_over(cloud.store, cloud.writer, cloud.series, token="not-a-secret", body_s=body_s)
    return Served(client.app)


def begun(one: Served, path: str, length: int, said: bytes) -> socket.socket:
    """A connection whose request has a body of which this was said, and no more."""
    host, _, port = one.url.removeprefix("http://").partition(":")
    made = socket.create_connection((host, int(port)), timeout=60)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/jose\r\nContent-Length: {length}\r\n\r\n"
    made.sendall(head.encode() + said)
    return made


def whole(made: socket.socket) -> bytes:
    """All that is answered, until the server hangs up."""
    found = b""
    with made:
        while piece := made.recv(2**16):
            found += piece
    return found


def test_a_body_that_never_ends_is_answered_in_time_and_cut_off(cloud: ApiCloud) -> None:
    with served(cloud, 0.4) as one:
        at_s = time.monotonic()
        connections = [begun(one, path, 9_000, b"a" * 8_000) for path in (ACTS, "/warehouses/counts")]
        dripping = begun(one, ACTS, 9_000, b"a")
        while not select.select([dripping], [], [], 0.05)[0]:
            assert time.monotonic() - at_s < 60, "a little at a time begins its time anew"
            dripping.sendall(b"a")
        answers = []
        for made in (*connections, dripping):
            with contextlib.suppress(TimeoutError):
                answers.append(whole(made))
        assert len(answers) == len(connections) + 1
        for answer in answers:
            assert answer.startswith(b"HTTP/1.1 408 "), answer
            assert b"not whole within 0.4 s" in answer


def test_more_bodies_at_once_than_there_is_room_for_are_refused_and_room_comes_back(
    cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "HELD_OPEN_MAX", 20_000)
    with served(cloud, 3.0) as one:
        held = [begun(one, ACTS, 9_500, b"a" * 9_000) for _ in range(2)]
        time.sleep(0.3)
        answer = whole(begun(one, ACTS, 9_500, b"a" * 9_000))
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"retry-after: 5" in answer
        with begun(one, ACTS, 3, b"a.b") as short:
            assert short.recv(2**16).startswith(b"HTTP/1.1 422 "), "there is room for that"
        assert all(whole(made).startswith(b"HTTP/1.1 408 ") for made in held)
        with begun(one, ACTS, 9_000, b"a" * 9_000) as again:
            assert again.recv(2**16).startswith(b"HTTP/1.1 422 ")


def test_where_anybody_hands_in_no_room_is_taken_from_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HELD_OPEN_MAX", 5)
    monkeypatch.setattr(bounded, "HELD_MAX", 10)
    told: list[tuple[str, int]] = []

    async def app(scope: Any, receive: Any, _: Any) -> None:
        try:
            await receive()
            told.append((scope["path"], 200))
            await asyncio.sleep(0.1)
        except bounded.RefusedBodyError as error:
            told.append((scope["path"], error.status_code))

    async def receive() -> Any:
        return {"type": "http.request", "body": b"12345", "more_body": True}

    async def at_once() -> None:
        under = Bounded(app, lambda _: 9, 9.0)
        asked = [ACTS, ACTS, "/stress", "/stress", "/stress"]
        scopes = [{"type": "http", "method": "POST", "path": path, "headers": []} for path in asked]
        await asyncio.gather(*(under(scope, receive, app) for scope in scopes))  # type: ignore[arg-type]
        await under(scopes[0], receive, app)  # type: ignore[arg-type]

    asyncio.run(at_once())
    taken = [(ACTS, 200), (ACTS, 503), ("/stress", 200), ("/stress", 200), ("/stress", 503), (ACTS, 200)]
    assert told == taken


def test_the_time_for_a_body_is_above_nothing() -> None:
    with pytest.raises(ValueError, match="body_s is 0"):
        ApiSettings(body_s=0)
