"""Identities of devices: inviting and revoking, for who keeps the book and who operates the device; claiming, renewing
and confirming, for devices, which show who they are by what they bring (docs/DEVICES.md)."""

import logging
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Depends, Request

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api.access import Service, ServiceOf, ViewerOf, ViewOf, address_of, by_of, for_writers
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.writing import WritingOf
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.care import CareError
from pledgewatch_cloud.decide.identity_acts import IdentityError, Why, operates_at
from pledgewatch_cloud.decide.identity_book import Identity, Invitation
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.identity.authority import (
    CERTIFICATE_MAX,
    REQUEST_MAX,
    AuthorityError,
    RequestError,
    issued_ms_of,
    issued_of,
    read_certificate,
)
from pledgewatch_cloud.identity.registrar import SETTINGS_MAX, Asked, Registrar, TooOftenError

router = APIRouter(prefix="/devices", tags=["devices"])
VALID_H, VALID_MAX_H = 72, 720
_WHYS = {
    Why.UNKNOWN: HTTPStatus.NOT_FOUND,
    Why.CHANGED: HTTPStatus.CONFLICT,
    Why.INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    Why.REFUSED: HTTPStatus.FORBIDDEN,
    Why.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
}
_NO_AUTHORITY = "no authority for devices is configured here; set [devices], as docs/DEVICES.md says"
_OPERATING = frozenset({Role.KEEPER, Role.OPERATOR})
_Answer = TypeVar("_Answer")
log = logging.getLogger(__name__)

NameOf = Annotated[str, Body(min_length=1, max_length=64, examples=["reefer-7"])]
ByOf = Annotated[str, Body(min_length=1, max_length=200, examples=["night desk"])]
CsrOf = Annotated[
    str,
    Body(
        max_length=REQUEST_MAX,
        description="PKCS#10 in PEM, of a P-256 key, subject CN=device",
        examples=["-----BEGIN CERTIFICATE REQUEST-----\n…"],
    ),
]
ShownOf = Annotated[
    str,
    Body(max_length=CERTIFICATE_MAX, description="The one in force, PEM", examples=["-----BEGIN CERTIFICATE-----\n…"]),
]
SignedOf = Annotated[
    int,
    Body(description="Unix milliseconds, within five minutes of the cloud's clock", examples=[1_772_366_400_000]),
]
ProofOf = Annotated[str, Body(max_length=512, description="A signature in base64", examples=["3q2+7w=="])]


@router.get("/identities", dependencies=[Depends(for_writers)])
async def list_identities(view: ViewOf, paging: PagingOf) -> list[dict[str, Any]]:
    """Devices that are invited or have claimed an identity, by id: until when invitation and certificate are good, or
    since when the identity is revoked and why. Keepers see all, operators their own, others none."""
    seen = view.state
    invitations, identities = seen.identities.invitations, seen.identities.identities
    page = paging.page((one, one) for one in {*invitations, *identities})
    return [_shown(view, one, invitations.get(one), identities.get(one)) for one in page.items]


@router.post("/invitations", status_code=HTTPStatus.CREATED, dependencies=[Depends(for_writers)])
async def invite_device(
    service: ServiceOf,
    writing: WritingOf,
    view: ViewOf,
    viewer: ViewerOf,
    device: NameOf,
    operator: Annotated[str, Body(max_length=64, examples=["harbour-line"])] = "",
    asset: Annotated[str, Body(max_length=140, examples=["MSKU1234565"])] = "",
    replaces: Annotated[str, Body(max_length=64, examples=["reefer-6"])] = "",
    valid_h: Annotated[int, Body(ge=1, le=VALID_MAX_H, examples=[VALID_H])] = VALID_H,
    settings: Annotated[str, Body(max_length=SETTINGS_MAX, examples=["[sampling]\nkeep_s = 300\n"])] = "",
    by: ByOf = "keeper",
    gateway: Annotated[str, Body(max_length=64, examples=["site-la-3"])] = "",
) -> dict[str, Any]:
    """Invite a device to claim an identity. `claim` is said this once: who shows it first, within `valid_h` hours,
    becomes the device. One that is in the book claims anew, and its certificates of before count no more; one that
    `replaces` another takes its place and its asset. A zone of a `gateway` is claimed by that. An operator invites at
    assets of its own."""
    registrar = _registrar(service.registrar)
    _check_may(service, view, viewer, device, operator, asset, replaces)
    held = writing.where(lambda now: _check_may(service, now, viewer, device, operator, asset, replaces))
    asking = registrar.invite(
        device,
        operator=operator or (viewer.party if viewer.role is Role.OPERATOR and not replaces else ""),
        asset=asset,
        replaces=replaces,
        valid_h=valid_h,
        settings=settings,
        by=by_of(viewer, by),
        commits=held,
        gateway=gateway,
    )
    claim, asked = await _answered(asking)
    return {
        "claim": claim,
        "device": asked.device,
        "operator": asked.operator,
        "asset": asked.asset,
        "gateway": asked.gateway,
        "until": iso(asked.until_ms),
    }


@router.post("/{device}/revocation", dependencies=[Depends(for_writers)])
async def revoke_device(
    service: ServiceOf,
    writing: WritingOf,
    viewer: ViewerOf,
    device: str,
    why: Annotated[str, Body(min_length=1, max_length=500, examples=["stolen with its container"])],
    by: ByOf = "keeper",
) -> dict[str, Any]:
    """Take a device's identity away: from now on nothing of it is taken, and its certificates count no more, until it
    has claimed another. A waiting invitation is withdrawn with it; of a device that is not in the book yet, that is
    all. For keepers, and the device's operator; of one that is not in the book yet, the operator that has invited it.
    """
    held = writing.where(lambda view: _check_revokes(service, view, viewer, device))
    asking = held.commit(drafts.revoke_device, device, by_of(viewer, by), why, service.delivery_clock.now_ms())
    outcome = await _answered(asking)
    return {"changed": outcome is not None, "entry": (outcome.state if outcome else service.writer.state).entry}


@router.post("/claims", status_code=HTTPStatus.CREATED)
async def claim_identity(
    service: ServiceOf,
    request: Request,
    device: NameOf,
    code: Annotated[str, Body(max_length=64, pattern="^[A-Z2-7]*$", examples=["ABCDEFGHIJKLMNOPQRSTUVWXYZ"])],
    csr: CsrOf,
    public_key: Annotated[
        str, Body(pattern="^[0-9a-f]{64}$", description="Ed25519, of the chain", examples=["3d" * 32])
    ],
    proof: ProofOf,
    epoch: Annotated[int, Body(ge=0, examples=[0])] = 0,
) -> dict[str, Any]:
    """Claim an identity by the code of an invitation. No key is asked for: the code lets in, once. `proof` is
    public_key's over `pledgewatch claim`, a zero byte, the SHA-256 of the request's DER and the code. The device begins
    its epochs above the `epoch` that it is answered."""
    asked = Asked(device, code, csr, public_key, proof, epoch)
    answer = await _answered(_registrar(service.registrar).claim(asked, address_of(request)))
    if service.carer is not None and not answer["settings"]:
        # A card that is new has nothing of what the one before was set to, and those of an invitation are newer than
        # that, which would win over them. Who has lost the answer comes by here again.
        claimed_ms = issued_ms_of(issued_of(read_certificate(answer["certificate"])))
        try:
            await service.carer.set_again(device, claimed_ms, service.writer)
        except CareError as error:  # the code is spent: the device has to hear what it has got
            log.error("device=%s has claimed, and what it was set to is not asked of it again: %s", device, error)
    return answer


@router.post("/renewals", status_code=HTTPStatus.CREATED)
async def renew_certificate(
    service: ServiceOf,
    request: Request,
    device: NameOf,
    csr: CsrOf,
    certificate: ShownOf,
    signed_ms: SignedOf,
    proof: ProofOf,
) -> dict[str, Any]:
    """Renew a certificate by showing that one has the key of the one in force: `proof` is its ECDSA over SHA-256, of
    `pledgewatch renewal`, a zero byte, the SHA-256 of the request's DER and `signed_ms` as digits."""
    renewing = _registrar(service.registrar).renew(device, csr, certificate, signed_ms, proof, address_of(request))
    return await _answered(renewing)


@router.post("/confirmations")
async def confirm_certificate(
    service: ServiceOf, request: Request, device: NameOf, certificate: ShownOf, signed_ms: SignedOf, proof: ProofOf
) -> dict[str, Any]:
    """Say that a certificate is in force with its device, so that what it had before counts no more: `changed` where
    something did. `proof` is its key's ECDSA over SHA-256, of `pledgewatch confirmation`, a zero byte, the SHA-256 of
    the certificate's DER and `signed_ms` as digits."""
    confirming = _registrar(service.registrar).confirm(device, certificate, signed_ms, proof, address_of(request))
    return await _answered(confirming)


def _shown(view: View, device: str, invitation: Invitation | None, identity: Identity | None) -> dict[str, Any]:
    installed = view.state.book.installations.get(device)
    one = identity or Identity(device)
    newest = one.certificates[-1] if one.certificates else None
    place = installed or invitation
    return {
        "device": device,
        "operator": place.operator if place else "",
        "asset": place.asset if place else "",
        "gateway": place.gateway if place else "",
        "replaces": invitation.replaces if invitation else "",
        "invited_until": iso(invitation.until_ms) if invitation else None,
        "certificate": newest.serial if newest else None,
        "not_after": iso(newest.not_after_ms) if newest else None,
        "epoch": one.epoch,
        "revoked": iso(one.revoked_ms) if one.revoked_ms else None,
        "why": one.why,
    }


def _registrar(one: Registrar | None) -> Registrar:
    if one is None:
        raise Problem(HTTPStatus.NOT_FOUND, _NO_AUTHORITY)
    return one


def _check_own(view: View, viewer: Viewer, device: str) -> None:
    """Keepers may all; an operator, of its own devices. Raises Problem."""
    if viewer.role not in _OPERATING:
        text = f"identities are for keepers and operators; {viewer.user} asks as {viewer.role}"
        raise Problem(HTTPStatus.FORBIDDEN, text)
    if viewer.role is Role.OPERATOR and device not in view.state.book.installations:
        raise Problem(HTTPStatus.FORBIDDEN, f"{device!r} is not a device of {viewer.party}")


def _check_revokes(service: Service, view: View, viewer: Viewer, device: str) -> None:
    """Who has invited a device may withdraw that, too, where no book has it yet: one that was fitted since is whose the
    book says, and to revoke it takes more away than an invitation. Raises Problem."""
    invitation = view.state.identities.invitations.get(device)
    is_invited = invitation is not None and invitation.party == viewer.party
    is_fitted = device in service.writer.state.book.installations
    if viewer.role is not Role.OPERATOR or is_fitted or not is_invited:
        _check_own(view, viewer, device)


def _check_may(
    service: Service, view: View, viewer: Viewer, device: str, operator: str, asset: str, replaces: str
) -> None:
    """Keepers may all. An operator may of its own devices, and of new ones at assets where it has one that is not
    retired: who could fit a device to anything could say anything of it. The deciding holds it to the same when the
    device claims. Raises Problem."""
    if replaces or device in service.writer.state.book.installations or viewer.role is not Role.OPERATOR:
        _check_own(view, viewer, replaces or device)
        return
    if operator not in ("", viewer.party) or not operates_at(view.state.book, viewer.party, asset):
        text = (
            f"{viewer.party} fits new devices to assets where it has a device that is not retired; "
            "the book's keeper to any other"
        )
        raise Problem(HTTPStatus.FORBIDDEN, text)


async def _answered(asking: Awaitable[_Answer]) -> _Answer:
    """What is answered. Raises Problem where it is refused."""
    try:
        return await asking
    except IdentityError as error:
        raise Problem(_WHYS[error.why], str(error), more={"why": error.why.value}) from None
    except BookError as error:
        raise Problem(HTTPStatus.CONFLICT, "the book would not have the device so", error.errors) from None
    except RequestError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    except TooOftenError as error:
        headers = {"retry-after": str(error.wait_s)}
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, str(error), headers=headers) from None
    except AuthorityError as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
