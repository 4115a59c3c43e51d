"""What a command does to the device: show which one it is, and tell how it stands.

A bundle says what a person needs who cannot come: how the spool, the clock and the sensors stand, the configuration in
force, the last lines of the log. Secrets are in none of it: keys and passwords are in files, of which only the names
are told, and what a section keeps under a name that sounds like one is left out. It is bounded: the oldest lines of the
log go first.
"""

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final

from pledgewatch_wire.care import RESULT_MAX, pack_result

LEDS: Final = Path("/sys/class/leds")
BLINK_S: Final = 0.25
LOG_MAX: Final = 256 * 1024  # characters, before they are packed
_SECRET: Final = re.compile(
    r"password|passphrase|passwd|secret|token|credential|\bpin\b|_pin$|private|api_key|psk", re.I
)
_NAMES_A_FILE: Final = re.compile(r"_(file|folder)$")


class RefusedError(Exception):
    """A command that is not carried out; the text says why."""


async def identify(led: str | None, command: Sequence[str], seconds: int, leds: Path = LEDS) -> str:
    """Show which device this is, for some seconds; what was done. Raises RefusedError where there is nothing to show it
    with, or it does not work."""
    if command:
        return await _shown_by(command, seconds)
    if led is None:
        raise RefusedError("this device has nothing to show itself with; set [care] identify_led or identify_command")
    return await _blinked(leds / led, seconds)


async def _shown_by(command: Sequence[str], seconds: int) -> str:
    """Run a command, which is told the seconds as its last argument, and end it when they are over."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            str(seconds),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise RefusedError(f"[care] identify_command {command[0]} cannot be run: {error.strerror}") from None
    try:
        async with asyncio.timeout(seconds + 1):
            code = await process.wait()
    except TimeoutError:
        code = 0  # it shows itself until it is told to stop
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if code:
        raise RefusedError(f"[care] identify_command {command[0]} ended with {code}")
    return f"shown by {command[0]} for {seconds} s"


async def _blinked(led: Path, seconds: int) -> str:
    """Blink a light of the kernel's, and leave it to do what it did before."""
    try:
        trigger = _chosen((led / "trigger").read_text(encoding="ascii"))
        before = (led / "brightness").read_text(encoding="ascii")
        most = (led / "max_brightness").read_text(encoding="ascii").strip()
        (led / "trigger").write_text("none", encoding="ascii")
        try:
            for turn in range(round(seconds / BLINK_S)):
                (led / "brightness").write_text("0" if turn % 2 else most, encoding="ascii")
                await asyncio.sleep(BLINK_S)
        finally:
            (led / "brightness").write_text(before, encoding="ascii")
            (led / "trigger").write_text(trigger, encoding="ascii")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise RefusedError(f"the light {led} cannot be used: {why}") from None
    return f"{led.name} blinked for {seconds} s"


def _chosen(triggers: str) -> str:
    """Of the kernel's list the trigger in force, which stands in brackets."""
    found = re.search(r"\[([^\]]+)\]", triggers)
    return "none" if found is None else found[1]


def bundle(facts: Mapping[str, Any], lines: Sequence[str]) -> bytes:
    """A bundle as an answer holds it. Of the log there is as much as finds room, the newest."""
    kept = list(lines)
    while True:
        told = {**facts, "log": kept, "log_lines_left_out": len(lines) - len(kept)}
        is_short = sum(map(len, kept)) <= LOG_MAX
        if not kept or (is_short and len(pack_result(told)) <= RESULT_MAX):
            return pack_result(told)
        kept = kept[max(1, len(kept) // 4) :]


def without_secrets(value: Any) -> Any:
    """Settings as JSON can hold them, without what must not be told."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    match value:
        case Mapping():
            return {str(key): _told(str(key), one) for key, one in value.items()}
        case tuple() | list() | frozenset():
            return [without_secrets(one) for one in value]
        case Enum():
            return value.name
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _told(key: str, value: Any) -> Any:
    if value is not None and _SECRET.search(key) and not _NAMES_A_FILE.search(key):
        return "left out"
    return without_secrets(value)
