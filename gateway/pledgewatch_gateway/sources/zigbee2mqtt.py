"""Zigbee2MQTT: one JSON object for each device under its base topic.

    <base>/<friendly name>                {"temperature":4.2,"humidity":61,"contact":true,"linkquality":87}
    <base>/<friendly name>/availability   online or offline, as a text or as {"state":"offline"}

The sensor's name is the friendly name, which may hold slashes; until somebody gives it another, that is the device's
own address. `contact` is true while a door is *closed*: its row of the roster says `invert = true`. What the bridge
says of itself and what others ask of devices (`/set`, `/get`) is not for us. (Koenkk/zigbee2mqtt.io,
mqtt_topics_and_messages.md)
"""

from collections.abc import Sequence

from pledgewatch_gateway.sources import Value, gone
from pledgewatch_gateway.sources.strict_json import flattened, read_object

_NOT_OURS = ("set", "get")
_AVAILABILITY = "availability"


def filters(base: str) -> tuple[str, ...]:
    """What to subscribe to."""
    return (f"{base}/#",)


def read(base: str, topic: str, payload: bytes) -> Sequence[Value]:
    """What a message says; nothing where it is not Zigbee2MQTT's, or none of a device. Raises MalformedError."""
    if not topic.startswith(f"{base}/"):
        return []
    name = topic.removeprefix(f"{base}/")
    first, _, _ = name.partition("/")
    device, _, last = name.rpartition("/")
    if first == "bridge" or (device and last in _NOT_OURS):
        return []
    if device and last == _AVAILABILITY:
        is_offline = payload == b"offline" or (payload[:1] == b"{" and read_object(payload).get("state") == "offline")
        return [gone(device)] if is_offline else []
    return [Value(name, field, value) for field, value in flattened(read_object(payload)).items()]
