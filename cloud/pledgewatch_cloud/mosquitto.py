"""Mosquitto's configuration and access list, made of the book: who holds which certificate may touch which topics.

Mosquitto takes the common name of a client's certificate for its user (`use_identity_as_username`). A device that
speaks for itself is the user of its own name, and so is a zone of a gateway that has claimed an identity (it comes here
without its gateway: identity_book.py, `speakers`). Zones that have claimed none share the gateway's certificate, so the
gateway is their user, with the topics of all of them. What the book does not know may do nothing.

Names of devices and gateways come from the book, where a gateway's is any text; one that is no name is refused here,
for a line break in it would be a line of the access list. So is a user that would stand for two.

What an access list cannot do: Mosquitto grants every subscription, and delivers nothing that may not be read. And who
may connect at all may do so under the client id of another, whose connection ends then. Nothing is read by it; what is
said is the last will of the other, that it is offline. So devices that have claimed have a listener of their own, whose
authority is believed at no other: there the client id is the certificate's name, whatever the client says, and a device
ends no connection but its own. That is also how a session ends which somebody has opened with an older certificate of
it. A gateway whose zones have claimed none has one certificate for the connections of all of them, and the cloud two
connections under one, so theirs is the other listener, where client ids are free.

Nor can it say how much memory one client may fill, with subscriptions or with what waits for the cloud. So all of it
has a limit, at which Mosquitto ends the connection of whoever asks for more. What waits for a client that is away has a
quarter of that: were it all, the cloud could not come in to take it, nor Mosquitto read it back at its next start. What
is beyond is dropped, and devices send again what the cloud has not committed.
"""

import contextlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from pledgewatch_cloud.decide.items.assets import Installation
from pledgewatch_wire import topics
from pledgewatch_wire.codec import MAX_PAYLOAD_BYTES
from pledgewatch_wire.topics import Kind

CLOUD_USER: Final = "cloud"
UPTIME: Final = "$SYS/broker/uptime"
"""What whoever asks for the broker's health may read."""

MEMORY_MB: Final = 1_024
MEMORY_BOUNDS_MB: Final = (32, 1_048_576)
_QUEUE_SHARE: Final = 4  # a quarter
_QUEUED_BYTES: Final = 512
"""What a message that waits takes beside what it says: 370 with Mosquitto 2.0.11 and a topic of some thirty bytes."""
_PACKET_MAX: Final = 2 * MAX_PAYLOAD_BYTES
"""What nobody of ours sends is refused by its length, before there is memory for it."""

_READABLE: Final = 0o644  # no file holds a secret, and Mosquitto is another user
_SAID: Final = (Kind.UP, Kind.STATUS, Kind.ANSWER)
_HEARD: Final = (Kind.COMMITTED, Kind.SETTINGS, Kind.COMMAND)


class AclError(ValueError):
    """The book gives no access list that tells all users apart; `errors` has a sentence for each fault."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesListener:
    """Where devices are let in and nobody else: by whose certificates, and which of those are taken no more."""

    port: int
    ca_file: PurePosixPath
    crl_file: PurePosixPath | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where Mosquitto listens and where its files are, as it sees them itself (in a container, say). `devices`: the
    listener of devices, which are not let in here then. `memory_mb`: what it may fill."""

    port: int
    ca_file: PurePosixPath
    certificate_file: PurePosixPath
    key_file: PurePosixPath
    acl_file: PurePosixPath
    data_folder: PurePosixPath
    crl_file: PurePosixPath | None = None
    devices: DevicesListener | None = None
    pid_file: PurePosixPath | None = None
    memory_mb: int = MEMORY_MB


def user_of(one: Installation) -> str:
    """The common name in the certificate of whatever speaks for a device."""
    return one.gateway or one.device


def acl_of(installations: Iterable[Installation], *, cloud: str = CLOUD_USER, health: str = "") -> str:
    """The access list: the cloud, whoever asks for the broker's health if that is wanted, and each user of the book.

    Retired devices are left out. Raises AclError for a name that is none, and for a user that would stand for two.
    """
    users = _users(installations)
    if errors := [*_faults_of_own(cloud, health), *_sentences(_faults(users, cloud, health))]:
        raise AclError(errors)
    sections = [_HEAD, _section(cloud, _of_the_cloud())]
    if health:
        sections.append(_section(health, [f"topic read {UPTIME}"]))
    sections += [_section(user, _lines_of(devices)) for user, devices in sorted(users.items())]
    return "\n".join(sections)


def told_apart(
    installations: Iterable[Installation], *, cloud: str = CLOUD_USER, health: str = ""
) -> tuple[list[Installation], list[str]]:
    """Those of whom there is an access list, and a sentence for each fault by which others are left out: one user that
    cannot be written down, or would stand for two, must not keep the list of all the others as it was."""
    users = _users(installations)
    faults = _faults(users, cloud, health)
    return [one for user, devices in users.items() if user not in faults for one in devices], _sentences(faults)


def configuration_of(listener: Listener) -> str:
    """The configuration: TLS with client certificates and nothing else, sessions kept, memory bounded."""
    devices = listener.devices
    apart = "" if devices is None else _DEVICES.format(text=_listening(listener, devices))
    noted = "" if listener.pid_file is None else _NOTED.format(listener=listener)
    text = _listening(listener, listener)
    sizes = {"size": MAX_PAYLOAD_BYTES, "packet": _PACKET_MAX, "memory": listener.memory_mb * 2**20}
    sizes["queue"] = sizes["memory"] // _QUEUE_SHARE
    sizes["messages"] = sizes["queue"] // _QUEUED_BYTES
    return _CONFIGURATION.format(text=text, apart=apart, noted=noted, listener=listener, **sizes)


def _listening(listener: Listener, own: Listener | DevicesListener) -> str:
    revoked = "" if own.crl_file is None else f"\ncrlfile {own.crl_file}"
    return _LISTENING.format(listener=listener, own=own, revoked=revoked)


def replace(output: Path, data: bytes) -> None:
    """Put a file there by rename: a broker that reads it again meanwhile must not read half of it. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), _READABLE)
        Path(name).replace(output)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


_HEAD = """# Made by `pledgewatch-cloud broker acl` of the book's installations; make it again when they change.
# Whoever is not named may do nothing.
"""

_LISTENING = """listener {own.port}
cafile {own.ca_file}
certfile {listener.certificate_file}
keyfile {listener.key_file}{revoked}
require_certificate true
use_identity_as_username true"""

_DEVICES = """

# Devices, by an authority that is believed here alone. Their name is their client id, so none ends another's session.
{text}
use_username_as_clientid true
"""

_NOTED = """
# By which the cloud tells it to read its lists again.
pid_file {listener.pid_file}
"""

_CONFIGURATION = """# Made by `pledgewatch-cloud broker conf`.
# Who connects shows a certificate; its common name is the user of the access list.
{text}{apart}
allow_anonymous false
acl_file {listener.acl_file}

# No longer than what the cloud reads (docs/WIRE.md).
message_size_limit {size}
max_packet_size {packet}

# Who asks for more memory than all may fill is disconnected, and the log says who (docs/DEVICES.md).
memory_limit {memory}

# As many on their way as the cloud asks for with its receive maximum. While it is away this much waits for it; what is
# beyond is dropped, and sent again by the devices.
max_inflight_messages 0
max_queued_bytes {queue}
max_queued_messages {messages}

# Sessions and what waits in them survive a restart.
persistence true
persistence_location {listener.data_folder}/
autosave_interval 60
{noted}
log_dest stdout
log_type error
log_type warning
log_type notice
"""


def _users(installations: Iterable[Installation]) -> dict[str, list[Installation]]:
    found = defaultdict[str, list[Installation]](list)
    for one in installations:
        if not one.retired:
            found[user_of(one)].append(one)
    return dict(found)


def _faults_of_own(cloud: str, health: str) -> list[str]:
    own = {"the cloud's user": cloud} | ({"the user for health": health} if health else {})
    errors = [_misnamed(place, name) for place, name in own.items() if not topics.is_name(name)]
    if cloud == health:
        errors.append(f"{cloud!r} is the user of the cloud and of who asks for health; name another")
    return errors


def _faults(users: Mapping[str, list[Installation]], cloud: str, health: str) -> dict[str, list[str]]:
    """By user what is wrong with it; nothing of the others."""
    found = {}
    for user, devices in sorted(users.items()):
        operators = sorted({one.operator for one in devices})
        errors = []
        if not topics.is_name(user):
            errors.append(_misnamed(f"gateway of {devices[0].device}", user))
        if user in (cloud, health):
            errors.append(f"{user!r} is a device or gateway of the book too; give the cloud or health another user")
        if len(operators) > 1:
            errors.append(f"gateway {user!r} is {' and '.join(operators)}'s; give each operator a gateway of its own")
        if len(devices) > 1 and not all(one.gateway for one in devices):
            errors.append(f"{user!r} is a device and a gateway; their certificates cannot be told apart, so rename one")
        if errors:
            found[user] = errors
    return found


def _misnamed(place: str, name: str) -> str:
    return f"{place}: {name!r} cannot be a user; use 1 to 64 lower-case letters, digits and hyphens"


def _sentences(faults: Mapping[str, list[str]]) -> list[str]:
    return [one for some in faults.values() for one in some]


def _lines_of(devices: Iterable[Installation]) -> list[str]:
    lines = []
    for one in sorted(devices, key=lambda device: device.device):
        lines += [_write(topics.topic(one.operator, one.device, kind)) for kind in _SAID]
        lines += _reads(topics.topic(one.operator, one.device, kind) for kind in _HEARD)
    return lines


def _of_the_cloud() -> list[str]:
    return [*_reads(map(topics.topic_filter, _SAID)), *map(_write, map(topics.topic_filter, _HEARD))]


def _section(user: str, lines: Iterable[str]) -> str:
    return "\n".join([f"user {user}", *lines, ""])


def _reads(patterns: Iterable[str]) -> list[str]:
    return [f"topic read {one}" for one in patterns]


def _write(pattern: str) -> str:
    return f"topic write {pattern}"
