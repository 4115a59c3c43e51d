"""How identities change: one function for each act, from what is remembered to what is remembered after it.

    invited ─► claimed ─► renewed ─► confirmed ─► renewed ─► …
                  │  ▲ invited again (another card, another key: the epoch goes up)
                  └──┴─► revoked: nothing is taken until it is claimed again; or retired: for good

An act that cannot be is refused with an IdentityError. The same functions are asked before an entry is written
(drafts.py) and when it is read back (step.py), so what was refused is never in the journal.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.batch import (
    DeviceClaim,
    DeviceConfirmation,
    DeviceInvitation,
    DeviceMisuse,
    DeviceRenewal,
    DeviceRevocation,
)
from pledgewatch_cloud.decide.book import Book, amend
from pledgewatch_cloud.decide.identity_book import (
    CERTIFICATES_MAX,
    DROPPED_TOLD,
    FORMER_KEYS_MAX,
    INVITATIONS_MAX,
    KEY_IN_FORCE_WAIT_MS,
    OPERATOR_INVITATIONS_MAX,
    RENEWAL_WAIT_MS,
    RENEWALS_REVOKED_MAX,
    REVOKED_MAX,
    Identity,
    IdentityBook,
    Invitation,
    Issued,
    Revoked,
)
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.items import assets
from pledgewatch_cloud.decide.items.assets import Installation
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_wire import topics
from pledgewatch_wire.codec import MAX_EPOCH

EPOCHS_AHEAD = 32
"""How many epochs a device may know of that the cloud has seen nothing of: one for each spool that broke unheard."""
_ANY_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
"""A key that is one (RFC 8032, 7.1), for what is asked of the book before the device has made its own."""
_NO_CODE = "there is no such invitation: the code is wrong, was used, or has expired; ask for another invitation"
_AGAIN = "ask for another invitation"
OVERUSED = "overused_certificate"
"""The kind of a DeviceMisuse by a certificate that counts."""
UNKNOWN_TOLD = 16
"""Of a device's."""
UNKNOWN = "unknown_certificate"
"""The kind of what is said of one that the journal has lost, or never had."""


class Why(StrEnum):
    """Which kind of refusal it is."""

    UNKNOWN = "unknown"
    CHANGED = "changed"
    INVALID = "invalid"
    REFUSED = "refused"
    TOO_MANY = "too_many"


class IdentityError(ValueError):
    """An act on a device's identity that cannot be; the sentence says why, and what to do."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


class TooSoonError(Exception):
    """A renewal that comes too soon after another; it may be from `from_ms` on."""

    def __init__(self, text: str, from_ms: int) -> None:
        super().__init__(text)
        self.from_ms = from_ms


def completed(book: Book, asked: DeviceInvitation) -> DeviceInvitation:
    """An invitation with the operator, the asset and the gateway that the book knows, where none is said."""
    known = book.installations.get(asked.device) or book.installations.get(asked.replaces)
    if known is None:
        return asked
    return asked._replace(
        operator=asked.operator or known.operator,
        asset=asked.asset or known.asset,
        gateway=asked.gateway or known.gateway,
    )


def invited(book: Book, identities: IdentityBook, asked: DeviceInvitation) -> IdentityBook:
    """Somebody was invited; an earlier invitation of the device counts no more, which an operator's ends only where it
    is its own, or the book has the device as its own by now. Raises IdentityError; BookError where the book would not
    have the device so."""
    _check_place(book, asked)
    party = _operator_of(book, asked.by)
    if party:
        _check_operates(book, asked, party)
    _check_room(identities.of(asked.device), asked.at_ms)
    if asked.device not in book.installations:
        amend(book, document_of(book, asked, _ANY_KEY, asked.at_ms))
    kept = {device: one for device, one in identities.invitations.items() if one.until_ms > asked.at_ms}
    waiting, known = kept.pop(asked.device, None), book.installations.get(asked.device)
    # Where the book has the device, another's invitation opens nothing any more, so it holds nobody up.
    if waiting is not None and party not in ("", waiting.party) and (known is None or not waiting.party):
        text = f"{asked.device} is invited already, not by {party}; use another name, or ask the book's keeper"
        raise IdentityError(Why.CHANGED, text)
    most = OPERATOR_INVITATIONS_MAX if party else INVITATIONS_MAX
    if sum(one.party == party for one in kept.values()) >= most:
        who = f"of {party} " if party else ""
        text = f"{most} invitations {who}wait to be claimed; let some be claimed or expire, or withdraw some"
        raise IdentityError(Why.TOO_MANY, text)
    return identities.with_invitations({**kept, asked.device: Invitation(**asked._asdict(), party=party)})


def invitation_of(identities: IdentityBook, device: str, code_sha256: str, at_ms: int) -> Invitation | None:
    """The invitation that a code opens, used or not; None where it opens none."""
    known = identities.invitations.get(device)
    claim = identities.of(device).claim
    for one in (known, claim):
        if one is not None and one.code_sha256 == code_sha256 and at_ms < one.until_ms:
            return one
    return None


def unknown_code() -> IdentityError:
    """The one answer to every wrong code."""
    return IdentityError(Why.UNKNOWN, _NO_CODE)


def answered(
    book: Book, identities: IdentityBook, device: str, code_sha256: str, public_key: str, key_sha256: str
) -> Identity | None:
    """The identity that this very device has claimed by this code before, with these keys: it has lost the answer.
    Any other who shows a used code is refused. None where the code was not used."""
    one = identities.of(device)
    if one.claim is None or one.claim.code_sha256 != code_sha256:
        return None
    is_same = one.public_key == public_key and one.certificates and one.certificates[-1].key_sha256 == key_sha256
    installed = book.installations.get(device)
    if not is_same or one.revoked_ms or installed is None or installed.retired:
        raise unknown_code()
    return one


def document_of(book: Book, asked: DeviceInvitation | Invitation, public_key: str, fitted_ms: int) -> dict[str, Any]:
    """What a claim changes of the book: the device's key; a device that is new there is fitted at that moment, and one
    whose place it takes is retired."""
    known = book.installations.get(asked.device)
    if known is not None:
        return {"installations": [_document(known) | {"public_key": public_key}]}
    fitted = {
        "device": asked.device,
        "operator": asked.operator,
        "asset": asked.asset,
        "public_key": public_key,
        "fitted_at": iso(fitted_ms),
        **({"gateway": asked.gateway} if asked.gateway else {}),
    }
    replaced = book.installations.get(asked.replaces)
    if replaced is None:
        return {"installations": [fitted]}
    # It was calibrated, and this one was not: so nothing is said of it.
    patience = {key: value for key, value in _document(replaced).items() if key != "calibrated_until"}
    return {"installations": [_document(replaced) | {"retired": 1}, patience | fitted | {"retired": 0}]}


def epoch_of(epochs: Iterable[tuple[str, int]], identities: IdentityBook, device: str, said: int) -> int:
    """The highest epoch of a device that anybody knows of: the cloud, or the device itself, which may know of a few
    more. Epochs are few, and whoever claims once must not use up a name's. Raises IdentityError."""
    if not 0 <= said < MAX_EPOCH:
        raise IdentityError(Why.INVALID, f"epoch is {said}; it is from 0 to {MAX_EPOCH - 1}")
    seen = max((epoch for one, epoch in epochs if one == device), default=0)
    known = max(seen, identities.of(device).epoch)
    if said > known + EPOCHS_AHEAD:
        text = f"epoch is {said}, more than {EPOCHS_AHEAD} beyond {known}, the last that the cloud knows of {device}"
        raise IdentityError(Why.INVALID, f"{text}; let it claim with an empty state folder")
    return max(known, said)


def check_claim(book: Book, identities: IdentityBook, one: Invitation, public_key: str, at_ms: int) -> None:
    """Refuse a claim of what the book has otherwise by now, or with a key that is another device's."""
    known = book.installations.get(one.device)
    if known is not None and (known.operator, known.asset) != (one.operator, one.asset):
        text = (
            f"{one.device} is fitted to {known.asset} by {known.operator} by now, and was invited otherwise; {_AGAIN}"
        )
        raise IdentityError(Why.CHANGED, text)
    if one.replaces and known is not None:
        raise IdentityError(Why.CHANGED, f"{one.device} is in the book by now, so it replaces nobody; {_AGAIN}")
    try:
        _check_place(book, one)
        if one.party:
            _check_operates(book, one, one.party)
    except IdentityError as error:
        raise IdentityError(Why.CHANGED, str(error)) from None
    for other in book.installations.values():
        if other.public_key == public_key and other.device != one.device:
            text = f"this key is {other.device}'s: a card was copied; let {one.device} claim with an empty state folder"
            raise IdentityError(Why.CHANGED, text)
    _check_room(identities.of(one.device), at_ms)


def claimed(book: Book, identities: IdentityBook, one: DeviceClaim) -> IdentityBook:
    """A device has claimed; `book` is the one before. Its certificates of before count no more, nor do those of the
    device whose place it takes. Raises IdentityError."""
    invitation = identities.invitations.get(one.device)
    if invitation is None or invitation.code_sha256 != one.code_sha256 or one.at_ms >= invitation.until_ms:
        raise unknown_code()
    check_claim(book, identities, invitation, one.public_key, one.at_ms)
    before = identities.of(one.device)
    rest = {device: other for device, other in identities.invitations.items() if device != one.device}
    after = _withdrawn(before, one.at_ms)._replace(
        public_key=one.public_key,
        epoch=one.epoch,
        certificates=(Issued(one.serial, one.not_after_ms, one.key_sha256, one.certificate),),
        claim=invitation,
        revoked_ms=0,
        why="",
        by="",
    )
    known = book.installations.get(one.device)
    if before.revoked_ms:
        after = after._replace(from_epoch=one.epoch + 1, former=())
    elif known is not None and known.public_key != one.public_key:
        former = (*before.former, (one.epoch, known.public_key))
        gone = former[:-FORMER_KEYS_MAX]
        from_epoch = max(before.from_epoch, 0, *(epoch + 1 for epoch, _ in gone))
        after = after._replace(from_epoch=from_epoch, former=former[-FORMER_KEYS_MAX:])
    found = identities.with_invitations(rest).with_identity(after)
    if invitation.replaces:
        found = _retired(found, invitation.replaces, f"{one.device} has taken its place", one.at_ms)
    return found


def shown(book: Book, identities: IdentityBook, one: DeviceRenewal | DeviceConfirmation | DeviceMisuse) -> IdentityBook:
    """Somebody has shown a certificate of a device. Raises IdentityError."""
    match one:
        case DeviceRenewal():
            return renewed(book, identities, one)
        case DeviceConfirmation():
            return confirmed(book, identities, one)
        case DeviceMisuse():
            return misused(book, identities, one)


def renewed(book: Book, identities: IdentityBook, one: DeviceRenewal) -> IdentityBook:
    """A device has another certificate. The one that it has shown counts on, for it may not have the new one yet; any
    other does not. There is room kept for the key of the one shown. Raises IdentityError."""
    if one.of == one.serial:
        return recovered(book, identities, one)
    before = identities.of(one.device)
    former = certificate_of(book, before, one.of, one.at_ms)
    listed = _listed(before.revoked, one.at_ms)
    dropped = [_replaced(cert, one) for cert in before.certificates if cert != former]
    most = RENEWALS_REVOKED_MAX if dropped and one.key_sha256 != former.key_sha256 else REVOKED_MAX
    if len(listed) + len(dropped) > most - CERTIFICATES_MAX:
        raise IdentityError(Why.TOO_MANY, _too_many(one.device, most))
    issued = Issued(one.serial, one.not_after_ms, one.key_sha256, one.certificate)
    after = before._replace(
        certificates=(former, issued),
        revoked=(*listed, *dropped),
        claim=None,
        renewed_ms=one.at_ms,
        dropped=_dropped(before, former, one),
    )
    return identities.with_identity(after)


def recovered(book: Book, identities: IdentityBook, one: DeviceRenewal) -> IdentityBook:
    """A device has shown a certificate that the journal has lost: it is the device's newest. What it had before counts
    on, as after any renewal, but for the older of two. Raises IdentityError."""
    before = identities.of(one.device)
    _check_counting(book, before)
    if not before.certificates or is_known(before, one.serial):
        raise _no_more(one.device)
    *older, newest = before.certificates
    listed = _listed(before.revoked, one.at_ms)
    if len(listed) + len(older) > REVOKED_MAX - CERTIFICATES_MAX:
        raise IdentityError(Why.TOO_MANY, _too_many(one.device))
    shown = Issued(one.serial, one.not_after_ms, one.key_sha256, one.certificate)
    _check_time(one.device, shown, one.at_ms)
    revoked = (*listed, *(_replaced(cert, one) for cert in older))
    after = before._replace(certificates=(newest, shown), revoked=revoked, claim=None, renewed_ms=one.at_ms, dropped=0)
    return identities.with_identity(after)


def _dropped(before: Identity, former: Issued, one: DeviceRenewal) -> int:
    """How many certificates were dropped for another key after a renewal. Where the newest is shown it is in force."""
    newest = before.certificates[-1]
    if newest == former:
        return before.dropped if len(before.certificates) == 1 else 0
    return before.dropped + (newest.key_sha256 != one.key_sha256)


def check_pace(identity: Identity, of: Issued, key_sha256: str, at_ms: int) -> None:
    """Let those who renew by the older of two certificates wait, for the newer is dropped by it; ever longer, the more
    are listed. Whoever asks for the key of the older waits a few minutes, however many are: it is the one that was
    confirmed, and a device that others outrun can go on with it; but one that has just been given another may have that
    in force by then. Raises TooSoonError."""
    newest, is_of_key = identity.certificates[-1], key_sha256 == of.key_sha256
    if newest == of or (is_of_key and newest.key_sha256 == key_sha256):
        return
    wait_ms = KEY_IN_FORCE_WAIT_MS if is_of_key else RENEWAL_WAIT_MS << len(_listed(identity.revoked, at_ms))
    from_ms = min(identity.renewed_ms + wait_ms, newest.not_after_ms)
    if at_ms < from_ms:
        text = f"{identity.device} was given a certificate for another key, and may have one for this from"
        minutes = KEY_IN_FORCE_WAIT_MS // 60_000
        more = "" if is_of_key else f", or for the key that it shows {minutes} minutes after it was given that one"
        raise TooSoonError(f"{text} {iso(from_ms)} on{more}", from_ms)


def suspicion(before: IdentityBook, after: IdentityBook, one: DeviceRenewal | DeviceMisuse) -> str:
    """Of which kind the suspicion is that there are two who are a device, or that somebody else signs as our authority
    does; empty for none. Told once of each."""
    if isinstance(one, DeviceMisuse):
        return one.kind
    if one.of == one.serial:
        return UNKNOWN
    is_told = before.of(one.device).dropped < DROPPED_TOLD <= after.of(one.device).dropped
    return "unconfirmed_renewals" if is_told else ""


def confirmed(book: Book, identities: IdentityBook, one: DeviceConfirmation) -> IdentityBook:
    """A device has a certificate in force: those that it was given before that one count no more. Who confirms the
    older of two ends none, for the newer may be on its way. Raises IdentityError."""
    before = identities.of(one.device)
    place = before.certificates.index(certificate_of(book, before, one.serial, one.at_ms))
    older, kept = before.certificates[:place], before.certificates[place:]
    if not older:
        return identities
    dropped = (_replaced(cert, one) for cert in older if cert.not_after_ms > one.at_ms)
    revoked = (*_listed(before.revoked, one.at_ms), *dropped)
    return identities.with_identity(before._replace(certificates=kept, revoked=revoked, dropped=0))


def misused(book: Book, identities: IdentityBook, one: DeviceMisuse) -> IdentityBook:
    """A certificate that counts no more was shown, and its device has another that does: there are two who have been
    this device. Noted once of each; the same where it is noted, or where nobody need be told: a device whose identity
    was taken away shows what it has, to hear why it is refused."""
    identity, installed = identities.of(one.device), book.installations.get(one.device)
    if identity.revoked_ms or not identity.certificates or installed is None or installed.retired:
        return identities
    if one.kind == OVERUSED:
        return _overused(identities, identity, one)
    if one.kind == UNKNOWN:
        return _shown_unknown(identities, identity, one)
    was = next((it for it in identity.revoked if it.serial == one.serial and it.not_after_ms > one.at_ms), None)
    if was is None or was.misused_ms:
        return identities
    noted = tuple(it._replace(misused_ms=one.at_ms) if it is was else it for it in identity.revoked)
    return identities.with_identity(identity._replace(revoked=noted))


def _overused(identities: IdentityBook, identity: Identity, one: DeviceMisuse) -> IdentityBook:
    """Somebody asks as no agent does by a certificate that counts. Noted once of each."""
    counting = {it.serial for it in identity.certificates if it.not_after_ms > one.at_ms}
    if one.serial not in counting or one.serial in identity.hasty:
        return identities
    hasty = (*(it for it in identity.hasty if it in counting), one.serial)
    return identities.with_identity(identity._replace(hasty=hasty))


def _shown_unknown(identities: IdentityBook, identity: Identity, one: DeviceMisuse) -> IdentityBook:
    """Somebody was refused by a certificate of ours that the journal does not know. Noted once of each, and of few."""
    if is_known(identity, one.serial) or one.serial in identity.hasty or len(identity.hasty) >= UNKNOWN_TOLD:
        return identities
    return identities.with_identity(identity._replace(hasty=(*identity.hasty, one.serial)))


def came_late(identity: Identity, serial: str, signed_ms: int) -> bool:
    """Whether something was signed by a certificate that counted still then, and does no more. What the device signed
    is held against what it signed by another afterwards, too: its clock may be ahead of ours."""
    return any(one.serial == serial and signed_ms < max(one.at_ms, one.signed_ms) for one in identity.revoked)


def is_known(identity: Identity, serial: str) -> bool:
    """Whether a certificate of this number counts, or is listed as one that counts no more."""
    return serial in {*(one.serial for one in identity.certificates), *(one.serial for one in identity.revoked)}


def certificate_of(book: Book, identity: Identity, serial: str, at_ms: int) -> Issued:
    """The certificate of a number, where it counts for its device. Raises IdentityError."""
    _check_counting(book, identity)
    found = next((one for one in identity.certificates if one.serial == serial), None)
    if found is None:
        raise _no_more(identity.device)
    _check_time(identity.device, found, at_ms)
    return found


def _check_counting(book: Book, identity: Identity) -> None:
    """Whether anything of a device may count. Raises IdentityError."""
    device = identity.device
    installed = book.installations.get(device)
    if installed is None or installed.retired:
        raise IdentityError(Why.REFUSED, f"{device} is retired, so nothing of it is renewed; its place is another's")
    if identity.revoked_ms:
        raise IdentityError(Why.REFUSED, f"the identity of {device} was revoked; {_AGAIN}, and claim it")


def _check_time(device: str, one: Issued, at_ms: int) -> None:
    if one.not_after_ms <= at_ms:
        raise IdentityError(Why.REFUSED, f"this certificate of {device} has expired; {_AGAIN}, and claim it")


def _no_more(device: str) -> IdentityError:
    return IdentityError(Why.REFUSED, f"this certificate of {device} was replaced or revoked; {_AGAIN}, and claim it")


def revoked(book: Book, identities: IdentityBook, one: DeviceRevocation) -> IdentityBook:
    """A device's identity is taken away, with its certificates and its invitation; of one that was only invited, the
    invitation. Raises IdentityError."""
    rest = {device: other for device, other in identities.invitations.items() if device != one.device}
    if one.device not in book.installations:
        if one.device not in identities.invitations:
            raise IdentityError(Why.UNKNOWN, f"there is no device {one.device!r}, and none is invited under that name")
        return identities.with_invitations(rest)
    after = _withdrawn(identities.of(one.device), one.at_ms)
    after = after._replace(revoked_ms=one.at_ms, why=one.why, by=one.by)
    return identities.with_invitations(rest).with_identity(after)


def amended(before: Book, book: Book, identities: IdentityBook, at_ms: int) -> IdentityBook:
    """An amendment has changed the book: what it retires has no identity any more."""
    if before.installations is book.installations:
        return identities
    for device, one in identities.identities.items():
        installed, was = book.installations.get(device), before.installations.get(device)
        if installed is not None and installed.retired and was is not None and not was.retired and one.certificates:
            identities = _retired(identities, device, "it was retired", at_ms)
    return identities


def followed(before: Book, book: Book, identities: IdentityBook, at_ms: int) -> IdentityBook:
    """What an entry of a moment has retired of the book is known with that moment, and what it has not, is not."""
    if before.installations is book.installations:
        return identities
    known = identities.retired_ms
    gone = {one.device: known.get(one.device, at_ms) for one in book.installations.values() if one.retired}
    return identities if gone == known else identities.with_retired(gone)


def operates_at(book: Book, party: str, asset: str) -> bool:
    """Whether an operator has a device at an asset that is not retired."""
    return any(one.operator == party and not one.retired for one in book.devices_of_asset(asset))


def _operator_of(book: Book, user: str) -> str:
    """The party of a user who is an operator's; empty where it is none."""
    known = book.users.get(user)
    return known.party if known is not None and known.role == Role.OPERATOR else ""


def _check_operates(book: Book, asked: DeviceInvitation | Invitation, party: str) -> None:
    """An operator invites for itself, to assets that it has a device at which is not retired: who could fit a device to
    anything could say anything of it. Raises IdentityError."""
    if asked.operator != party or not operates_at(book, party, asked.asset):
        text = (
            f"{party} fits new devices to assets where it has a device that is not retired; the book's keeper to others"
        )
        raise IdentityError(Why.REFUSED, text)


def _retired(identities: IdentityBook, device: str, why: str, at_ms: int) -> IdentityBook:
    after = _withdrawn(identities.of(device), at_ms)._replace(revoked_ms=at_ms, why=why)
    rest = {one: invitation for one, invitation in identities.invitations.items() if one != device}
    return identities.with_invitations(rest).with_identity(after)


def _withdrawn(one: Identity, at_ms: int) -> Identity:
    """An identity none of whose certificates counts any more."""
    more = (Revoked(cert.serial, at_ms, cert.not_after_ms) for cert in one.certificates if cert.not_after_ms > at_ms)
    revoked = (*_listed(one.revoked, at_ms), *more)
    return one._replace(certificates=(), claim=None, revoked=revoked, renewed_ms=0, dropped=0)


def _replaced(former: Issued, by: DeviceRenewal | DeviceConfirmation) -> Revoked:
    """A certificate of a device that has shown another."""
    return Revoked(former.serial, by.at_ms, former.not_after_ms, signed_ms=by.signed_ms)


def _listed(revoked: Iterable[Revoked], at_ms: int) -> tuple[Revoked, ...]:
    """Those that have not expired by themselves."""
    return tuple(one for one in revoked if one.not_after_ms > at_ms)


def _check_place(book: Book, asked: DeviceInvitation | Invitation) -> None:
    """Whether the book has room for the device where it is invited to. Raises IdentityError."""
    installations: Mapping[str, Installation] = book.installations
    device, known = asked.device, installations.get(asked.device)
    if not topics.is_name(device):
        raise IdentityError(Why.INVALID, f"{device!r} is no device; use 1 to 64 lower-case letters, digits and hyphens")
    if device in assets.TAKEN_NAMES:
        raise IdentityError(Why.INVALID, assets.taken_name(device))
    if known is not None:
        if asked.replaces:
            text = f"{device} is in the book already; new hardware that takes another's place has a name of its own"
            raise IdentityError(Why.INVALID, text)
        if known.retired:
            raise IdentityError(Why.INVALID, f"{device} is retired; invite the new hardware under a new name")
        _check_as_known(asked, known, f"{device} is fitted to {known.asset} by {known.operator}, and stays so")
    elif asked.replaces:
        replaced = installations.get(asked.replaces)
        if replaced is None or replaced.retired:
            text = f"there is no {asked.replaces!r} whose place could be taken, or it is retired"
            raise IdentityError(Why.INVALID, text)
        _check_as_known(asked, replaced, f"{replaced.device} is fitted to {replaced.asset} by {replaced.operator}")
    elif not asked.operator or not asked.asset:
        text = f"{device} is not in the book yet; name its operator and the asset that it is fitted to"
        raise IdentityError(Why.INVALID, text)
    if any(one.gateway == device and not one.retired for one in installations.values()):
        raise IdentityError(Why.INVALID, f"{device} is a gateway's name; their certificates could not be told apart")
    if asked.gateway:
        _check_gateway(installations, asked)


def _check_as_known(asked: DeviceInvitation | Invitation, known: Installation, said: str) -> None:
    """What the book knows of a device, or of the one whose place it takes, is not said otherwise. Raises
    IdentityError."""
    if (known.operator, known.asset) != (asked.operator, asked.asset):
        raise IdentityError(Why.INVALID, f"{said}; leave both out")
    if known.gateway != asked.gateway:
        through = f"is a zone of gateway {known.gateway}" if known.gateway else "is no gateway's"
        raise IdentityError(Why.INVALID, f"{known.device} {through}, and stays so; leave it out")


def _check_gateway(installations: Mapping[str, Installation], asked: DeviceInvitation | Invitation) -> None:
    """Whether a device can be a zone of the gateway that is said. A gateway is one operator's: its zones fall silent
    together, in one alert. Its settings are its own file's, for all its zones. Raises IdentityError."""
    gateway = asked.gateway
    if not topics.is_name(gateway):
        text = f"{gateway!r} is no gateway; use 1 to 64 lower-case letters, digits and hyphens"
        raise IdentityError(Why.INVALID, text)
    named = installations.get(gateway)
    if gateway == asked.device or (named is not None and not named.retired):
        text = f"{gateway} is a device's name; a gateway is none, so name it otherwise"
        raise IdentityError(Why.INVALID, text)
    zones = (one for one in installations.values() if one.gateway == gateway and not one.retired)
    if any(one.operator != asked.operator for one in zones):
        text = f"{gateway} is not a gateway of {asked.operator}; name another"
        raise IdentityError(Why.INVALID, text)
    if asked.settings:
        text = f"settings: what is set of {asked.device} stands in the file of gateway {gateway}; leave them out"
        raise IdentityError(Why.INVALID, text)


def check_waiting(identities: IdentityBook, asked: DeviceInvitation) -> None:
    """Refuse a gateway of which another operator's invitation waits, and a name that is to be both a device's and a
    gateway's: whoever claims first would shut the other out. Asked before an invitation is written down, and not of one
    that stands. Raises IdentityError."""
    for one in identities.invitations.values():
        if one.until_ms <= asked.at_ms or one.device == asked.device:
            continue
        if asked.gateway and one.gateway == asked.gateway and one.operator != asked.operator:
            text = f"{asked.gateway} is not a gateway of {asked.operator}; name another"
            raise IdentityError(Why.INVALID, text)
        if asked.device == one.gateway or asked.gateway == one.device:
            name = asked.device if asked.device == one.gateway else asked.gateway
            text = f"{name} is invited as a device and as a gateway; name one otherwise"
            raise IdentityError(Why.INVALID, text)


def check_gateways(before: Book, after: Book, identities: IdentityBook) -> None:
    """Refuse an amendment that names a gateway as a device is named which speaks for itself, or, where devices claim
    identities, that gives a gateway a second operator: the access list has one user of that name, so it would leave
    both out. Asked before an amendment is written down; what is in the book stays. Raises BookError."""
    known, shared = set(_namesakes(before, identities)), _shared_gateways(before)
    errors = [
        f"installations {device}: gateway {gateway} is a device's name; a gateway is none, so name it otherwise"
        for device, gateway in _namesakes(after, identities)
        if (device, gateway) not in known
    ]
    errors += [
        f"gateway {gateway} would be of {' and '.join(sorted(operators))}, and is one operator's where devices claim; "
        "name another, or retire first what the other has behind it"
        for gateway, operators in _shared_gateways(after).items()
        if (identities.identities or identities.invitations) and not operators <= shared.get(gateway, set())
    ]
    if errors:
        raise BookError(errors)


def _shared_gateways(book: Book) -> dict[str, set[str]]:
    """The gateways that more than one operator has devices behind, with those."""
    found: dict[str, set[str]] = {}
    for one in book.installations.values():
        if one.gateway and not one.retired:
            found.setdefault(one.gateway, set()).add(one.operator)
    return {gateway: operators for gateway, operators in found.items() if len(operators) > 1}


def _namesakes(book: Book, identities: IdentityBook) -> Iterator[tuple[str, str]]:
    """Devices behind a gateway that is named as another device is, which has a user of its own."""
    for one in book.installations.values():
        named = book.installations.get(one.gateway) if one.gateway != one.device else None
        if named is None or one.retired or named.retired:
            continue
        if not named.gateway or named.device in identities.identities:
            yield one.device, one.gateway


def _document(one: Installation) -> dict[str, Any]:
    return assets.as_document("installations", one)


def _check_room(one: Identity, at_ms: int) -> None:
    """Refuse a claim after which there would be more that count no more than are listed. Raises IdentityError."""
    counting = sum(cert.not_after_ms > at_ms for cert in one.certificates)
    if len(_listed(one.revoked, at_ms)) + counting > REVOKED_MAX - CERTIFICATES_MAX:
        raise IdentityError(Why.TOO_MANY, _too_many(one.device))


def _too_many(device: str, most: int = REVOKED_MAX) -> str:
    return f"{device} has {most} certificates that count no more and have not expired; wait until some have"
