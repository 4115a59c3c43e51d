"""Claiming by a gateway: one zone after the other, each as an edge agent claims (pledgewatch_edge.claim_steps).

A claim is for one device, which a zone of the configuration names already: what a zone is called, and which sensors are
its own, only a person can say. Keys and certificate go into the zone's folder. Of the configuration the zone's lines
are completed, so that others go on as they are let in today; `[broker]` only where it names no broker yet.
"""

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Table

from pledgewatch_edge import config_file
from pledgewatch_edge.claim_steps import ClaimFailedError, Given, require_writable
from pledgewatch_edge.config import BrokerSettings
from pledgewatch_edge.tls_identity import CLOUD_CA_FILE, TlsIdentity
from pledgewatch_gateway.config import GatewaySettings, ZoneSettings, load
from pledgewatch_wire.claims import Claim
from pledgewatch_wire.settings import SettingsError

_NO_BROKER = {"broker": {"host": "claimed.invalid"}}  # to read a configuration whose broker the first claim brings


class GatewayFile:
    """The file of a gateway; see claim_steps.Configuration."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._document = config_file.read(config)

    def identity_of(self, claim: Claim) -> TlsIdentity:
        """Where the keys of the claim's zone go. Raises SettingsError, ClaimFailedError."""
        settings = self._settings()
        zone = _zone_of(settings, claim)
        require_writable(self._config)
        self._name_broker("claimed.invalid", 1)  # of this document, which is not written
        return TlsIdentity(settings.folder_of(zone))

    def check_further(self, settings: str) -> None:
        """A zone has no settings of its own. Raises ClaimFailedError."""
        if settings.strip():
            raise ClaimFailedError(
                "the invitation brings settings, and a gateway's are in its own file; ask for another"
            )

    def complete(self, claim: Claim, given: Given, identity: TlsIdentity, say: Callable[[str], None]) -> None:
        """Complete the zone's lines, in the file as it is by now. What stands there of an earlier claim is the cloud's
        to say again."""
        try:
            with config_file.sole_edit(self._config):
                self._complete(claim, given, identity)
        except OSError as error:
            text = f"{claim.device} is claimed, but {self._config} cannot be written: {error.strerror}"
            raise ClaimFailedError(text) from None
        except (SettingsError, ClaimFailedError) as error:
            text = (
                f"{claim.device} is claimed, but its lines were not written; mend this and run the same again: {error}"
            )
            raise ClaimFailedError(text) from None
        say(f"{self._config} has what is {claim.device}'s now")

    def _complete(self, claim: Claim, given: Given, identity: TlsIdentity) -> None:
        self._document = config_file.read(self._config)
        settings = self._settings()
        if settings.folder_of(_zone_of(settings, claim)) != identity.folder:
            raise ClaimFailedError(f"its zone had the folder {identity.folder}; write that there again")
        self._name_broker(given.broker_host, given.broker_port)
        _put(self._lines_of(claim.device), self._wanted(claim, given, identity))
        config_file.write(self._config, self._document)

    def _settings(self) -> GatewaySettings:
        return load(self._config, {} if self._broker().get("host") else _NO_BROKER)

    def _name_broker(self, host: str, port: int) -> None:
        """Name a broker where there is none. Raises SettingsError where [broker] is written so that it cannot be."""
        if self._broker().get("host"):
            return
        folder = self._config.absolute().parent
        where: dict[str, str | int] = {"host": host, "port": port}
        config_file.complete(self._document, {"broker": where}, folder, replace=False)
        if not self._broker().get("host"):
            text = "broker has no host, and none can be put there; write it as a section [broker], and leave out host"
            raise SettingsError(self._config, [text])

    def _wanted(self, claim: Claim, given: Given, identity: TlsIdentity) -> Mapping[str, str | int | None]:
        """What is to stand in the zone's lines; None: nothing."""
        broker = self._broker()
        usual = BrokerSettings(host=given.broker_host)
        is_shared = (broker.get("host"), broker.get("port", usual.port)) == (given.broker_host, given.broker_port)
        knows_cloud = (identity.folder / CLOUD_CA_FILE).exists() and claim.url.startswith("https:")
        return {
            "cloud_url": claim.url,
            "cloud_ca_file": str(identity.folder / CLOUD_CA_FILE) if knows_cloud else None,
            "broker_host": None if is_shared else given.broker_host,
            "broker_port": None if is_shared else given.broker_port,
        }

    def _broker(self) -> MutableMapping[str, Any]:
        found = self._document.get("broker")
        return found if isinstance(found, MutableMapping) else {}

    def _lines_of(self, device: str) -> Table | InlineTable:
        zones: Any = self._document["zones"]
        found: Table | InlineTable = next(one for one in zones if one.get("device") == device)
        return found


def _put(zone: Table | InlineTable, wanted: Mapping[str, str | int | None]) -> None:
    """Put keys behind the zone's device; at the end of its lines stands what a person has written above the next one.
    None: the key is taken out."""
    behind = "device"
    for key, value in wanted.items():
        if value is None:
            zone.pop(key, None)
        elif key in zone:
            zone[key] = value
        else:
            # tomlkit has no other way to it
            zone.value._insert_after(behind, key, tomlkit.item(value))  # noqa: SLF001
        behind = key if value is not None else behind


def _zone_of(settings: GatewaySettings, claim: Claim) -> ZoneSettings:
    """The zone that a claim is for. Raises ClaimFailedError."""
    name, operator = settings.gateway.name, settings.gateway.operator
    if claim.gateway is None:
        text = f"this claim is for a device that speaks for itself; have {claim.device} invited with --gateway {name}"
        raise ClaimFailedError(text)
    if (claim.gateway, claim.operator) != (name, operator):
        text = f"this claim is for gateway {claim.gateway} of {claim.operator}, and this is {name} of {operator}"
        raise ClaimFailedError(text)
    found = next((one for one in settings.zones if one.device == claim.device), None)
    if found is None:
        raise ClaimFailedError(
            f"no zone here has the device {claim.device}; write its [[zones]], then run the same again"
        )
    return found
