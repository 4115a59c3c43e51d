"""Users: who asks, for which party and in which role.

    {"id": "anna", "name": "Anna Kern", "party": "harbour-bank", "role": "lender",
     "subjects": [{"issuer": "https://id.example", "subject": "2482"}],
     "keys": [{"kid": "k1", "sha256": "<64 hexadecimal digits>", "until": "2027-01-01T00:00:00Z", "scope": "read"}],
     "until": "2027-06-30T22:00:00Z"}

A user comes in by what an identity provider says of them (`subjects`, OpenID Connect), or by a key of the API, of which
the book has the SHA-256 only: a key has 256 bits of chance, so nobody finds it by its hash. What a role sees is said in
visible.py. Insurers and auditors see what is named for them, `facilities`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.items.sections import Sections, absent, said
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.stretches import NEVER

KEYS_MAX = 20
SUBJECTS_MAX = 20
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\ufffe\uffff]{1,140}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ISSUER = re.compile(r"https?://[^\s\x00-\x1f]{1,500}")
_SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")


class Role(StrEnum):
    """What somebody is to the goods. KEEPER keeps the book and sees everything."""

    KEEPER = "keeper"
    LENDER = "lender"
    BORROWER = "borrower"
    OPERATOR = "operator"
    WAREHOUSE = "warehouse"
    INSURER = "insurer"
    AUDITOR = "auditor"


NAMED = frozenset({Role.INSURER, Role.AUDITOR})
"""Roles that see what is named for them."""
UNCHANGING = frozenset({Role.INSURER, Role.AUDITOR})
"""Roles that change nothing, whatever their key is for."""
SCOPES = ("read", "write")


class Subject(NamedTuple):
    """How an identity provider calls somebody (OpenID Connect Core, 2: `iss` and `sub`)."""

    issuer: str
    subject: str


class ApiKey(NamedTuple):
    """A key of the API: its name, its SHA-256, until when it opens, and whether for writing too (`scope`)."""

    kid: str
    sha256: str
    until_ms: int = NEVER
    scope: str = "read"


class User(NamedTuple):
    """Somebody who asks. `facilities` are those that an insurer or an auditor may see. From `until_ms` on nobody is let
    in as this user, whatever they show."""

    id: str
    name: str
    party: str
    role: str
    subjects: tuple[Subject, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    facilities: tuple[str, ...] = ()
    until_ms: int = NEVER


def _user(item: Item) -> User:
    role = Role(item.one_of("role", tuple(Role)))
    user = User(
        item.text("id"),
        item.text("name", _NAME),
        item.text("party"),
        role.value,
        tuple(_subject(one) for one in item.items("subjects")),
        tuple(_key(one) for one in item.items("keys")),
        item.ids("facilities"),
        item.moment("until", NEVER),
    )
    if len(user.keys) > KEYS_MAX or len({one.kid for one in user.keys}) < len(user.keys):
        raise item.error("keys", f"at most {KEYS_MAX}, each with a kid of its own")
    if len(user.subjects) > SUBJECTS_MAX:
        raise item.error("subjects", f"at most {SUBJECTS_MAX}")
    if user.facilities and role not in NAMED:
        raise item.error(
            "facilities", f"a {role} sees what its party has part in; only insurers and auditors name some"
        )
    return user


def _subject(item: Item) -> Subject:
    subject = Subject(item.text("issuer", _ISSUER), item.text("subject", _SUBJECT))
    item.end()
    return subject


def _key(item: Item) -> ApiKey:
    scope = item.one_of("scope", SCOPES) if item.has("scope") else "read"
    key = ApiKey(item.text("kid"), item.text("sha256", _SHA256), item.moment("until", NEVER), scope)
    item.end()
    return key


READERS: dict[str, Callable[[Item], Any]] = {"users": _user}
"""How an item of each section is read."""


def as_document(_section: str, user: User) -> dict[str, Any]:
    """A user as an amendment says it."""
    written = said(user)
    if written.pop("until_ms", None) is not None:
        written["until"] = iso(user.until_ms)
    if user.subjects:
        written["subjects"] = [one._asdict() for one in user.subjects]
    if user.keys:
        written["keys"] = [_key_document(one) for one in user.keys]
    return written


def _key_document(key: ApiKey) -> dict[str, Any]:
    until = {} if key.until_ms == NEVER else {"until": iso(key.until_ms)}
    return {"kid": key.kid, "sha256": key.sha256, "scope": key.scope} | until


def faults(sections: Sections) -> Iterator[str]:
    """References that lead nowhere, and what would open for two."""
    users: Mapping[str, User] = sections["users"]
    opened: dict[tuple[str, str], str] = {}
    for identity, user in sorted(users.items()):
        for facility in user.facilities:
            yield from absent(sections, f"users {identity}: facilities", "facilities", facility)
        ways = [("key", one.sha256) for one in user.keys]
        ways += [("subject", f"{one.issuer} {one.subject}") for one in user.subjects]
        for way in ways:
            other = opened.setdefault(way, identity)
            if other != identity:
                yield f"users {identity}: a {way[0]} of theirs is one of {other} already; give each their own"
