"""`pledgewatch-gateway claim`: reads claims, one a line, has each carried out, and tells what is still to do.

A claim that fails keeps no other from being carried out; the same lines given again do what was left. What the cloud
prints may be given as it is: an empty line, or one of the square code above a claim, is passed over. More claims than a
gateway can have zones for are not all looked at, and that is said; nor are lines without end that hold no claim.
"""

import itertools
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final, TextIO

from pledgewatch_edge.claim_steps import ClaimFailedError, carry_out
from pledgewatch_edge.cloud_api import CloudError
from pledgewatch_edge.config import check_files
from pledgewatch_edge.identity import StateError
from pledgewatch_edge.own_files import faults_of_files
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_gateway.claiming import GatewayFile
from pledgewatch_gateway.config import ZONES_MAX, check_site_files, load
from pledgewatch_wire.claims import ClaimError, read_claim
from pledgewatch_wire.settings import SettingsError

_CLAIMS_MAX: Final = 2 * ZONES_MAX
_LINE_MAX: Final = 8_192
_LINES_MAX: Final = 100 * _CLAIMS_MAX  # a square code is some 40


def run(config: Path, ca_file: Path | None, typed: TextIO, out: TextIO, errors: TextIO) -> int:
    """Carry out claims; returns the exit code. Raises SettingsError where the configuration cannot be used."""

    def say(line: str) -> None:
        out.write(f"{line}\n")
        out.flush()

    count = failed = 0
    claimed = set[str]()
    for text in _claims(typed, errors):
        if text is None:
            failed += 1
            errors.write(f"only the first {_LINES_MAX} lines were looked at; give the others by themselves\n")
            break
        if count == _CLAIMS_MAX:
            failed += 1
            errors.write(f"only the first {_CLAIMS_MAX} claims were looked at; give the others by themselves\n")
            break
        count += 1
        try:
            carry_out(text, GatewayFile(config), ca_file=ca_file, say=say)
            claimed.add(read_claim(text).device)
        except (ClaimError, ClaimFailedError, CloudError, StateError, SpoolError) as error:
            failed += 1
            errors.write(f"claim {count}: {error}\n")
    if not count:
        errors.write("no claim was given; give one a line, as `pledgewatch-cloud devices invite` prints them\n")
    is_there = not claimed or _tell_what_is_left(config, claimed, say)
    return 0 if count and not failed and is_there else 1


def _claims(typed: TextIO, errors: TextIO) -> Iterator[str | None]:
    """The lines with a letter or a digit that are typed or piped in, up to an empty one that is typed. None where there
    are more lines than are looked at."""
    is_asked = typed.isatty()
    for number in itertools.count():
        if is_asked:
            errors.write("claim (an empty line ends): ")
            errors.flush()
        line = typed.readline(_LINE_MAX)
        if not line or (is_asked and not line.strip()):
            return
        if number == _LINES_MAX:
            yield None
            return
        if any(character.isalnum() for character in line):
            yield line


def _tell_what_is_left(config: Path, claimed: Collection[str], say: Callable[[str], None]) -> bool:
    """Whether the configuration can be read, and has the zones that have just been claimed."""
    left, lost = [], set(claimed)
    try:
        settings = load(config)
        lost -= {zone.device for zone in settings.zones if zone.cloud_url is not None}
        for zone in settings.zones:
            if zone.cloud_url is None:
                left.append(f"zone {zone.name!r} ({zone.device}) has not been claimed")
                continue
            check_files(settings.station_of(zone), config)
            left += faults_of_files(settings.station_of(zone))
        check_site_files(settings, config)
    except SettingsError as error:
        left += error.errors
    left += [f"{device} has been claimed, and its lines are not there; run the same again" for device in sorted(lost)]
    for line in left:
        say(f"- {line}")
    if not left:
        say(f"to begin: pledgewatch-gateway run --config {config}")
    return not lost
