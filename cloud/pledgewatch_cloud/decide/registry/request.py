"""What a member of a registry asks, as the bytes that it signs.

    {"request": "claim", "turn": 7, "reference": "<64 digits>", "marks": {"<key>": ["<64 digits>", ...]}}
    {"request": "withdraw", "turn": 8, "reference": "<64 digits>"}
    {"request": "claims", "after": "<64 digits, or empty>"}
    {"request": "clashes"}

A reference is the member's own name for what it claims, made so that nobody else can read it; marks are blinded, by the
key that they were made under. So nothing that has a meaning outside may be said here, and what is no such run of
digits is refused before it is written anywhere. The first two are questions, and kept; the others ask a member's own.

A member numbers its questions, and the numbers only rise: these are its turns. Whoever waits no longer for an answer
does not know whether the question is still on its way, so one that comes in after a later one does nothing.

Two requests are the operator's, and are made where the registry is started: which keys are in use, and that a member
has gone.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.strict_json import JsonError, strict_json

CLAIM_MARKS_MAX = 10_000
"""Marks of one claim under one key."""
KEYS_MAX = 2
TURN_MAX = 2**53 - 1
"""The last turn there is: the largest whole number that every reader of JSON keeps as it is."""
_DIGITS = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[0-9a-f]{16}")


class RequestError(ValueError):
    """A request that is not taken: why, and what can be done. Nothing has changed by it."""

    def __init__(self, why: str, cure: str) -> None:
        super().__init__(f"{why}; {cure}")
        self.why = why
        self.cure = cure


class OvertakenError(RequestError):
    """A question that comes in after a later one of its member."""


class Claiming(NamedTuple):
    """Claim goods under a reference, in the place of what that claimed before. `marks` by key, each set in order."""

    turn: int
    reference: str
    marks: Mapping[str, tuple[str, ...]]


class Withdrawing(NamedTuple):
    """Claim nothing under a reference any more."""

    turn: int
    reference: str


class ListingClaims(NamedTuple):
    """Show the member's own live claims, those after a reference."""

    after: str


class ListingClashes(NamedTuple):
    """Show the clashes that the member has a part in."""


class UsingKeys(NamedTuple):
    """Marks are made under `key` from now on, and may be under `next_key` too, which is empty where there is none."""

    key: str
    next_key: str


class Dropping(NamedTuple):
    """A member has gone, and claims nothing any more."""

    member: str


Request: TypeAlias = Claiming | Withdrawing | ListingClaims | ListingClashes | UsingKeys | Dropping
KeptRequest: TypeAlias = Claiming | Withdrawing | UsingKeys | Dropping
"""What is written to the registry's journal."""


def read(body: bytes) -> Request:
    """A member's request. Raises RequestError."""
    found = _object(body)
    kind = found.get("request")
    if not isinstance(kind, str) or kind not in _READ:
        raise RequestError(f"request: {short(kind)} is none that there is", f"requests are {', '.join(_READ)}")
    members, reader = _READ[kind]
    if found.keys() != members:
        raise RequestError(f"{kind}: says {', '.join(sorted(found))}", f"say {', '.join(sorted(members))}")
    return reader(found)


def read_kept(member: str, body: bytes) -> KeptRequest:
    """A request as the journal has it; one of no member is the operator's. Raises RequestError."""
    found = read(body) if member else _operators(_object(body))
    if isinstance(found, ListingClaims | ListingClashes):
        raise RequestError("a request of this kind is never kept", "look at how this came into the journal")
    return found


def write(request: Request) -> bytes:
    """The bytes of a request."""
    for kind, (type_, names) in _WRITTEN.items():
        if isinstance(request, type_):
            return canonical.encode({"request": kind, **{name: getattr(request, name) for name in names}})
    raise TypeError(type(request))


def digest_of(marks: Iterable[str]) -> str:
    """SHA-256 of marks in order, by which a claim can be held against what it should be."""
    return canonical.sha256(",".join(marks).encode())


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = strict_json(body)
    except JsonError as error:
        raise RequestError(f"the body is no JSON: {error}", "send a JSON object in UTF-8") from None
    if not isinstance(found, dict):
        raise RequestError("the body is no JSON object", "send a JSON object in UTF-8")
    return found


def _operators(found: dict[str, Any]) -> KeptRequest:
    if found.get("request") == "keys":
        return UsingKeys(str(found["key"]), str(found["next_key"]))
    return Dropping(str(found["member"]))


def _reference(value: Any) -> str:
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise RequestError(
            f"reference: {short(value)} is no reference",
            "send 64 hexadecimal digits in small letters, which nobody else can read",
        )
    return value


def _turn(value: Any) -> int:
    if type(value) is not int or not 0 < value <= TURN_MAX:
        raise RequestError(
            f"turn: {short(value)} is no turn", f"number what changes something, from 1 to {TURN_MAX}, always higher"
        )
    return value


def _claiming(found: dict[str, Any]) -> Claiming:
    marks = found["marks"]
    if not isinstance(marks, dict) or not 0 < len(marks) <= KEYS_MAX:
        raise RequestError(f"marks: {short(marks)} are no marks", f"send them by their key, of at most {KEYS_MAX} keys")
    read_marks = {key: _marks(key, some) for key, some in marks.items()}
    if len({len(some) for some in read_marks.values()}) > 1:
        raise RequestError("marks: there are more under one key than under another", "make each mark under each key")
    return Claiming(_turn(found["turn"]), _reference(found["reference"]), read_marks)


def _marks(key: str, value: Any) -> tuple[str, ...]:
    if not _KEY.fullmatch(key):
        raise RequestError(f"marks: {short(key)} is no fingerprint of a key", "send 16 hexadecimal digits")
    if not isinstance(value, list) or not 0 < len(value) <= CLAIM_MARKS_MAX:
        raise RequestError(f"marks.{key}: is no list of 1 to {CLAIM_MARKS_MAX} marks", "claim less under one reference")
    if not all(isinstance(one, str) and _DIGITS.fullmatch(one) for one in value):
        raise RequestError(f"marks.{key}: not all are marks", "send each as 64 hexadecimal digits in small letters")
    if len(set(value)) < len(value):
        raise RequestError(f"marks.{key}: a mark comes twice", "send each once")
    return tuple(sorted(value))


_READ: Mapping[str, tuple[set[str], Callable[[dict[str, Any]], Request]]] = {
    "claim": ({"request", "turn", "reference", "marks"}, _claiming),
    "withdraw": (
        {"request", "turn", "reference"},
        lambda found: Withdrawing(_turn(found["turn"]), _reference(found["reference"])),
    ),
    "claims": (
        {"request", "after"},
        lambda found: ListingClaims(_reference(found["after"]) if found["after"] != "" else ""),
    ),
    "clashes": ({"request"}, lambda _: ListingClashes()),
}
_WRITTEN: Mapping[str, tuple[type, tuple[str, ...]]] = {
    "claim": (Claiming, ("turn", "reference", "marks")),
    "withdraw": (Withdrawing, ("turn", "reference")),
    "claims": (ListingClaims, ("after",)),
    "clashes": (ListingClashes, ()),
    "keys": (UsingKeys, ("key", "next_key")),
    "drop": (Dropping, ("member",)),
}
