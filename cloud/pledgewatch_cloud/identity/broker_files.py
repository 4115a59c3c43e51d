"""The broker's access list and revocation list, kept as the book and the identities have them.

Whenever either changes it is written, by rename, and the broker is told to read them again. The revocation list is
signed anew every day, long before it ends. What cannot be written, or cannot be told, is tried again; until then the
broker goes by what it has read, and nothing of a revoked device is taken by the cloud all the same.

Mosquitto looks at a certificate once, when a connection begins. So whose last certificate has expired is in the access
list no more, as if it was revoked, until it has claimed another. Of a name whose certificates were taken away the
session that is open is ended (putting_out.py), once the broker was told: it would have its word again when the name is
claimed anew.

Nor does it look at a certificate again when a session of TLS is resumed, and each resumption gives another ticket for
hours. What makes it forget them all is being told. So it is told when any certificate that counts has ended, and while
somebody is let in by one that was not made here, of which nothing is known, every `others_every_s`; with none but the
cloud's own, once an hour. Being told keeps Mosquitto from its work for 0.1 s with 2,000 devices in the list.

Who is let in waits for the broker, or it would be refused by a list of the second before, and ask for another
certificate for nothing. It waits as long as this takes and PATIENCE_S at most: a broker that cannot be told keeps
nobody from an identity. Who waits holds nothing but its own request, and many who come at once are told of together.

A broker that the cloud itself is not connected to is told when it is again, or AWAY_S later. The cloud's session waits
there meanwhile, and one that will end is what Mosquitto before 2.1 may die of when it is told (docs/DEVICES.md): each
start of the service would be such a moment.

What the list had at the start and the journal does not know stays on it (forgotten.py).

No fault of one thing keeps another from the broker: a user that the access list cannot have is left out and said once,
a list of another authority that cannot be read is the one that was read last, and what is written is told.

Lists of other authorities are read at each look, and the broker is told as soon as one is another: whom its owner has
revoked is as good as revoked here, and one that has ended locks out whoever it is about, the cloud itself among them.
"""

import asyncio
import contextlib
import datetime as dt
import logging
import os
import signal
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.identity import authority_ends
from pledgewatch_cloud.identity.authority import Authority
from pledgewatch_cloud.identity.forgotten import forgotten_of
from pledgewatch_cloud.identity.putting_out import Ousting, PutOut, putting_out_of
from pledgewatch_cloud.identity.settings import OTHERS_EVERY_S, DevicesSettings
from pledgewatch_cloud.mosquitto import acl_of, replace, told_apart
from pledgewatch_cloud.outage import Outage
from pledgewatch_cloud.spine.writer import Turn, Writer

ACL_NAME, CRL_NAME = "acl", "crl.pem"
LOOK_EVERY_S = 1.0
PATIENCE_S = 5.0
"""How long who is let in waits for the broker to be told."""
SIGN_EVERY_MS = 86_400_000
AWAY_S = 10.0
"""How long the broker goes untold while the cloud is not connected to it."""
CLOCKS_APART_MS = 10_000
"""So long after its end a certificate is one that the broker lets in no more, whose clock may be behind."""
ENDS_EVERY_S = 30.0
"""Certificates that end within so long are told of together: all within a minute, however many."""
OWN_EVERY_S = 3_600.0
_RELOAD_S = 30.0
_MOSQUITTO = "mosquitto"
_LIST_BEGINS, _LIST_ENDS = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_CLOCKS_DIFFER_S = 1.0  # that of files is coarse
_ENDED = "has ended, so whoever has a certificate of its authority is refused; put the next one there"
log = logging.getLogger(__name__)


class ReloadError(Exception):
    """The broker was not told to read its files again; the sentence says why."""


class BrokerFiles:
    """The two files in a folder. `reload` has the broker read them again, and raises ReloadError; `connected` says
    whether the cloud is connected to it; `put_out` ends the session of a device's name (None: nobody does);
    `others_every_s`: how often the broker is told for the sake of certificates that others have made."""

    def __init__(
        self,
        writer: Writer,
        authority: Authority,
        folder: Path,
        clock: Clock,
        reload: Callable[[], Awaitable[None]],
        *,
        cloud: str,
        health: str,
        more_lists: tuple[Path, ...] = (),
        patience_s: float = PATIENCE_S,
        others_every_s: float = OTHERS_EVERY_S,
        connected: Callable[[], bool] = lambda: True,
        now_s: Callable[[], float] = time.monotonic,
        put_out: PutOut | None = None,
    ) -> None:
        self._writer, self._authority, self._folder, self._clock = writer, authority, folder, clock
        self._reload, self._cloud, self._health, self._more_lists = reload, cloud, health, more_lists
        self.forgotten = forgotten_of(folder / CRL_NAME, authority, writer.state)
        self._listed: State | None = None  # what the revocation list was made of, and the access list
        self._spoken: State | None = None
        self._signed_ms = self._made_ms = self._ends_told_ms = 0
        self._silent_from_ms: int | None = None
        self._is_told = True
        self._told_ms, self._told_s = 0, now_s()  # by the world's clock, and by one that is not set
        self._others_every_s = self._others_s = others_every_s
        self._known_entry = -1  # the broker was told of what stood then, or later
        self._known, self._asked = Turn(), asyncio.Event()
        self._ousting = Ousting(put_out, self._known.tell)
        self._patience_s, self._connected, self._now_s = patience_s, connected, now_s
        self._away_from_s: float | None = None
        self._lists: dict[Path, bytes] = {}  # those of other authorities, as they were read last
        self._lists_end: dict[Path, dt.datetime] = {}
        self._are_others = False  # since ours was signed
        self._unread: list[Path] = []
        self._faults: list[str] = []
        self._outage = Outage(log, "the broker's files are not as the book has them, trying on", "they are again")

    async def run(self) -> None:
        """Keep them until cancelled. The broker is told once a second at most: reading its files is work for it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ousting.run(), name="putting out")
            while True:
                self._asked.clear()
                if await self._look():
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._asked.wait()

    async def keep(self) -> bool:
        """One look, and each who is to be put out by it is tried once; whether there was anything to write or tell."""
        was_due = await self._look()
        await self._ousting.once()
        return was_due

    async def known(self, state: State, devices: Collection[str] = ()) -> bool:
        """Wait until the broker was told of a state, or of a later one, and it was tried to put out whom `devices`
        names, where they are to be; False where it was not told within the patience."""
        self._asked.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while self._known_entry < state.entry or self._ousting.is_waiting(devices):
                    await self._known.next.wait()
        return self._known_entry >= state.entry

    async def _look(self) -> bool:
        """Write what has changed since the last time, and tell the broker; whether there was anything to do."""
        state, now_ms = self._writer.state, self._clock.now_ms()
        lost: list[object] = []
        may_tell = self._may_tell()
        if self._more_lists:
            await asyncio.to_thread(self._read_lists)
        try:
            # The list of who is let in no more first: who reads one file of before and one of now lets in nobody new.
            if self._is_list_due(state, now_ms):
                await asyncio.to_thread(self._write_list, state, now_ms)
                self._is_told = False
            if self._is_access_due(state, now_ms):
                await asyncio.to_thread(self._write_access, state, now_ms)
                self._is_told = False
        except OSError as error:
            lost.append(error)
        if self._is_ended(state, now_ms):
            self._is_told = False
        is_idle = self._is_told and not lost
        try:
            if may_tell and not self._is_told:
                await self.tell()
                self._is_told, self._told_ms, self._told_s = True, now_ms, self._now_s()
        except ReloadError as error:
            lost.append(error)
        if self._is_told and not lost:
            self._ousting.look(state, now_ms)
            self._known_entry = state.entry
            self._known.tell()
        lost += [f"{path} cannot be read whole" for path in self._unread]
        lost += [f"{path} {_ENDED}" for path, end in self._lists_end.items() if end.timestamp() * 1_000 <= now_ms]
        if lost:
            self._outage.lost("; ".join(map(str, lost)))
        else:
            self._outage.back()
        return not is_idle

    def _is_ended(self, state: State, now_ms: int) -> bool:
        """Whether a certificate that counted has ended since the broker was told; or one may have, of which nothing is
        known. That is no reason to tell it while the cloud is away, whose own session waits there."""
        age_s, ends_ms = self._now_s() - self._told_s, state.identities.ends_ms
        ended, before = (bisect_right(ends_ms, at_ms - CLOCKS_APART_MS) for at_ms in (now_ms, self._told_ms))
        return (ended != before and age_s >= ENDS_EVERY_S) or (age_s >= self._others_s and self._connected())

    def _may_tell(self) -> bool:
        if self._connected():
            self._away_from_s = None
            return True
        now_s = self._now_s()
        self._away_from_s = now_s if self._away_from_s is None else self._away_from_s
        return now_s - self._away_from_s >= AWAY_S

    async def tell(self) -> None:
        """Have the broker read its files again. Raises ReloadError."""
        await self._reload()

    def _is_list_due(self, state: State, now_ms: int) -> bool:
        was = self._listed
        if was is None or self._are_others or not 0 <= now_ms - self._signed_ms < SIGN_EVERY_MS:
            return True
        return was.identities is not state.identities and was.identities.revoked != state.identities.revoked

    def _read_lists(self) -> None:
        """Read the lists of other authorities; one that is half written by now is read at the next look."""
        self._unread = []
        for path in self._more_lists:
            found = _read(path)
            if not found or found.count(_LIST_BEGINS) != found.count(_LIST_ENDS):
                self._unread.append(path)
            elif found != self._lists.get(path):
                self._lists[path], self._are_others = found, True
                self._lists_end.pop(path, None)
                if (end := _end_of(found)) is not None:
                    self._lists_end[path] = end

    def _is_access_due(self, state: State, now_ms: int) -> bool:
        was = self._spoken
        if was is None or not 0 <= now_ms - self._made_ms < SIGN_EVERY_MS:
            return True
        if was.identities is not state.identities and was.identities != state.identities:
            return True
        if self._silent_from_ms is not None and now_ms >= self._silent_from_ms:
            return True
        before, after = was.book.installations, state.book.installations
        return before is not after and before != after

    def _write_list(self, state: State, now_ms: int) -> None:
        revoked = state.identities.revoked
        own = self._authority.revocation_lists((*revoked, *self.forgotten.beside(revoked, now_ms)), now_ms)
        # With a list at all, OpenSSL lets in nobody of whose authority it has none.
        others = b"".join(self._lists.get(path, b"") for path in self._more_lists)
        replace(self._folder / CRL_NAME, own + others)
        self._listed, self._signed_ms, self._are_others = state, now_ms, False
        if not 0 <= now_ms - self._ends_told_ms < SIGN_EVERY_MS:
            self._ends_told_ms = now_ms
            for one in authority_ends.told(self._authority, state.identities.identities.values(), now_ms):
                if not one.is_well:
                    log.warning("%s", one.text)

    def _write_access(self, state: State, now_ms: int) -> None:
        speaking = state.identities.speakers(state.book.installations.values(), now_ms)
        speaking, faults = told_apart(speaking, cloud=self._cloud, health=self._health)
        text = acl_of(speaking, cloud=self._cloud, health=self._health)
        replace(self._folder / ACL_NAME, text.encode())
        for one in faults:
            if one not in self._faults:
                log.error("left out of the broker's access list: %s", one)
        self._spoken, self._made_ms, self._faults = state, now_ms, faults
        self._silent_from_ms = state.identities.silent_from_ms(now_ms)
        has_others = any(one.device not in state.identities.identities for one in speaking if not one.retired)
        self._others_s = self._others_every_s if has_others else max(self._others_every_s, OWN_EVERY_S)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _end_of(lists: bytes) -> dt.datetime | None:
    """When the first of some lists ends; None where none of them says."""
    ends = []
    for part in lists.split(_LIST_BEGINS)[1:]:
        try:
            ends.append(x509.load_pem_x509_crl(_LIST_BEGINS + part).next_update_utc)
        except (ValueError, UnsupportedAlgorithm):
            continue  # the broker will say so
    return min((end for end in ends if end is not None), default=None)


def files_of(
    one: DevicesSettings,
    writer: Writer,
    authority: Authority,
    clock: Clock,
    connected: Callable[[], bool] = lambda: True,
) -> BrokerFiles | None:
    """The files as configured; None where somebody else sees to them."""
    if one.broker_files_folder is None:
        return None

    async def reload() -> None:
        if one.broker_pid_file is not None:
            _hang_up(one.broker_pid_file)
        elif one.broker_reload:
            await _run(one.broker_reload)

    folder, cloud, health = one.broker_files_folder, one.cloud_user, one.health_user
    # Where somebody else tells the broker, who is put out might come in again.
    tells = one.broker_pid_file is not None or bool(one.broker_reload)
    return BrokerFiles(
        *(writer, authority, folder, clock, reload),
        cloud=cloud,
        health=health,
        more_lists=one.broker_crl_files,
        others_every_s=one.broker_told_every_s,
        connected=connected,
        put_out=putting_out_of(one, authority, clock.now_ms) if tells else None,
    )


def _hang_up(pid_file: Path) -> None:
    """SIGHUP, by which Mosquitto reads its files again. Raises ReloadError."""
    text = f"the broker whose process is in {pid_file} cannot be told"
    try:
        number = int(pid_file.read_text(encoding="ascii"))
        if number <= 1:  # what is below stands for many, or for the first of all
            raise ReloadError(f"{text}: {number} is no process of a broker")
        if not _is_of(number, pid_file):
            raise ReloadError(f"{text}: process {number} is another one, which began after the file was written")
        os.kill(number, signal.SIGHUP)
    except (OSError, ValueError) as error:
        raise ReloadError(f"{text}: {error}") from None


def _is_of(number: int, pid_file: Path) -> bool:
    """Whether a process is the one that its file was written for: it was there then, or it is Mosquitto by its name,
    for a clock that was set since. The number of one that has ended is given to others, whom SIGHUP may end. Raises
    OSError, ValueError."""
    process = Path("/proc") / str(number)
    if not process.parent.joinpath("self").exists():
        return True  # a system that does not say
    if process.joinpath("comm").read_text(encoding="utf-8", errors="replace").strip() == _MOSQUITTO:
        return True
    # proc(5): the name is in brackets and may hold anything; the 22nd field is when it began, in ticks since the boot.
    ticks = int(process.joinpath("stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age_s <= pid_file.stat().st_mtime + _CLOCKS_DIFFER_S


async def _run(command: tuple[str, ...]) -> None:
    """Raises ReloadError."""
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    except OSError as error:
        raise ReloadError(f"{command[0]} cannot be run: {error.strerror}") from None
    try:
        async with asyncio.timeout(_RELOAD_S):
            code = await process.wait()
    except TimeoutError:
        raise ReloadError(f"{command[0]} has not ended within {_RELOAD_S:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code:
        raise ReloadError(f"{command[0]} ended with {code}")
