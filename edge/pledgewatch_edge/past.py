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
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from cryptography import x509

from pledgewatch_edge.clock import BELIEVED_UNTIL_MS, RELEASED_MS, AgentClock
from pledgewatch_edge.config import DAY_S
from pledgewatch_edge.identity import StateError, replace_file
from pledgewatch_wire.named_file import read_named

PAST_FILE: Final = "known_past"
LOOK_EVERY_S: Final = 600.0
_DAY_MS: Final = DAY_S * 1_000


class Past:
    """What is known to be past, for one state folder. `certificate_file`: what the device shows of itself, where it
    shows anything."""

    def __init__(self, folder: Path, certificate_file: Path | None, clock: AgentClock) -> None:
        self._path = folder / PAST_FILE
        self._certificate_file = certificate_file
        self._clock = clock
        self._kept_ms = 0

    def begin(self) -> None:
        """Tell the clock what the state folder and the certificate know."""
        self._hear_certificate()
        self._kept_ms = self._read()
        self._clock.not_before(self._kept_ms)

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


def forget(folder: Path) -> None:
    """Keep nothing of what was known to be past, for who holds the folder's lock. Raises StateError."""
    path = folder / PAST_FILE
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}; run this as the user whose folder it is") from None
