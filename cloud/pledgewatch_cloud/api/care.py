"""One device, and remote care of it: what it is to be set to, what it is to do, and what it said of either. For keepers
and the device's operator (docs/CARE.md)."""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Body
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api.access import Service, ServiceOf, ViewerOf, ViewOf, by_of
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.writing import WritingOf
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.batch import CareAnswer
from pledgewatch_cloud.decide.care import CareError, DeviceCare, Said
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.identity.carer import VALID_COMMAND_H, VALID_MAX_H, VALID_SETTINGS_H, Carer
from pledgewatch_cloud.journal import form
from pledgewatch_wire.care import SECONDS_MAX, TOML_MAX, unpack_result
from pledgewatch_wire.codec import MAX_EPOCH, MAX_SEQUENCE, PayloadError

router = APIRouter(prefix="/devices", tags=["devices"])
_NO_KEY = "no key that cares for devices is configured here; set [devices] care_key_file, as docs/CARE.md says"
_CARING = frozenset({Role.KEEPER, Role.OPERATOR})
_Answer = TypeVar("_Answer")
ByOf = Annotated[str, Body(min_length=1, max_length=200, examples=["night desk"])]
ValidOf = Annotated[int, Body(ge=1, le=VALID_MAX_H, examples=[24])]


@router.get("/{device}")
async def show_device(service: ServiceOf, view: ViewOf, viewer: ViewerOf, device: str) -> dict[str, Any]:
    """A device, with the settings that are desired of it, the newest commands, and what it `became` of each by its own
    word: `taken`, `refused`, `done`, `postponed` where its disk takes nothing, or `left_aside` where it cannot run any
    more with what was done; `expired` where it said nothing in time, null where that may still come."""
    _check_own(view, viewer, device)
    installed = view.state.book.installations[device]
    care = view.state.care.get(device, DeviceCare())
    now_ms = service.delivery_clock.now_ms()
    setting = care.setting
    return {
        "device": device,
        "operator": installed.operator,
        "asset": installed.asset,
        "settings": None
        if setting is None
        else {
            "version": setting.asked.version,
            "toml": setting.asked.toml,
            **_asked(setting.asked.by, setting.asked.at_ms, setting.asked.until_ms),
            **_said(setting.said, setting.asked.until_ms, now_ms),
        },
        "commands": [
            {
                "id": asked.id,
                "what": asked.what,
                "epoch": asked.epoch,
                "first": asked.first,
                "last": asked.last,
                "seconds": asked.seconds,
                **_asked(asked.by, asked.at_ms, asked.until_ms),
                **_said(said, asked.until_ms, now_ms),
                "has_result": bool(said.result_entry),
            }
            for asked, said in reversed(care.commands)
        ],
    }


@router.post("/{device}/settings")
async def set_device(
    service: ServiceOf,
    writing: WritingOf,
    view: ViewOf,
    viewer: ViewerOf,
    device: str,
    toml: Annotated[str, Body(max_length=TOML_MAX, examples=["[uplink]\nsend_every_s = 900\n"])],
    valid_h: ValidOf = VALID_SETTINGS_H,
    by: ByOf = "keeper",
    again: Annotated[bool, Body(examples=[False])] = False,
) -> dict[str, Any]:
    """Say what a device is to be set to: TOML of the sections that may be set from afar, in place of all that was said
    before; empty for what its technician wrote. The device tries it, and goes back by itself where it then does not
    hear the cloud. What is said already is not said once more, unless it is to be said `again`: the device has lost
    it."""
    _check_own(view, viewer, device)
    held = writing.where(lambda now: _check_own(now, viewer, device))
    setting = _carer(service).set(device, toml, valid_h=valid_h, by=by_of(viewer, by), commits=held, again=again)
    asked = await _answered(setting)
    return {"device": device, "changed": asked is not None, "version": asked.version if asked else None}


@router.post("/{device}/commands")
async def command_device(
    service: ServiceOf,
    writing: WritingOf,
    view: ViewOf,
    viewer: ViewerOf,
    device: str,
    what: Annotated[Literal["report_now", "resend_range", "identify", "diagnostics"], Body(examples=["report_now"])],
    epoch: Annotated[int, Body(ge=0, le=MAX_EPOCH, examples=[1])] = 0,
    first: Annotated[int, Body(ge=0, le=MAX_SEQUENCE, examples=[120])] = 0,
    last: Annotated[int, Body(ge=0, le=MAX_SEQUENCE, examples=[180])] = 0,
    seconds: Annotated[int, Body(ge=0, le=SECONDS_MAX, examples=[10])] = 0,
    valid_h: ValidOf = VALID_COMMAND_H,
    by: ByOf = "keeper",
) -> dict[str, Any]:
    """Have a device do something once: measure and send all now, send a range of readings again (`epoch`, `first`,
    `last`), show which one it is (`seconds`), or give a bundle of diagnostics."""
    _check_own(view, viewer, device)
    if what == "identify":
        seconds = seconds or 10
    commanding = _carer(service).command(
        device,
        what,
        epoch=epoch,
        first=first,
        last=last,
        seconds=seconds,
        valid_h=valid_h,
        by=by_of(viewer, by),
        commits=writing.where(lambda now: _check_own(now, viewer, device)),
    )
    asked = await _answered(commanding)
    return {"device": device, "id": asked.id}


@router.get("/{device}/commands/{command}/result")
async def show_result(service: ServiceOf, view: ViewOf, viewer: ViewerOf, device: str, command: int) -> dict[str, Any]:
    """What a command has given, as the device said it: of diagnostics the bundle."""
    _check_own(view, viewer, device)
    known = view.state.care.get(device, DeviceCare()).commands
    entry = next((said.result_entry for asked, said in known if asked.id == command), 0)
    if not entry:
        raise Problem(HTTPStatus.NOT_FOUND, f"command {command} of {device} has given nothing, or is not remembered")
    return {"device": device, "id": command, "result": await run_in_threadpool(_result, service, entry)}


def _result(service: Service, entry: int) -> Any:
    content = form.read_entry(service.store.entries_of("care_answer", entry - 1, 1)[0]).content
    assert isinstance(content, CareAnswer), f"entry {entry} is of another kind"
    try:
        return unpack_result(bytes.fromhex(content.result))
    except PayloadError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"what the device sent cannot be read: {error}") from None


def _asked(by: str, at_ms: int, until_ms: int) -> dict[str, Any]:
    return {"by": by, "at": iso(at_ms), "until": iso(until_ms)}


def _said(said: Said, until_ms: int, now_ms: int) -> dict[str, Any]:
    is_expired = not said.is_final and until_ms <= now_ms
    return {
        "became": "expired" if is_expired else said.became or None,
        "said": said.text,
        "said_at": iso(said.at_ms) if said.at_ms else None,
    }


def _carer(service: Service) -> Carer:
    if service.carer is None:
        raise Problem(HTTPStatus.NOT_FOUND, _NO_KEY)
    return service.carer


def _check_own(view: View, viewer: Viewer, device: str) -> None:
    """Keepers may all; an operator, of its own devices. Raises Problem."""
    if viewer.role not in _CARING:
        text = f"care of devices is for keepers and operators; {viewer.user} asks as {viewer.role}"
        raise Problem(HTTPStatus.FORBIDDEN, text)
    known = view.state.book.installations.get(device)
    if known is None or (viewer.role is Role.OPERATOR and known.operator != viewer.party):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no device {device!r} that you operate")


async def _answered(asking: Awaitable[_Answer]) -> _Answer:
    """What is answered. Raises Problem where it is refused."""
    try:
        return await asking
    except CareError as error:
        raise Problem(HTTPStatus.NOT_FOUND if error.is_unknown else HTTPStatus.CONFLICT, str(error)) from None
