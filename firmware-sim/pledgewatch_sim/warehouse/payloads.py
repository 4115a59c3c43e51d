"""What devices of others publish, word for word: ESPHome, Tasmota, Zigbee2MQTT, and ChirpStack v4 for LoRaWAN.

Written from what those projects document, not from the gateway's readers. A message is what a broker is given: topic,
payload, and whether it is to be kept (ESPHome keeps states unless told not to, so it does here).
"""

import json
import uuid
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, NamedTuple

APPLICATION: Final = "6c1f2c7e-0000-4000-8000-000000000001"
ZIGBEE_BASE: Final = "zigbee2mqtt"


class Message(NamedTuple):
    """What is published."""

    topic: str
    payload: bytes
    retain: bool = False


def esphome(device: str, states: Mapping[str, float], decimals: int = 2) -> list[Message]:
    """A topic for each sensor of an ESPHome device, with its number as text."""
    return [
        Message(f"{device}/sensor/{name}/state", f"{value:.{decimals}f}".encode(), retain=True)
        for name, value in states.items()
    ]


def esphome_will(device: str) -> Message:
    """What the broker says of an ESPHome device that is gone."""
    return Message(f"{device}/status", b"offline", retain=True)


def tasmota(device: str, at_ms: int, values: Mapping[str, Any]) -> Message:
    """The telemetry of a Tasmota device; its time has no offset."""
    moment = datetime.fromtimestamp(at_ms // 1_000, UTC)
    said = {"Time": f"{moment:%Y-%m-%dT%H:%M:%S}", **values, "TempUnit": "C"}
    return Message(f"tele/{device}/SENSOR", _json(said))


def tasmota_switch(device: str, switch: str, *, is_on: bool) -> Message:
    """A detached switch of a Tasmota device that changes, said at once."""
    return Message(f"stat/{device}/RESULT", _json({switch: {"Action": "ON" if is_on else "OFF"}}))


def tasmota_will(device: str) -> Message:
    """What the broker says of a Tasmota device that is gone."""
    return Message(f"tele/{device}/LWT", b"Offline", retain=True)


def zigbee(device: str, values: Mapping[str, Any]) -> Message:
    """The state of a Zigbee device; `contact` is true while a door is closed."""
    return Message(f"{ZIGBEE_BASE}/{device}", _json(values))


def zigbee_will() -> Message:
    """What the broker says of a Zigbee bridge that is gone."""
    return Message(f"{ZIGBEE_BASE}/bridge/state", _json({"state": "offline"}), retain=True)


def chirpstack_will() -> Message:
    """What the broker says of a network server that is gone."""
    return Message("eu868/gateway/0016c001f1500812/state/conn", _json({"state": "OFFLINE"}))


def chirpstack(device: str, at_ms: int, counter: int, decoded: Mapping[str, float], dice: Random) -> Message:
    """An uplink that ChirpStack has received and decoded. `device` is the devEui."""
    moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
    event = {
        "deduplicationId": str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}+00:00",
        "deviceInfo": {
            "tenantId": "52f14cd4-c6f1-4fbd-8f87-4025e1d49242",
            "tenantName": "ChirpStack",
            "applicationId": APPLICATION,
            "applicationName": "warehouse",
            "deviceProfileId": "14855bf7-d10d-4aee-b618-ebfcb64dc7ad",
            "deviceProfileName": "climate",
            "deviceName": f"probe-{device[-2:]}",
            "devEui": device,
            "tags": {},
        },
        "devAddr": f"00{device[-6:]}",
        "adr": True,
        "dr": 5,
        "fCnt": counter,
        "fPort": 2,
        "confirmed": False,
        "data": b64encode(dice.randbytes(11)).decode(),
        "object": dict(decoded),
        "rxInfo": [{"gatewayId": "0016c001f1500812", "uplinkId": dice.getrandbits(32), "rssi": -48, "snr": 9.5}],
        "txInfo": {"frequency": 868_100_000, "modulation": {"lora": {"bandwidth": 125_000, "spreadingFactor": 7}}},
    }
    return Message(f"application/{APPLICATION}/device/{device}/event/up", _json(event))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
