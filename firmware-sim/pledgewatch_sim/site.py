"""A site in one program: the simulated warehouse, and the real gateway that measures it.

Serial ports are ptys, which nobody outside of the same container can open; so the two are started together, and where
one ends both do. The gateway is a process of its own, started as people start it: with a file that begins with what
its owner wrote (`gateway_file`) and goes on with what the warehouse has left about its zones and sensors.

A gateway makes its devices' keys at its first start. Where book and access list must know them before, they are made
elsewhere and laid into `keys_folder`, `<device>.key` each; they are copied to where the gateway keeps its own before it
makes some. The copy is the gateway's from then on: a key laid there later is not taken.
"""

import asyncio
import contextlib
import json
import signal
import tempfile
import tomllib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pledgewatch_sim.programs import Program, output_of
from pledgewatch_sim.warehouse import layout, setting
from pledgewatch_sim.warehouse.program import READERS, Site, WarehouseOptions, people_of
from pledgewatch_wire.settings import SettingsError, load

_GATEWAY: Final = "pledgewatch_gateway"
_DEVICE_KEY, _EPOCH, _FIRST_EPOCH = "device.key", "epoch", b"0\n"
"""What a device's folder holds before its first start (docs/ARCHITECTURE.md, edge)."""


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """The warehouse and its gateway. `folder`: for all that both leave. Paths in `gateway_file` must be absolute, for
    it is copied. `lan_port`: of a broker here for the warehouse's devices; `every_s`: how often they speak."""

    folder: Path
    gateway_file: Path
    lan_port: int
    keys_folder: Path | None = None
    modbus_port: int = 1_502
    wms_port: int = 8_490
    seed: int = 1
    days: int = 7
    past_days: int = 1
    every_s: float = 10.0
    grace_s: int = 900

    def __post_init__(self) -> None:
        for name in ("lan_port", "modbus_port", "wms_port"):
            if not 1 <= getattr(self, name) <= 65_535:
                raise ValueError(f"{name} is {getattr(self, name)}; use 1 to 65535")
        if not 0 <= self.past_days <= self.days <= 365:
            raise ValueError(f"{self.past_days} past_days of {self.days} days; use 0 to days, and 365 days at most")
        if not 0.1 <= self.every_s <= 3_600:
            raise ValueError(f"every_s is {self.every_s}; use 0.1 to 3600")

    def options(self) -> WarehouseOptions:
        """The warehouse as it is asked for."""
        return WarehouseOptions(
            folder=self.folder / "warehouse",
            seed=self.seed,
            days=self.days,
            past_days=self.past_days,
            broker_port=self.lan_port,
            wms_port=self.wms_port,
            modbus_port=self.modbus_port,
            every_s=self.every_s,
            grace_s=self.grace_s,
        )


@dataclass(frozen=True, slots=True)
class SiteFile:
    """The configuration file."""

    site: SiteSettings


class SiteError(Exception):
    """A site that cannot be, or whose gateway has ended; a sentence."""


async def run(settings: SiteSettings) -> None:
    """Run until SIGTERM or SIGINT. Raises SettingsError, SiteError, OSError."""
    owner = _owner_of(settings)
    _lay_keys(settings, Path(owner["state_folder"]))
    options = settings.options()
    site = Site(options, await asyncio.to_thread(people_of, options))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, partial(site.steal, is_read=True))
    loop.add_signal_handler(signal.SIGUSR2, partial(site.steal, is_read=False))
    async with site.opened() as addresses:
        part = await asyncio.to_thread(Path(addresses["gateway_part"]).read_text, encoding="utf-8")
        config = settings.folder / "gateway.toml"
        await asyncio.to_thread(config.write_text, _joined(settings, part), encoding="utf-8")
        gateway = Program("gateway", _GATEWAY, ["run", "--config", str(config)], None)
        await gateway.start()
        try:
            print(json.dumps(addresses), flush=True)
            code = await _until(ended, gateway)
        finally:
            await gateway.stop()
    if code is not None:
        raise SiteError(f"the gateway has ended with {code}")


async def check(settings: SiteSettings) -> None:
    """Raise SettingsError or SiteError where the gateway would not take the file that is made for it. No network."""
    _owner_of(settings)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "gateway.toml"
        await asyncio.to_thread(config.write_text, _joined(settings, _part_as_planned(settings)), encoding="utf-8")
        try:
            await output_of(_GATEWAY, "run", "--config", str(config), "--check")
        except RuntimeError as error:
            raise SiteError(str(error)) from None


def book(settings: SiteSettings) -> dict[str, Any]:
    """What the book must know of the site: installations with the keys in `keys_folder`, its warehouse, its stock.

    Raises SettingsError, SiteError, OSError.
    """
    owner = _owner_of(settings)
    installations = [
        {
            "device": zone.device,
            "operator": owner["operator"],
            "asset": zone.asset,
            "gateway": owner["name"],
            "public_key": _key_of(settings, zone.device).public_key().public_bytes_raw().hex(),
        }
        for zone in layout.ZONES
    ]
    people = people_of(settings.options())
    return {"installations": installations, **setting.book_part(people.unit_weights_g, settings.grace_s)}


async def _until(ended: asyncio.Event, gateway: Program) -> int | None:
    """Until it is asked to end. Returns the exit code of the gateway where that has ended first."""
    asked = asyncio.create_task(ended.wait(), name="asked to end")
    gone = asyncio.create_task(gateway.ended(), name="gateway ended")
    try:
        await asyncio.wait([asked, gone], return_when=asyncio.FIRST_COMPLETED)
        return None if ended.is_set() else gone.result()
    finally:
        asked.cancel()
        gone.cancel()


def _owner_of(settings: SiteSettings) -> dict[str, str]:
    """The gateway's own name, operator and folder. Raises SettingsError."""
    path = settings.gateway_file
    try:
        found: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8")).get("gateway", {})
    except OSError as error:
        raise SettingsError(path, [f"cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise SettingsError(path, [f"is not TOML: {error}"]) from None
    missing = [key for key in ("operator", "name", "state_folder") if not isinstance(found.get(key), str)]
    if missing:
        raise SettingsError(path, [f"[gateway] {key} is missing" for key in missing])
    if not Path(found["state_folder"]).is_absolute():
        raise SettingsError(path, ["[gateway] state_folder must be absolute: the file is copied elsewhere"])
    return found


def _joined(settings: SiteSettings, part: str) -> str:
    return "\n".join([settings.gateway_file.read_text(encoding="utf-8"), part])


def _part_as_planned(settings: SiteSettings) -> str:
    """What the warehouse will leave about its sensors."""
    ports = [str(settings.options().folder / name) for name in READERS]
    return setting.gateway_part(setting.Addresses(settings.lan_port, settings.modbus_port, *ports), settings.every_s)


def _key_of(settings: SiteSettings, device: str) -> Ed25519PrivateKey:
    """Raises SiteError, OSError."""
    if settings.keys_folder is None:
        raise SiteError("[site] keys_folder is missing; the book needs the devices' keys")
    path = settings.keys_folder / f"{device}.key"
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except ValueError as error:
        raise SiteError(f"{path} holds no key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SiteError(f"{path} holds no Ed25519 key")
    return key


def _lay_keys(settings: SiteSettings, state_folder: Path) -> None:
    """Copy the keys to where the gateway keeps them, where it has none yet. Raises OSError."""
    if settings.keys_folder is None:
        return
    for zone in layout.ZONES:
        folder = state_folder / zone.device
        if (folder / _DEVICE_KEY).exists():
            continue
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / _EPOCH, _FIRST_EPOCH)
        _write(folder / _DEVICE_KEY, (settings.keys_folder / f"{zone.device}.key").read_bytes())


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, for its owner alone."""
    made = path.with_suffix(".made")
    with contextlib.suppress(FileNotFoundError):
        made.unlink()
    made.touch(mode=0o600)
    made.write_bytes(data)
    made.replace(path)


def load_site(path: Path) -> SiteSettings:
    """The settings in a file. Raises SettingsError."""
    return load(path, SiteFile).site
