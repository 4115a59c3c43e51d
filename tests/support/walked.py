"""Every path of the API that is read, in the world of `seeing`."""

import re
from collections.abc import Iterator

from keeping import LINE
from receipting import FIRST, WAREHOUSE
from seeing import HALL_LOT, NIGHT, OTHER_LINE, SEA_LOT, SECOND, SECOND_LOT, Seeing
from warehouses import BOX, GATE, HALL, TRACKER, ZONE

ASSETS = (BOX, HALL, GATE, "night-box")
_PLACE = re.compile(r"{(\w+)(?::\w+)?}")


def paths(seeing: Seeing) -> Iterator[str]:
    """Every path of the API that is read, with everything that there is in the place of its parameters."""
    state, every = seeing.keeping.spine.state, seeing.store.events(0, 100_000)
    filled = {
        "asset": ASSETS,
        "channel": ("temperature_mc", "latitude_e7"),
        "device": (TRACKER, ZONE, NIGHT),
        "command": ("1",),
        "facility": (LINE, OTHER_LINE),
        "lot": (SEA_LOT, HALL_LOT, SECOND_LOT),
        "fence": tuple(state.book.fences),
        "milestone": tuple(state.book.milestones),
        "receipt": (FIRST, SECOND),
        "number": ("0", "1"),
        "purpose": ("revocation",),
        "warehouse": (WAREHOUSE, "la-2"),
        "case": tuple(state.watch.cases) or ("case-1",),
        "by": ("vessel", "country"),
        "capture_id": ("1",),
        "message_id": ("1",),
        "alert": tuple(one.id for one in state.alerts.values()) or ("1",),
        "event": tuple({(one.event.type, one.event.subject): one.id for one in every}.values()),
        "notice": ("carrier/1",),
        "series": ("steel",),
        "currency": ("USD",),
    }
    for path, methods in sorted(seeing.get("keeper-kim", "/openapi.json")["paths"].items()):
        if "get" not in methods or path == "/live":  # that one does not end; the test below reads it
            continue
        some = [path]
        for name in _PLACE.findall(path):
            some = [_PLACE.sub(str(value), one, count=1) for one in some for value in filled[name]]
        for one in some:
            yield one + {"/exposures": "?currency=USD"}.get(path.rpartition("/")[0], _asked(path))


def _asked(path: str) -> str:
    return "?from_ms=0&to_ms=1800000000000&step_ms=86400000000" if path.endswith("/stretches") else ""
