"""Whether a receipt's credential can be believed: without a network, from three things in hand.

They are the credential (a compact JWS, or the sheet that holds it), the issuer's public key, got by another way, and
the newest status lists. Each thing that is wrong is said in a sentence, and what is wrong in several ways is said so. A
credential is believed only where nothing is wrong: one whose status cannot be told is not.

A JWS is taken in one spelling alone (decide/jose), so no byte of a file can be another unseen. For the same
reason a sheet is drawn again from the credential in it and compared: people read the page and not the JWS, so the page
must say what was signed.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt import PyJWS
from jwt.exceptions import PyJWTError

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.receipts import sheet, status_list
from pledgewatch_cloud.receipts.credential import ALGORITHM, TYPE, CredentialError, Extract, StatusEntry, read
from pledgewatch_cloud.receipts.issuer import did_of, kid_of, read_jwk
from pledgewatch_cloud.receipts.status_list import StatusList, StatusListError, is_set

_LISTS_MAX = 64
_STRUCK = {
    "revocation": "it is revoked: the receipt has ended, or is no longer what this says",
    "suspension": "it is suspended: the receipt is frozen or reported lost",
}


class Verdict(NamedTuple):
    """`why` says what is wrong. `receipt` is what the issuer signed, even where that no longer holds; None where he did
    not sign it."""

    why: tuple[str, ...]
    receipt: Extract | None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.why


class _RefusedError(ValueError):
    """What was not signed by the issuer as a credential; a sentence for each reason."""

    def __init__(self, *why: str) -> None:
        super().__init__(*why)
        self.why = why


def verify(
    file: str | bytes,
    issuer_jwk: str | Mapping[str, Any],
    status_list_text: str | None,
    now_ms: int,
    list_age_max_ms: int | None = None,
) -> Verdict:
    """Whether a file is a receipt's credential that holds at `now_ms`.

    `file` is a compact JWS or a sheet (PDF), `issuer_jwk` the key that is expected, `status_list_text` the file of the
    status lists, None where there is none. A list is too old when the time it gives itself is over, when it is older
    than `list_age_max_ms`, or older than the credential. Raises IssuerError where the key is none.
    """
    key = read_jwk(issuer_jwk)
    try:
        token, page = _token(file)
        said = _opened(token, key)
        extract, entries = read(said)
    except _RefusedError as error:
        return Verdict(error.why, None)
    except CredentialError as error:
        return Verdict((f"{error}",), None)
    why = []
    if page is not None and sheet.pdf(token) != page:
        why.append(
            "the page is not the one that is drawn from the credential in it: believe the credential, not the page"
        )
    if now_ms < extract.at_ms:
        why.append(f"it speaks only from {iso(extract.at_ms)} on, and it is {iso(now_ms)}")
    if extract.until_ms and now_ms >= extract.until_ms:
        why.append(f"it expired at {iso(extract.until_ms)}")
    if status_list_text is None:
        why.append("no status list was given, so whether it is revoked or suspended cannot be told")
    else:
        lists, faults = _lists(status_list_text, key)
        why += faults
        for entry in entries:
            why += _status(entry, lists, extract, now_ms, list_age_max_ms)
    return Verdict(tuple(dict.fromkeys(why)), extract)


def _token(file: str | bytes) -> tuple[str, bytes | None]:
    """The credential of a file, and the sheet that it stood in. One line end after a credential is no part of it."""
    if isinstance(file, bytes):
        if file.startswith(b"%PDF-"):
            return sheet.token_in(file), file
        try:
            file = file.decode("ascii")
        except UnicodeDecodeError:
            raise _RefusedError("it is no receipt: a credential is ASCII text, and a sheet begins with %PDF-") from None
    if "#sha256=" in file[:4_096]:
        where, _, digest = file.strip().partition("#sha256=")
        raise _RefusedError(
            f"this says only where the credential is: get it from {_named(where)}, see that its SHA-256 is "
            f"{_named(digest)}, and verify it"
        )
    return re.sub(r"\r?\n\Z", "", file), None


# Signatures.


def _opened(token: str, key: bytes) -> dict[str, Any]:
    """What the holder of the key has signed as a credential. Raises _RefusedError."""
    try:
        parts = jose.read(token)
        claims = jose.said(parts)
    except jose.JoseError as error:
        raise _RefusedError(f"it is no signed credential: {error}") from None
    if parts.header.get("typ") != TYPE:
        raise _RefusedError(f"it is no credential: typ of its header must be {TYPE}")
    own, named, kid = did_of(key), claims.get("issuer"), parts.header.get("kid")
    others = []
    if named != own:
        others = [f"it is by another issuer, {_named(named)}, and not by {own}"]
    elif kid != kid_of(key):
        others = [f"it names another key, {_named(kid)}, and not {kid_of(key)}"]
    try:
        PyJWS(algorithms=[ALGORITHM]).decode(token, Ed25519PublicKey.from_public_bytes(key), algorithms=[ALGORITHM])
    except PyJWTError:
        raise _RefusedError(
            "the signature is not by the issuer's key, or what it covers was changed", *others
        ) from None
    if others:
        raise _RefusedError(*others)
    return claims


def _named(name: object) -> str:
    """A name as an error shows it; names of this kind differ only behind their first 54 letters."""
    text = repr(name)
    return text if len(text) <= 200 else f"{text[:197]}..."


# Status.


def _lists(text: str, key: bytes) -> tuple[list[StatusList], list[str]]:
    """The lists of a file that the issuer signed, and what is wrong with the others."""
    found, why = [], []
    lines = text.removesuffix("\n").split("\n")
    if len(lines) > _LISTS_MAX:
        return [], [f"there are {len(lines)} status lists and {_LISTS_MAX} at most are read; name those that it needs"]
    for number, line in enumerate(lines, 1):
        place = f"line {number} of the status lists"
        try:
            found.append(status_list.read(_opened(line.removesuffix("\r"), key)))
        except _RefusedError as error:
            why += [f"{place}: {one}" for one in error.why]
        except StatusListError as error:
            why.append(f"{place}: {error}")
    return found, why


def _status(
    entry: StatusEntry, lists: list[StatusList], extract: Extract, now_ms: int, age_max_ms: int | None
) -> list[str]:
    """What a credential's bit says against it, and what speaks against the list that it stands in."""
    own = [one for one in lists if (one.id, one.purpose) == (entry.list_id, entry.purpose)]
    if not own:
        return [f"the status list for {entry.purpose}, {_named(entry.list_id)}, is not there, so that cannot be told"]
    newest = max(own, key=lambda one: one.from_ms)
    try:
        why = [_STRUCK[entry.purpose]] if is_set(newest.bits, entry.bit) else []
    except StatusListError as error:
        return [f"the status list for {entry.purpose}: {error}"]
    said = f"the status list for {entry.purpose} is of {iso(newest.from_ms)}"
    if now_ms < newest.from_ms:
        why.append(f"{said}, and it is {iso(now_ms)}: one of the clocks is wrong")
    elif now_ms >= newest.until_ms:
        why.append(f"{said} and was to be used until {iso(newest.until_ms)}: it is too old, get a new one")
    elif age_max_ms is not None and now_ms - newest.from_ms > age_max_ms:
        why.append(f"{said}: it is too old for you, get a new one")
    if newest.from_ms < extract.at_ms:
        why.append(f"{said}, before the credential's {iso(extract.at_ms)}: it is too old for it, get a new one")
    return why
