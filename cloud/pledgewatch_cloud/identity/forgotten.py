"""What was revoked by our own list at the broker, and the journal knows nothing of, for it was put back from a copy.

    crl.pem as it is when the cloud starts ─► numbers of ours ─► those that the journal has not ─► stay on the list

Without this a device that was stolen since the copy would be let in again within a second of the start. Whoever shows a
certificate of such a number is given no other (registrar.py). The list does not say when a certificate ends, so each
stays for as long as one can be good. It is looked at once, at the start: what the journal lets go later has ended.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pledgewatch_cloud.decide.identity_book import Revoked
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.identity.authority import Authority
from pledgewatch_cloud.identity.settings import CERTIFICATE_DAYS_MAX

_GOOD_MS = CERTIFICATE_DAYS_MAX * 86_400_000
_NAMED_MAX = 100
log = logging.getLogger(__name__)


def _kept_beside(path: Path) -> str:
    """Have what is there under a second name, which stays when the first is written anew; where it is then."""
    try:
        beside = path.with_name(f"{path.name}.unread-{path.stat().st_mtime_ns}")
        with contextlib.suppress(FileExistsError):
            os.link(path, beside)
    except OSError as error:
        return f"lost, for it cannot be kept beside ({error.strerror})"
    return f"kept as {beside.name}"


class Forgotten:
    """Numbers of certificates, each with when it was revoked (Unix milliseconds)."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._numbers = numbers

    def __contains__(self, serial: object) -> bool:
        return serial in self._numbers

    def beside(self, revoked: Iterable[Revoked], now_ms: int) -> Iterator[Revoked]:
        """Those that are to be on the list beside what the journal has."""
        known = {one.serial for one in revoked} if self._numbers else set()
        for serial, at_ms in self._numbers.items():
            if serial not in known and now_ms < at_ms + _GOOD_MS:
                yield Revoked(serial, at_ms, at_ms + _GOOD_MS)


def forgotten_of(path: Path, authority: Authority, state: State) -> Forgotten:
    """What a list has that is there and of this authority, and a state has not. Another that is there is kept beside:
    it may be the only one that knows who was revoked."""
    try:
        listed, why = authority.listed_in(path.read_bytes()), "is damaged, or of another authority"
    except FileNotFoundError:
        return Forgotten({})
    except OSError as error:
        listed, why = None, f"cannot be read ({error.strerror})"
    if listed is None:
        log.error(
            "%s %s: whoever was revoked since the journal's last entry, if that was put back, is let in again; it is "
            "written anew, and what was there is %s (docs/DEVICES.md)",
            *(path, why, _kept_beside(path)),
        )
        return Forgotten({})
    known = {one.serial for one in state.identities.revoked}
    found = {serial: at_ms for serial, at_ms in listed.items() if serial not in known}
    since = [at_ms for at_ms in found.values() if at_ms > state.recorded_at_ms]
    if since:
        believed = sorted(
            device
            for device, one in state.identities.identities.items()
            if any(cert.serial in found for cert in one.certificates)
        )
        more = f" and {len(believed) - _NAMED_MAX} more" if len(believed) > _NAMED_MAX else ""
        log.warning(
            "the journal was put back: %s has %d certificates that count no more since its last entry, and stay on it; "
            "by the journal count those of devices that were renewed or revoked since: %s (docs/DEVICES.md)",
            *(path, len(since), ", ".join(believed[:_NAMED_MAX]) + more or "nobody"),
        )
    return Forgotten(found)
