"""A client that hangs up before its body is whole: a line of the log, whichever route it was, and nothing is taken."""

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import ApiCloud
from asking import http_scope
from builders import ManualClock
from fastapi import FastAPI

from pledgewatch_cloud.notices.senders import Senders
from pledgewatch_cloud.registry.app import Desk, create_app
from pledgewatch_cloud.registry.kept import KeptBook

TYPES = ("application/json", "application/jose")
QUERY = "source=wms&form=json"
LINE = "a client hung up before it had said all that it wanted of POST "


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path)
    yield made
    made.close()


def hang_up(app: FastAPI, path: str, content_type: str) -> bool:
    """Begin a body, and hang up; whether the route got so far as to find that out."""
    heard = iter(({"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}))
    found: list[str] = []

    async def receive() -> dict[str, Any]:
        said = next(heard)
        found.append(str(said["type"]))
        return said

    async def send(_: Any) -> None:
        return None

    scope = http_scope("POST", f"{path}?{QUERY}", {"content-type": content_type, "content-length": "100"})
    asyncio.run(app(scope, receive, send))  # the server would tell what is raised here with a traceback
    return "http.disconnect" in found


def test_every_route_with_a_body_says_so_in_one_line(cloud: ApiCloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = cloud.client.app
    assert isinstance(app, FastAPI)
    found = set()
    for path, methods in app.openapi()["paths"].items():
        if "post" not in methods:
            continue
        for content_type in TYPES:
            caplog.clear()
            at = re.sub(r"\{\w+\}", "x", path)
            is_found_out = hang_up(app, at, content_type)
            assert caplog.messages == ([f"{LINE}{at!r}"] if is_found_out else [])
            if is_found_out:
                found.add(path)
    assert found >= {"/stock/reports", "/receipts/acts", "/warehouses/counts", "/notices", "/book/amendments"}
    with_body = {path for path, methods in app.openapi()["paths"].items() if "requestBody" in methods.get("post", {})}
    assert found >= with_body - {"/facilities/{facility}/movements"}  # of no facility here: refused before it is read
    assert cloud.store.counts().entries == 0


def test_what_a_client_names_cannot_fill_the_log(cloud: ApiCloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = cloud.client.app
    assert isinstance(app, FastAPI)
    assert hang_up(app, "/milestones/" + "x\x1b" * 5_000 + "/waiver", TYPES[0])
    assert len(caplog.messages) == 1
    assert len(caplog.messages[0]) < 200
    assert "\x1b" not in caplog.messages[0]


def test_a_registry_says_it_in_one_line_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kept = KeptBook(tmp_path)
    app = create_app(Desk(kept, Senders(), {}, ManualClock(0)))
    assert hang_up(app, "/requests", TYPES[0])
    assert caplog.messages == [f"{LINE}'/requests'"]
    kept.close()
