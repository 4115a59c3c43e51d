"""Devices: what is here of them, their care, their identities."""

from typing import Any, TypedDict

from pledgewatch_cloud.answers.places import Source


class Epoch(TypedDict):
    """What is here of an epoch of a device."""

    epoch: int
    contiguous: int
    received: int
    thinned: int
    missing: list[list[int]]
    signed: int
    chain_hash: str
    suspicions: int


class Completeness(TypedDict):
    """How much of what a device measured is here."""

    expected: int
    received: int
    thinned: int
    lost: int | None
    lost_at_least: int
    refused: int
    unsure: str | None
    spooled: int | None
    words: str


class DeviceStatus(TypedDict):
    """What a device says of itself."""

    online: bool
    epoch: int
    measured: int
    spooled: int
    held_back: int
    refused: int
    agent_version: str


class Device(TypedDict):
    """A device, and what is here of it."""

    device: str
    operator: str
    asset: str
    epochs: list[Epoch]
    completeness: Completeness
    heard_ms: int | None
    sources: list[Source]
    battery_mv: int | None
    said: DeviceStatus | None


class AskedOfDevice(TypedDict):
    """What was asked of a device, and what it became by its word."""

    by: str
    at: str
    until: str
    became: str | None
    said: str
    said_at: str | None


class Settings(AskedOfDevice):
    """Settings that are desired of a device."""

    version: int
    toml: str


class Command(AskedOfDevice):
    """A command to a device."""

    id: int
    what: str
    epoch: int
    first: int
    last: int
    seconds: int
    has_result: bool


class DeviceCare(TypedDict):
    """A device, with its settings and commands."""

    device: str
    operator: str
    asset: str
    settings: Settings | None
    commands: list[Command]


class CommandResult(TypedDict):
    """What a device sent for a command."""

    device: str
    id: int
    result: Any


class SettingsAsked(TypedDict):
    """Settings that a device is asked for; no version where it is asked for them already."""

    device: str
    changed: bool
    version: int | None


class CommandAsked(TypedDict):
    """A command that a device is asked for."""

    device: str
    id: int


class Invited(TypedDict):
    """A device that may claim an identity: `claim` is what it shows, and said this once."""

    claim: str
    device: str
    operator: str
    asset: str
    gateway: str
    until: str


class Revoked(TypedDict):
    """What taking an identity away became."""

    changed: bool
    entry: int


class BrokerAddress(TypedDict):
    """Where a broker listens."""

    host: str
    port: int


class Renewed(TypedDict):
    """A certificate, and where its device goes with it."""

    operator: str
    device: str
    asset: str
    certificate: str
    not_after_ms: int
    broker: BrokerAddress
    broker_ca: str
    care_public_key: str
    epoch: int


class Claimed(Renewed):
    """The certificate of a claim, with the settings that were given with the invitation."""

    settings: str


class Confirmed(TypedDict):
    """Whether saying that a certificate is in force has changed anything."""

    device: str
    changed: bool


class Identity(TypedDict):
    """The identity of a device."""

    device: str
    operator: str
    asset: str
    gateway: str
    replaces: str
    invited_until: str | None
    certificate: str | None
    not_after: str | None
    epoch: int
    revoked: str | None
    why: str
