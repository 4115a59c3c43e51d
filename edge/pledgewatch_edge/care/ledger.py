"""What remote care must remember, in one file of the state folder, replaced by rename.

    the good settings (nothing from afar at first)
        │ a newer version that passes the check (that it is looked at is noted before)
        ▼
    a trial beside the good ones ── heard `committed` ──► the good settings
        │ time is up, or it cannot even be started
        ▼
    refused: the good settings as before

    the good settings ── the station ended with them, STARTS_MAX times ──► left aside, until there are newer ones

Each move is one rename, so whoever is killed between two of them finds the one or the other, and never half of both.
A trial's time is what it has spent, noted now and then: a clock may be wrong, and a boot may begin it anew. So are its
starts, as settings that bring the computer down would never spend their time. For the same reason it is noted that a
version is looked at, before it is: the broker has it ready at each start.

Of commands the ids are kept, the newest IDS_MAX of them; an id at or below `floor` is refused unseen, so nothing that
was forgotten can be done again. An id is on the disk before anything is done: killed in between, it is not done twice.
"""

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pledgewatch_edge.identity import flush_folder
from pledgewatch_wire.care import Answer, Became

LEDGER_FILE: Final = "care.json"
FORMAT: Final = 1
IDS_MAX: Final = 64
UNSAID_MAX: Final = 16
STARTS_MAX: Final = 5


class LedgerError(RuntimeError):
    """A ledger that cannot be read; one sentence that names the file and the cure."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """Settings from afar of a version; version 0 is none."""

    version: int = 0
    toml: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings that are tried: how long they have been, and how often they were started."""

    version: int
    toml: str
    spent_s: float = 0.0
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Looked:
    """Settings that were looked at, how often, and nothing was decided about them."""

    version: int
    times: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is remembered. `version` is the highest that was decided about, `refused` why, where that was refused. With
    the good settings the station could not run `ends` times, one after the other."""

    version: int = 0
    good: Overlay = Overlay()
    trial: Trial | None = None
    refused: str = ""
    floor: int = 0
    ids: tuple[tuple[int, str], ...] = ()
    unsaid: tuple[Answer, ...] = ()
    looked: Looked | None = None
    ends: int = 0

    @property
    def is_left_aside(self) -> bool:
        """Whether the good settings are not used any more, as no station could run with them."""
        return self.ends >= STARTS_MAX

    def looking(self, version: int) -> "Ledger":
        """A version is looked at once more."""
        return replace(self, looked=Looked(version, self.looks(version) + 1))

    def looks(self, version: int) -> int:
        """How often a version was looked at, and nothing was decided."""
        return self.looked.times if self.looked is not None and self.looked.version == version else 0

    def ended(self, why: str) -> "Ledger":
        """The station could not run with the good settings; once that has been so too often, they are left aside."""
        after = replace(self, ends=self.ends + 1)
        if after.is_left_aside:
            return after.answered(Answer(self.good.version, 0, Became.LEFT_ASIDE, why))
        return after

    def tried(self, version: int, toml: str) -> "Ledger":
        """A newer version is tried; one that was on trial has not proven itself."""
        after = self
        if self.trial is not None:
            after = self.answered(refusal(self.trial.version, f"version {version} came before it was proven"))
        taken = Answer(version, 0, Became.TAKEN, "tried until the uplink is heard to work")
        return replace(after, version=version, refused="", trial=Trial(version, toml), looked=None).answered(taken)

    def proven(self, text: str) -> "Ledger":
        """The trial is the good settings now."""
        assert self.trial is not None
        good = Overlay(self.trial.version, self.trial.toml)
        return replace(self, good=good, trial=None, ends=0).answered(Answer(good.version, 0, Became.DONE, text))

    def rolled_back(self, why: str) -> "Ledger":
        """The trial is refused from now on; what was good stands."""
        assert self.trial is not None
        return replace(self, trial=None).refusing(self.trial.version, why)

    def refusing(self, version: int, why: str) -> "Ledger":
        """A version is refused, and stays so: the newest for this reason, any other because a newer one has come."""
        after = replace(self, version=version, refused=why, looked=None) if version >= self.version else self
        return after.answered(refusal(version, why))

    def knows(self, command: int) -> str | None:
        """Why a command of this id is a replay; None where it is not."""
        if command <= self.floor:
            return f"replayed: command {command} is older than what is remembered, up to {self.floor}"
        known = dict(self.ids).get(command)
        return None if known is None else f"replayed: command {command} was taken before ({known})"

    def noted(self, command: int, what: str) -> "Ledger":
        """A command is taken, before it is carried out; or what has become of it."""
        ids = sorted({**dict(self.ids), command: what}.items())
        forgotten = ids[:-IDS_MAX]
        floor = max([self.floor, *(one for one, _ in forgotten)])
        return replace(self, floor=floor, ids=tuple(ids[-IDS_MAX:]))

    def not_begun(self, commands: Collection[int]) -> "Ledger":
        """Commands that were taken and never begun are as if they had not come: they may be taken again."""
        return replace(self, ids=tuple(one for one in self.ids if one[0] not in commands))

    def answered(self, answer: Answer) -> "Ledger":
        """An answer waits for the broker; of many the oldest is dropped."""
        if answer in self.unsaid:
            return self
        return replace(self, unsaid=(*self.unsaid, answer)[-UNSAID_MAX:])

    def said(self, answer: Answer) -> "Ledger":
        """The broker has an answer."""
        return replace(self, unsaid=tuple(one for one in self.unsaid if one != answer))


def refusal(version: int, why: str) -> Answer:
    """The answer that settings are refused."""
    return Answer(version, 0, Became.REFUSED, why)


def read(folder: Path) -> Ledger:
    """The ledger of a state folder, empty where there is none. Raises LedgerError where it is not whole."""
    path = folder / LEDGER_FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return _from_json(value)
    except FileNotFoundError:
        return Ledger()
    except OSError as error:
        raise LedgerError(f"{path} cannot be read ({error.strerror}); give the agent its state folder") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        cure = (
            "move it away, and send settings once more (devices settings --again) if there were any: old commands "
            "could be sent again until they end"
        )
        raise LedgerError(f"{path} is no ledger of this program ({error}); {cure}") from None


def keep(folder: Path, ledger: Ledger) -> None:
    """Put the ledger on the disk. Raises OSError; then the one before stands, or this one does but a power cut may undo
    it."""
    value = {"format": FORMAT, **asdict(ledger)}
    value["unsaid"] = [[*one[:-1], b64encode(one.result).decode("ascii")] for one in ledger.unsaid]
    path = folder / LEDGER_FILE
    fresh = path.with_name(LEDGER_FILE + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    flush_folder(folder)


def _from_json(value: dict[str, Any]) -> Ledger:
    trial, looked = value["trial"], value.get("looked")
    if value["format"] != FORMAT:
        raise ValueError(f"it has format {value['format']}, this program reads {FORMAT}")
    return Ledger(
        int(value["version"]),
        Overlay(**value["good"]),
        None if trial is None else Trial(**trial),
        str(value["refused"]),
        int(value["floor"]),
        tuple((int(one), str(what)) for one, what in value["ids"]),
        tuple(
            Answer(version, command, Became(became), text, b64decode(result))
            for version, command, became, text, result in value["unsaid"]
        ),
        None if looked is None else Looked(**looked),
        int(value.get("ends", 0)),
    )
