"""A provider of logins that answers whatever a test wants, and keys of issuers."""

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from jwcrypto import jwk
from starlette.responses import Response
from streaming import Served

KEYS = "/keys"
DISCOVERY = "/.well-known/openid-configuration"


@cache
def key(name: str = "one", kind: str = "RSA") -> Any:
    """A key of the issuer; others than `one` are nobody's whom it knows, or a second of its own."""
    if kind == "RSA":
        return jwk.JWK.generate(kty="RSA", size=2_048, kid=name)
    if kind == "Ed25519":
        return jwk.JWK.generate(kty="OKP", crv="Ed25519", kid=name)
    return jwk.JWK.generate(kty="EC", crv=kind, kid=name)


def public(*some: Any, **members: Any) -> dict[str, Any]:
    """A key set."""
    return {"keys": [{**one.export_public(as_dict=True), **members} for one in some]}


class Answering:
    """A provider that answers whatever a test wants, once it is `serving`."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.add_route("/{path:path}", self._answer, methods=["GET", "POST"])
        self.served = Served(self.app)
        self.url = self.served.url
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.shown: list[tuple[str, str]] = []
        self.usual()

    def usual(self, **changes: Any) -> None:
        """As it should be, with changes of what it says of itself."""
        self.answers = {
            DISCOVERY: {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": self.url + KEYS,
                **changes,
            },
            KEYS: public(key()),
        }
        self.asked.clear()
        self.shown.clear()

    async def _answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        self.shown.append((request.headers.get("authorization", ""), (await request.body()).decode()))
        found = self.answers.get(request.url.path, Response(status_code=404))
        if callable(found) and not isinstance(found, Response):
            found = found()
        return found if isinstance(found, Response) else JSONResponse(found)


@contextlib.contextmanager
def serving() -> Iterator[Answering]:
    """One that answers, for as long as somebody asks."""
    made = Answering()
    with made.served:
        yield made
