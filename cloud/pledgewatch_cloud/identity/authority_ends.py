"""When authorities of devices end, and who is still let in by one of before: sentences for whoever runs the cloud."""

import datetime as dt
from base64 import b64decode
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509

from pledgewatch_cloud.decide.identity_book import Identity
from pledgewatch_cloud.identity.authority import Authority, Former

SOON_DAYS = 90
"""How long before its end an authority is told of: time to bring another to every broker."""
_FORMER_SOON_DAYS = 14
_NAMED = 5
_CHANGE = "docs/DEVICES.md says how it is changed"

Identities = Iterable[Identity]


class Told(NamedTuple):
    """A sentence on an authority, and whether all is well with it."""

    is_well: bool
    text: str


def told(authority: Authority, identities: Identities, now_ms: int) -> list[Told]:
    """One of the authority that signs, and one of each before, with the devices whose newest certificate is of it."""
    now = dt.datetime.fromtimestamp(now_ms / 1_000, dt.UTC)
    until = authority.certificate.not_valid_after_utc
    text = f"{_name(authority.certificate)} signs certificates until {until:%Y-%m-%d}"
    if until > now + dt.timedelta(days=SOON_DAYS):
        found = [Told(is_well=True, text=text)]
    else:
        found = [Told(is_well=False, text=f"{text}, and none of a device is good for longer; {_CHANGE}")]
    if authority.former:
        newest = [(one.device, _read(one)) for one in identities if _is_let_in(one, now_ms)]
        for former in authority.former:
            devices = sorted(device for device, cert in newest if _is_of(authority, former, cert))
            found.append(_of_former(former, devices, now))
    return found


def _of_former(one: Former, devices: list[str], now: dt.datetime) -> Told:
    until, name = one.certificate.not_valid_after_utc, f"{_name(one.certificate)}, which has signed before,"
    if not devices:
        return Told(is_well=True, text=f"{name} has no device any more; take it out of authority_former_files")
    who = ", ".join(devices[:_NAMED]) + (", ..." if len(devices) > _NAMED else "")
    text = f"{name} ends on {until:%Y-%m-%d}; of {len(devices)} devices the newest certificate is of it: {who}"
    if one.key is None:
        text = f"{text}; its key is not known, so its list of revocations is to be in broker_crl_files"
    if until > now + dt.timedelta(days=_FORMER_SOON_DAYS):
        return Told(is_well=True, text=text)
    return Told(is_well=False, text=f"{text}; who has not renewed by then has to be invited again")


def _is_of(authority: Authority, former: Former, certificate: x509.Certificate) -> bool:
    return not authority.has_signed(certificate) and authority.former_of(certificate) is former


def _is_let_in(one: Identity, now_ms: int) -> bool:
    return bool(one.certificates) and one.certificates[-1].not_after_ms > now_ms


def _read(one: Identity) -> x509.Certificate:
    return x509.load_der_x509_certificate(b64decode(one.certificates[-1].certificate))


def _name(certificate: x509.Certificate) -> str:
    return f"{certificate.subject.rfc4514_string()} ({certificate.serial_number:x})"
