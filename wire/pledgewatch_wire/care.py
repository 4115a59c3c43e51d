"""Remote care: what the cloud asks of a device beside readings, signed, and what the device answers.

    cloud ── settings, command (signed by the care key) ──► device
    cloud ◄── answer: taken, refused, done ──────────────── device

The signature is Ed25519 over a domain and the bytes as they travel, so nobody has to write them again to verify them.
Settings and commands have domains of their own: neither can be shown as the other, nor can anything else that a cloud's
key may sign. What a device needs to refuse a replay is within: its own name, a number that only goes up, and an end.

What is read here is believed in nothing before the signature holds; sizes are bounded before that.
"""

import json
import zlib
from enum import IntEnum
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import DecodeError

from pledgewatch_wire import payload_pb2
from pledgewatch_wire.codec import MAX_PAYLOAD_BYTES, MAX_SEQUENCE, PayloadError, Reason

SETTINGS_DOMAIN: Final = b"pledgewatch settings\0"
COMMAND_DOMAIN: Final = b"pledgewatch command\0"
TOML_MAX: Final = 16_384
SECONDS_MAX: Final = 60
RANGE_MAX: Final = 100_000
TEXT_MAX: Final = 500
RESULT_MAX: Final = 48 * 1024
RESULT_INFLATED_MAX: Final = 512 * 1024


class What(IntEnum):
    """What a command asks for."""

    REPORT_NOW = 1
    RESEND_RANGE = 2
    IDENTIFY = 3
    DIAGNOSTICS = 4


class Became(IntEnum):
    """What has become of settings or of a command. TAKEN: it was accepted, and the end is still to come. POSTPONED: of
    settings that nothing was decided about, as the disk takes nothing; they are to be said again, or to stay said.
    LEFT_ASIDE: of settings that were DONE, and with which the device cannot run any more; it runs without them."""

    TAKEN = 1
    REFUSED = 2
    DONE = 3
    POSTPONED = 4
    LEFT_ASIDE = 5


class Desired(NamedTuple):
    """What a device is to be set to: the TOML of sections that may be set from afar, in place of the version before."""

    operator: str
    device: str
    version: int
    issued_at_ms: int
    expires_at_ms: int
    toml: str


class Command(NamedTuple):
    """What a device is to do once. Of a range to send again `epoch`, `first` and `last`; of one that is to show itself
    `seconds`."""

    operator: str
    device: str
    id: int
    issued_at_ms: int
    expires_at_ms: int
    what: int
    epoch: int = 0
    first: int = 0
    last: int = 0
    seconds: int = 0


class Answer(NamedTuple):
    """What has become of the settings of `version`, or of the command `id`; the other is 0. `result` is packed JSON."""

    version: int
    id: int
    became: Became
    text: str = ""
    result: bytes = b""


class UnsignedError(ValueError):
    """What was not signed by the key that cares for the device. `claimed` is what it says of itself, unproven: a
    version or an id, 0 where not even that can be read."""

    def __init__(self, text: str, claimed: int = 0) -> None:
        super().__init__(text)
        self.claimed = claimed


def sign_settings(desired: Desired, key: Ed25519PrivateKey) -> bytes:
    """The bytes to send. Raises ValueError where the TOML is longer than TOML_MAX bytes."""
    if len(desired.toml.encode()) > TOML_MAX:
        raise ValueError(f"settings are at most {TOML_MAX} bytes of TOML, not {len(desired.toml.encode())}")
    return _signed(SETTINGS_DOMAIN, payload_pb2.Desired(**desired._asdict()).SerializeToString(deterministic=True), key)


def sign_command(command: Command, key: Ed25519PrivateKey) -> bytes:
    """The bytes to send. Raises ValueError for a command that no device would take."""
    check_command(command)
    return _signed(COMMAND_DOMAIN, payload_pb2.Command(**command._asdict()).SerializeToString(deterministic=True), key)


def read_settings(data: bytes, key: Ed25519PublicKey) -> Desired:
    """The settings that a message holds. Raises UnsignedError, and PayloadError where they were signed so."""
    message = _message(payload_pb2.Desired, data, SETTINGS_DOMAIN, key, "version")
    found = Desired(*(getattr(message, name) for name in Desired._fields))
    if found.version < 1 or len(found.toml.encode()) > TOML_MAX:
        raise PayloadError(Reason.TOO_LARGE, "settings without a version, or of more TOML than a device takes")
    return found


def read_command(data: bytes, key: Ed25519PublicKey) -> Command:
    """The command that a message holds; its `what` may be one that is not known here. Raises UnsignedError, and
    PayloadError where it was signed so."""
    message = _message(payload_pb2.Command, data, COMMAND_DOMAIN, key, "id")
    found = Command(*(getattr(message, name) for name in Command._fields))
    if found.id < 1:
        raise PayloadError(Reason.BAD_SEQUENCE, "a command without an id")
    return found


def check_command(command: Command) -> None:
    """Raise ValueError for a command that cannot be carried out by any device, with a sentence that says why."""
    if command.what not in list(What):
        raise ValueError(f"there is no command {command.what}")
    if command.what == What.RESEND_RANGE:
        first, last = command.first, command.last
        if command.epoch < 1 or not 1 <= first <= last <= MAX_SEQUENCE or last - first >= RANGE_MAX:
            raise ValueError(f"a range has an epoch, and first to last of at most {RANGE_MAX} readings, from 1 on")
    if command.what == What.IDENTIFY and not 1 <= command.seconds <= SECONDS_MAX:
        raise ValueError(f"a device shows itself for 1 to {SECONDS_MAX} seconds, not {command.seconds}")


def encode_answer(answer: Answer) -> bytes:
    """The bytes of a device's answer; its text is cut where it is longer than the cloud reads."""
    said = answer._replace(text=answer.text[:TEXT_MAX])
    return payload_pb2.Answer(**said._asdict()).SerializeToString(deterministic=True)


def decode_answer(data: bytes) -> Answer:
    """A device's answer. Raises PayloadError where it is none."""
    message = _parsed(payload_pb2.Answer, data)
    if message.became not in list(Became) or (message.version and message.id):
        raise PayloadError(Reason.NOT_PROTOBUF, "an answer says what became of settings or of a command")
    if len(message.text) > TEXT_MAX or len(message.result) > RESULT_MAX:
        raise PayloadError(Reason.TOO_LARGE, "an answer of more than the cloud reads")
    return Answer(message.version, message.id, Became(message.became), message.text, message.result)


def pack_result(result: dict[str, Any]) -> bytes:
    """A result as an answer holds it; may be longer than RESULT_MAX, and then it must say less."""
    return zlib.compress(json.dumps(result, sort_keys=True).encode(), 9)


def unpack_result(data: bytes) -> Any:
    """The JSON that `pack_result` was given. Raises PayloadError where it is none, or too much."""
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, RESULT_INFLATED_MAX)
        if not inflater.eof or inflater.unused_data:
            raise PayloadError(Reason.BAD_INFLATION, f"not one whole stream of at most {RESULT_INFLATED_MAX} bytes")
        return json.loads(plain)
    except (zlib.error, ValueError, RecursionError) as error:
        raise PayloadError(Reason.BAD_INFLATION, str(error)) from None


def _signed(domain: bytes, said: bytes, key: Ed25519PrivateKey) -> bytes:
    signed = payload_pb2.Signed(said=said, signature=key.sign(domain + said))
    return bytes(signed.SerializeToString(deterministic=True))


def _message(kind: Any, data: bytes, domain: bytes, key: Ed25519PublicKey, number: str) -> Any:
    """The message within, whose signature holds."""
    try:
        outer = _parsed(payload_pb2.Signed, data)
        claimed = getattr(_parsed(kind, outer.said), number)
    except PayloadError as error:
        raise UnsignedError(f"it cannot be read: {error.detail}") from None
    try:
        key.verify(outer.signature, domain + outer.said)
    except InvalidSignature:
        what = "it is not signed by the key that cares for this device" if outer.signature else "it is unsigned"
        raise UnsignedError(what, claimed) from None
    return _parsed(kind, outer.said)


def _parsed(kind: Any, data: bytes) -> Any:
    if len(data) > MAX_PAYLOAD_BYTES:
        raise PayloadError(Reason.TOO_LARGE, f"{len(data)} bytes")
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise PayloadError(Reason.NOT_PROTOBUF, str(error)) from None
