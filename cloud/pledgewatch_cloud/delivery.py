"""Where messages go: every endpoint of the configuration, opened, with a relay of its own."""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import SystemRandom
from urllib.parse import urlsplit

from pledgewatch_cloud.clock import Clock, SystemClock
from pledgewatch_cloud.config import CloudSettings, DeliverySettings, EndpointForm, EndpointSettings
from pledgewatch_cloud.credentials import CredentialError, key_in
from pledgewatch_cloud.journal.outbox import CORE, Outbox, OutboxMessage, Wanted
from pledgewatch_cloud.outbox import pain001
from pledgewatch_cloud.outbox.endpoint import Endpoint
from pledgewatch_cloud.outbox.mqtt import MqttPlace, MqttTopic
from pledgewatch_cloud.outbox.pain001 import Obstacle, PaymentFolder
from pledgewatch_cloud.outbox.relay import PayerOf, Relay, RelaySettings
from pledgewatch_cloud.outbox.webhook import Tls, Webhook
from pledgewatch_wire.mqtt_settings import MqttProtocol

MQTT_PORTS = {"mqtt": 1_883, "mqtts": 8_883}


class DeliveryError(Exception):
    """An endpoint cannot be used as it is configured; the sentence says why."""


async def relays_of(
    settings: CloudSettings,
    outbox: Outbox,
    journal_clock: Clock,
    stack: contextlib.AsyncExitStack,
    booked: Callable[[str, OutboxMessage, str], Awaitable[object]],
    obstacle: Obstacle,
    payer_of: PayerOf,
) -> dict[str, Relay]:
    """A relay for each endpoint, by its name; `booked` is awaited with a payer's name and what it has taken, `obstacle`
    asked before a payment is written, `payer_of` before a payer is asked for a release.

    Raises DeliveryError, and StoreError where the disk does not take it that there are these endpoints.
    """
    relays = {}
    executor = ThreadPoolExecutor(1, "outbox")
    stack.callback(executor.shutdown)
    payers = settings.payers()
    for name, one in configured(settings).items():
        try:
            endpoint = await _opened(name, one, obstacle, stack)
        except CredentialError as error:
            raise DeliveryError(f"endpoint {name}: {error}") from None
        except OSError as error:
            raise DeliveryError(f"endpoint {name}: {error.filename or 'its certificates'}: {error}") from None
        outbox.declare(name, wanted(one), one.begin)
        relays[name] = Relay(
            outbox,
            endpoint,
            SystemClock(),
            SystemRandom(),
            name=name,
            settings=RelaySettings(one.side_by_side, one.retry_scale, one.circuit_failures, one.lag_alert_s),
            journal_clock=journal_clock,
            booked=partial(booked, name) if name in payers else None,
            payer_of=payer_of,
            executor=executor,
        )
    return relays


def wake(relays: Mapping[str, Relay], withdrawn: Iterable[str] = ()) -> None:
    """There may be something to send, and these messages may not be sent any more."""
    for one in relays.values():
        one.wake(withdrawn)


def configured(settings: CloudSettings) -> dict[str, DeliverySettings]:
    """The endpoints of a configuration by their names; [core] is the first."""
    core: dict[str, DeliverySettings] = {} if settings.core is None else {CORE: settings.core}
    return core | {one.name: one for one in settings.endpoints}


def wanted(one: DeliverySettings) -> Wanted:
    """What an endpoint is sent; payment files are made of what is said about releases alone."""
    is_folder = isinstance(one, EndpointSettings) and one.form is EndpointForm.PAIN001
    types = one.message_types or (pain001.TYPES if is_folder else ())
    return Wanted(tuple(sorted(types)), tuple(sorted(one.facilities)))


def url_of(one: DeliverySettings) -> str:
    """Where an endpoint is, or nothing where it is a folder."""
    return str(getattr(one, "url", ""))


async def _opened(name: str, one: DeliverySettings, obstacle: Obstacle, stack: contextlib.AsyncExitStack) -> Endpoint:
    """Raises CredentialError, OSError."""
    tls = Tls(one.ca_file, one.certificate_file, one.key_file)
    if isinstance(one, EndpointSettings) and one.folder is not None:
        one.folder.mkdir(parents=True, exist_ok=True)
        return PaymentFolder(one.folder, obstacle)
    if isinstance(one, EndpointSettings) and one.form is EndpointForm.MQTT:
        place = _place(name, one, tls)
        return await stack.enter_async_context(
            MqttTopic(name, place, timeout_s=one.timeout_s, allow_private=one.allow_private_networks)
        )
    keys = tuple(key_in(path) for path in one.secret_files)
    webhook = Webhook(
        url_of(one),
        keys,
        SystemClock(),
        timeout_s=one.timeout_s,
        tls=tls,
        allow_private=one.allow_private_networks,
    )
    return await stack.enter_async_context(webhook)


def _place(name: str, one: EndpointSettings, tls: Tls) -> MqttPlace:
    parts = urlsplit(one.url)
    assert parts.hostname is not None, "the configuration was checked"
    return MqttPlace(
        parts.hostname,
        parts.port or MQTT_PORTS[parts.scheme],
        one.topic,
        f"pledgewatch-{name}",
        is_v5=one.protocol is MqttProtocol.V5,
        username=one.username,
        password="" if one.password_file is None else one.password_file.read_text(encoding="utf-8").strip(),
        tls=tls if parts.scheme == "mqtts" else None,
    )
