"""A login provider as it may be: away, slow, endless, somebody else, with new keys; and what it is shown of us."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import DISCOVERY, KEYS, Answering, key, public, serving
from builders import ManualClock
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.responses import Response
from test_login_tokens import NONCE, access_claims, access_token, identity_claims

from pledgewatch_cloud.clock import SystemClock
from pledgewatch_cloud.config import LoginSettings
from pledgewatch_cloud.login import provider as provider_module
from pledgewatch_cloud.login.attempts import Attempts
from pledgewatch_cloud.login.login import Login
from pledgewatch_cloud.login.provider import AGAIN_S, KEPT_S, AwayError, Client, Provider, RefusedError
from pledgewatch_cloud.login.tokens import Terms, UnknownKeyError
from pledgewatch_cloud.outbox.webhook import Tls


@pytest.fixture(scope="module")
def served() -> Iterator[Answering]:
    with serving() as made:
        yield made


@pytest.fixture
def answering(served: Answering) -> Answering:
    served.usual()
    return served


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(0)


@pytest.fixture
async def provider(answering: Answering, clock: ManualClock) -> AsyncIterator[Provider]:
    async with provider_at(answering, clock) as made:
        yield made


def provider_at(answering: Answering, clock: ManualClock, secret: str = "s", **changes: Any) -> Provider:
    """The provider as the cloud has it."""
    client = Client("console", secret, "http://127.0.0.1:8420/login/callback")
    usual: dict[str, Any] = {"timeout_s": 20.0, "tls": Tls(), "allow_private": True}
    return Provider(answering.url, client, lambda: clock.at_ms / 1_000, **(usual | changes))


async def endless() -> AsyncIterator[bytes]:
    """More than anybody should read."""
    for _ in range(64):
        yield b" " * 65_536


async def dripping() -> AsyncIterator[bytes]:
    """An answer that takes longer than anybody waits."""
    for _ in range(100):
        yield b" "
        await asyncio.sleep(0.05)


ODD: dict[str, tuple[str, Any, str]] = {
    "another issuer": (DISCOVERY, {"issuer": "https://evil.example"}, "calls itself"),
    "no discovery": (DISCOVERY, Response(status_code=404), "HTTP 404"),
    "a redirect": (DISCOVERY, Response(status_code=302, headers={"location": "/elsewhere"}), "HTTP 302"),
    "no JSON": (DISCOVERY, Response("<html>"), "without a JSON object"),
    "a list": (DISCOVERY, [], "without a JSON object"),
    "endless": (DISCOVERY, lambda: StreamingResponse(endless()), "longer than"),
    "dripping": (DISCOVERY, lambda: StreamingResponse(dripping()), "within 0.5 s"),
    "no key set": (KEYS, {"keys": 7}, "JSON Web Key Set"),
    "keys that fail": (KEYS, Response(status_code=500), "HTTP 500"),
}


@pytest.mark.parametrize("name", ODD)
async def test_a_provider_that_is_none_is_away(answering: Answering, clock: ManualClock, name: str) -> None:
    path, answer, why = ODD[name]
    answering.answers[path] = answer
    async with provider_at(answering, clock, timeout_s=0.5 if name == "dripping" else 20.0) as provider:
        with pytest.raises(AwayError, match=why):
            await provider.read()
        with pytest.raises(AwayError, match="not answered yet"):
            provider.keys()
    assert "/elsewhere" not in answering.asked


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("url", [None, 7, "javascript:alert(1)", "file:///etc/passwd", "//x", "http://a b"])
async def test_an_address_that_is_none_is_not_used(
    answering: Answering, provider: Provider, name: str, url: Any
) -> None:
    answering.usual(**{name: url})
    with pytest.raises(AwayError, match=name):
        await provider.read()


@pytest.mark.parametrize("url", ["http://[::1", "http://a:99999", "http://xn--/", "http://a..b/", "http://user:p@@x/"])
async def test_an_address_that_leads_nowhere_is_an_outage_and_no_more(
    answering: Answering, provider: Provider, url: str
) -> None:
    answering.usual(jwks_uri=url)
    with pytest.raises(AwayError):
        await provider.read()


async def test_an_odd_key_among_the_others_ends_no_task(answering: Answering, provider: Provider) -> None:
    """What reads the keys is a task beside all others of the service, which would end with it."""
    answering.answers[KEYS] = {"keys": [{**public(key())["keys"][0], "key_ops": None}, *public(key("two"))["keys"]]}
    running = asyncio.create_task(provider.run())
    while provider._known is None and not running.done():
        await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()
    assert len(provider.keys()) == 1


async def test_a_private_address_is_reached_only_where_that_is_allowed(
    answering: Answering, clock: ManualClock
) -> None:
    async with provider_at(answering, clock, allow_private=False) as one:
        with pytest.raises(AwayError, match="not public"):
            await one.read()
    assert answering.asked == []


async def test_what_was_read_counts_while_the_provider_is_away_and_not_for_ever(
    answering: Answering, provider: Provider, clock: ManualClock
) -> None:
    await provider.read()
    answering.answers.clear()
    clock.at_ms = round((KEPT_S - 1) * 1_000)
    with pytest.raises(AwayError):
        await provider.read()
    assert len(provider.keys()) == 1
    clock.at_ms = round(KEPT_S * 1_000)
    with pytest.raises(AwayError, match="not answered long"):
        provider.keys()


def login_over(provider: Provider) -> Login:
    """Logins by a provider, whose tokens are of the time that `test_login_tokens` has."""
    from test_login_tokens import NOW_S  # noqa: PLC0415 - here alone

    terms = Terms(provider.issuer, "console", "watch-api", 60)
    clock = ManualClock(NOW_S * 1_000)
    return Login(provider, terms, "http://127.0.0.1", clock=clock, now_s=lambda: 0.0, idle_s=1, whole_s=1)


async def test_keys_change_without_a_word_and_made_up_ones_ask_nobody(
    answering: Answering, provider: Provider, clock: ManualClock
) -> None:
    login = login_over(provider)
    claims = access_claims(iss=answering.url)
    running = asyncio.create_task(provider.run())
    try:
        while provider._known is None:
            await asyncio.sleep(0.01)
        assert (await login.subject_of_token(access_token(claims))).subject == "anna"
        answering.answers[KEYS] = public(key("two"))
        clock.at_ms += round(AGAIN_S * 1_000) - 1
        with pytest.raises(UnknownKeyError):
            await login.subject_of_token(access_token(claims, key("two")))
        assert answering.asked == [DISCOVERY, KEYS], "it was asked a moment ago"
        clock.at_ms += 1
        both = await asyncio.gather(*(login.subject_of_token(access_token(claims, key("two"))) for _ in range(20)))
        assert {one.subject for one in both} == {"anna"}
        assert answering.asked == [DISCOVERY, KEYS] * 2, "once for all who waited"
        with pytest.raises(UnknownKeyError):  # the key that was withdrawn opens nothing any more
            await login.subject_of_token(access_token(claims))
        clock.at_ms += 60_000
        for _ in range(3):
            with pytest.raises(UnknownKeyError):
                await login.subject_of_token(access_token(claims, key("stranger")))
        assert answering.asked == [DISCOVERY, KEYS] * 3, "whoever makes up tokens has it asked once"
    finally:
        running.cancel()


async def test_it_is_tried_again_until_it_answers_and_read_again_when_it_is_old(
    answering: Answering, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[int] = []

    def soon(failures: int, **_: Any) -> float:
        failed.append(failures)
        if len(failed) == 3:
            answering.usual()
        return 0.0

    monkeypatch.setattr(provider_module, "jittered_backoff", soon)
    monkeypatch.setattr(provider_module, "FRESH_S", 0.01)
    answering.answers.clear()
    caplog.set_level("INFO", "pledgewatch_cloud.login.provider")
    async with provider_at(answering, clock) as one:
        running = asyncio.create_task(one.run())
        while answering.asked.count(KEYS) < 3:
            await asyncio.sleep(0.01)
        running.cancel()
    assert failed == [0, 1, 2]
    said = [record.getMessage() for record in caplog.records if "the issuer" in record.getMessage()]
    assert ["does not answer, trying on" in one for one in said] == [True, False], "once lost, once back"


async def test_a_client_shows_its_secret_as_the_provider_wants_it(answering: Answering, clock: ManualClock) -> None:
    secret = "a b&c=d+e%f"
    answering.answers["/token"] = {"id_token": "x.y.z"}
    for methods, basic, in_body in (
        (None, True, False),
        (["client_secret_post"], False, True),
        (["client_secret_basic", "client_secret_post"], True, False),
    ):
        changes = {} if methods is None else {"token_endpoint_auth_methods_supported": methods}
        token = answering.answers["/token"]
        answering.usual(**changes)
        answering.answers["/token"] = token
        async with provider_at(answering, clock, secret) as one:
            await one.read()
            assert await one.id_token("the-code", "the-verifier") == "x.y.z"
        authorization, body = answering.shown[-1]
        assert authorization.startswith("Basic ") is basic
        if basic:
            assert base64.b64decode(authorization[6:]) == b"console:a+b%26c%3Dd%2Be%25f"
        assert ("client_secret=a+b%26c%3Dd%2Be%25f" in body) is in_body
        assert "code_verifier=the-verifier" in body
    async with provider_at(answering, clock, "") as one:
        await one.read()
        await one.id_token("the-code", "the-verifier")
    authorization, body = answering.shown[-1]
    assert authorization == ""
    assert "client_id=console" in body
    assert "client_secret" not in body


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (JSONResponse({"error": "invalid_grant"}, 400), "invalid_grant"),
        (JSONResponse({"error": {"odd": "x" * 500}}, 401), "refuses"),
        (Response("no", 400), "refuses"),
        (JSONResponse({"access_token": "a"}), "no ID token"),
        (JSONResponse({"id_token": 7}), "no ID token"),
    ],
)
async def test_a_code_that_gives_nothing(answering: Answering, provider: Provider, answer: Response, why: str) -> None:
    await provider.read()
    answering.answers["/token"] = answer
    with pytest.raises(RefusedError, match=why) as caught:
        await provider.id_token("the-code", "the-verifier")
    assert len(str(caught.value)) < 200
    answering.answers["/token"] = Response(status_code=502)
    with pytest.raises(AwayError):
        await provider.id_token("the-code", "the-verifier")


async def test_an_issuer_that_does_not_name_itself_need_not(answering: Answering, provider: Provider) -> None:
    await provider.read()
    assert [provider.is_named(one) for one in ("", answering.url, "https://evil.example")] == [True, True, False]
    answering.usual(authorization_response_iss_parameter_supported=True)
    await provider.read()
    assert [provider.is_named(one) for one in ("", answering.url)] == [False, True]


async def test_whoever_logs_out_is_sent_where_the_provider_says(answering: Answering, provider: Provider) -> None:
    back = "http://127.0.0.1:8420/"
    assert provider.end_address("the-token", back) == "", "it has not answered yet"
    await provider.read()
    assert provider.end_address("the-token", back) == "", "it has no such page"
    for odd in (7, "javascript:alert(1)", "//x", "http://a b"):
        answering.usual(end_session_endpoint=odd)
        await provider.read()
        assert provider.end_address("the-token", back) == "", "and people log in all the same"
    answering.usual(end_session_endpoint=f"{answering.url}/bye?tenant=a")
    await provider.read()
    asked = "client_id=console&post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A8420%2F"
    assert provider.end_address("", back) == f"{answering.url}/bye?tenant=a&{asked}"
    assert provider.end_address("the-token", back) == f"{answering.url}/bye?tenant=a&{asked}&id_token_hint=the-token"


async def test_where_a_browser_is_sent_keeps_what_the_address_has(answering: Answering, provider: Provider) -> None:
    answering.usual(authorization_endpoint=f"{answering.url}/authorize?tenant=a")
    await provider.read()
    attempt = Attempts().begin("", 0)
    url = provider.address(attempt)
    assert url.startswith(f"{answering.url}/authorize?tenant=a&response_type=code&client_id=console&")
    assert f"code_challenge={attempt.challenge}&code_challenge_method=S256" in url
    assert attempt.verifier not in url
    assert identity_claims()["nonce"] == NONCE


USUAL: dict[str, Any] = {"issuer": "https://id.example", "client_id": "console", "base_url": "https://watch.example"}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"issuer": "http://id.example"}, "only with allow_private_networks"),
        ({"issuer": "https://id.example?x=1"}, "without"),
        ({"issuer": "id.example"}, "must begin with"),
        ({"base_url": "http://watch.example"}, "need https"),
        ({"base_url": "https://watch.example/?x"}, "no address"),
        ({"client_id": ""}, "client_id is empty"),
        ({"audience": "console"}, "must differ from an ID token"),
        ({"allow_untyped_access_tokens": True}, "without audience"),
        ({"clock_skew_s": 301}, "use 0 to 300"),
        ({"session_idle_s": 0.0}, "above 0"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(changes: dict[str, Any], fault: str) -> None:
    LoginSettings(**USUAL)
    LoginSettings(**(USUAL | {"base_url": "http://127.0.0.1:8420"}))
    with pytest.raises(ValueError, match=fault):
        LoginSettings(**(USUAL | changes))


CONFIG = """[service]
data_folder = "data"
[api]
{api}
[login]
issuer = "https://id.example"
client_id = "console"
client_secret_file = "secret"
base_url = "https://watch.example"
{login}
"""


@pytest.mark.parametrize(
    ("api", "login", "secret", "code", "said"),
    [
        ('token_file = "token"', "", "s", 0, "can be used"),
        ("", "", "s", 2, "name [api] token_file for its keepers"),
        ('token_file = "token"', 'clientid = "x"', "s", 2, "[login] clientid is no key of this program"),
        ('token_file = "token"', "", "", 0, "holds no secret of a client"),
        ('token_file = "token"', "", None, 0, "[login] client_secret_file"),
    ],
)
def test_check_tells_what_is_wrong_without_a_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], api: str, login: str, secret: str | None, code: int, said: str
) -> None:
    from pledgewatch_cloud.__main__ import main  # noqa: PLC0415 - here alone

    file = tmp_path / "cloud.toml"
    file.write_text(CONFIG.format(api=api, login=login), encoding="utf-8")
    (tmp_path / "token").write_text("t" * 32, encoding="utf-8")
    if secret is not None:
        (tmp_path / "secret").write_text(secret, encoding="utf-8")
    assert main(["run", "--config", str(file), "--check"]) == code
    told = capsys.readouterr()
    assert said in told.out + told.err
    assert isinstance(SystemClock().now_ms(), int)
