"""Claiming by an edge agent: whose configuration is one device's, and is made where there is none. What is done, and in
which order, is in claim_steps.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import tomlkit

from pledgewatch_edge import claim_steps, config_file
from pledgewatch_edge.agent import EdgeSettings
from pledgewatch_edge.care import overlay
from pledgewatch_edge.claim_steps import ClaimFailedError, Given, refuse, require_writable
from pledgewatch_edge.clock import system_ms
from pledgewatch_edge.config import Pkcs11Settings
from pledgewatch_edge.identity import KEY_FILE
from pledgewatch_edge.sensors import sections, with_sections_of_others
from pledgewatch_edge.tls_identity import BROKER_CA_FILE, CLOUD_CA_FILE, TlsIdentity
from pledgewatch_wire.claims import Claim
from pledgewatch_wire.settings import path_in, section
from pledgewatch_wire.toml_text import TomlError, read_toml

STATE_FOLDER: Final = Path("/var/lib/pledgewatch")


def carry_out(
    text: str,
    *,
    config: Path,
    state_folder: Path | None,
    ca_file: Path | None,
    replace: bool,
    say: Callable[[str], None],
    now_ms: Callable[[], int] = system_ms,
) -> None:
    """Claim the device of `text`, and complete the configuration; `replace` also where it says something else.
    `state_folder` and `ca_file` are for what configuration and claim leave open, and with `replace` the folder is taken
    before the configuration's.

    Raises ClaimError for a text that is no claim, ClaimFailedError, SettingsError, StateError, and CloudError.
    """
    configuration = _Configuration(config, state_folder, replace=replace)
    claim_steps.carry_out(text, configuration, ca_file=ca_file, say=say, now_ms=now_ms)


class _Configuration:
    """The file of an agent; see claim_steps.Configuration."""

    def __init__(self, config: Path, state_folder: Path | None, *, replace: bool) -> None:
        self._config, self._asked, self._replace = config, state_folder, replace
        self._folder = config.absolute().parent
        self._document = config_file.read(config)

    def identity_of(self, claim: Claim) -> TlsIdentity:
        if claim.gateway is not None:
            text = f"this claim is for a zone of gateway {claim.gateway}; there, run pledgewatch-gateway claim"
            raise ClaimFailedError(text)
        document, config = self._document, self._config
        device = document.unwrap().get("device", {})
        wanted: dict[str, config_file.Keys] = {"device": {"operator": claim.operator, "name": claim.device}}
        again = tomlkit.parse(document.as_string())
        refuse(config_file.complete(again, wanted, self._folder, replace=self._replace), config)
        require_writable(config)
        state = _state_folder(device, self._asked, self._folder, claim, replace=self._replace)
        token = device.get("pkcs11") if isinstance(device, dict) else None
        return TlsIdentity(state, section(config, "[device] pkcs11", token, Pkcs11Settings) if token else None)

    def check_further(self, settings: str) -> None:
        # What an invitation brings along is from afar too: it may set what care may set.
        try:
            further = read_toml(settings)
        except TomlError as error:
            raise ClaimFailedError(
                f"the further settings are not TOML ({error}); ask who invited this device"
            ) from None
        if own := {"device", "broker"} & further.keys():
            raise ClaimFailedError(f"the further settings have a section {min(own)}; ask who invited this device")
        try:
            overlay.check(further, sections(with_sections_of_others(EdgeSettings, further)))
        except ValueError as error:
            raise ClaimFailedError(f"of the further settings {error}; ask who invited this device") from None

    def complete(self, claim: Claim, given: Given, identity: TlsIdentity, say: Callable[[str], None]) -> None:
        state, config = identity.folder, self._config
        device: dict[str, str | int] = {
            "operator": claim.operator,
            "name": claim.device,
            "state_folder": str(state),
            "cloud_url": claim.url,
        }
        if (state / CLOUD_CA_FILE).exists() and claim.url.startswith("https:"):
            device["cloud_ca_file"] = str(state / CLOUD_CA_FILE)
        broker: dict[str, str | int] = {
            "host": given.broker_host,
            "port": given.broker_port,
            "ca_file": str(state / BROKER_CA_FILE),
        }
        if identity.key_file is not None:
            broker |= {"certificate_file": str(identity.certificate_file), "key_file": str(identity.key_file)}
        try:
            with config_file.sole_edit(config):
                document = config_file.read(config)  # as it is by now
                wanted: dict[str, config_file.Keys] = {"device": device, "broker": broker}
                refuse(config_file.complete(document, wanted, self._folder, replace=self._replace), config)
                added, left = config_file.add_sections(document, given.settings, replace=self._replace)
                config_file.write(config, document)
        except OSError as error:
            raise ClaimFailedError(f"the device is claimed, but {config} cannot be written: {error.strerror}") from None
        say(f"{config} has its [device] and [broker] now{''.join(f', and [{name}]' for name in added)}")
        if left:
            names = ", ".join(f"[{name}]" for name in left)
            say(f"{names}: left as you wrote it, though the cloud gave another; --replace takes the cloud's")


def is_left_behind(before: Path, after: Path) -> bool:
    """Whether a device that goes to another state folder would leave its keys. Raises OSError."""
    return (before / KEY_FILE).exists() and not (after / KEY_FILE).exists()


def _state_folder(device: Any, asked: Path | None, folder: Path, claim: Claim, *, replace: bool) -> Path:
    """Where the device's keys go: as the configuration says, else as asked, else the usual place; with `replace` as
    asked first, where the same device has its keys by then."""
    said = device.get("state_folder") if isinstance(device, dict) else None
    if not isinstance(said, str) or not said:
        return (asked or STATE_FOLDER).absolute()
    try:
        there = path_in(folder, said)
    except ValueError as error:
        raise ClaimFailedError(f"the configuration has state_folder {said!r}; it must be {error}") from None
    if asked is None or asked.resolve() == there.resolve():
        return there
    if not replace:
        raise ClaimFailedError(
            f"the configuration has state_folder {said}; leave out --state-folder, or run the same with --replace"
        )
    try:
        is_the_same = (device.get("operator"), device.get("name")) == (claim.operator, claim.device)
        if is_the_same and is_left_behind(there, asked):
            raise ClaimFailedError(
                f"{there} has the keys and readings of this device, and {asked} has no keys; stop the agent and move "
                "all of it there, then run the same again"
            )
    except OSError as error:
        raise ClaimFailedError(f"{error.filename}: {error.strerror}; run this as root (sudo)") from None
    return asked.absolute()
