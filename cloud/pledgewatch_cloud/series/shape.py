"""What is written to InfluxDB: every measurement with its tag, its fields and how often it comes.

One list, so that a query which names anything else is found before it draws nothing (tests/test_dashboards.py), and so
is a field that nobody writes any more (tests/test_series_gauges.py). `reading` holds points; the others are gauges,
which the embedded series keep alike.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide.collateral.result import STEPS
from pledgewatch_wire.reading import Channel

GAUGED_EVERY_MS = 900_000
PIPELINE_EVERY_MS = 60_000

_BASE_FIELDS = (
    *("gross_minor", "eligible_minor", "base_minor", "limit_minor", "outstanding_minor", "availability_minor"),
    *("headroom_minor", "ltv_bp", "cover_bp", "lots", "unvalued"),
    *(f"ineligible_{name}" for name in STEPS),
)
"""What a facility's gauges say of its base; in `facility`, an ineligible is there only where it is not nothing."""


class Measurement(NamedTuple):
    """One measurement. `tags`: the first is what its gauges are about. `open_from`: fields with such a beginning have
    names of their own, which the book gives. `every_ms`: how often it comes though nothing happens; 0: it does not."""

    tags: tuple[str, ...]
    fields: frozenset[str]
    open_from: tuple[str, ...] = ()
    every_ms: int = 0

    def has(self, field: str) -> bool:
        """Whether a field of this name is written."""
        return field in self.fields or field.startswith(self.open_from or ("\0",))


def _gauge(tag: str, *fields: str, open_from: tuple[str, ...] = (), every_ms: int = 0) -> Measurement:
    return Measurement((tag,), frozenset({*fields, "place"}), open_from, every_ms)


_CHANNELS = [channel.name.lower() for channel in Channel]

MEASUREMENTS: Mapping[str, Measurement] = {
    "reading": Measurement(
        ("asset", "device", "epoch"),
        frozenset(f"{name}{end}" for name in _CHANNELS for end in ("", "_doubted", "_quality")),
    ),
    # Each base that is another one than before, with the reasons for the change.
    "facility": _gauge("facility", *_BASE_FIELDS, open_from=("change_",)),
    # How a facility stands. Amounts are whole minor units, of which `scale` make one of the currency. `cover`: 0 clear,
    # 1 warned, 2 called, 3 in default.
    "cover": _gauge(
        "facility", *_BASE_FIELDS, "currency", "scale", "cover", "call_minor", "cure_by_ms", every_ms=GAUGED_EVERY_MS
    ),
    # Of goods: `facility`, `lender`, `borrower` and `lots`; of others: `hands`, who can mend it.
    "alert": _gauge(
        *("group", "alert", "rule", "severity", "state", "causes", "open", "by"),
        *("facility", "lender", "borrower", "lots", "hands", "assets"),
    ),
    # How many alerts are open.
    "alerts": _gauge("severity", "open", every_ms=GAUGED_EVERY_MS),
    # Of each asset with a device that is not retired, heard or not. `overdue_ms`: for how long more was expected of it
    # by the voyage plan; 0 while nothing was. `level`: 0 live or expected dark, 1 overdue, 2 silent. `facility`: of the
    # goods in it.
    "evidence": _gauge("asset", "facility", "age_ms", "overdue_ms", "level", "heard", every_ms=GAUGED_EVERY_MS),
    "device": _gauge(
        "device", "asset", "age_ms", "level", "heard", "tampers", "clock_doubts", every_ms=GAUGED_EVERY_MS
    ),
    # Of each lot of whose condition anything was said. `state`: 0 kept, 1 unknown, 2 broken.
    "condition": _gauge("lot", "asset", "facility", "state", "broken", "unknown", every_ms=GAUGED_EVERY_MS),
    # Events that a chart is annotated with; `facts` as text.
    "event": _gauge("subject", "type", "facts", "retracts"),
    # `journal`: running totals since its beginning, and how things stand at a tick. `store`: what it held when the
    # series had caught up; that has no past, so series that are built again hold it from then on.
    "pipeline": _gauge(
        "part",
        *("entries", "payloads", "readings", "suspicions", "events", "late_events", "retractions"),
        *("deaf_ms", "delay_max_ms", "assets", "devices", "devices_overdue", "devices_silent"),
        *("outbox_pending", "outbox_delivered", "outbox_dead", "quarantined"),
        every_ms=PIPELINE_EVERY_MS,
    ),
}

SUBJECT_TAGS: Mapping[str, str] = {name: one.tags[0] for name, one in MEASUREMENTS.items() if name != "reading"}
"""The tag that says what a gauge is about, by its kind."""
