"""Why a station has ended by itself while its program goes on, or stands still with all of it: kept for whoever looks
at it, until it runs again.

It is kept in memory, which no disk can refuse, for the program's own page; and in the file `ended` of the state folder,
for `status`, which is another process. A folder that another holds is not written to: what runs there is not ours.
"""

import contextlib
import json
from typing import Any, Final

from pledgewatch_edge.identity import StateError, replace_file, sole_use
from pledgewatch_edge.station import Station

_FILE: Final = "ended"


def has_ended(station: Station, why: str) -> None:
    """Keep why a station has ended."""
    if station.ended is not None:
        station.ended[:] = [why]
    folder = station.settings.device.state_folder
    with contextlib.suppress(OSError, StateError), sole_use(folder):  # the log has it
        replace_file(folder / _FILE, json.dumps({"device": station.device, "why": why}).encode("utf-8"))


def stands_still(station: Station, why: str) -> None:
    """Keep why a station that runs in this program stands still. May be called from any thread."""
    kept = {"device": station.device, "why": why, "stands_still": True}
    with contextlib.suppress(OSError):  # the log has it
        replace_file(station.settings.device.state_folder / _FILE, json.dumps(kept).encode("utf-8"))


def runs(station: Station) -> None:
    """Forget it: the station has begun."""
    if station.ended is not None:
        station.ended.clear()
    with contextlib.suppress(OSError):
        (station.settings.device.state_folder / _FILE).unlink(missing_ok=True)


def goes_on(station: Station) -> None:
    """Forget that a station stood still, and not why it has ended since. May be called from any thread."""
    if "stands_still" in _read(station):
        with contextlib.suppress(OSError):
            (station.settings.device.state_folder / _FILE).unlink(missing_ok=True)


def ended_of(station: Station) -> list[str]:
    """A sentence where a station has ended and has not begun anew since, or stands still."""
    return [f"it has ended, and measures no more: {one}" for one in station.ended or ()] or _kept(station)


def _kept(station: Station) -> list[str]:
    kept = _read(station)
    how = "it stands still" if "stands_still" in kept else "it has ended"
    return [f"{how}, and measures no more: {kept['why']}"] if "why" in kept else []


def _read(station: Station) -> dict[str, Any]:
    """What the file says of this station; nothing where it does not."""
    try:
        kept = json.loads((station.settings.device.state_folder / _FILE).read_bytes())
        return kept if isinstance(kept, dict) and kept["device"] == station.device else {}
    except (OSError, ValueError, KeyError):
        return {}
