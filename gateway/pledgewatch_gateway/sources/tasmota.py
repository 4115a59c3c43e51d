"""Tasmota over MQTT, with its default topics (`%prefix%/%topic%/`).

    tele/<topic>/SENSOR   {"Time":"2017-02-16T10:13:52","DS18B20":{"Temperature":20.6},"TempUnit":"C"}
    stat/<topic>/RESULT   the same form, at once when a switch or a reader has something to say
    tele/<topic>/LWT      Online or Offline, its last will

The sensor's name is the topic; a field is the path to a value, with dots (`DS18B20.Temperature`). Temperatures are
given in Celsius whatever `TempUnit` says, so that nobody's change of a display changes what a limit means. `Time`
mostly lacks an offset from UTC and is not used. (tasmota/docs, MQTT.md)
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from pledgewatch_gateway.sources import MalformedError, Value, gone
from pledgewatch_gateway.sources.strict_json import flattened, read_object

FILTERS: Final = ("tele/+/SENSOR", "stat/+/RESULT", "tele/+/LWT")
_TEMPERATURES: Final = ("Temperature", "DewPoint")


def read(topic: str, payload: bytes) -> Sequence[Value]:
    """What a message says; nothing where it is not Tasmota's. Raises MalformedError."""
    match topic.split("/"):
        case ["tele", sensor, "LWT"]:
            return [gone(sensor)] if payload == b"Offline" else []
        case ["tele", sensor, "SENSOR"] | ["stat", sensor, "RESULT"]:
            fields = flattened(read_object(payload))
            unit = fields.pop("TempUnit", "C")
            fields.pop("Time", None)
            if unit not in {"C", "F"}:
                raise MalformedError("has a TempUnit that is neither C nor F")
            return [
                Value(sensor, name, _celsius(name, value, is_fahrenheit=unit == "F")) for name, value in fields.items()
            ]
        case _:
            return []


def _celsius(name: str, value: Decimal | bool | str, *, is_fahrenheit: bool) -> Decimal | bool | str:
    if is_fahrenheit and isinstance(value, Decimal) and name.rpartition(".")[2] in _TEMPERATURES:
        return (value - 32) * 5 / 9
    return value
