"""`pledgewatch-cloud devices`: who may become a device, whose identity is taken away, and what devices are known by.

Inviting, revoking and listing ask a running service by its API; the authority and the key of care are files that are
made once, before it is started (docs/DEVICES.md).
"""

import argparse
import os
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pledgewatch_cloud.commands import at_url, devices_care
from pledgewatch_cloud.commands.at_url import AnswerError
from pledgewatch_cloud.commands.options import Commands

_PAGE = 500
_AUTHORITY_DAYS = 3_650


def add(commands: Commands) -> None:
    """The command's options."""
    devices = commands.add_parser("devices", help="identities of devices: invite, revoke, list; their authority")
    acts = devices.add_subparsers(required=True, metavar="ACT")

    invite = acts.add_parser("invite", help="print a claim, by which a device gets its identity once")
    invite.add_argument("device", metavar="DEVICE")
    invite.add_argument("--operator", default="", help="who operates it; left out for a device of the book")
    invite.add_argument("--asset", default="", help="what it is fitted to; left out for a device of the book")
    invite.add_argument("--replaces", default="", metavar="OLD", help="the device whose place and asset it takes")
    invite.add_argument("--gateway", default="", help="whose zone it is, for one that a gateway measures and claims")
    invite.add_argument("--valid-h", type=int, default=72, help="for how many hours the claim is good (%(default)s)")
    invite.add_argument("--settings", type=Path, metavar="FILE", help="TOML that the device puts into its settings")
    invite.add_argument("--svg", type=Path, metavar="FILE", help="put the square code there, a picture to be printed")
    invite.set_defaults(command=_invite)

    revoke = acts.add_parser(
        "revoke", help="take a device's identity away, or an invitation; nothing more of it is taken"
    )
    revoke.add_argument("device", metavar="DEVICE")
    revoke.add_argument("--why", required=True, help="why, for the journal")
    revoke.set_defaults(command=_revoke)

    listing = acts.add_parser("list", help="who is invited, whose certificate ends when, whose is revoked")
    listing.set_defaults(command=_list)
    for one in (invite, revoke, listing):
        at_url.add_url(one)

    devices_care.add(acts)
    made = acts.add_parser("authority", help="make an authority for development, which signs certificates of devices")
    made.add_argument("--certificate", type=Path, required=True, metavar="FILE", help="its certificate, a new file")
    made.add_argument("--key", type=Path, required=True, metavar="FILE", help="its key, a new file: keep it secret")
    made.add_argument("--name", default="pledgewatch devices", help="what it is called (%(default)s)")
    made.add_argument("--days", type=int, default=_AUTHORITY_DAYS, help="how long it is good (%(default)s)")
    made.set_defaults(command=_authority)

    keys = acts.add_parser("keys", help="make the key that signs settings and commands of devices")
    keys.add_argument("--care", type=Path, required=True, metavar="FILE", help="a new file: keep it secret")
    keys.set_defaults(command=_keys)


def _invite(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.identity import claim_code

    try:
        settings = options.settings.read_text(encoding="utf-8") if options.settings else ""
    except (OSError, UnicodeDecodeError) as error:
        print(f"{options.settings} cannot be read: {error}", file=sys.stderr)
        return 2
    asked = {name: getattr(options, name) for name in ("device", "operator", "asset", "replaces", "gateway", "valid_h")}
    try:
        answer = at_url.post_json(at_url.at(options), "/devices/invitations", {**asked, "settings": settings})
    except AnswerError as error:
        return _refused(error)
    claim = answer["claim"]
    if options.svg is not None:
        try:
            _write_secret(options.svg, claim_code.as_svg(claim))
        except OSError as error:
            print(f"{options.svg} cannot be written: {error.strerror}; the claim follows", file=sys.stderr)
    print(claim_code.as_square(claim))
    print(claim)
    zone = f", a zone of gateway {answer['gateway']}" if answer["gateway"] else ""
    place = f"{answer['device']} of {answer['operator']} at {answer['asset']}{zone}"
    print(f"for {place}, once, until {answer['until']}; whoever has it can be the device", file=sys.stderr)
    return 0


def _write_secret(path: Path, data: bytes) -> None:
    """A file that its user alone may read, also where there was one before that others might. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o600)
        file.truncate()
        file.write(data)


def _revoke(options: argparse.Namespace) -> int:
    try:
        answer = at_url.post_json(at_url.at(options), f"/devices/{options.device}/revocation", {"why": options.why})
    except AnswerError as error:
        return _refused(error)
    print(f"{options.device}: {'revoked' if answer['changed'] else 'it was revoked before'}")
    after = f"what comes after it needs another name: devices invite NEW --replaces {options.device}"
    heard = "a session that a thief holds open is heard again where devices have no listener of their own"
    print(f"if it was stolen, {after}. Under its own {heard}", file=sys.stderr)
    return 0


def _list(options: argparse.Namespace) -> int:
    try:
        where, after = at_url.at(options), ""
        while True:
            some = at_url.get(where, "/devices/identities", {"limit": _PAGE, "after": after}).json()
            for one in some:
                print(_line(one))
            if len(some) < _PAGE:
                return 0
            after = some[-1]["device"]
    except AnswerError as error:
        return _refused(error)


def _line(one: dict[str, Any]) -> str:
    said = []
    if one["revoked"]:
        said.append(f"revoked {one['revoked']}: {one['why']}")
    elif one["not_after"]:
        said.append(f"certificate until {one['not_after']}")
    if one["invited_until"]:
        replaces = f" in place of {one['replaces']}" if one["replaces"] else ""
        said.append(f"invited{replaces} until {one['invited_until']}")
    return f"{one['device']}  {one['operator']}  {one['asset']}  {'; '.join(said) or 'no certificate counts'}"


def _authority(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.identity import authority

    if not 1 <= options.days <= _AUTHORITY_DAYS:
        print(f"--days is {options.days}; use 1 to {_AUTHORITY_DAYS}", file=sys.stderr)
        return 2
    try:
        now_ms = time.time_ns() // 1_000_000
        authority.create(options.certificate, options.key, options.name, options.days, now_ms)
    except authority.AuthorityError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.key} signs certificates of devices: keep it secret. Brokers are given {options.certificate}")
    return 0


def _keys(options: argparse.Namespace) -> int:
    from pledgewatch_cloud import signing_key

    try:
        key = signing_key.create(options.care)
    except signing_key.SigningKeyError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.care} signs settings and commands of devices: keep it secret")
    print(f"devices know it by {key.public_key().public_bytes_raw().hex()}")
    return 0


def _refused(error: AnswerError) -> int:
    print(error, file=sys.stderr)
    return 1 if error.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND} else 2
