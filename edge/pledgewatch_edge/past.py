"""What moment is known to be past, so that nobody leads the device back to it.

A receiver can be made to tell any time, and a certificate that has ended, whose key was stolen since, is good again in
the past. So the clock is told what is past for certain (`AgentClock.not_before`), and judges no certificate by a time
before that:

- when the device's own certificate began, for it had not been made before;
- what the cloud has said, as far as its certificate reaches (cloud_api.py);
- what the clock told while a time service kept it, or receiver and computer agreed (`AgentClock.sure_ms`).

The newest is kept in the state folder (`known_past`), anew once a day. Whoever says it, it counts no further than to
the end of the device's own certificate, as that is when it is heard: a clock that was led ahead for an hour, or a
cloud's that was, would close the device out of what the receiver tells later, and one whose certificate has ended is
let in nowhere. So a claim, which is how such a one is brought back, forgets what was kept;
the new certificate has its begin.

Beside it is kept what else a restart would lose of the clock (`held_time`): the time that it holds, good in the same
start of the computer alone, and whether the computer's own clock was found wrong, which holds until the two are
compared again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from pledgewatch_edge.clock import BELIEVED_UNTIL_MS, RELEASED_MS, STEP_MS, AgentClock, Held, this_boot
from pledgewatch_edge.config import DAY_S
from pledgewatch_edge.identity import StateError, replace_file
from pledgewatch_wire.named_file import read_named
from pledgewatch_wire.reading import Clock

PAST_FILE: Final = "known_past"
HELD_FILE: Final = "held_time"
LOOK_EVERY_S: Final = 60.0
HELD_ANEW_MS: Final = 6 * 3_600_000  # by when the time that is kept is two seconds more in doubt than the one in use
_DAY_MS: Final = DAY_S * 1_000


class _Kept(NamedTuple):
    """What `held_time` says: the start of the computer, the time held in it, and whether its clock was found wrong."""

    boot: str
    held: Held
    is_apart: bool


class Past:
    """What is known to be past, for one state folder. `certificate_file`: what the device shows of itself, where it
    shows anything."""

    def __init__(
        self,
        folder: Path,
        certificate_file: Path | None,
        clock: AgentClock,
        *,
        boot: Callable[[], str] = this_boot,
    ) -> None:
        self._path = folder / PAST_FILE
        self._held_path = folder / HELD_FILE
        self._boot = boot()
        self._kept: _Kept | None = None
        self._certificate_file = certificate_file
        self._clock = clock
        self._kept_ms = 0

    def begin(self) -> None:
        """Tell the clock what the state folder and the certificate know."""
        self._hear_certificate()
        self._kept_ms = self._read()
        self._clock.not_before(self._kept_ms)
        kept = self._kept = self._read_held()
        if kept is not None and kept.is_apart:
            self._clock.was_apart()
        if kept is not None and kept.boot == self._boot:
            self._clock.hold(kept.held)

    async def run(self) -> None:
        """Keep it, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.keep)

    def keep(self) -> None:
        """Tell the clock what it has told itself for certain, and keep the newest. A disk that does not take it loses
        a day's knowledge and nothing else."""
        self._hear_certificate()
        self._clock.not_before(self._clock.sure_ms() or 0)
        past_ms = self._clock.past_ms
        if past_ms - self._kept_ms >= _DAY_MS or past_ms < self._kept_ms:
            with contextlib.suppress(OSError):
                replace_file(self._path, str(past_ms).encode("ascii"))
                self._kept_ms = past_ms
        self._keep_held()

    def _keep_held(self) -> None:
        """Keep the time that the clock holds, seldom: it goes on by itself."""
        before, held, is_apart = self._kept, self._clock.held, self._clock.is_apart()
        if held is not None:
            now = _Kept(self._boot, held, is_apart)
        elif before is not None:
            now = before._replace(is_apart=is_apart)
        else:
            return
        if before is None or now[::2] != before[::2] or _is_newer(now.held, before.held):
            told = f"{now.boot} {now.held.offset_ms} {now.held.known_at} {now.held.by.name} {now.is_apart:d}"
            with contextlib.suppress(OSError):
                replace_file(self._held_path, told.encode("ascii"))
                self._kept = now

    def _read_held(self) -> _Kept | None:
        """What was kept of the clock; None where nothing that can be used was."""
        try:
            boot, offset_ms, known_at, by, is_apart = self._held_path.read_text(encoding="ascii").split()
            return _Kept(boot, Held(int(offset_ms), int(known_at), Clock[by]), bool(int(is_apart)))
        except (OSError, ValueError, KeyError):
            return None

    def _read(self) -> int:
        """What was kept, Unix milliseconds; 0 where nothing that can be used was."""
        try:
            kept_ms = int(self._path.read_bytes())
        except (OSError, ValueError):
            return 0
        return kept_ms if RELEASED_MS <= kept_ms < BELIEVED_UNTIL_MS else 0

    def _hear_certificate(self) -> None:
        """Tell the clock when the device's own certificate began, and when it ends; nothing where there is none."""
        if self._certificate_file is None:
            return
        try:
            own = x509.load_pem_x509_certificates(read_named(self._certificate_file))[0]
        except (OSError, ValueError):
            return
        self._clock.past_ends(round(own.not_valid_after_utc.timestamp() * 1_000))
        self._clock.not_before(round(own.not_valid_before_utc.timestamp() * 1_000))


def _is_newer(held: Held, kept: Held) -> bool:
    is_other = held.by is not kept.by or abs(held.offset_ms - kept.offset_ms) > STEP_MS
    return is_other or held.known_at - kept.known_at >= HELD_ANEW_MS


def forget(folder: Path) -> None:
    """Keep nothing of what was known to be past, for who holds the folder's lock. Raises StateError."""
    path = folder / PAST_FILE
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}; run this as the user whose folder it is") from None
