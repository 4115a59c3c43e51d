"""What the demo counts when all is over: journal, outbox, the bank's ledger, the devices' own counters."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pledgewatch_sim import both_ends
from pledgewatch_sim.programs import output_of

_STOPPED = re.compile(r"stopped at entry \d+, state ([0-9a-f]{64})")


async def count(
    folder: Path,
    measured: Mapping[str, Mapping[str, Any]],
    ledger: Mapping[str, Any],
    book: Mapping[str, Any],
    milestones: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What each end says, once the cloud has stopped. `measured`: what each device has counted, by its name."""
    data = str(folder / "data")
    replayed = json.loads(await output_of("pledgewatch_cloud", "replay", "--by-device", "--data", data))
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


def _state_of_the_service(cloud_log: Path) -> str:
    """The digest of the state that the service said it had when it stopped."""
    said = _STOPPED.findall(cloud_log.read_text(encoding="utf-8", errors="replace"))
    return str(said[-1]) if said else ""
