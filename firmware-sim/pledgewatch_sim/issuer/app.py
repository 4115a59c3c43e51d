"""The development issuer over HTTP: discovery, keys, a page on which one chooses who to be, and tokens for codes.

    GET /authorize ─► a button for each person ─► POST /authorize ─► back to the client with a code ─► POST /token
    GET /logout ─► back to the client

It asks for no password and keeps no login: whoever reaches it may be any of its people, so it listens to this machine
alone. What is refused before the client's address is known is told here; after that it is told there (RFC 6749,
4.1.2.1).
"""

import base64
import hmac
from html import escape
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.responses import Response

from pledgewatch_sim.issuer.provider import Client, OAuthError, Provider, check_asked
from pledgewatch_sim.issuer.settings import PersonSettings

_BODY_MAX = 16_384
_ASKED = ("response_type", "client_id", "redirect_uri", "scope", "state", "nonce")
_PKCE = ("code_challenge", "code_challenge_method")
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Who are you?</title>
</head>
<body><main><h1>Who are you?</h1><p>A login provider for development. It asks for no password.</p>
<form method="post" action="authorize">{hidden}
<ul>{people}</ul></form></main></body>
</html>
"""
_LOGGED_OUT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Logged out</title></head>
<body><main><h1>You are logged out.</h1></main></body></html>
"""


def create_issuer(provider: Provider, people: tuple[PersonSettings, ...]) -> FastAPI:
    """The issuer's pages over a provider."""
    app = FastAPI(title="development issuer", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(OAuthError)
    async def refuse(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OAuthError)
        status = HTTPStatus.UNAUTHORIZED if error.word == "invalid_client" else HTTPStatus.BAD_REQUEST
        said = {"error": error.word, "error_description": str(error)}
        return JSONResponse(said, status_code=status, headers=_NO_STORE)

    @app.get("/healthz")
    async def read_health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/.well-known/openid-configuration")
    async def read_discovery() -> dict[str, Any]:
        return provider.discovery()

    @app.get("/jwks")
    async def read_keys() -> dict[str, Any]:
        return provider.jwks()

    @app.get("/authorize")
    async def ask_who(request: Request) -> Response:
        asked = _once(request.url.query)
        provider.client_at(asked.get("client_id", ""), asked.get("redirect_uri", ""))
        try:
            check_asked(asked)
        except OAuthError as error:
            return _back(provider, asked, {"error": error.word})
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{escape(asked[name])}">'
            for name in (*_ASKED, *_PKCE)
            if name in asked
        )
        buttons = "".join(
            f'<li><button name="person" value="{escape(one.subject)}">{escape(one.name)}</button></li>'
            for one in people
        )
        return HTMLResponse(_PAGE.format(hidden=hidden, people=buttons), headers=_NO_STORE)

    @app.post("/authorize")
    async def give_code(request: Request) -> Response:
        asked = _once(await _body(request))
        client = provider.client_at(asked.get("client_id", ""), asked.get("redirect_uri", ""))
        if asked.get("person") not in {one.subject for one in people}:
            return _back(provider, asked, {"error": "access_denied"})
        try:
            code = provider.give_code(client, asked["redirect_uri"], asked, asked["person"])
        except OAuthError as error:
            return _back(provider, asked, {"error": error.word})
        return _back(provider, asked, {"code": code})

    @app.get("/logout")
    async def log_out(request: Request) -> Response:
        return _away(provider.logged_out(_once(request.url.query)))

    @app.post("/token")
    async def give_tokens(request: Request) -> JSONResponse:
        asked = _once(await _body(request))
        return JSONResponse(provider.tokens(_client(provider, request, asked), asked), headers=_NO_STORE)

    return app


def _away(url: str) -> Response:
    """Somebody who has logged out: on to an address, or told so where there is none."""
    if not url:
        return HTMLResponse(_LOGGED_OUT, headers=_NO_STORE)
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers=_NO_STORE)


def _back(provider: Provider, asked: dict[str, str], said: dict[str, str]) -> Response:
    """Send the browser back to the client, which is known to have this address."""
    url = asked["redirect_uri"]
    answer = urlencode({**said, "state": asked.get("state", ""), "iss": provider.url})
    return RedirectResponse(f"{url}{'&' if '?' in url else '?'}{answer}", HTTPStatus.SEE_OTHER, headers=_NO_STORE)


def _client(provider: Provider, request: Request, asked: dict[str, str]) -> Client:
    """The client that shows who it is: by Basic, in the body, or as a public one. Raises OAuthError."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    name, secret = asked.get("client_id", ""), asked.get("client_secret", "")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(shown, validate=True).decode().partition(":")
        except ValueError:
            name = ""
        name, secret = unquote_plus(name), unquote_plus(secret)
    client = provider.clients.get(name)
    if client is None or not hmac.compare_digest(client.secret.encode(), secret.encode()):
        raise OAuthError("invalid_client", "no client of that id has that secret")
    return client


async def _body(request: Request) -> str:
    """A form's body. Raises OAuthError."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _BODY_MAX:
            raise OAuthError("invalid_request", f"a form has at most {_BODY_MAX} bytes")
    return body.decode("ascii", "replace")


def _once(text: str) -> dict[str, str]:
    """The fields of a form or a query. Raises OAuthError where one comes twice (RFC 6749, 3.1)."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name in found:
            raise OAuthError("invalid_request", "a field comes twice")
        found[name] = value
    return found
