"""Parties: who pays or is paid, keeps, holds, counts or lends on goods; where each is paid and what each signs with."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import identifiers, jose
from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.items.sections import said
from pledgewatch_cloud.decide.jose import JoseError

IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}")
ACCOUNT = re.compile(r"[A-Za-z0-9 ./-]{1,34}")
BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
KEYS_MAX = 20
"""Keys of one party: what it signs with now, what it did, and what its several signers have."""
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\ufffe\uffff]{1,140}")
_WORD = re.compile(r"[A-Z0-9]{1,34}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


class PartyKey(NamedTuple):
    """A public key that somebody signs with: its name, and the `x` of its JWK (RFC 8037): 32 bytes in base64url."""

    kid: str
    x: str


class Party(NamedTuple):
    """Somebody who is paid or pays, keeps, holds or lends on goods. Words that are empty are not known; `iban`, or else
    `account` at `bic`. Who signs, of receipts and counts, has `keys`."""

    id: str
    name: str
    lei: str = ""
    iban: str = ""
    account: str = ""
    bic: str = ""
    country: str = ""
    keys: tuple[PartyKey, ...] = ()


def account_of(parties: Mapping[str, Party], payee: str) -> str:
    """Where a party is paid, in words; empty where the book does not know."""
    party = parties.get(payee)
    number = (party.iban or party.account) if party else ""
    return f"{number} at {party.bic}" if party and number and party.bic else number


def keys_of(parties: Mapping[str, Party], party: str) -> Mapping[str, bytes]:
    """The raw Ed25519 public keys of a party by their names; none for a party that is not known."""
    known = parties.get(party)
    return {one.kid: jose.public_key(one.x) for one in known.keys} if known else {}


def _party(item: Item) -> Party:
    told = (("lei", _WORD), ("iban", _WORD), ("account", ACCOUNT), ("bic", BIC))
    words = {key: item.text(key, pattern) for key, pattern in told if item.has(key)}
    keys = tuple(_party_key(one) for one in item.items("keys"))
    party = Party(item.text("id"), item.text("name", _NAME), **words, country=item.country("country"), keys=keys)
    _check_keys(item, keys)
    try:
        _ = identifiers.lei(party.lei) if party.lei else ""
    except identifiers.IdentifierError as error:
        raise item.error("lei", str(error)) from None
    if party.iban and not is_iban(party.iban):
        raise item.error("iban", f"{party.iban!r} is none: its check digits are wrong (ISO 13616)")
    if party.iban and party.account:
        raise item.error("account", "there is an iban as well; name one of both")
    return party


def _party_key(item: Item) -> PartyKey:
    key = PartyKey(item.text("kid"), item.text("x", _BASE64URL))
    item.end()
    try:
        jose.public_key(key.x)
    except JoseError as error:
        raise item.error("x", str(error).removeprefix("x: ")) from None
    return key


def _check_keys(item: Item, keys: tuple[PartyKey, ...]) -> None:
    """A name stands for one key, and there are not too many of them."""
    if len(keys) > KEYS_MAX:
        raise item.error("keys", f"there are {len(keys)}; at most {KEYS_MAX}, so take out what is not signed with")
    kids = [one.kid for one in keys]
    for place, kid in enumerate(kids):
        if kid in kids[:place]:
            raise item.error(f"keys[{place}].kid", f"{kid!r} is the name of another key already; give it its own")


def is_iban(text: str) -> bool:
    """Whether a text is an IBAN: country, two check digits, up to 30 letters and digits (ISO 13616, modulus 97)."""
    if not IBAN.fullmatch(text):
        return False
    return int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1


READERS: dict[str, Callable[[Item], Any]] = {"parties": _party}
"""How an item of each section is read."""


def as_document(_section: str, party: Party) -> dict[str, Any]:
    """A party as an amendment says it."""
    return said(party) | ({"keys": [one._asdict() for one in party.keys]} if party.keys else {})
