"""What is told of paths before their routes are: who may get so far, and how long a body may be there.

A path that is open is reached by whom the book does not know: what anybody may know, the console's files, where people
log in, and where senders and signers hand in, who show who they are by what they bring. A route that takes the `Viewer`
refuses them all the same.
"""

import re

from starlette.datastructures import Headers
from starlette.types import Scope

from pledgewatch_cloud.book_file import MAX_FILE_BYTES
from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.stock import rows
from pledgewatch_cloud.notices import intake

READING = frozenset({"GET", "HEAD", "OPTIONS"})

SAID_MAX = 2**16
"""What people and programs say by a few words of JSON, a search or nothing at all."""
DOCUMENT_MAX = 2**24
"""What users write by documents."""
KEYED_MAX = 2**24
"""A body with an Idempotency-Key is held whole until its key has been looked at."""

_BODY_MAX = {
    "/book/amendments": MAX_FILE_BYTES,
    "/market/quotes": MAX_FILE_BYTES,
    "/stress": DOCUMENT_MAX,
    "/stock/reports": rows.DOCUMENT_MAX_BYTES,
    "/notices": intake.DOCUMENT_MAX_BYTES,
    "/notices/dcsa": intake.DOCUMENT_MAX_BYTES,
    "/epcis/capture": intake.DOCUMENT_MAX_BYTES,
    "/epcis/events": intake.DOCUMENT_MAX_BYTES,
    "/receipts/acts": jose.TEXT_MAX,
    "/warehouses/counts": jose.TEXT_MAX,
}
FOR_KEEPERS = frozenset({"/book/amendments", "/market/quotes"})
"""Where keepers alone write, and much at once."""
UNKEPT = frozenset({"/devices/invitations", "/stress"})
"""What is answered there is kept nowhere: a claim is said once, and what is seen is told as it is seen then."""
_MOVEMENTS = re.compile(r"/facilities/.+/movements", re.DOTALL)

_OPEN = frozenset(
    {
        "/",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/login",
        "/login/callback",
        "/receipts/register",
        "/receipts/issuer",
    }
)
_OPEN_UNDER = ("/console/", "/receipts/status-lists/")
_OPEN_TO_WRITE = frozenset(
    {
        "/login/end",
        "/devices/claims",
        "/devices/confirmations",
        "/devices/renewals",
        "/notices",
        "/notices/dcsa",
        "/epcis/capture",
        "/epcis/events",
        "/stock/reports",
        "/receipts/acts",
        "/warehouses/counts",
    }
)


def is_open(method: str, path: str) -> bool:
    """Whether a request is let through to its route whoever asks."""
    if method not in READING:
        return path in _OPEN_TO_WRITE
    return path in _OPEN or path.startswith(_OPEN_UNDER)


def body_max(scope: Scope) -> int:
    """How many bytes a request's body may have. What is only read for has as few as what is said."""
    if scope["method"] in READING:
        return SAID_MAX
    path = scope["path"]
    most = DOCUMENT_MAX if _MOVEMENTS.fullmatch(path) else _BODY_MAX.get(path, SAID_MAX)
    return min(most, KEYED_MAX) if "idempotency-key" in Headers(scope=scope) else most
