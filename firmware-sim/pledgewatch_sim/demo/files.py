"""The configuration files of the demo's programs, and the ports that they meet at."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.demo.people import CLIENT, Person
from pledgewatch_sim.demo.story import HIGH_MC, LOW_MC, OPERATOR, Container

# All attempts of a message within half a minute: whoever is refused by bad luck several times in a row is still heard
# before the demo gives up waiting.
RETRY_SCALE = 0.0001


class Ports(NamedTuple):
    """Where they listen, all on the loopback address."""

    mqtt: int
    api: int
    core: int
    stage: int
    issuer: int


def probe(one: Container) -> str:
    """What its thermometer is called."""
    return f"28-{sum(one.name.encode()):012x}"


def broker(port: int) -> str:
    """How agents and gateways find it."""
    return f"""[broker]
host = "127.0.0.1"
port = {port}
protocol = "3.1.1"
keep_alive_s = 10
reconnect_max_s = 1.0
"""


def agent(one: Container, folder: Path, mqtt_port: int, cycle_s: float, *, sensors: bool = True) -> str:
    """An edge agent's. It measures seldom in the story's time, so all of it is kept, and what passes the limits of the
    goods goes first. Without `sensors` it only sends what it has: its receiver's port is never there."""
    own = folder / one.name
    text = f"""
[device]
operator = "{OPERATOR}"
name = "{one.device}"
state_folder = {quoted(own / "state")}
{broker(mqtt_port)}[uplink]
resend_after_s = 5.0
[checkpoint]
every_readings = 20
every_s = 5.0
[clock]
trust_system = false
[gps]
port = {quoted(own / ("gps" if sensors else "nothing"))}
baud = 115200
"""
    if not sensors:
        return text
    return f"""{text}
[onewire]
root = {quoted(own / "w1")}
interval_s = {2 * cycle_s}
probes = ["{probe(one)}"]
[[sampling.limits]]
channels = ["temperature_mc"]
low = {LOW_MC}
high = {HIGH_MC}
"""


def bank(folder: Path, ports: Ports, clock: SimulationClock, seed: int, token: Path | None) -> str:
    """The sandbox core's: now and then it answers 500, or its answer is lost. `token`: of the keeper, if one is asked
    for."""
    return f"""
[bank]
port = {ports.core}
database = {quoted(folder / "ledger.sqlite")}
secret_files = [{quoted(folder / "webhook.secret")}]
[pledgewatch]
url = "http://127.0.0.1:{ports.api}"
{_token(token)}retry_max_s = 1.0
{_clock(clock)}
[misbehave]
answer_500_share = 0.1
lose_answer_share = 0.1
seed = {seed}
"""


def cloud(folder: Path, ports: Ports, clock: SimulationClock, senders: Mapping[str, Path], token: Path | None) -> str:
    """The cloud's and the broker's, which is a process of its own here, so that it can be killed alone. `token`: where
    people log in, the keeper's."""
    signed = "\n".join(
        f'[[senders]]\nid = "{name}"\nsecret_files = [{quoted(secret)}]' for name, secret in senders.items()
    )
    return f"""
[service]
data_folder = {quoted(folder / "data")}
[broker]
port = {ports.mqtt}
protocol = "3.1.1"
reconnect_max_s = 1.0
[ingest]
committed_after_readings = 40
committed_after_s = 3.0
tick_s = 1.0
hearing_grace_s = 3.0
snapshot_every_entries = 200
[api]
port = {ports.api}
{_token(token)}{_login(ports) if token else ""}[demo]
stage = "http://127.0.0.1:{ports.stage}"
[core]
url = "http://127.0.0.1:{ports.core}/messages"
secret_files = [{quoted(folder / "webhook.secret")}]
allow_private_networks = true
retry_scale = {RETRY_SCALE}
lag_alert_s = 1e9
[book]
files = [{quoted(folder / "book.json")}]
{_clock(clock)}
{signed}
"""


def issuer(ports: Ports, people: Iterable[Person]) -> str:
    """The development issuer's, at which the demo's people log in."""
    console = f"http://127.0.0.1:{ports.api}"
    listed = "\n".join(f'[[people]]\nsubject = "{one.id}"\nname = "{one.name}"' for one in people)
    return f"""
[issuer]
port = {ports.issuer}
[[clients]]
id = "{CLIENT}"
redirect_urls = ["{console}/login/callback"]
logout_urls = ["{console}/"]
{listed}
"""


def issuer_url(ports: Ports) -> str:
    """Where it is."""
    return f"http://127.0.0.1:{ports.issuer}"


def _login(ports: Ports) -> str:
    return f"""[login]
issuer = "{issuer_url(ports)}"
client_id = "{CLIENT}"
base_url = "http://127.0.0.1:{ports.api}"
allow_private_networks = true
"""


def _token(path: Path | None) -> str:
    return f"token_file = {quoted(path)}\n" if path else ""


def quoted(path: Path) -> str:
    """A path as TOML writes a text, whatever is in it: JSON's way of writing one is a part of TOML's."""
    return json.dumps(str(path), ensure_ascii=False)


def _clock(clock: SimulationClock) -> str:
    """One time for the cloud, and for the bank's money."""
    return f"""[clock]
simulated_start_ms = {clock.start_ms}
speed = {clock.speed}
anchor_ms = {clock.anchor_ms}
simulated_end_ms = {clock.end_ms}"""
