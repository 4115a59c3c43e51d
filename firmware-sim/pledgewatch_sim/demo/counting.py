"""What the demo counts when all is over: journal, outbox, the bank's ledger, the devices' own counters."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pledgewatch_sim import both_ends
from pledgewatch_sim.programs import output_of

SAID_EVERY_S = 10.0
_STOPPED = re.compile(r"stopped at entry \d+, state ([0-9a-f]{64})")


async def count(
    folder: Path,
    measured: Mapping[str, Mapping[str, Any]],
    ledger: Mapping[str, Any],
    book: Mapping[str, Any],
    milestones: Sequence[Mapping[str, Any]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """What each end says, once the cloud has stopped. `measured`: what each device has counted, by its name. `say` is
    told how it goes on, for a long journal takes a while."""
    data = str(folder / "data")
    replayed = json.loads(await _replayed(data, say))
    outbox = json.loads(await output_of("pledgewatch_cloud", "outbox", "--endpoints", "--data", data))
    held = replayed["by_device"]
    return {
        "readings": {
            "measured": sum(one["measured"] for one in measured.values()),
            "committed": replayed["identities"],
            "lost": sum(max(0, one["measured"] - held.get(device, 0)) for device, one in measured.items()),
            "duplicated": replayed["readings"] - replayed["identities"],
            "refused": sum(one["refused"] for one in measured.values()),
        },
        "messages": {
            "sent": replayed["messages"],
            "delivered": outbox["delivered"],
            "waiting": outbox["pending"],
            "verified": ledger["counts"]["booked"],
            "duplicated": ledger["counts"]["double_releases"] + ledger["counts"]["conflicts"],
        },
        "money": both_ends.money(ledger, book),
        "milestones": {
            one["id"]: {
                "state": one["state"],
                "missing": [f"{fact['words']} ({fact['missing']})" for fact in one["facts"] if not fact["holds"]],
            }
            for one in milestones
        },
        "journal": {
            "entries": replayed["entries"],
            "digest": replayed["digest"],
            "service_digest": _state_of_the_service(folder / "cloud.log"),
        },
    }


async def _replayed(data: str, say: Callable[[str], None]) -> str:
    """What `replay` prints; while it decides the whole journal again, that is said now and then."""
    say("Counting: the whole journal is decided again …")
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        replaying = group.create_task(output_of("pledgewatch_cloud", "replay", "--by-device", "--data", data))
        while not (await asyncio.wait([replaying], timeout=SAID_EVERY_S))[0]:
            say(f"  … for {time.monotonic() - began_s:.0f} s now")
    return replaying.result()


def _state_of_the_service(cloud_log: Path) -> str:
    """The digest of the state that the service said it had when it stopped."""
    said = _STOPPED.findall(cloud_log.read_text(encoding="utf-8", errors="replace"))
    return str(said[-1]) if said else ""
