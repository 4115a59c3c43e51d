"""What is around every route: nobody gets past who asks, how often, how much and what is noted, wherever a request
ends; and what nobody foresaw is answered like anything else."""

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn
from api_cloud import JSON, ApiCloud, assert_problem, client_over, shown
from asking import AppClient, http_scope
from keeping import LINE
from seeing import USERS, Seeing

from pledgewatch_cloud import service as service_module
from pledgewatch_cloud.api import paths
from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.api.bounded import Bounded, RefusedBodyError
from pledgewatch_cloud.config import ApiSettings, CloudSettings, ServiceSettings
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role

KEEPER = shown("not-a-secret")
LENDER = shown(USERS["lender-one"].key)
PIECE = bytes(2**14)


class Told(NamedTuple):
    """What was answered, and how many bytes of the body were heard for it."""

    status: int
    body: bytes
    heard: int


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeing]:
    """Nothing here changes what it is about."""
    made = Seeing(tmp_path_factory.mktemp("around"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def narrow_app(seeing: Seeing) -> Any:
    """The API where each may ask twice a minute."""
    others = {"clock": seeing.keeping.clock, "token": "not-a-secret", "requests_per_minute": 2}
    return client_over(seeing.store, seeing.writer, seeing.series, **others).app


@pytest.fixture
def narrow(narrow_app: Any) -> Any:
    """The same, of whom nobody has asked anything yet."""
    service: Service = narrow_app.state.service
    for rates in (service.rates, service.rates_of_addresses):
        rates._left.clear()
    service.audit._notes.clear()
    return narrow_app


def ask(
    app: Any,
    method: str,
    path: str,
    headers: dict[str, str] = JSON,
    body: Sequence[bytes] = (b"",),
    host: str = "203.0.113.9",
) -> Told:
    """Ask an application by ASGI, which hears of a body only what it takes."""
    sent: list[Any] = []
    heard: list[bytes] = []
    coming = iter(body)

    async def receive() -> dict[str, Any]:
        piece = next(coming, None)
        if piece is None:
            return {"type": "http.disconnect"}
        heard.append(piece)
        return {"type": "http.request", "body": heard[-1], "more_body": len(heard) < len(body)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = http_scope(method, f"{path}?source=wms&form=json", headers, host=host)
    asyncio.run(app(scope, receive, send))
    return Told(int(sent[0]["status"]), b"".join(one.get("body", b"") for one in sent[1:]), sum(map(len, heard)))


def routes(app: Any) -> dict[str, set[str]]:
    """Every path of the description with its methods; what its parts are called are names there can be."""
    return {
        re.sub(r"\{(\w+)\}", r"\1", path).replace("/number", "/0").replace("/facility/", f"/{LINE}/"): {
            one.upper() for one in methods
        }
        for path, methods in app.openapi()["paths"].items()
    }


def with_body(app: Any) -> list[str]:
    """The paths of routes that a body is sent to."""
    described = app.openapi()["paths"].values()
    found = [path for path, one in zip(routes(app), described, strict=True) if "requestBody" in one.get("post", {})]
    assert len(found) > 15
    return found


def noted(service: Service) -> list[tuple[str, str, int, int]]:
    """What has been noted since it was last asked: method, path, status, how often."""
    found = [(one.method, one.path, int(one.status), count) for one, (_, count) in service.audit._notes.items()]
    service.audit._notes.clear()
    return found


def test_who_is_not_known_is_not_listened_to_where_nothing_is_open(seeing: Seeing) -> None:
    app = seeing.client.app
    closed = 0
    for path, methods in routes(app).items():
        for method in methods:
            told = ask(app, method, path, JSON | shown("wrong"), [PIECE, PIECE])
            if not paths.is_open(method, path):
                assert (told.status, told.heard) == (401, 0), path
                closed += 1
    assert closed > 50
    assert ask(app, "GET", "/no/such/path", {}).status == 401
    assert ask(app, "POST", "/milestones/x/waiver", JSON | {"idempotency-key": '"k"'}, [PIECE] * 2).heard == 0


def test_every_body_has_an_end_whatever_its_length_is_said_to_be(seeing: Seeing) -> None:
    app = seeing.client.app
    for path in with_body(app):
        most = paths.body_max({"method": "POST", "path": path, "headers": []})
        for kind in ("application/json", "application/jose"):
            headers = KEEPER | {"content-type": kind}
            said = ask(app, "POST", path, headers | {"content-length": str(most + 1)}, [PIECE])
            assert (said.status in (413, 415), said.heard) == (True, 0), path
            if most <= 2**18:
                told = ask(app, "POST", path, headers | {"content-length": "3"}, [PIECE] * 4 + [PIECE] * 2**5)
                assert told.status in (413, 415), path
                assert told.heard <= most + len(PIECE)
    assert ask(app, "POST", "/nothing", KEEPER, [PIECE] * 99).status == 404


def test_a_key_for_a_write_that_is_said_twice_holds_no_more_than_a_document(seeing: Seeing) -> None:
    headers = KEEPER | JSON | {"idempotency-key": '"k"'}
    told = ask(seeing.client.app, "POST", "/book/amendments", headers, [bytes(2**20)] * 40)
    assert (told.status, told.heard) == (413, paths.KEYED_MAX + 2**20)


def test_nothing_is_held_for_a_key_of_who_may_not_write(tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    (key,) = USERS["lender-two"].user["keys"]
    seeing.keeping.amend(users=[{**USERS["lender-two"].user, "keys": [{**key, "scope": "read"}]}])
    app = seeing.client.app

    def told(user: str, path: str, key: str = '"k"') -> tuple[int, int]:
        headers = JSON | shown(USERS[user].key) | {"idempotency-key": key}
        found = ask(app, "POST", path, headers, [PIECE] * 4)
        return found.status, found.heard

    closed = [path for path in with_body(app) if not paths.is_open("POST", path)]
    long = {path for path in closed if paths.body_max({"method": "POST", "path": path, "headers": []}) > paths.SAID_MAX}
    assert long > paths.FOR_KEEPERS
    for user in ("insurer-one", "auditor-two", "lender-two"):
        assert {path: told(user, path) for path in long} == dict.fromkeys(long, (403, 0)), user
        assert 400 not in {told(user, path, "")[0] for path in closed}, "the key is not looked at"
    assert {told("lender-one", path) for path in paths.FOR_KEEPERS} == {(403, 0)}
    assert told("lender-one", f"/facilities/{LINE}/movements", "") == (400, 0)
    assert told("lender-one", f"/facilities/{LINE}/movements") == (422, 4 * len(PIECE))
    assert told("keeper-kim", "/book/amendments") == (422, 4 * len(PIECE))
    seeing.close()


def test_what_is_said_of_paths_is_of_routes_that_there_are(seeing: Seeing) -> None:
    known = routes(seeing.client.app)
    not_described = {"/", "/docs", "/openapi.json", "/login", "/login/callback", "/login/end"}
    assert set(paths._BODY_MAX) <= set(known)
    assert {one for one in paths._OPEN if "GET" not in known.get(one, ())} <= not_described
    assert {one for one in paths._OPEN_TO_WRITE if "POST" not in known.get(one, ())} <= not_described
    assert paths.body_max({"method": "POST", "path": "/facilities/line/7/movements", "headers": []}) == 2**24
    assert paths.body_max({"method": "GET", "path": "/book/amendments", "headers": []}) == paths.SAID_MAX


def test_a_body_that_goes_on_after_the_answer_has_begun_is_one_that_hung_up() -> None:
    heard: list[str] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        with pytest.raises(RefusedBodyError):
            await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        heard.append((await receive())["type"])

    assert ask(Bounded(app, lambda _: 5, 9.0), "GET", "/", {}, [b"123456", b""]).status == 200
    assert heard == ["http.disconnect"]


def test_a_path_that_ends_with_a_slash_leads_nowhere(seeing: Seeing) -> None:
    assert ask(seeing.client.app, "GET", "/healthz/", KEEPER | {"host": "evil.example"}).status == 404


def test_addresses_of_ipv4_are_apart_however_they_are_written(narrow: Any) -> None:
    hosts = ("::ffff:1.2.3.4", "1.2.3.4", "::ffff:1.2.3.4", "::ffff:5.6.7.8")
    assert [ask(narrow, "GET", "/healthz", {}, [b""], host).status for host in hosts] == [200, 200, 429, 200]


OPEN = (
    ("POST", "/receipts/acts"),
    ("POST", "/warehouses/counts"),
    ("POST", "/notices"),
    ("POST", "/notices/dcsa"),
    ("POST", "/epcis/capture"),
    ("POST", "/stock/reports"),
    ("GET", "/receipts/status-lists/0"),
    ("GET", "/receipts/register"),
    ("GET", "/healthz"),
    ("GET", "/console/console.js"),
    ("GET", "/no/such/path"),
)


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_open_paths_are_counted_by_address(narrow: Any, method: str, path: str) -> None:
    for host, others in (("203.0.113.9", "203.0.113.10"), ("2001:db8::1", "2001:db8:0:1::1")):
        found = [ask(narrow, method, path, JSON, [b"{"], host).status for _ in range(3)]
        assert 429 not in found[:2]
        assert found[2] == 429
        assert ask(narrow, method, path, JSON, [b"{"], others).status != 429
    assert ask(narrow, method, path, JSON, [b"{"], "2001:db8::ffff").status == 429  # the same network's


@pytest.mark.parametrize(
    ("status", "method", "path", "more", "body", "path_noted"),
    [
        (404, "GET", "/nothing", {}, b"", "*"),
        (404, "GET", "/lots/nothing", {}, b"", "/lots/{lot}"),
        (404, "GET", "/console/nothing", {}, b"", "/console/{path}"),
        (405, "DELETE", "/lots", {}, b"", "/lots"),
        (405, "DELETE", "/lots/nothing", {}, b"", "/lots/{lot}"),
        (422, "POST", "/alerts/x/comments", JSON, b"{", "/alerts/{alert}/comments"),
        (415, "POST", "/market/quotes", {}, b"{", "/market/quotes"),
        (422, "POST", "/receipts/acts", {"content-type": "text/plain"}, b"a.b.c", "/receipts/acts"),
        (400, "POST", "/market/quotes", JSON | {"idempotency-key": '"'}, b"{}", "*"),
        (413, "POST", "/alerts/x/comments", JSON | {"content-length": "999999"}, b"{", "/alerts/{alert}/comments"),
        (422, "GET", "/receipts/status-lists/" + "9" * 5_000, {}, b"", "/receipts/status-lists/{number}"),
        (200, "GET", "/healthz", {}, b"", "/healthz"),
        (200, "GET", f"/facilities/{LINE}", {}, b"", f"/facilities/{LINE}"),
    ],
)
def test_every_request_of_a_user_is_noted_and_counted_however_it_ends(
    narrow: Any, status: int, method: str, path: str, more: dict[str, str], body: bytes, path_noted: str
) -> None:
    assert [ask(narrow, method, path, KEEPER | more, [body]).status for _ in range(3)] == [status, status, 429]
    assert noted(narrow.state.service) == [(method, path_noted, status, 2), (method, "*", 429, 1)]


def test_paths_that_are_made_up_are_one_row(seeing: Seeing) -> None:
    app = seeing.client.app
    noted(app.state.service)
    for one in range(20):
        for path in (f"/{one}", f"/lots/{one}", f"/receipts/status-lists/{one}x"):
            ask(app, "GET", path, LENDER)
        ask(app, "POST", f"/milestones/{one}/waiver", shown(USERS["insurer-one"].key) | JSON)
    assert [one[3] for one in noted(app.state.service)] == [20] * 4


def test_what_is_noted_of_a_path_is_bounded_in_bytes(seeing: Seeing) -> None:
    audit = seeing.client.app.state.service.audit
    noted(seeing.client.app.state.service)
    for path in ("/" + "\U0001f600" * 600, "/\ud800" + "x" * 600):
        audit.note(Viewer("anna", "", Role.KEEPER), "GET", path, 200)
    first, second = (one[1] for one in noted(seeing.client.app.state.service))
    assert first == "/" + "\U0001f600" * 127
    assert second == "/?" + "x" * 510


def test_a_used_key_does_not_go_round_the_rate(narrow: Any) -> None:
    headers = KEEPER | JSON | {"idempotency-key": '"k"'}
    statuses = [ask(narrow, "POST", "/market/quotes", headers, [one]).status for one in (b"{}", b"[]", b"[]")]
    assert statuses == [200, 422, 429]
    assert noted(narrow.state.service)[1:] == [("POST", "*", 422, 1), ("POST", "*", 429, 1)]


def test_what_nobody_foresaw_is_answered_safely_told_nothing_of_and_noted(
    seeing: Seeing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service: Service = seeing.client.app.state.service
    noted(service)

    def fail(*_: object) -> object:
        raise LookupError("the secret of bank one")

    monkeypatch.setattr(type(service.views), "of", fail)
    answer = seeing.client.get("/lots", headers=LENDER)
    problem = assert_problem(answer, 500)
    assert "secret" not in answer.text
    assert "log" in problem["detail"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert noted(service) == [("GET", "/lots", 500, 1)]
    (line,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert line.exc_info
    assert "the secret of bank one" in caplog.text
    monkeypatch.setattr(type(service.door), "viewer_of", fail)
    assert_problem(seeing.client.get("/healthz"), 500)


def test_an_answer_that_was_begun_is_cut_off_and_the_log_says_why(
    seeing: Seeing, caplog: pytest.LogCaptureFixture
) -> None:
    app = seeing.client.app

    async def halves() -> Any:
        yield b"half"
        raise LookupError("the disk burns")

    from starlette.responses import StreamingResponse  # noqa: PLC0415 - of this one test

    async def half(_: Any) -> StreamingResponse:
        return StreamingResponse(halves())

    app.add_route("/half", half)
    assert ask(app, "GET", "/half", KEEPER).body == b"half"
    assert [one.levelname for one in caplog.records if one.exc_info] == ["ERROR"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/receipts/status-lists/" + "9" * 5_000, 422),
        ("/receipts/status-lists/revocation/" + "9" * 5_000, 422),
        ("/receipts/x/credentials/" + "9" * 5_000, 422),
        ("/epcis/events?nextPageToken=99999999999999999999.1", 400),
        ("/epcis/events?nextPageToken=1.99999999999999999999", 400),
        ("/dcsa/events?cursor=99999999999999999999.1", 400),
        ("/epcis/events?nextPageToken=999999999999999.999999999999999", 200),
    ],
)
def test_numbers_that_nothing_can_have_are_refused(seeing: Seeing, path: str, status: int) -> None:
    assert seeing.client.get(path).status_code == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8420", "", 200),
        ("localhost:8420", "http://localhost:8420", 200),
        ("localhost", "https://localhost", 200),
        ("[::1]:8420", "http://[::1]:8420", 200),
        ("evil.example", "", 403),
        ("evil.example:8420", "http://evil.example:8420", 403),
        ("localhost.evil.example", "", 403),
        ("127.0.0.1:8420", "http://evil.example", 403),
        ("127.0.0.1:8420", "http://127.0.0.1:9999", 403),
        ("127.0.0.1:8420", "null", 403),
        ("[::1", "", 403),
        ("evil.example@localhost", "", 403),
        ("localhost/evil", "", 403),
        ("localhost#evil", "", 403),
        ("localhost:99999", "", 403),
    ],
)
def test_where_nothing_need_be_shown_only_this_machine_is_answered(
    tmp_path: Path, host: str, origin: str, status: int
) -> None:
    cloud = ApiCloud(tmp_path)
    app = cloud.client.app
    headers = {"host": host} | ({"origin": origin} if origin else {})
    assert ask(app, "GET", "/book", headers).status == status
    written = ask(app, "POST", "/outbox/endpoints/core/resume", headers).status
    assert written == (404 if status == 200 else 403)
    guarded = client_over(cloud.store, cloud.writer, cloud.series, token="not-a-secret").app
    assert ask(guarded, "GET", "/book", headers | KEEPER).status == 200  # who shows something is believed by that
    cloud.close()


def served(service: Service, *proxies: str) -> AppClient:
    """The API as the program serves it, asked from 127.0.0.1."""
    settings = CloudSettings(ServiceSettings(Path("data")), api=ApiSettings(trusted_proxies=proxies))
    config: uvicorn.Config = service_module._server(settings, service).config
    config.load()
    return AppClient(config.loaded_app, host="127.0.0.1")


def test_a_proxy_is_believed_only_where_it_is_configured(narrow: Any) -> None:
    def statuses(*proxies: str) -> list[int]:
        narrow.state.service.rates_of_addresses._left.clear()
        client = served(narrow.state.service, *proxies)
        return [client.get("/viewer", headers={"x-forwarded-for": f"198.51.100.{one}"}).status_code for one in range(3)]

    assert statuses() == statuses("10.0.0.1") == [401, 401, 429]
    assert statuses("127.0.0.1") == statuses("127.0.0.0/8") == [401, 401, 401]
    for wrong in ("*", "proxy.example", "10.0.0.1/8"):
        with pytest.raises(ValueError, match="trusted_proxies has"):
            ApiSettings(trusted_proxies=(wrong,))
