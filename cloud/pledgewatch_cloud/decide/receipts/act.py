"""An act: one signed step in a receipt's life, as a text that can be read, kept and judged without its signer.

    {"act": "pledge", "receipt": "la-1:0001", "after": "<head>", "by": "sofa-works", "at": "2026-03-01T09:30:00Z",
     "pledgee": "bank-one"}

It is the payload of a JWS (see jose). `after` is the digest of the act before it, empty where a receipt begins with it;
of two acts that name the same one, only one can be taken. The digest is the SHA-256 of the whole text. The first act of
a receipt names the `register` that it is for; all later ones hang on that by `after`.

Some acts need others' consent. A *consent* is a signed text of its own that says `act` (which is "consent"), `receipt`,
`by`, `at` and `to`: the digest of all that the act says but its consents. It stands for that act and no other.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import canonical, jose
from pledgewatch_cloud.decide.jose import JoseError, Signed
from pledgewatch_cloud.decide.moments import ID, ID_IS, MomentError, moment_ms, short
from pledgewatch_cloud.decide.receipts import goods as goods_module
from pledgewatch_cloud.decide.receipts.goods import LINES_MAX, GoodsError

PARTS_MAX = 100
CONSENTS_MAX = 20
_REASON_MAX = 1_000
_DIGEST_DIGITS = 64
_COMMON = ("act", "receipt", "after", "by", "at")
_SIGN = "sign the act again as docs/RECEIPTS.md says"


class ActKind(StrEnum):
    """What may be done."""

    DRAFT = "draft"
    ISSUE = "issue"
    TRANSFER = "transfer"
    PLEDGE = "pledge"
    RELEASE = "release"
    SURRENDER = "surrender"
    DELIVER = "deliver"
    SPLIT = "split"
    CANCEL = "cancel"
    FREEZE = "freeze"
    THAW = "thaw"
    LOSE = "lose"
    REPLACE = "replace"
    SUBSTITUTE = "substitute"


class Clash(NamedTuple):
    """A live receipt that stands against an act: by which kind of mark, of which line of the act's goods."""

    kind: str
    line: int
    receipt: str

    @property
    def ask(self) -> str:
        """What the act calls it by in its overrides; it tells nothing of the other receipt."""
        return f"goods[{self.line}] {self.kind}"


class ActError(ValueError):
    """An act that is not taken: why, and what can be done.

    Neither sentence names another's receipt: `clashes` do, and `asks` says whether a decision can pass over them.
    Only who has a part in a receipt may be told of its clash; see life.told.
    """

    def __init__(self, why: str, cure: str, clashes: tuple[Clash, ...] = (), *, asks: bool = False) -> None:
        super().__init__(f"{why}; {cure}")
        self.why = why
        self.cure = cure
        self.clashes = clashes
        self.asks = asks


class OvertakenError(ActError):
    """An act that another came before: it might have been taken of the receipt as its signer saw it."""


class NoPartError(ActError):
    """An act by somebody who has no part in its receipt, or none any more: of whom it may be told no more than that."""


class Consent(NamedTuple):
    """Somebody's signed yes to one act."""

    by: str
    receipt: str
    to: str
    kid: str
    signed: Signed


class Act(NamedTuple):
    """An act as it was read; whether its signature fits is asked by life.apply. `body` holds what its kind needs, read:
    moments as Unix milliseconds, goods as GoodsLine. `says` is what a consent to it names."""

    kind: ActKind
    receipt: str
    after: str
    by: str
    at_ms: int
    body: Mapping[str, Any]
    text: str
    kid: str
    signed: Signed
    says: str
    consents: tuple[Consent, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the text, hexadecimal: what the next act names as `after`."""
        return canonical.sha256(self.text.encode())


def read(text: str) -> Act:
    """An act from its text. Raises ActError."""
    kid, signed, said = _opened("act", text)
    if missing := [name for name in _COMMON if name not in said]:
        raise ActError(f"the act does not say {', '.join(missing)}", f"an act says {', '.join(_COMMON)}")
    kind = _kind(said["act"])
    after = _digest("after", said["after"]) if said["after"] != "" else ""
    needed, allowed = BODY[kind]
    members = said.keys() - set(_COMMON)
    if unknown := sorted(members - needed - allowed):
        raise ActError(f"{kind}: {', '.join(map(short, unknown))}: no such member", _members(kind))
    # What is issued after a draft was said by the draft.
    is_bare = kind is ActKind.ISSUE and bool(after)
    if is_bare and (twice := sorted(members & needed)):
        raise ActError(
            f"issue after a draft says {', '.join(twice)} again", "leave it out: what was drafted is issued as it is"
        )
    if not is_bare and (missing := sorted(needed - members)):
        raise ActError(f"{kind}: {', '.join(missing)} is missing", _members(kind))
    body = {name: _READ[name](name, said[name]) for name in sorted(members) if name != "consents"}
    if body.get("overrides") and "reason" not in body:
        raise ActError(f"{kind}: an override needs its reason", "say in `reason` why the goods are not the same")
    return Act(
        kind,
        _identity("receipt", said["receipt"]),
        after,
        _identity("by", said["by"]),
        _moment("at", said["at"]),
        body,
        text,
        kid,
        signed,
        says(said),
        _consents(said.get("consents", [])),
    )


def says(payload: Mapping[str, Any]) -> str:
    """What a consent to an act names: the digest of all that the act says but its consents."""
    return canonical.digest({name: value for name, value in payload.items() if name != "consents"})


def _opened(what: str, text: str) -> tuple[str, Signed, dict[str, Any]]:
    try:
        signed = jose.read(text)
        said = jose.said(signed)
    except JoseError as error:
        raise ActError(f"{what}: {error}", _SIGN) from None
    kid = signed.header.get("kid", "")
    if not kid:
        raise ActError(f"{what}: the header names no key", "put into `kid` the name that the key has in the book")
    _no_floats(what, said)
    return kid, signed, said


def _no_floats(what: str, value: Any) -> None:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, float):
        raise ActError(f"{what}: {value!r} is no whole number", "write quantities in thousandths, without a point")
    for one in inner:
        _no_floats(what, one)


def _kind(value: Any) -> ActKind:
    try:
        return ActKind(value)
    except ValueError:
        raise ActError(f"act: {short(value)} is none that there is", f"acts are {', '.join(ActKind)}") from None


def _members(kind: ActKind) -> str:
    needed, allowed = BODY[kind]
    listed = ", ".join(sorted(needed)) or "nothing more"
    return f"{kind} says {listed}" + (f", and may say {', '.join(sorted(allowed))}" if allowed else "")


def _identity(where: str, value: Any) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise ActError(f"{where}: {short(value)} is no id", f"write it as the book does: {ID_IS}")
    return value


def _digest(where: str, value: Any) -> str:
    is_digest = isinstance(value, str) and len(value) == _DIGEST_DIGITS and set(value) <= set("0123456789abcdef")
    if not is_digest:
        raise ActError(
            f"{where}: {short(value)} is no digest", "write the receipt's head: 64 hexadecimal digits in small letters"
        )
    return str(value)


def _moment(where: str, value: Any) -> int:
    try:
        return moment_ms(where, value)
    except MomentError as error:
        raise ActError(str(error), "write the time with its offset, to the millisecond at most") from None


def _reason(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _REASON_MAX:
        raise ActError(f"{where}: {short(value)} is no reason", f"say why, in 1 to {_REASON_MAX} characters")
    return value


def _quantities(where: str, value: Any) -> tuple[int, ...]:
    is_list = isinstance(value, list) and 0 < len(value) <= LINES_MAX
    if not is_list or any(type(one) is not int or one < 0 for one in value):
        raise ActError(
            f"{where}: {short(value)} is no list of whole numbers from 0",
            "give a number in thousandths for each line of the receipt's goods, in their order",
        )
    return tuple(value)


def _parts(where: str, value: Any) -> tuple[tuple[int, ...], ...]:
    if not isinstance(value, list) or not 2 <= len(value) <= PARTS_MAX:
        raise ActError(
            f"{where}: {short(value)} is no list of 2 to {PARTS_MAX} parts", "give the quantities of each part, by line"
        )
    return tuple(_quantities(f"{where}[{number}]", one) for number, one in enumerate(value))


def _overrides(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or len(value) > PARTS_MAX:
        raise ActError(f"{where}: {short(value)} is no list of asks", "copy the asks that the refusal named")
    return tuple(value)


def _goods(reader: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    def read_goods(where: str, value: Any) -> Any:
        try:
            return reader(where, value)
        except GoodsError as error:
            raise ActError(str(error), error.cure) from None

    return read_goods


def _consents(value: Any) -> tuple[Consent, ...]:
    if not isinstance(value, list) or len(value) > CONSENTS_MAX:
        raise ActError(f"consents: {short(value)} is no list of at most {CONSENTS_MAX} texts", _SIGN)
    found = []
    for number, text in enumerate(value):
        where = f"consents[{number}]"
        if not isinstance(text, str):
            raise ActError(f"{where}: {short(text)} is no text", _SIGN)
        kid, signed, said = _opened(where, text)
        if set(said) != {"act", "receipt", "by", "at", "to"} or said["act"] != "consent":
            raise ActError(f"{where}: is no consent", 'a consent says "act": "consent", receipt, by, at and to')
        _moment(f"{where}.at", said["at"])
        by, receipt = (_identity(f"{where}.{name}", said[name]) for name in ("by", "receipt"))
        found.append(Consent(by, receipt, _digest(f"{where}.to", said["to"]), kid, signed))
    return tuple(found)


_READ: Mapping[str, Callable[[str, Any], Any]] = {
    "register": _identity,
    "depositor": _identity,
    "goods": _goods(goods_module.read),
    "received": _goods(goods_module.window),
    "until": _moment,
    "to": _identity,
    "pledgee": _identity,
    "quantities_milli": _quantities,
    "into_milli": _parts,
    "reason": _reason,
    "replacement": _identity,
    "overrides": _overrides,
}
_DECIDED = frozenset({"overrides", "reason", "consents"})
_WHAT = frozenset({"register", "depositor", "goods", "received", "until"})
_NOTHING = frozenset[str]()
BODY: Mapping[ActKind, tuple[frozenset[str], frozenset[str]]] = {
    ActKind.DRAFT: (_WHAT, _NOTHING),
    ActKind.ISSUE: (_WHAT, _DECIDED),
    ActKind.TRANSFER: (frozenset({"to"}), _NOTHING),
    ActKind.PLEDGE: (frozenset({"pledgee"}), _DECIDED),
    ActKind.RELEASE: (_NOTHING, frozenset({"quantities_milli"})),
    ActKind.SURRENDER: (_NOTHING, frozenset({"quantities_milli"})),
    ActKind.DELIVER: (_NOTHING, frozenset({"quantities_milli"})),
    ActKind.SPLIT: (frozenset({"into_milli"}), _NOTHING),
    ActKind.CANCEL: (frozenset({"reason"}), _NOTHING),
    ActKind.FREEZE: (frozenset({"reason"}), _NOTHING),
    ActKind.THAW: (frozenset({"reason"}), _NOTHING),
    ActKind.LOSE: (frozenset({"reason"}), _NOTHING),
    ActKind.REPLACE: (frozenset({"replacement", "reason"}), _NOTHING),
    ActKind.SUBSTITUTE: (frozenset({"goods", "received", "reason"}), frozenset({"overrides", "consents"})),
}
"""What each kind of act says beside what all do: what it must, and what it may."""
