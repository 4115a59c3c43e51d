"""The store of the `api` measurement: 30 days of 1,000 assets, made once through the real spine and kept.

The same numbers give the same readings; only the moment at which the 30 days end is that of the making, for the service
that goes on from there has the machine's clock. It is kept in the machine's folder for what is temporary, and made anew
once it is so old that its assets would count as silent.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from api_cloud import shown
from builders import ManualClock

from pledgewatch_cloud.access.identify import sha256_of
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.ingest.decode import Decoder
from pledgewatch_cloud.ingest.subscriber import Message
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.series.feeder import Feeder
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_sim.fleet import BACKLOG_STEP_MS, DAY_MS, Fleet, Sent, book

ASSETS = 1_000
DAYS = 30
READINGS_EACH = DAYS * DAY_MS // BACKLOG_STEP_MS
"""Readings of each asset."""
WARM_EVERY = 20
"""Of so many lots one is too warm: there is an alert, and its base has lost it."""
_FENCES = 200
_MILESTONES = 20
_AT_ONCE = 100  # payloads in an entry
_FRESH_MS = 8 * 3_600_000
_SHAPE = 2  # raised where what is made changes
_TURN_PRICE_BP = (10_000, 9_700, 9_900, 10_200, 9_500)
BANK_KEY, KEEPER_KEY = (f"pwk_{one * 43}" for one in "ba")
KEEPER = shown(KEEPER_KEY)


def document() -> dict[str, Any]:
    """The book: that of the fleet, with users, milestones, and lots that are too warm."""
    found = book(range(ASSETS), _FENCES)
    for lot in found["lots"][::WARM_EVERY]:
        lot["limits"] = [{"channel": "temperature_mc", "low": 0, "high": 3_000}]
    found["parties"] = [{"id": one, "name": one} for one in ("bank", "exporter")]
    found["milestones"] = [
        {
            "id": f"milestone-{number}",
            "facility": lot["facility"],
            "lot": lot["id"],
            "payee": "exporter",
            "when": {"upon": {"fact": "gated_in", "fence": f"port-{number}"}, "that": {"fact": "condition_kept"}},
            "release": {"amount_minor": 10_000},
        }
        for number, lot in enumerate(found["lots"][:: ASSETS // _MILESTONES])
    ]
    found["users"] = [_user("bank-desk", "bank", "lender", BANK_KEY), _user("bench", "keepers", "keeper", KEEPER_KEY)]
    return found


def _user(name: str, party: str, role: str, key: str) -> dict[str, Any]:
    keys = [{"kid": "bench", "sha256": sha256_of(key)}]
    return {"id": name, "name": name, "party": party, "role": role, "keys": keys}


def api_store() -> Path:
    """The data folder of the store: the one that is kept, or a new one."""
    folder = Path(tempfile.gettempdir()) / f"pledgewatch-api-store-{state_module.FORMAT}-{_SHAPE}-{ASSETS}-{DAYS}"
    mark = folder / "made.json"
    now_ms = time.time_ns() // 1_000_000
    if mark.exists() and now_ms - json.loads(mark.read_text(encoding="utf-8"))["until_ms"] < _FRESH_MS:
        return folder / "data"
    shutil.rmtree(folder, ignore_errors=True)
    readings = _made(folder / "data", now_ms)
    took_s = time.time() - now_ms / 1_000
    print(f"the store of {readings} readings took {took_s:.0f} s; it is kept in {folder}", flush=True)
    mark.write_text(json.dumps({"until_ms": now_ms}), encoding="utf-8")
    return folder / "data"


def _made(data: Path, until_ms: int) -> int:
    """Make it; how many readings it holds. The clock goes with the readings: an entry is of when its last was read."""
    clock = ManualClock(until_ms - DAYS * DAY_MS)
    store = SqliteStore(data)
    spine = Spine(store, clock)
    spine.commit(drafts.amend, document())
    decoder = Decoder()
    sent: Iterable[Sent] = Fleet(range(ASSETS), rounds=0, until_ms=until_ms, backlog_days=DAYS).backlog()
    for number, some in enumerate(iter(lambda: list(islice(sent, _AT_ONCE)), [])):
        turn, place = divmod(number, ASSETS // _AT_ONCE)
        if not place:
            clock.at_ms += some[0].readings * BACKLOG_STEP_MS
        messages = [Message(one.topic, one.payload, retained=False, token=0, arrived_s=0.0) for one in some]
        spine.take(decoder.decode(messages, clock.at_ms, spine.state.book.installations).arrivals)
        if not place:
            price = 10_000 * _TURN_PRICE_BP[turn % len(_TURN_PRICE_BP)] // 10_000
            spine.commit(drafts.amend, {"prices": [{"sku": "box", "unit_price_minor": price, "currency": "USD"}]})
    clock.at_ms = until_ms
    spine.tick(until_ms)
    store.keep_snapshot(spine.state.entry, state_module.pieces(spine.state))  # or the service would fold it all again
    series = EmbeddedSeries(data, store.journal)
    Feeder(store, series).catch_up()
    series.close()
    readings = spine.readings
    store.close()
    return readings
