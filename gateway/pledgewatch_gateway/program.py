"""The gateway put together: stations, the site that feeds them, and all that runs beside them.

    sources -> site (roster) -> inbox of a zone -> its station: recorder -> spool -> uplink
                  |
                  +-> rules -> switches; status page
    documents of the stock system -> queue -> delivery

None of what is on the right of the site is needed by what is below it: rules, switches and the page go on with what is
heard, whatever becomes of disks and of the uplink. Documents go a way of their own, over HTTP.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.command import status_of
from pledgewatch_edge.process import Beside
from pledgewatch_edge.sensors import Sensor
from pledgewatch_edge.station import Station
from pledgewatch_gateway.config import GatewaySettings, ZoneSettings
from pledgewatch_gateway.documents.bridge import Bridge
from pledgewatch_gateway.roster import Roster
from pledgewatch_gateway.site import Site
from pledgewatch_gateway.sources.modbus import ModbusSource
from pledgewatch_gateway.sources.mqtt import MqttSource
from pledgewatch_gateway.sources.serial_lines import SerialSource
from pledgewatch_gateway.status_page import Shown, StatusPage
from pledgewatch_gateway.switches import ModbusSwitch, MqttSwitch, Switch, Watch, time_zone_of


class Program(NamedTuple):
    """What a gateway runs: a station for each zone, in the order of the configuration, and what is beside them."""

    stations: Sequence[Station]
    beside: Sequence[Beside]


def program_of(settings: GatewaySettings, clock: AgentClock | None = None) -> Program:
    """The program that a configuration describes. Opens nothing."""
    clock = clock or AgentClock()
    site = Site(Roster(settings.sensors), [zone.name for zone in settings.zones], clock)
    stations = [_station(settings, zone, site, clock) for zone in settings.zones]
    # The client id names the source too, or two sections of one broker would push each other out.
    brokers = {one.name: MqttSource(one, f"{settings.gateway.name}.{one.name}", site) for one in settings.mqtt}
    devices = {one.name: ModbusSource(one, site) for one in settings.modbus}
    ports = [SerialSource(one, site) for one in settings.serial]
    switches: dict[str, tuple[Switch, float]] = {}
    for one in settings.outputs:
        by_topic = MqttSwitch(one, brokers[one.source]) if one.topic else None
        switches[one.name] = (by_topic or ModbusSwitch(one, devices[one.source]), one.repeat_s)
    watch = Watch(site, settings.rules, switches, time_zone_of(settings.gateway.time_zone))
    sources: list[MqttSource | ModbusSource | SerialSource] = [*brokers.values(), *devices.values(), *ports]
    beside = [Beside(f"source {one.name}", one.run) for one in sources]
    beside.append(Beside("rules", watch.run))
    bridge = None
    if settings.documents is not None:
        bridge = Bridge(settings.documents, settings.documents_folder, lambda: site.now()[0])
        beside += bridge.beside()
    if settings.status_page is not None:
        shown = Shown(settings.gateway.name, site, watch, stations, status_of, bridge)
        beside.append(Beside("status page", StatusPage(settings.status_page, shown).run))
    return Program(stations, beside)


def _station(settings: GatewaySettings, zone: ZoneSettings, site: Site, clock: AgentClock) -> Station:
    def sensors() -> Sequence[Sensor]:
        return [site.sensor_of(zone.name)]

    return Station(
        settings.station_of(zone),
        sensors,
        {"gateway": settings.gateway.name, "zone": zone.name, "asset": zone.asset},
        clock=clock,
        ended=[],
    )
