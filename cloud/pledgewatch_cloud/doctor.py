"""`pledgewatch-cloud doctor`: is there what the service needs? Each finding is a sentence; a bad one says what to do.

Nothing is changed: no message is published, no session is left behind, the journal is only read.
"""

import asyncio
import ctypes
import os
import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2
from cryptography import x509

from pledgewatch_cloud import delivery
from pledgewatch_cloud.config import CloudSettings, DeliverySettings, EndpointSettings, LoginSettings, SeriesKind
from pledgewatch_cloud.configured import broker_address, clock_of
from pledgewatch_cloud.credentials import CredentialError, signer_of, told_of_authorities
from pledgewatch_cloud.decide.identity_book import Identity
from pledgewatch_cloud.decide.milestones import explain
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.ingest.mqtt5_subscriber import greeted
from pledgewatch_cloud.ingest.paho_subscriber import greeted_by_311
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.journal.outbox import CORE, EndpointState
from pledgewatch_cloud.journal.sqlite import FILE_NAME, SqliteStore
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.login.attempts import Attempts
from pledgewatch_cloud.login.provider import AwayError
from pledgewatch_cloud.login_provider import back_url_of, provider_of
from pledgewatch_cloud.outbox.addresses import ForbiddenAddressError, Resolver
from pledgewatch_cloud.outbox.webhook import JudgedTransport, Tls
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.settings import unreadable

FREE_MIN_BYTES = 2**30
CERTIFICATE_SOON = timedelta(days=14)
_PATIENCE_S = 5.0
_UNSYNCHRONISED = 0x0040  # STA_UNSYNC of adjtimex(2)


class Finding(NamedTuple):
    """What was looked at, whether it is well, and a sentence."""

    what: str
    is_well: bool
    text: str


def _well(what: str, text: str) -> Finding:
    return Finding(what, is_well=True, text=text)


def _bad(what: str, text: str) -> Finding:
    return Finding(what, is_well=False, text=text)


async def examine(settings: CloudSettings) -> list[Finding]:
    """Look at files, disk, journal, clock, certificates, broker, issuer of credentials, login, core and series."""
    found = [_bad("file", fault) for fault in unreadable(settings.files())]
    found.append(_disk(settings.service.data_folder))
    found.append(_journal(settings.service.data_folder))
    found += _outbox(settings)
    found += _milestones(settings.service.data_folder)
    found.append(_clock())
    found += _certificates(settings)
    found += _issuer(settings)
    found += _authorities(settings)
    if not settings.broker.embedded:
        found.append(await _broker(settings))
    if settings.login is not None:
        found += await _login(settings.login)
    if settings.core is None:
        found.append(_bad("core", "no [core] is configured; messages would wait in the outbox"))
    for name, one in delivery.configured(settings).items():
        found.append(await _endpoint(name, one))
    if settings.series.kind is SeriesKind.INFLUXDB:
        url = f"{settings.series.url.rstrip('/')}/health"
        found.append(await _answers("influxdb", url, "start it, or mend [series] url; nothing is lost meanwhile"))
    return found


def _disk(folder: Path) -> Finding:
    place = folder
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return _bad("disk", f"{place} cannot be written; give it to this user or choose another data_folder")
    free = shutil.disk_usage(place).free
    text = f"{free / 2**30:.1f} GiB free for {folder}"
    if free < FREE_MIN_BYTES:
        return _bad("disk", f"{text}; at least 1 GiB is wanted: make room or move the data_folder")
    return _well("disk", text)


def _journal(folder: Path) -> Finding:
    if not (folder / FILE_NAME).exists():
        return _well("journal", f"none yet in {folder}; the first start makes it")
    try:
        store = SqliteStore(folder, read_only=True)
        entries = store.counts().entries
        store.close()
    except StoreError as error:
        return _bad("journal", f"{error}; see which program has written it")
    except DamagedError as error:
        return _bad("journal", f"{error}; put the folder back from backup")
    return _well("journal", f"{entries} entries; `replay` proves them")


def _outbox(settings: CloudSettings) -> list[Finding]:
    """How endpoints stood when something was last noted of them."""
    try:
        store = SqliteStore(settings.service.data_folder, read_only=True)
    except (StoreError, DamagedError):
        return []  # there is none yet, or it has been told
    try:
        configured, now_ms = delivery.configured(settings), clock_of(settings).now_ms()
        return [
            _standing(one, configured[one.name].lag_alert_s, now_ms)
            for one in store.endpoints()
            if one.name in configured
        ]
    except StoreError as error:
        return [_bad("outbox", str(error))]
    finally:
        store.close()


def _milestones(folder: Path) -> list[Finding]:
    """Releases that were sent, and that nobody has booked by what was said."""
    try:
        store = SqliteStore(folder, read_only=True)
    except (StoreError, DamagedError):
        return []  # there is none yet, or it has been told
    try:
        memos = recover(store).milestones
    except (StoreError, DamagedError) as error:
        return [_bad("milestones", f"{error}; `replay` says where")]
    finally:
        store.close()
    waiting = [(name, memo) for name, memo in sorted(memos.items()) if memo.is_unbooked]
    return [_bad(f"milestone {name}", explain.unbooked(name, memo)) for name, memo in waiting]


def _standing(state: EndpointState, lag_alert_s: float, now_ms: int) -> Finding:
    what = f"outbox {state.name}"
    resume = f"`outbox --endpoint {state.name} --resume` lifts it"
    if state.stopped_at_ms:
        return _bad(what, f"stopped since {iso(state.stopped_at_ms)}, for it said {state.stopped_why}; {resume}")
    if state.dead:
        text = f"{state.dead} dead letters hold their facilities; `outbox --endpoint {state.name}` lists them"
        return _bad(what, text)
    if state.oldest_pending_ms is None:
        return _well(what, f"nothing waits, {state.records} deliveries")
    text = f"{state.pending} messages wait, the oldest since {iso(state.oldest_pending_ms)}"
    if now_ms - state.oldest_pending_ms > 1_000 * lag_alert_s:
        return _bad(what, f"{text}, which is longer than lag_alert_s; see why the endpoint does not take them")
    return _well(what, text)


async def _endpoint(name: str, one: DeliverySettings) -> Finding:
    """Whether an endpoint can be reached. Nothing is sent that it could take for a message."""
    place = "[core]" if name == CORE else f"[[endpoints]] {name}"
    if isinstance(one, EndpointSettings) and one.folder is not None:
        if one.folder.is_dir() and not os.access(one.folder, os.W_OK):
            return _bad(name, f"{one.folder} cannot be written; give it to this user or mend {place} folder")
        return _well(name, f"payment files go to {one.folder}")
    url = delivery.url_of(one)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return _well(name, f"{url} {await _reached(url, one)}")
    except ForbiddenAddressError as error:
        return _bad(name, f"{error} ({place})")
    except (OSError, httpx2.HTTPError) as error:
        return _bad(
            name, f"{url} does not answer ({str(error) or type(error).__name__}); start it, or mend {place} url"
        )


async def _reached(url: str, one: DeliverySettings) -> str:
    """What an endpoint does when it is knocked at. Raises OSError, HTTPError, ForbiddenAddressError."""
    parts = urlsplit(url)
    resolver = Resolver(allow_private=one.allow_private_networks)
    began = time.monotonic()
    if parts.scheme in {"mqtt", "mqtts"}:
        assert parts.hostname is not None, "the configuration was checked"
        port = parts.port or delivery.MQTT_PORTS[parts.scheme]
        _, writer = await asyncio.open_connection((await resolver.addresses(parts.hostname, port))[0], port)
        writer.close()
        return "takes connections"
    context = Tls(one.ca_file, one.certificate_file, one.key_file).context()
    async with httpx2.AsyncClient(transport=JudgedTransport(context, resolver), timeout=_PATIENCE_S) as client:
        answer = await client.get(url)
    return f"answers within {1_000 * (time.monotonic() - began):.0f} ms (HTTP {answer.status_code})"


def _clock() -> Finding:
    now = datetime.now(UTC)
    built = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    if now < built - timedelta(days=1):
        return _bad("clock", f"it says {now:%Y-%m-%d %H:%M}, which is before this program was installed; set it")
    status = ctypes.create_string_buffer(1_024)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(status) < 0:
        return _well("clock", "the kernel does not say whether it is synchronised")
    flags = ctypes.c_int.from_buffer(status, _status_offset()).value
    if flags & _UNSYNCHRONISED:
        text = "nothing keeps it in time; run an NTP client (systemd-timesyncd, chrony): evidence ages by this clock"
        return _bad("clock", text)
    return _well("clock", f"synchronised, {now:%Y-%m-%d %H:%M:%S} UTC")


def _status_offset() -> int:
    """Where `status` lies in struct timex: after `modes` (int, padded to a long) and four longs (adjtimex(2))."""
    return 5 * ctypes.sizeof(ctypes.c_long)


def _certificates(settings: CloudSettings) -> list[Finding]:
    found = []
    broker = settings.broker
    files = [("ca_file", broker.ca_file), ("certificate_file", broker.certificate_file)]
    for name, one in delivery.configured(settings).items():
        files += [(f"{name} ca_file", one.ca_file), (f"{name} certificate_file", one.certificate_file)]
    for what, path in files:
        if path is None:
            continue
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            found.append(_bad(what, f"{path} is no certificate: {error}; put a PEM file there"))
            continue
        until = certificate.not_valid_after_utc
        text = f"{path} is valid until {until:%Y-%m-%d}"
        is_well = until > datetime.now(UTC) + CERTIFICATE_SOON
        found.append(Finding(what, is_well, text if is_well else f"{text}; renew it"))
    return found


def _issuer(settings: CloudSettings) -> list[Finding]:
    """Who signs credentials of receipts, where somebody does."""
    try:
        signer = signer_of(settings.receipts)
    except CredentialError as error:
        return [_bad("issuer", str(error))]
    return [] if signer is None else [_well("issuer", f"{signer.issuer.did} at {signer.issuer.base_url}")]


def _authorities(settings: CloudSettings) -> list[Finding]:
    """When those end that sign certificates of devices, and who has one of an authority of before yet."""
    if settings.devices is None:
        return []
    try:
        store = SqliteStore(settings.service.data_folder, read_only=True)
    except (StoreError, DamagedError):
        identities: Iterable[Identity] = ()  # there is none yet, or it has been told
    else:
        try:
            identities = recover(store).identities.identities.values()
        except (StoreError, DamagedError) as error:
            return [_bad("authority", f"{error}; `replay` says where")]
        finally:
            store.close()
    try:
        found = told_of_authorities(settings.devices, identities, time.time_ns() // 1_000_000)
    except CredentialError as error:
        return [_bad("authority", str(error))]
    return [Finding("authority", one.is_well, one.text) for one in found]


async def _login(one: LoginSettings) -> list[Finding]:
    """Whether the provider by which people log in is there, has keys, goes by our time and knows us."""
    back_url = back_url_of(one)
    try:
        made = provider_of(one)
    except (CredentialError, OSError) as error:
        return [_bad("login", f"{error}; mend [login] client_secret_file or ca_file")]
    async with made as provider:
        try:
            await provider.read()
        except AwayError as error:
            cure = "start it, or mend [login] issuer, ca_file, allow_private_networks"
            return [_bad("login", f"{one.issuer} is no provider that people can log in at: {error}; {cure}")]
        found = [_keys(one, len(provider.keys()), ends_logins=provider.ends_logins)]
        found.append(_login_clock(provider.date_said, one.clock_skew_s))
        try:
            refusal = await provider.refusal(Attempts().begin("", time.monotonic()))
        except AwayError as error:
            return [*found, _bad("login page", f"the page to log in on does not answer: {error}; see the provider")]
    if refusal:
        cure = f"tell it the client_id {one.client_id!r} and {back_url} as an address to come back to"
        return [*found, _bad("login page", f"the provider logs nobody in for us ({refusal}); {cure}")]
    return [*found, _well("login page", f"people are sent there and come back to {back_url}")]


def _keys(one: LoginSettings, many: int, *, ends_logins: bool) -> Finding:
    if not many:
        return _bad("login", f"{one.issuer} publishes no key that a token can be verified with; see the provider")
    out = "logging out is passed on to it" if ends_logins else "it has no page to log out, so its own login goes on"
    return _well("login", f"{one.issuer} answers, {many} keys; {out}")


def _login_clock(said: str, skew_s: int) -> Finding:
    """How far the provider's clock is from ours: its tokens are judged by ours."""
    try:
        there = parsedate_to_datetime(said)
    except ValueError:
        return _well("login clock", "the provider does not say what time it is")
    ahead_s = round((there - datetime.now(UTC)).total_seconds())
    if abs(ahead_s) > skew_s:
        way = "ahead of" if ahead_s > 0 else "behind"
        text = f"the provider's clock is {abs(ahead_s)} s {way} ours, and [login] clock_skew_s is {skew_s}"
        return _bad("login clock", f"{text}: no token counts; set whichever is wrong")
    return _well("login clock", f"within {max(1, abs(ahead_s))} s of ours")


async def _broker(settings: CloudSettings) -> Finding:
    address = broker_address(settings)
    where = f"{address.host}:{address.port}"
    try:
        async with asyncio.timeout(_PATIENCE_S):
            said = await greeted(address)
            version = "3.1.1" if said is None else "5"
            refusal = await greeted_by_311(address) if said is None else said
    except (OSError, TimeoutError) as error:
        return _bad("broker", f"{where} cannot be spoken to ({str(error) or 'no answer'}); start it, or mend [broker]")
    if refusal:
        text = (
            f"{where} speaks MQTT {version} and does not let us in ({refusal}); mend [broker] username, password_file"
        )
        return _bad("broker", text)
    return _well("broker", f"{where} speaks MQTT {version} and lets us in")


async def _answers(what: str, url: str, cure: str) -> Finding:
    began = time.monotonic()
    try:
        async with httpx2.AsyncClient(timeout=_PATIENCE_S) as client:
            answer = await client.get(url)
    except httpx2.HTTPError as error:
        return _bad(what, f"{url} does not answer ({type(error).__name__}); {cure}")
    took_ms = 1_000 * (time.monotonic() - began)
    return _well(what, f"{url} answers within {took_ms:.0f} ms (HTTP {answer.status_code})")
