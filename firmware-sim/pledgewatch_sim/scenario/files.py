"""Configuration files and the book of a scenario's programs."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.scenario.script import Limited, Scenario

OPERATOR: Final = "harbour-line"
DEVICE: Final = "container-1"
ASSET: Final = "asset-1"
LOT: Final = "lot-1"
FACILITY: Final = "facility-1"
ZONE: Final = "zone"
PROBE: Final = "28-0000000a0001"
LIGHT, DOOR = 0, 1
"""Inputs of the Modbus module that light and door are wired to."""
_MAP: Final = f"""[[registers]]
channel = "light_present"
table = "discrete"
address = {LIGHT}
[[registers]]
channel = "door_open"
table = "discrete"
address = {DOOR}
"""


class Ports(NamedTuple):
    """Where they listen, all on the loopback address."""

    broker: int
    link: int
    api: int
    modbus: int


def agent(scenario: Scenario, folder: Path, ports: Ports, clock: SimulationClock) -> str:
    """The agent's. Writes the map of its Modbus module beside it."""
    fitted, speed = scenario.fitted, scenario.speed
    (folder / "module.toml").write_text(_MAP, encoding="utf-8")
    return f"""[device]
operator = "{OPERATOR}"
name = "{DEVICE}"
state_folder = {_quoted(folder / "state")}
[broker]
host = "127.0.0.1"
port = {ports.link}
protocol = "3.1.1"
keep_alive_s = 5
reconnect_max_s = 1.0
[uplink]
resend_after_s = 5.0
[checkpoint]
every_readings = 100
every_s = 2.0
[clock]
trust_system = {"true" if fitted.trusts_clock else "false"}
simulated_start_ms = {clock.start_ms if fitted.trusts_clock else 0}
speed = {speed}
anchor_ms = {clock.anchor_ms}
simulated_for_s = {scenario.lasts_s}
[gps]
port = {_quoted(folder / "gps")}
baud = 9600
[onewire]
root = {_quoted(folder / "w1")}
interval_s = {max(0.01, fitted.probe_every_s / speed)}
probes = ["{PROBE}"]
[modbus]
host = "127.0.0.1"
port = {ports.modbus}
map = {_quoted(folder / "module.toml")}
interval_s = {max(0.05, fitted.probe_every_s / speed)}
{scenario.fitted.further}
"""


def cloud(folder: Path, ports: Ports, clock: SimulationClock) -> str:
    """The cloud's and the broker's, which is a process of its own here."""
    return f"""[service]
data_folder = {_quoted(folder / "data")}
[broker]
port = {ports.broker}
protocol = "3.1.1"
reconnect_max_s = 1.0
[ingest]
committed_after_readings = 100
committed_after_s = 1.0
tick_s = 1.0
hearing_grace_s = 0
[api]
port = {ports.api}
[book]
files = [{_quoted(folder / "book.json")}]
[clock]
simulated_start_ms = {clock.start_ms}
speed = {clock.speed}
anchor_ms = {clock.anchor_ms}
simulated_end_ms = {clock.end_ms}
"""


def book(scenario: Scenario, public_key: str) -> Mapping[str, Any]:
    """What the cloud knows: the container with its device, the zone, the goods and what they bear."""
    goods, place = scenario.goods, scenario.place
    west, east = place.longitude - place.zone_deg, place.longitude + place.zone_deg
    south, north = place.latitude - place.zone_deg, place.latitude + place.zone_deg
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    zone = {
        "type": "Feature",
        "id": ZONE,
        "properties": {"name": "Zone", "kind": "terminal"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    fitted = {"device": DEVICE, "operator": OPERATOR, "asset": ASSET, "public_key": public_key}
    quiet: dict[str, Any] = {"silent_after_s": goods.silent_after_s} if goods.silent_after_s else {}
    if goods.position_silent_after_s:
        quiet["sensors"] = [{"channel": "latitude_e7", "silent_after_s": goods.position_silent_after_s}]
    # At this speed the clocks of programs differ by hours of the story.
    ahead_s = max(300, round(60 * scenario.speed))
    warm = {"low": round(goods.low_c * 1_000), "high": round(goods.high_c * 1_000), "grace_s": goods.grace_s}
    limits: list[dict[str, Any]] = [{"channel": Limited.TEMPERATURE, **warm, "max_gap_s": 366 * 86_400}]
    if not goods.bears_light:
        limits.append({"channel": Limited.LIGHT, "low": 0, "high": 0, "max_gap_s": 366 * 86_400})
    found: dict[str, Any] = {
        "fences": {"type": "FeatureCollection", "features": [zone]},
        "assets": [{"id": ASSET, "kind": "container"}],
        "installations": [{**fitted, **quiet, "ahead_s": min(ahead_s, 30 * 86_400)}],
        "facilities": [
            {"id": FACILITY, "lender": "bank", "borrower": "exporter", "currency": "USD", "outstanding_minor": 0}
        ],
        "prices": [{"sku": "goods", "unit_price_minor": 10_000, "currency": "USD"}],
        "lots": [{"id": LOT, "asset": ASSET, "facility": FACILITY, "sku": "goods", "quantity": 100, "limits": limits}],
    }
    if goods.dark_until_s > goods.dark_from_s:
        since, until = (_iso(scenario.begins_ms, one) for one in (goods.dark_from_s, goods.dark_until_s))
        leg = {"id": "ocean", "kind": "sea", "from": since, "until": until, "signal": "dark"}
        found["voyages"] = [{"id": "voyage", "asset": ASSET, "legs": [leg]}]
    return found


def _iso(begins_ms: int, at_s: float) -> str:
    return datetime.fromtimestamp(begins_ms / 1_000 + at_s, UTC).isoformat().replace("+00:00", "Z")


def _quoted(path: Path) -> str:
    """A path as TOML writes a text: JSON's way of writing one is a part of TOML's."""
    return json.dumps(str(path), ensure_ascii=False)
