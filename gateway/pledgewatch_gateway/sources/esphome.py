"""ESPHome over MQTT: a topic for each sensor, plain text.

    <prefix>/sensor/<object>/state          a number, or "nan" where the device could not measure
    <prefix>/binary_sensor/<object>/state   ON or OFF
    <prefix>/text_sensor/<object>/state     a text, such as the tag that a reader sees
    <prefix>/status                         online or offline, its last will

The sensor's name is the prefix, of one level (ESPHome's default is the device's name); the field is the object. ESPHome
retains what it says unless told not to, so a retained state is no news of now: the client leaves such out.
"""

from collections.abc import Sequence
from typing import Final

from pledgewatch_gateway.sources import MalformedError, Value, gone
from pledgewatch_gateway.sources.strict_json import number_of
from pledgewatch_wire.reading import Quality

FILTERS: Final = ("+/sensor/+/state", "+/binary_sensor/+/state", "+/text_sensor/+/state", "+/status")
_TEXT_MAX_BYTES: Final = 256
_STATES: Final = {"ON": True, "OFF": False}


def read(topic: str, payload: bytes) -> Sequence[Value]:
    """What a message says; nothing where it is not ESPHome's. Raises MalformedError."""
    match topic.split("/"):
        case [prefix, "status"]:
            return [gone(prefix)] if payload == b"offline" else []
        case [prefix, "sensor", field, "state"]:
            text = _text(payload)
            if text.lower() == "nan":
                return [Value(prefix, field, None, None, Quality.NOT_REPORTED)]
            return [Value(prefix, field, number_of(text))]
        case [prefix, "binary_sensor", field, "state"]:
            text = _text(payload)
            if text not in _STATES:
                raise MalformedError("is neither ON nor OFF")
            return [Value(prefix, field, _STATES[text])]
        case [prefix, "text_sensor", field, "state"]:
            text = _text(payload)
            return [Value(prefix, field, text)] if text else []
        case _:
            return []


def _text(payload: bytes) -> str:
    try:
        text = payload.decode("utf-8").strip() if len(payload) <= _TEXT_MAX_BYTES else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise MalformedError(f"is no text of up to {_TEXT_MAX_BYTES} bytes")
    return text
