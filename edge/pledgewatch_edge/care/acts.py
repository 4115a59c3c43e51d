"""What a command does to the device: show which one it is, and tell how it stands.

A bundle says what a person needs who cannot come: how the spool, the clock and the sensors stand, the configuration in
force, the last lines of the log. Of the configuration there is what TOLD lists, key by key; of every other key, as all
of another package's sensor, there is the name alone. Keys and passwords are in files, of which the names are told. Of
an address the part before an @ is left out, and of a command what it is given. What is left out of the configuration
is left out of the log too, wherever it stands (untold.py). It is bounded: the oldest lines of the log go first.
"""

import asyncio
import contextlib
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final

from pledgewatch_wire.care import RESULT_MAX, pack_result

LEDS: Final = Path("/sys/class/leds")
BLINK_S: Final = 0.25
LOG_MAX: Final = 256 * 1024  # bytes of JSON, before they are packed
LEFT_OUT: Final = "left out"
TOLD: Final[Mapping[str, tuple[str, ...]]] = {
    "device": ("operator", "name", "state_folder", "cloud_url", "cloud_ca_file"),
    "broker": (
        *("host", "port", "protocol", "username", "password_file", "ca_file", "certificate_file", "key_file"),
        *("keep_alive_s", "reconnect_max_s"),
    ),
    "uplink": ("send_every_s", "readings_per_payload", "in_flight_readings", "resend_after_s", "bytes_per_day"),
    "checkpoint": ("every_readings", "every_s"),
    "spool": ("max_mib", "max_days", "thin_to_s", "hold_s"),
    "care": ("rollback_after_s", "identify_led", "identify_command", "log_lines"),
    "clock": ("trust_system", "simulated_for_s", "speed"),
    "sampling": ("rules", "limits", "near"),
    "gps": ("port", "baud", "interval_s"),
    "gpsd": ("host", "port", "device", "interval_s", "silent_after_s"),
    "onewire": ("probes", "root", "interval_s"),
    "sht3x": ("bus", "address", "temperature", "interval_s"),
    "modbus": ("map", "host", "port", "line", "baud", "parity", "stop_bits", "unit", "interval_s", "timeout_s"),
    "contacts": ("lines", "chip", "interval_s", "debounce_s"),
    "adxl345": ("bus", "address", "interval_s", "alert_mg"),
    "host": ("disk", "thermal", "throttling", "interval_s"),
}
"""What is told of a configuration, by section."""
_SECRET: Final = re.compile(
    r"password|passphrase|passwd|secret|token|credential|\bpin\b|_pin$|private|api.?key|psk|\bkey$|_key$|auth|bearer"
    r"|\bpass\b|_pass$|\bpwd\b|\bpuk\b|\botp\b|pin_code|access_code",
    re.I,
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
        # As JSON has it: a character may become six.
        is_short = len(json.dumps(kept)) <= LOG_MAX
        if not kept or (is_short and len(pack_result(told)) <= RESULT_MAX):
            return pack_result(told)
        kept = kept[max(1, len(kept) // 4) :]


def told_of(settings: Any) -> dict[str, Any]:
    """Of a configuration what may be told, as JSON can hold it: a section by TOLD, of every other key the name."""
    found: dict[str, Any] = {}
    for row in dataclasses.fields(settings):
        section = getattr(settings, row.name)
        if section is None:
            continue
        may = TOLD.get(row.name, ())
        found[row.name] = {
            field.name: _shown(field.name, getattr(section, field.name)) if field.name in may else LEFT_OUT
            for field in dataclasses.fields(section)
        }
    return found


def _shown(key: str, value: Any) -> Any:
    if key == "identify_command":
        return [*map(str, value[:1]), *[LEFT_OUT] * len(value[1:])]
    return without_secrets(value)


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
        case str():
            return _without_login(value)
        case None | bool() | int() | float():
            return value
        case _:
            return str(value)


def sounds_secret(key: str) -> bool:
    """Whether a key's name is one of a secret."""
    return _SECRET.search(key) is not None


def _told(key: str, value: Any) -> Any:
    if value is not None and sounds_secret(key) and not _NAMES_A_FILE.search(key):
        return LEFT_OUT
    return without_secrets(value)


def _without_login(text: str) -> str:
    """An address without who logs in there, and without what is asked there."""
    scheme, mark, rest = text.rpartition("://")
    if "@" in rest:
        rest = f"{LEFT_OUT}@{rest.rpartition('@')[2]}"
    if mark and "?" in rest:
        rest = f"{rest.partition('?')[0]}?{LEFT_OUT}"
    return f"{scheme}{mark}{rest}"
