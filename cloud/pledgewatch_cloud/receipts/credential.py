"""What the register said of a receipt after an act, as a W3C Verifiable Credential 2.0, and its signature.

A credential is an extract from the register, as an extract from a land register is: it proves what stood there at a
moment, and is not the receipt itself. Control of a receipt moves by acts alone. So a credential is made for a receipt
that stands (issued, pledged, partly released, released), and the next act that changes what it says makes it void; the
status list tells (see status_list).

It is secured as JOSE (W3C *Securing Verifiable Credentials using JOSE and COSE*): a compact JWS whose payload is the
credential as it is, without a second set of claims; header `alg` EdDSA (Ed25519, RFC 8037), `typ` `vc+jwt`, and `kid`
the issuer's key. Payload and signature are the same bytes whenever they are made again, for JSON is canonical and
Ed25519 takes no chance.

The words of ours are mapped by a context inside the credential, so that a reader of linked data needs nothing but the
context of the W3C, which he has.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt import PyJWS

from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.moments import MomentError, iso, moment_ms, short
from pledgewatch_cloud.decide.receipts.receipt import Receipt, State
from pledgewatch_cloud.receipts.issuer import Issuer, kid_of

CONTEXT = "https://www.w3.org/ns/credentials/v2"
ALGORITHM, TYPE = "EdDSA", "vc+jwt"
MEDIA_TYPE = "application/vc+jwt"
PURPOSES = ("revocation", "suspension")
ENTRIES = 131_072
"""The bits of a status list: 16 KiB, the least that its standard allows, for who looks one up hides among the rest."""

STANDING = (State.ISSUED, State.PLEDGED, State.PARTLY_RELEASED, State.RELEASED)
"""The states of a receipt that credentials are made for."""
PAUSED = (State.FROZEN, State.LOST)
"""The states in which a credential is suspended; in those that are in neither, it is revoked."""

_TYPES = ["VerifiableCredential", "WarehouseReceiptCredential"]
_MEMBERS = ("@context", "credentialStatus", "credentialSubject", "id", "issuer", "type", "validFrom")
_SUBJECT = (
    *("depositor", "goods", "holder", "id", "issued", "newest_act", "receipt", "received_from", "received_until"),
    *("state", "type", "warehouse"),
)
_SUBJECT_MAY = ("overrides", "parent", "pledgee", "replaces")
_LISTS = ("goods", "overrides")
_GOODS = ("bin", "quantity_milli", "sku", "unit")
_GOODS_MAY = ("container", "device", "ordered_milli", "released_milli", "seal")
_ENTRY = ("statusListCredential", "statusListIndex", "statusPurpose", "type")
_INDEX = re.compile("0|[1-9][0-9]{0,11}")
_DIGEST = re.compile("[0-9a-f]{64}")


class CredentialError(ValueError):
    """Why no credential can be made, or what is not one of a receipt; one sentence."""


class ExtractGoods(NamedTuple):
    """A line of goods as a credential states it, in thousandths of the unit: of `quantity_milli`, `released_milli` is
    free while the rest is pledged, and `ordered_milli` surrendered for delivery."""

    sku: str
    quantity_milli: int
    unit: str
    bin: str
    container: str
    seal: str
    device: str
    released_milli: int
    ordered_milli: int


class Extract(NamedTuple):
    """What a credential says of a receipt, as of `at_ms`. `overrides` are asks that were passed over: goods that came
    close to those of another receipt."""

    id: str
    warehouse: str
    depositor: str
    holder: str
    pledgee: str
    state: str
    goods: tuple[ExtractGoods, ...]
    received_ms: int
    received_until_ms: int
    issued_ms: int
    until_ms: int
    head: str
    parent: str
    replaces: str
    overrides: tuple[str, ...]
    at_ms: int
    credential_id: str
    issuer: str
    status_index: int


class StatusEntry(NamedTuple):
    """Where to look up one purpose: a bit of a list."""

    purpose: str
    list_id: str
    bit: int


# Making one.


def credential(receipt: Receipt, issuer: Issuer, status_index: int, at_ms: int) -> dict[str, Any]:
    """The credential of a receipt as it stands at `at_ms`, unsigned.

    `status_index` is its number among all credentials of the issuer, from 0, and never used again; status_list says
    which list and bit that is. Raises CredentialError where the receipt does not stand.
    """
    if receipt.state not in STANDING:
        raise CredentialError(
            f"receipt {receipt.id} is {receipt.state}: a credential is made for one that is {', '.join(STANDING)}"
        )
    about = f"{issuer.base_url}/receipts/{quote(receipt.id, safe='')}"
    said: dict[str, Any] = {
        "@context": [CONTEXT, {"@vocab": f"{issuer.base_url}/terms#"}],
        "id": f"{about}/credentials/{status_index}",
        "type": _TYPES,
        "issuer": issuer.did,
        "validFrom": iso(at_ms),
        "credentialStatus": [_entry(issuer, purpose, status_index) for purpose in PURPOSES],
        "credentialSubject": {"id": about, "type": "WarehouseReceipt", **facts(receipt)},
    }
    return {**said, "validUntil": iso(receipt.until_ms)} if receipt.until_ms else said


def list_id(base_url: str, purpose: str, status_index: int) -> str:
    """The id, and the address, of the status list that holds a credential's bit for a purpose."""
    return f"{base_url}/receipts/status-lists/{purpose}/{status_index // ENTRIES}"


def _entry(issuer: Issuer, purpose: str, status_index: int) -> dict[str, str]:
    return {
        "type": "BitstringStatusListEntry",
        "statusPurpose": purpose,
        "statusListIndex": str(status_index % ENTRIES),
        "statusListCredential": list_id(issuer.base_url, purpose, status_index),
    }


def facts(receipt: Receipt) -> dict[str, Any]:
    """What a credential says of its receipt by itself; what is blank is left out."""
    goods = [
        _without_blanks(
            {
                "sku": one.sku,
                "quantity_milli": one.quantity_milli,
                "unit": one.unit,
                "bin": one.bin,
                "container": one.container,
                "seal": one.seal,
                "device": one.device,
                "released_milli": released_milli,
                "ordered_milli": ordered_milli,
            },
            _GOODS,
        )
        for one, released_milli, ordered_milli in zip(
            receipt.goods, receipt.released_milli, receipt.ordered_milli, strict=True
        )
    ]
    said = {
        "receipt": receipt.id,
        "warehouse": receipt.warehouse,
        "depositor": receipt.depositor,
        "holder": receipt.holder,
        "pledgee": receipt.pledgee,
        "state": str(receipt.state),
        "received_from": iso(receipt.received_ms),
        "received_until": iso(receipt.received_until_ms),
        "issued": iso(receipt.issued_ms),
        "goods": goods,
        "newest_act": receipt.head,
        "parent": receipt.parent,
        "replaces": receipt.replaces,
        "overrides": list(receipt.overrides),
    }
    return _without_blanks(said, _SUBJECT)


def _without_blanks(said: Mapping[str, Any], needed: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value or name in needed}


def sign(said: Mapping[str, Any], private_key: Ed25519PrivateKey, kid: str) -> str:
    """A credential as a compact JWS. Raises ValueError where the key is not the one that `kid` and the issuer name."""
    own = kid_of(private_key.public_key().public_bytes_raw())
    if kid != own or own != f"{said['issuer']}#0":
        raise ValueError(f"the signing key is {own}; the credential is to be signed by {kid} for {said['issuer']}")
    header = {"typ": TYPE, "kid": kid}
    return PyJWS(algorithms=[ALGORITHM]).encode(encode(said), private_key, algorithm=ALGORITHM, headers=header)


# Reading one.


def read(said: Mapping[str, Any]) -> tuple[Extract, tuple[StatusEntry, ...]]:
    """What a credential says of a receipt, and where its status stands. Raises CredentialError where it is none."""
    if said.get("type") != _TYPES:
        raise CredentialError(f"it is no warehouse receipt: its type is {short(said.get('type'))}")
    try:
        _has(said, "the credential", _MEMBERS, ("validUntil",))
        contexts = said["@context"]
        if not isinstance(contexts, list) or contexts[:1] != [CONTEXT]:
            raise CredentialError(f"@context must begin with {CONTEXT}")
        entries = _entries(said["credentialStatus"])
        extract = _extract(said, entries)
    except MomentError as error:
        raise CredentialError(f"{error}") from None
    return extract, entries


def _extract(said: Mapping[str, Any], entries: Sequence[StatusEntry]) -> Extract:
    subject = said["credentialSubject"]
    _has(subject, "credentialSubject", _SUBJECT, _SUBJECT_MAY)
    if subject["type"] != "WarehouseReceipt":
        raise CredentialError(f"it is no warehouse receipt: its subject is {short(subject['type'])}")
    if not isinstance(subject["goods"], list) or not subject["goods"]:
        raise CredentialError("credentialSubject.goods must be a list of at least one")
    texts = {name: _text(subject, name) for name in (*_SUBJECT, *_SUBJECT_MAY) if name not in _LISTS}
    if not _DIGEST.fullmatch(texts["newest_act"]):
        raise CredentialError("credentialSubject.newest_act must be a SHA-256, 64 hexadecimal digits")
    if texts["state"] not in STANDING:
        raise CredentialError(f"credentialSubject.state is {short(texts['state'])}; it is one of {', '.join(STANDING)}")
    return Extract(
        id=texts["receipt"],
        warehouse=texts["warehouse"],
        depositor=texts["depositor"],
        holder=texts["holder"],
        pledgee=texts["pledgee"],
        state=texts["state"],
        goods=tuple(_goods(one, f"credentialSubject.goods[{at}]") for at, one in enumerate(subject["goods"])),
        received_ms=moment_ms("credentialSubject.received_from", subject["received_from"]),
        received_until_ms=moment_ms("credentialSubject.received_until", subject["received_until"]),
        issued_ms=moment_ms("credentialSubject.issued", subject["issued"]),
        until_ms=moment_ms("validUntil", said["validUntil"]) if "validUntil" in said else 0,
        head=texts["newest_act"],
        parent=texts["parent"],
        replaces=texts["replaces"],
        overrides=_overrides(subject.get("overrides", [])),
        at_ms=moment_ms("validFrom", said["validFrom"]),
        credential_id=_text(said, "id"),
        issuer=_text(said, "issuer"),
        status_index=_number(_text(said, "id"), entries),
    )


def _overrides(said: Any) -> tuple[str, ...]:
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        raise CredentialError("credentialSubject.overrides must be a list of texts")
    return tuple(said)


def _goods(said: Any, place: str) -> ExtractGoods:
    _has(said, place, _GOODS, _GOODS_MAY)
    texts = {name: _text(said, name) for name in ("sku", "unit", "bin", "container", "seal", "device")}
    quantity, released, ordered = (said.get(name, 0) for name in ("quantity_milli", "released_milli", "ordered_milli"))
    if not all(type(one) is int and 0 <= one <= quantity for one in (quantity, released, ordered)):
        raise CredentialError(f"{place}: quantities must be whole numbers, none below 0 or above quantity_milli")
    return ExtractGoods(quantity_milli=quantity, released_milli=released, ordered_milli=ordered, **texts)


def _entries(said: Any) -> tuple[StatusEntry, ...]:
    """Both purposes, each once."""
    if not isinstance(said, list) or not all(isinstance(one, Mapping) for one in said):
        raise CredentialError("credentialStatus must be a list of its entries")
    found = []
    for one in said:
        _has(one, "an entry of credentialStatus", _ENTRY)
        bit = _text(one, "statusListIndex")
        if one["type"] != "BitstringStatusListEntry" or not _INDEX.fullmatch(bit):
            raise CredentialError("an entry of credentialStatus is no BitstringStatusListEntry with a decimal index")
        found.append(StatusEntry(_text(one, "statusPurpose"), _text(one, "statusListCredential"), int(bit)))
    if sorted(one.purpose for one in found) != sorted(PURPOSES):
        raise CredentialError(f"credentialStatus must say where {' and '.join(PURPOSES)} stand, each once")
    return tuple(found)


def _number(credential_id: str, entries: Sequence[StatusEntry]) -> int:
    """The status index, which both the id and the entries hold."""
    number = credential_id.rpartition("/")[2]
    if not _INDEX.fullmatch(number) or {int(number) % ENTRIES} != {one.bit for one in entries}:
        raise CredentialError("the id of the credential does not go with the place of its status")
    return int(number)


def _has(said: Any, place: str, needed: Sequence[str], may: Sequence[str] = ()) -> None:
    if not isinstance(said, Mapping):
        raise CredentialError(f"{place} must be an object")
    if odd := sorted(set(needed) - set(said)) + sorted(set(said) - {*needed, *may}):
        raise CredentialError(f"{place} lacks these members or has them too many: {short(', '.join(odd))}")


def _text(said: Mapping[str, Any], name: str) -> str:
    """A text, "" where it is not there."""
    if not isinstance(value := said.get(name, ""), str):
        raise CredentialError(f"{name} must be text, not {short(value)}")
    return value
