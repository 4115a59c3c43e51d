"""Remote care on the device: a key that cares, an agent's configuration, a station that only notes what is asked."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edge_support import DEVICE, OPERATOR, TIME_MS, configuration, until

from pledgewatch_edge.agent import load, with_overlay
from pledgewatch_edge.care import ledger
from pledgewatch_edge.care.acts import RefusedError
from pledgewatch_edge.care.care import CARE_KEY_FILE, Care
from pledgewatch_edge.config import SpoolSettings
from pledgewatch_edge.station import Station
from pledgewatch_wire.care import Answer, Command, Desired, What, decode_answer, sign_command, sign_settings
from pledgewatch_wire.reading import Clock

CARE_KEY = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32)
HOUR_MS = 3_600_000


def cared_for(folder: Path, port: int = 1, *, rollback_after_s: float = 600.0, more: str = "") -> Path:
    """An agent's configuration, and the key that cares for it; `more` is of the section [care]. The file."""
    state = folder / "state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / CARE_KEY_FILE).write_text(CARE_KEY.public_key().public_bytes_raw().hex() + "\n", encoding="ascii")
    care = f"[care]\nrollback_after_s = {rollback_after_s}\n{more}\n"
    return configuration(folder, port, interval_s=0.5, more=care)


def settings(
    version: int,
    toml: str,
    *,
    device: str = DEVICE,
    ends_ms: int = TIME_MS + HOUR_MS,
    key: Ed25519PrivateKey = CARE_KEY,
) -> bytes:
    """Signed settings."""
    return sign_settings(Desired(OPERATOR, device, version, TIME_MS, ends_ms, toml), key)


def command(
    number: int,
    what: What = What.REPORT_NOW,
    *,
    device: str = DEVICE,
    ends_ms: int = TIME_MS + HOUR_MS,
    key: Ed25519PrivateKey = CARE_KEY,
    **more: int,
) -> bytes:
    """A signed command."""
    return sign_command(Command(OPERATOR, device, number, TIME_MS, ends_ms, what, **more), key)


class Noting:
    """A running station that notes what is asked of it. It hears the cloud as often as `words` says."""

    def __init__(self) -> None:
        self.words = 0
        self.trials = 0
        self.reports = 0
        self.answers: list[Answer] = []
        self.kept: list[SpoolSettings] = []

    async def keep_within(self, kept: SpoolSettings) -> None:
        """There is no spool."""
        self.kept.append(kept)

    async def answer(self, data: bytes) -> None:
        """The broker has it at once."""
        self.answers.append(decode_answer(data))

    async def begin_trial(self) -> None:
        """Whether the cloud hears of it, `words` says."""
        self.trials += 1

    async def report_now(self) -> str:
        """As if every sensor had measured."""
        self.reports += 1
        return "readings 1 to 2"

    async def resend(self, epoch: int, first: int, last: int) -> str:
        """Nothing is here any more."""
        raise RefusedError(f"readings {first} to {last} of {epoch} are gone")

    def facts(self) -> Mapping[str, Any]:
        """Little."""
        return {"spool": {"spooled": 3}}


class Cared:
    """A device's care over its state folder, begun anew by each of these. Its clock is set by hand."""

    def __init__(self, file: Path, *, leds: Path = Path("/nowhere")) -> None:
        self.now = TIME_MS, Clock.GPS
        self.body = Noting()
        first = load(file)
        self._folder = first.device.state_folder
        self.care = Care(first, lambda toml: Station(with_overlay(file, toml), list, {}), lambda: self.now, leds=leds)

    def start(self) -> Station:
        """The station that runs now."""
        return self.care.next_station()

    async def hear(self, *said: tuple[str, bytes], settle_s: float = 0.05, told: int = 0) -> list[Answer]:
        """What is answered to settings and commands while the station runs for a moment, and until there are as many
        answers as `told`."""
        running = asyncio.create_task(self.care.run(self.body))
        hearers = {str(kind): hear for kind, hear in self.care.hearers.items()}
        for kind, data in said:
            await hearers[kind](data)
        await asyncio.sleep(settle_s)
        await until(lambda: len(self.body.answers) >= told and self._is_at_rest(), "the device to have answered")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        answers, self.body.answers = self.body.answers, []
        return answers

    def _is_at_rest(self) -> bool:
        """Whether nothing that is noted is under way. A ledger that is damaged notes nothing."""
        try:
            noted = ledger.read(self._folder)
        except ledger.LedgerError:
            return True
        tried = noted.trial is not None and noted.trial.version == self.care._on_trial
        is_to_be_proven = tried and self.body.words > 0
        return not noted.unsaid and "begun" not in dict(noted.ids).values() and not is_to_be_proven
