"""The `step` measurement: microseconds a reading for a batch of 5,000 readings of 5,000 assets, every stage on.

Each asset has its speed, two limits with a gap, a mean kinetic temperature and a patience; 10,000 fences lie about. The
readings come in order, as nearly all do. The baseline is the same batch with nothing to judge by: no assets, no limits,
no fences, which is what it costs to keep account of who was heard last.
"""

import gc
import random
import statistics
import time
from typing import Any

from builders import NOON_MS, Device

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.admission import Admission
from pledgewatch_cloud.decide.batch import Amendment, AssetReading, Entry, Readings, asset_reading, batch_of_readings
from pledgewatch_cloud.decide.step import prepare, step
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading

ASSETS = 5_000
FENCES = 10_000
BATCHES = 15
QUARTER_MS = 900_000


def step_cost() -> list[dict[str, Any]]:
    """One row: all stages on, against nothing to judge by."""
    full, bare = _run(_book(whole=True)), _run(_book(whole=False))
    value = statistics.median(full)
    return [
        {
            "name": "step",
            "value": round(value, 1),
            "unit": "microseconds/reading, 5,000 of 5,000 assets",
            "baseline": round(statistics.median(bare), 1),
            "ratio": round(value / statistics.median(bare), 2),
            "runs": [round(one, 1) for one in full],
        }
    ]


def _book(*, whole: bool) -> dict[str, Any]:
    dice = random.Random(1)
    key = Device().public_key
    limits = [
        {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 600, "max_gap_s": 40_000},
        {"channel": "humidity_cpercent", "low": 0, "high": 9_000, "max_gap_s": 40_000},
    ]
    mkt = {"channel": "temperature_mc", "high_mc": 20_000, "worst_low_mc": 0, "worst_high_mc": 40_000}
    features = []
    for number in range(FENCES if whole else 0):
        west, south, size = dice.uniform(-179, 178), dice.uniform(-70, 70), dice.uniform(0.05, 0.3)
        ring = [[west, south], [west + size, south], [west + size, south + size], [west, south + size], [west, south]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "id": f"fence-{number}", "properties": {}, "geometry": geometry})
    patience = {"silent_after_s": 86_400, "overdue_after_s": 40_000} if whole else {}
    return {
        "fences": {"type": "FeatureCollection", "features": features},
        "assets": [{"id": f"asset-{one}", "kind": "container"} for one in range(ASSETS)] if whole else [],
        "installations": [
            {"device": f"device-{one}", "operator": "op", "asset": f"asset-{one}", "public_key": key, **patience}
            for one in range(ASSETS)
        ],
        "facilities": [{"id": "f", "lender": "b", "borrower": "e", "currency": "USD"}],
        "prices": [{"sku": "s", "unit_price_minor": 1, "currency": "USD"}],
        "lots": [
            {"id": f"lot-{one}", "asset": f"asset-{one}", "facility": "f", "sku": "s", "quantity": 1, "limits": limits}
            | {"mkt": mkt}
            for one in range(ASSETS if whole else 0)
        ],
    }


def _run(document: dict[str, Any]) -> list[float]:
    state = state_module.first("bench")
    state = step(state, prepare(state, Entry(1, NOON_MS, Amendment(document))), {}).state
    assert len(state.book.fences) == len(document["fences"]["features"])
    dice = random.Random(2)
    places = [(dice.randint(-60, 60) * 10**7, dice.randint(-170, 170) * 10**7) for _ in range(ASSETS)]
    costs = []
    gc.collect()
    gc.freeze()
    for number in range(1, BATCHES + 1):
        admission = Admission((), (), (), (), {}, batch_of_readings(_batch(number, places, dice)))
        entry = Entry(number + 1, NOON_MS + number * QUARTER_MS + 1_000, Readings((), ()))
        start = time.perf_counter()
        prepared = prepare(state, entry, admission)
        assert not prepared.work.wanted
        state = step(state, prepared, {}).state
        costs.append((time.perf_counter() - start) / ASSETS * 1e6)
    gc.unfreeze()
    return costs[2:]


def _batch(number: int, places: list[tuple[int, int]], dice: random.Random) -> list[AssetReading]:
    found = []
    for one in range(ASSETS):
        latitude, longitude = places[one]
        places[one] = (latitude + dice.randint(-500, 500), longitude + dice.randint(-500, 500))
        cells = (
            Cell(Channel.LATITUDE_E7, places[one][0]),
            Cell(Channel.LONGITUDE_E7, places[one][1]),
            Cell(Channel.TEMPERATURE_MC, 5_000 + dice.randint(0, 16) * 62),
            Cell(Channel.HUMIDITY_CPERCENT, 5_000 + dice.randint(0, 100)),
            Cell(Channel.BATTERY_MV, 3_700),
            Cell(Channel.HDOP_CENTI, 90),
            Cell(Channel.SPEED_MMPS, 7_000),
        )
        reading = Reading(number, NOON_MS + number * QUARTER_MS, Clock.GPS, cells)
        found.append(asset_reading(f"device-{one}", 1, reading))
    return found
