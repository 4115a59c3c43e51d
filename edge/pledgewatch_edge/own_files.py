"""Whether the files of a station are what they should be: its keys, its certificates, its spool.

A file that is there and can be read may still be empty, garbage or another device's, after a copy by hand or on a bad
disk. The station would end for it, or never be let in; here it is said before anything runs. Nothing is written. That a
file which is named is not there, `check_files` tells.
"""

import contextlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from pledgewatch_edge.config import StationSettings
from pledgewatch_edge.identity import KEY_FILE, StateError, look_at_key
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError, cure_of_refusal
from pledgewatch_edge.spool.file import whose_spool
from pledgewatch_edge.tls_identity import TlsIdentity, pair_faults


def faults_of_files(settings: StationSettings) -> list[str]:
    """A sentence for each file of a station that is there and cannot be used by it."""
    looks = (_device_key, _spool, _authority, _shown)
    return list(dict.fromkeys(fault for look in looks for fault in _said(look, settings)))


def _said(look: Callable[[StationSettings], Iterator[str]], settings: StationSettings) -> Iterator[str]:
    try:
        yield from look(settings)
    except (StateError, SpoolError, SpoolCorruptError) as error:
        yield str(error)
    except OSError as error:
        is_refusal = isinstance(error, PermissionError)
        cure = f"; {cure_of_refusal(settings.device.state_folder)}" if is_refusal else ""
        yield f"{error.filename}: {error.strerror}{cure}"


def _device_key(settings: StationSettings) -> Iterator[str]:
    folder = settings.device.state_folder
    if not look_at_key(folder) and _is_claimed(settings) and TlsIdentity(folder).certificate_file.exists():
        # Another would be made, by which the cloud does not know the device.
        yield f"{folder / KEY_FILE} is not there, by which the cloud knows {settings.device.name}; claim it again"


def _spool(settings: StationSettings) -> Iterator[str]:
    device = settings.device
    try:
        owner, _ = whose_spool(device.state_folder)
    except SpoolError as error:
        if isinstance(error.__context__, FileNotFoundError):
            return  # the station that runs has done with that file meanwhile
        raise
    if owner not in {"", device.name}:
        yield f"{device.state_folder} holds readings of {owner!r}, not of {device.name!r}; give each its own folder"


def _authority(settings: StationSettings) -> Iterator[str]:
    for path, cure in (
        (settings.broker.ca_file, "the broker"),
        (settings.device.cloud_ca_file, "the cloud"),
    ):
        if path is None or not path.exists():
            continue
        try:
            ssl.create_default_context(cafile=path)
        except OSError:
            yield f"{path} has no certificate in PEM that {cure} could be known by; {cure_of(path, settings)}"


def _shown(settings: StationSettings) -> Iterator[str]:
    """Certificate and key that the broker is shown."""
    broker, device = settings.broker, settings.device
    if _is_claimed(settings):
        identity = TlsIdentity(device.state_folder, device.pkcs11)
        yield from pair_faults(identity)
        name = identity.name()
        if name is not None and name != device.name:
            yield f"{identity.certificate_file} is the certificate of {name!r}, not of {device.name!r}; claim it again"
        return
    shown, key = broker.certificate_file, broker.key_file
    if shown is None or key is None or not shown.exists() or not key.exists():
        return
    with contextlib.suppress(PermissionError):  # check_files has told
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(shown, key, password=lambda: "")
        except PermissionError:
            raise
        except (OSError, ValueError):
            yield f"{shown} and {key} are no certificate and its key in PEM; put there those that belong together"


def _is_claimed(settings: StationSettings) -> bool:
    """Whether the broker is shown what a claim has put into the state folder."""
    device, shown = settings.device, settings.broker.certificate_file
    if device.cloud_url is None:
        return False
    return device.pkcs11 is not None or (shown is not None and shown.parent == device.state_folder)


def cure_of(path: Path, settings: StationSettings) -> str:
    """How a file that a configuration names gets right, or to its place."""
    return "claim it again" if path.parent == settings.device.state_folder else "put the right file there"
