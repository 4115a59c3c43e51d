"""The configuration of a board, from what was chosen on it: sections of sensors, and what of their values is kept.

What somebody wrote into a file before stays: sections are added where there are none, and one that says something else
is named, and is replaced only where that was asked for. Nothing is put in the file's place before all of it can be
used; then it is there whole, by a rename.
"""

import contextlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tomlkit

from pledgewatch_edge import config_file
from pledgewatch_edge.agent import EdgeSettings, load
from pledgewatch_edge.claiming import STATE_FOLDER
from pledgewatch_edge.config import check_files
from pledgewatch_edge.identity import replace_file
from pledgewatch_edge.install import cures
from pledgewatch_edge.install.finding import Found
from pledgewatch_edge.sensors import channel_named
from pledgewatch_edge.sensors.adxl345 import Adxl345Settings
from pledgewatch_edge.sensors.contacts import LineSettings
from pledgewatch_edge.sensors.gpsd import GpsdSettings
from pledgewatch_edge.sensors.onewire import OneWireSettings
from pledgewatch_edge.sensors.sht3x import Sht3xSettings
from pledgewatch_wire.claims import Claim
from pledgewatch_wire.reading import STATE_CHANNELS, TEMPERATURE_CHANNELS
from pledgewatch_wire.settings import SettingsError, path_in

INTERVALS_S: Final = {"gps": 60.0, "gpsd": 60.0, "onewire": 60.0, "sht3x": 60.0, "adxl345": 300.0, "host": 3_600.0}
RECEIVERS: Final = frozenset({"gps", "gpsd"})
DEFAULTS: Final = frozenset({"host", "sampling"})
Sections = dict[str, dict[str, Any]]
_LINE: Final = re.compile("[0-9]{1,9}")


def sections_of(chosen: Sequence[Found], contacts: Mapping[int, str], chip: Found | None) -> Sections:
    """The sections of what was chosen: one receiver, probes in their order, one chip of a kind, contacts as line and
    channel on a GPIO chip, and the computer itself. Nothing is said of the clock: the agent asks the machine whether it
    has one of its own, and a time service counts all the same. Raises ValueError where the choice cannot be a
    configuration."""
    sections: Sections = {}
    probes = [one for one in chosen if one.section == "onewire"]
    for one in chosen:
        if one.section == "onewire":
            continue
        if one.section in sections:
            raise ValueError(f"{one.place}: one {one.section} is enough; choose one of them")
        sections[one.section] = _keys(one, len(probes))
    if sections.keys() >= RECEIVERS:
        raise ValueError("a receiver on a serial line and gpsd would both tell where this is; choose one of them")
    if len(probes) > len(TEMPERATURE_CHANNELS):
        raise ValueError(f"{len(probes)} probes are more than there are channels; choose with --probes")
    if len(probes) == len(TEMPERATURE_CHANNELS) and "sht3x" in sections:
        raise ValueError(
            f"{len(probes)} probes leave the sht3x no channel for its temperature; leave one out with --probes, or the "
            "chip with --without sht3x"
        )
    if probes:
        sections["onewire"] = {"probes": [one.place for one in probes]}
        measured = probes[0].settings
        if isinstance(measured, OneWireSettings) and measured != OneWireSettings(probes=measured.probes):
            sections["onewire"]["root"] = str(measured.root)
    for section, interval_s in INTERVALS_S.items():
        if section in sections:
            sections[section]["interval_s"] = interval_s
    if contacts:
        sections["contacts"] = _contacts(contacts, chip)
    return sections | {"host": {"interval_s": INTERVALS_S["host"]}}


def _contacts(contacts: Mapping[int, str], chip: Found | None) -> dict[str, Any]:
    assert chip is not None, "no contacts are chosen without one"
    return {"chip": chip.place, "lines": [{"line": line, "channel": channel} for line, channel in contacts.items()]}


def _keys(one: Found, probes: int) -> dict[str, Any]:
    """What a section must say of a thing."""
    match one.settings:
        case GpsdSettings(host=host, port=port):
            return {"host": host, "port": port}
        case Sht3xSettings(bus=bus, address=address):
            channel = TEMPERATURE_CHANNELS[min(probes, len(TEMPERATURE_CHANNELS) - 1)]
            return {"bus": bus, "address": address, "temperature": channel.name.lower()}
        case Adxl345Settings(bus=bus, address=address):
            return {"bus": bus, "address": address}
        case _:
            return {"port": one.place}


def contact(text: str) -> tuple[int, str]:
    """`LINE=CHANNEL` of a contact. Raises ValueError where it is none."""
    line, is_pair, name = text.partition("=")
    names = [one.name.lower() for one in STATE_CHANNELS]
    if not is_pair or not _LINE.fullmatch(line) or name not in names:
        raise ValueError(f"contact {text!r} is none; write LINE=CHANNEL, such as 17=door_open, with {', '.join(names)}")
    one = LineSettings(line=int(line), channel=name)
    return one.line, one.channel


def as_toml(sections: Sections, temperatures: int) -> str:
    """The sections as TOML, with rules for what of their values is kept (docs/SAMPLING.md)."""
    document = tomlkit.document()
    for section, keys in sections.items():
        table = tomlkit.table()
        for key, value in keys.items():
            table.add(key, tomlkit.value(f"{value:#04x}") if key == "address" else value)
        document.add(section, table)
    text = tomlkit.dumps(document).replace("\n\n", "\n")
    rules = []
    if RECEIVERS & sections.keys():
        rules.append(_rule(["position"], 100, 3_000.0, INTERVALS_S["gps"]))
    if temperatures:
        rules.append(_rule([one.name.lower() for one in TEMPERATURE_CHANNELS[:temperatures]], 200, 1_800.0))
    if "sht3x" in sections:
        rules.append(_rule(["humidity_cpercent"], 200, 1_800.0))
    if rules:
        near = "\n[sampling.near]\ninterval_s = 60.0\nnear_for_s = 1800.0\n"
        lines = [one["channel"] for one in sections.get("contacts", {}).get("lines", ())]
        opens = [name for name in ("door_open", "light_present") if name in lines]
        text += "\n" + "\n".join(rules) + near + (f"while_on = {_list(opens)}\n" if opens else "")
    return text


def temperatures_of(sections: Sections) -> int:
    """How many channels of temperature the sections give."""
    return len(sections.get("onewire", {}).get("probes", ())) + ("sht3x" in sections)


def _rule(channels: Sequence[str], change: int, silence_s: float, interval_s: float = 0.0) -> str:
    """A rule; `interval_s` is said where a section may be told to measure oftener than is wanted of it."""
    oftener = f"interval_s = {interval_s}\n" if interval_s else ""
    named = f"[[sampling.rules]]\nchannels = {_list(channels)}\n"
    return f"{named}{oftener}change = {change}\nmax_silence_s = {silence_s}\n"


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{channel_named(one).name.lower() if one != "position" else one}"' for one in names) + "]"


def state_folder_of(document: tomlkit.TOMLDocument, folder: Path) -> Path | None:
    """The state folder that a configuration in a folder names; None where it names none."""
    device = document.unwrap().get("device")
    said = device.get("state_folder") if isinstance(device, dict) else None
    try:
        return path_in(folder, said) if isinstance(said, str) and said else None
    except ValueError:  # said when it is loaded
        return None


def moved(document: tomlkit.TOMLDocument, folder: Path, state: Path) -> dict[str, config_file.Keys]:
    """The keys of a configuration in a folder that name another state folder, or what is in it, as they are to be."""
    before, after = state_folder_of(document, folder), state.absolute()
    found: dict[str, config_file.Keys] = {"device": {"state_folder": str(after)}}
    for section in ("device", "broker") if before is not None else ():
        files: dict[str, str | int] = {}
        for key, said in document.unwrap().get(section, {}).items():
            if key.endswith("_file") and isinstance(said, str) and before is not None:
                with contextlib.suppress(ValueError):  # it is elsewhere
                    files[key] = str(after / path_in(folder, said).relative_to(before))
        if files:
            found[section] = {**found.get(section, {}), **files}
    return found


def merged(
    config: Path, sections: str, named: Mapping[str, config_file.Keys], *, replace: bool, keeps_defaults: bool
) -> tomlkit.TOMLDocument:
    """The file with the sections in it, and the keys of `named`. Raises SettingsError for what it says already, and
    otherwise, where that is not to be replaced. Sections that nobody chose (DEFAULTS) stay with `keeps_defaults`."""
    document = config_file.read(config)
    further = tomlkit.parse(sections)
    for section in DEFAULTS & document.keys() if keeps_defaults else ():
        further.pop(section, None)
    kept = config_file.complete(document, named, config.absolute().parent, replace=replace)
    _, left = config_file.add_sections(document, further.as_string(), replace=replace)
    kept += [f"[{section}] is there and says something else than was chosen" for section in left]
    if kept:
        raise SettingsError(config, [f"{one}; correct it, or run the same with --replace" for one in kept])
    return document


def write(config: Path, document: tomlkit.TOMLDocument) -> EdgeSettings:
    """Put the document in the file's place where the agent can use it; what it says. Raises SettingsError where it
    cannot, and leaves what was there."""
    settings = _loaded(config, document, config.parent)
    check_files(settings, config)
    try:
        config_file.write(config, document)
    except OSError as error:
        raise _not_written(config, error) from None
    return settings


def read_ahead(
    config: Path, document: tomlkit.TOMLDocument, claim: Claim | None, state: Path | None, *, replace: bool
) -> EdgeSettings:
    """What the configuration will say, after a claim too, of which the broker is not known yet, and whose state folder
    is `state` where the configuration names none, or with `replace`. Nothing stays on the disk. Raises SettingsError
    where the agent cannot use it."""
    document = tomlkit.parse(document.as_string())
    if claim is not None:
        device: config_file.Keys = {
            "operator": claim.operator,
            "name": claim.device,
            "state_folder": str(state or STATE_FOLDER),
        }
        said = document.unwrap().get("device", {})
        if isinstance(said, dict) and said.get("state_folder") and not (replace and state is not None):
            device = {key: value for key, value in device.items() if key != "state_folder"}
        wanted = {"device": device, "broker": {"host": "localhost"}}
        config_file.complete(document, wanted, config.parent, replace=True)
    if config.parent.is_dir():
        return _loaded(config, document, config.parent)
    with tempfile.TemporaryDirectory() as folder:  # nobody has written paths that would be taken from it
        return _loaded(config, document, Path(folder))


def _loaded(config: Path, document: tomlkit.TOMLDocument, folder: Path) -> EdgeSettings:
    """What a draft of a configuration in a folder says; the draft is gone afterwards. Raises SettingsError."""
    draft = folder / f".{config.name}.draft"
    try:
        replace_file(draft, document.as_string().encode("utf-8"))
        return load(draft)
    except SettingsError as error:
        raise SettingsError(config, list(error.errors)) from None
    except OSError as error:
        raise _not_written(config, error) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _not_written(config: Path, error: OSError) -> SettingsError:
    return SettingsError(config, [f"cannot be written: {cures.in_words(error)}"])
