"""What gateway and book must be told of this warehouse: its roster, and its zones, bins and weights.

gateway_part   zones, sources and sensors, to stand behind [gateway], [broker] and what else a gateway needs
book_part      parties, warehouses and stock sources, to be merged into a book; keys and installations are not in it
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pledgewatch_sim.warehouse import layout, payloads, sensors
from pledgewatch_sim.warehouse.layout import COLD, GATE, HALL, RACKS
from pledgewatch_sim.warehouse.stock_forms import CSV_COLUMNS, CSV_WORDS
from pledgewatch_sim.warehouse.wms import UNIT

SOURCE = "wms"
LAN = "hall"
_FIELDS = dict(
    zip(CSV_COLUMNS, ("id", "kind", "at", "owner", "sku", "bin", "unit", "quantity", "lot", "cancels"), strict=True)
)
_WEIGHT_TOLERANCE_G = 200


class Addresses(NamedTuple):
    """Where the parts of the warehouse are: ports of this machine, and names of serial ports. `broker_port` None: what
    speaks by MQTT is not heard."""

    broker_port: int | None
    modbus_port: int
    gate_reader: str
    dock_scanner: str
    hall_reader: str


def gateway_part(addresses: Addresses, every_s: float, warehouse: str = layout.WAREHOUSE) -> str:
    """The sections of a gateway's configuration that are about this warehouse. `every_s`: how often sensors speak."""
    zones = layout.zones_of(warehouse)
    sections = [_table("[[zones]]", name=one.name, device=one.device, asset=one.asset) for one in zones]
    if addresses.broker_port is not None:
        forms = ["esphome", "tasmota", "zigbee2mqtt", "chirpstack"]
        sections.append(_table("[[mqtt]]", name=LAN, forms=forms, zigbee2mqtt_base=payloads.ZIGBEE_BASE))
        sections.append(_table("[mqtt.broker]", host="127.0.0.1", port=addresses.broker_port))
    for device, registers in _REGISTERS.items():
        place = {"host": "127.0.0.1", "port": addresses.modbus_port, "unit": sensors.UNITS[device]}
        sections.append(_table("[[modbus]]", name=device, **place, interval_s=every_s))
        sections += [_table("[[modbus.registers]]", **one) for one in registers]
    ports = {
        layout.GATE_READER: addresses.gate_reader,
        layout.DOCK_SCANNER: addresses.dock_scanner,
        layout.HALL_READER: addresses.hall_reader,
    }
    sections += [_table("[[serial]]", name=name, port=port, form="tags") for name, port in ports.items()]
    rows = [*(_LAN_ROWS if addresses.broker_port is not None else ()), *_OTHER_ROWS]
    for row in rows:
        counted = {"window_s": max(1.0, 3 * every_s), "own_tags": [layout.WALL_TAG]}
        sections.append(_table("[[sensors]]", **row, **(counted if row["channel"] == "tags_present" else {})))
    return "\n".join(sections)


def book_part(unit_weights_g: Mapping[str, int], grace_s: int, warehouse: str = layout.WAREHOUSE) -> dict[str, Any]:
    """The sections of a book that are about this warehouse."""
    racks, cold, hall, gate = layout.zones_of(warehouse)
    skus = sorted(unit_weights_g)
    owners = [layout.SHOPKEEPER, layout.DEPOSITOR]
    return {
        "parties": [{"id": one, "name": one.replace("-", " ").title()} for one in (warehouse, *owners)],
        "warehouses": [
            {
                "id": warehouse,
                "zones": [
                    _zone(racks, weight_tolerance_g=_WEIGHT_TOLERANCE_G),
                    _zone(cold, weight_tolerance_g=_WEIGHT_TOLERANCE_G),
                    _zone(hall, pieces_tolerance=0),
                ],
                "gates": [gate.asset],
                "unit_weights_g": {sku: unit_weights_g[sku] for sku in skus},
                "grace_s": grace_s,
            }
        ],
        "stock_sources": [
            {
                "id": SOURCE,
                "warehouse": warehouse,
                "means": "both",
                "utc_offset_minutes": 0,  # X12 has times without an offset
                "inventory_advice": "complete",
                "units": {UNIT: UNIT},
                "owners": {one: one for one in owners},
                "csv": {
                    "columns": {field: column for column, field in _FIELDS.items()},
                    "kinds": {word: kind for kind, word in CSV_WORDS.items() if kind},
                    "delimiter": ";",
                },
            }
        ],
    }


def _zone(zone: layout.Zone, **tolerance: int) -> dict[str, Any]:
    return {"asset": zone.asset, "bins": list(zone.bins), **tolerance}


def _row(source: str, field: str, zone: layout.Zone, channel: str, **more: Any) -> dict[str, Any]:
    return {"source": source, "field": field, "zone": zone.name, "channel": channel, **more}


_REGISTERS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    layout.SCALE: [{"name": "net", "address": 0, "type": "int32"}],
    layout.METER: [{"name": "energy", "address": 20, "type": "uint32"}, {"name": "power", "address": 22}],
    layout.COOLING: [{"name": "actual", "address": 40}],
}
_LAN_ROWS = (
    _row(LAN, "air", COLD, "temperature_mc", sensor=layout.COLD_DEVICE, unit="C"),
    _row(LAN, "humidity", COLD, "humidity_cpercent", sensor=layout.COLD_DEVICE, unit="%"),
    _row(LAN, "scale", COLD, "weight_g", sensor=layout.COLD_DEVICE, unit="kg"),
    _row(LAN, "AM2301.Temperature", HALL, "temperature_mc", sensor=layout.HALL_DEVICE, unit="C"),
    _row(LAN, "AM2301.Humidity", HALL, "humidity_cpercent", sensor=layout.HALL_DEVICE, unit="%"),
    _row(LAN, "Switch1.Action", HALL, "motion", sensor=layout.HALL_DEVICE),
    _row(LAN, "contact", RACKS, "door_open", sensor=layout.DOCK_DOOR, invert=True),
    _row(LAN, "temperature", RACKS, "temperature_mc", sensor=layout.RACK_PROBE, unit="C"),
    _row(LAN, "humidity", RACKS, "humidity_cpercent", sensor=layout.RACK_PROBE, unit="%"),
    _row(LAN, "battery", RACKS, "battery_mv", sensor=layout.RACK_PROBE, unit="V"),
    _row(LAN, "temperature", COLD, "temperature_1_mc", sensor=layout.COLD_PROBE, unit="C"),
)
_OTHER_ROWS = (
    _row(layout.SCALE, "net", RACKS, "weight_g", unit="kg", scale=0.01),
    _row(layout.METER, "energy", RACKS, "energy_wh", unit="kWh", scale=0.1),
    _row(layout.METER, "power", RACKS, "power_w", unit="W"),
    _row(layout.COOLING, "actual", COLD, "temperature_2_mc", unit="C", scale=0.1),
    _row(layout.GATE_READER, "tag", GATE, "tag_out"),
    _row(layout.DOCK_SCANNER, "tag", GATE, "tag_in"),
    _row(layout.HALL_READER, "tag", HALL, "tags_present"),
)


def _table(head: str, **values: Any) -> str:
    return "\n".join([head, *(f"{key} = {_toml(value)}" for key, value in values.items()), ""])


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return (
        str(value)
        if isinstance(value, int | float)
        else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
