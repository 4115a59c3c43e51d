"""LoRaWAN by ChirpStack v4's MQTT events, as JSON.

    application/<application>/device/<devEui>/event/up
    {"deduplicationId":"…","time":"2026-03-01T12:00:00.1+00:00","deviceInfo":{"devEui":"…"},"fCnt":7,
     "object":{"temperature":4.2}}

The sensor's name is the devEui in small letters; the fields are those of `object`, which the codec of ChirpStack's
device profile makes of the bytes, so a device without a codec says nothing here. `time` is when the network server
received it, which may be long before it is told: it is the moment of the values. One uplink may be told more than once,
and `deduplicationId` tells. `log` events that speak of a wrong signature or of a counter that ran back are signs that
somebody plays devices' words again: they are complained about. (chirpstack/chirpstack, integration.proto)
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from pledgewatch_gateway.sources import MalformedError, Value
from pledgewatch_gateway.sources.strict_json import flattened, read_object

FILTERS: Final = ("application/+/device/+/event/up", "application/+/device/+/event/log")
_SUSPICIOUS: Final = ("UPLINK_MIC", "UPLINK_F_CNT_RESET", "UPLINK_F_CNT_RETRANSMISSION")


class Uplink(NamedTuple):
    """What one event says. `id` is the same where the same is told again; "" where the server gives none."""

    id: str
    values: Sequence[Value]


def read(topic: str, payload: bytes) -> Uplink:
    """What a message says; nothing where it is not ChirpStack's. Raises MalformedError."""
    match topic.split("/"):
        case ["application", _, "device", device, "event", "up"]:
            return _up(device.lower(), read_object(payload))
        case ["application", _, "device", _, "event", "log"]:
            code = read_object(payload).get("code")
            if code in _SUSPICIOUS:
                raise MalformedError(f"is the network server's word of {code}: look whether it is still our device")
    return Uplink("", [])


def _up(device: str, event: dict[str, Any]) -> Uplink:
    info = event.get("deviceInfo")
    own = info.get("devEui") if isinstance(info, dict) else None
    if not isinstance(own, str) or own.lower() != device:
        raise MalformedError("names another device inside than its topic does, or none")
    decoded = event.get("object")
    if not isinstance(decoded, dict):
        raise MalformedError("has no object; give its device profile a codec in ChirpStack")
    at_ms = _moment_ms(event.get("time"))
    values = [Value(device, name, value, at_ms) for name, value in flattened(decoded).items()]
    told = event.get("deduplicationId")
    return Uplink(told if isinstance(told, str) else "", values)


def _moment_ms(text: object) -> int | None:
    """RFC 3339 with any number of digits as Unix milliseconds; None where there is none."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise MalformedError("has a time that is none by RFC 3339")
    return round(moment.timestamp() * 1_000)
