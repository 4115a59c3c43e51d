"""What each sensor says of the scene at a moment: its messages, its registers, the lines of its reader.

Noise is drawn anew for each device and moment from the seed, so what a device says does not depend on who else was
asked before. Scales are off by at most SCALE_NOISE_G: so much belongs into a zone's tolerance.
"""

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, NamedTuple

from pledgewatch_sim.warehouse import layout, payloads
from pledgewatch_sim.warehouse.layout import COLD, HALL, RACKS
from pledgewatch_sim.warehouse.model import Scene
from pledgewatch_sim.warehouse.payloads import Message
from pledgewatch_sim.warehouse.sales import DAY_MS, HOUR_MS

SCALE_NOISE_G: Final = 50
COLD_C: Final = -18.0
_RACKS_C: Final = 19.0
_METER_W: Final = 4_200
_BATTERY_V: Final = 3.1
UNITS: Final = {layout.SCALE: 1, layout.METER: 2, layout.COOLING: 3}
"""The Modbus units, all behind one converter."""


class Asked(NamedTuple):
    """What a sensor sees: the scene, what goods weigh, when, since when the story runs, and by which dice."""

    scene: Scene
    unit_weights_g: Mapping[str, int]
    at_ms: int
    start_ms: int
    seed: int

    def dice(self, device: str) -> Random:
        """Dice of a device at this moment."""
        return Random(f"{self.seed}/{device}/{self.at_ms}")

    def warmth_c(self, mean_c: float, swing_c: float, device: str) -> float:
        """A temperature that follows the day, warmest at two in the afternoon."""
        phase = (self.at_ms % DAY_MS - 14 * HOUR_MS) / DAY_MS
        return mean_c + swing_c * math.cos(2 * math.pi * phase) + self.dice(device).gauss(0, 0.1)

    def weight_g(self, bins: tuple[str, ...], device: str) -> int:
        """What a scale under some bins shows."""
        noise = self.dice(f"{device}/scale").randint(-SCALE_NOISE_G, SCALE_NOISE_G)
        return max(0, self.scene.floor.weight_g(bins, self.unit_weights_g) + noise)


def messages(asked: Asked, device: str) -> list[Message]:
    """What a device of the LAN or of LoRaWAN publishes; nothing where it is dead."""
    return [] if device in asked.scene.dead else _MESSAGES[device](asked)


def registers(asked: Asked) -> dict[int, dict[int, int]]:
    """The holding registers by Modbus unit and address; a dead unit is not there.

    The scale counts tens of grams (int32 at 0), the meter tenths of kWh (uint32 at 20) and watts (uint16 at 22), the
    cooling tenths of a degree, as it is (int16 at 40) and as it should be (41).
    """
    scale = _words(asked.weight_g(RACKS.bins, layout.SCALE) // 10, 0)
    energy = (asked.at_ms - asked.start_ms) * _METER_W // HOUR_MS // 100
    meter = {**_words(energy, 20), 22: _METER_W + asked.dice(layout.METER).randint(-200, 200)}
    cooling = {40: round(asked.warmth_c(COLD_C, 0.4, layout.COOLING) * 10) & 0xFFFF, 41: round(COLD_C * 10) & 0xFFFF}
    all_of_them = {layout.SCALE: scale, layout.METER: meter, layout.COOLING: cooling}
    return {UNITS[name]: found for name, found in all_of_them.items() if name not in asked.scene.dead}


def tags_in_hall(scene: Scene) -> list[str]:
    """What the hall's reader sees in one round: the tag on the wall and that of each carton."""
    if layout.HALL_READER in scene.dead:
        return []
    return [layout.WALL_TAG, *(tag for load in scene.floor.loads_in(HALL.bins) for tag in load.tags)]


def line(tag: str) -> bytes:
    """A tag as a reader or a scanner says it, between STX and ETX: who opens the port now knows where it begins."""
    return f"\x02{tag}\x03".encode("ascii")


def seal_as_read(reader: str, seal: str) -> str:
    """A seal as one of the gate's devices spells it. None does as the stock system: what a tag is called must not hang
    on hyphens, spaces and small letters."""
    return seal.lower() if reader == layout.DOCK_SCANNER else f"{seal[:2]} {seal[2:5]}-{seal[5:]}"


def _cold(asked: Asked) -> list[Message]:
    name = layout.COLD_DEVICE
    climate = {"air": asked.warmth_c(COLD_C, 0.4, name), "humidity": 71 + asked.dice(name).gauss(0, 1)}
    weight = {"scale": asked.weight_g(COLD.bins, name) / 1_000}
    return [*payloads.esphome(name, climate), *payloads.esphome(name, weight, 3)]


def _hall(asked: Asked) -> list[Message]:
    name = layout.HALL_DEVICE
    climate = {
        "Temperature": round(asked.warmth_c(_RACKS_C, 3, name), 1),
        "Humidity": round(55 + asked.dice(name).gauss(0, 1), 1),
    }
    said = payloads.tasmota(name, asked.at_ms, {"AM2301": climate})
    is_stirred = asked.scene.is_stirred(HALL.name, asked.at_ms)
    return [said, payloads.tasmota_switch(name, "Switch1", is_on=is_stirred)]


def _door(asked: Asked) -> list[Message]:
    is_open = asked.scene.is_open(layout.DOCK_DOOR, asked.at_ms)
    said = {"battery": 97, "contact": not is_open, "linkquality": 120 + asked.dice(layout.DOCK_DOOR).randint(-20, 20)}
    return [payloads.zigbee(layout.DOCK_DOOR, said)]


def _probe(device: str, mean_c: float, swing_c: float) -> Callable[[Asked], list[Message]]:
    def said(asked: Asked) -> list[Message]:
        dice = asked.dice(device)
        counter = (asked.at_ms - asked.start_ms) // 1_000 & 0xFFFF
        decoded = {
            "temperature": round(asked.warmth_c(mean_c, swing_c, device), 2),
            "humidity": round(52 + dice.gauss(0, 1), 1),
            "battery": round(_BATTERY_V + dice.gauss(0, 0.01), 3),
        }
        return [payloads.chirpstack(device, asked.at_ms, counter, decoded, dice)]

    return said


_MESSAGES: Final[Mapping[str, Callable[[Asked], list[Message]]]] = {
    layout.COLD_DEVICE: _cold,
    layout.HALL_DEVICE: _hall,
    layout.DOCK_DOOR: _door,
    layout.RACK_PROBE: _probe(layout.RACK_PROBE, _RACKS_C, 3),
    layout.COLD_PROBE: _probe(layout.COLD_PROBE, COLD_C, 0.4),
}


class Connection(NamedTuple):
    """A connection to the LAN's broker: whose it is, which devices speak by it, and what the broker says when it
    breaks. LoRaWAN and Zigbee devices have none of their own: a dead one is not heard, and nobody says so."""

    client: str
    devices: tuple[str, ...]
    will: Message


CONNECTIONS: Final = (
    Connection(layout.COLD_DEVICE, (layout.COLD_DEVICE,), payloads.esphome_will(layout.COLD_DEVICE)),
    Connection(layout.HALL_DEVICE, (layout.HALL_DEVICE,), payloads.tasmota_will(layout.HALL_DEVICE)),
    Connection("zigbee2mqtt", (layout.DOCK_DOOR,), payloads.zigbee_will()),
    Connection("chirpstack", (layout.RACK_PROBE, layout.COLD_PROBE), payloads.chirpstack_will()),
)


def _words(number: int, address: int) -> dict[int, int]:
    """A number of 32 bits as two registers, the high word first."""
    return {address: number >> 16 & 0xFFFF, address + 1: number & 0xFFFF}
