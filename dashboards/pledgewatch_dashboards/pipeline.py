"""Pipeline: whether what devices say gets through, and what waits behind."""

from pledgewatch_dashboards.flux import kept, mapped, named, over_time, read, script, standing, then
from pledgewatch_dashboards.page import Page, alerts_annotated, annotated
from pledgewatch_dashboards.panels import GREEN, ORANGE, RED, YELLOW, Kind, Panel, Row

_JOURNAL, _STORE = 'r.part == "journal"', 'r.part == "store"'
_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000


def _now(field: str, where: str) -> str:
    return script(then(standing("pipeline", field, where=where), mapped(_value=f"r.{field}")))


def _a_second(field: str, name: str) -> str:
    """A running total as a rate. Building the series again begins nothing anew: the totals are the journal's own."""
    return script(
        then(
            over_time("pipeline", field, where=_JOURNAL),
            "derivative(unit: 1s, nonNegative: true)",
            named(name),
            kept(("_time", "_value", "_field")),
        )
    )


def _more(field: str, name: str) -> str:
    return script(
        then(
            over_time("pipeline", field, where=_JOURNAL),
            "difference(nonNegative: true)",
            named(name),
            kept(("_time", "_value", "_field")),
        )
    )


def _line(field: str, name: str, where: str, fn: str = "last") -> str:
    return script(
        then(over_time("pipeline", field, where=where, fn=fn), named(name), kept(("_time", "_value", "_field")))
    )


_SERIES_AGE = script(
    then(
        read("pipeline", "entries", since="1d", where=_JOURNAL),
        "last()",
        mapped(_value="(int(v: v.timeRangeStop) - int(v: r._time)) / 1000000"),
    )
)

PAGE = Page(
    "pipeline",
    "Pipeline",
    "From the devices to the journal and on to the core: what gets through, how fast, and what waits.",
    (
        Row(
            4,
            (
                Panel(
                    *(Kind.STAT, "Series behind", "How old is the newest that the series know?", "ms"),
                    [_SERIES_AGE],
                    *(4, 0),
                    ((None, GREEN), (5 * _MINUTE_MS, ORANGE), (45 * _MINUTE_MS, RED)),
                ),
                Panel(
                    *(Kind.STAT, "Deaf", "For how long could devices not be heard?", "ms"),
                    [_now("deaf_ms", _JOURNAL)],
                    *(4, 0),
                    ((None, GREEN), (2 * _MINUTE_MS, ORANGE), (15 * _MINUTE_MS, RED)),
                ),
                Panel(
                    *(Kind.STAT, "Readings in all", "How much does the journal hold?", "short"),
                    [_now("readings", _JOURNAL)],
                    4,
                ),
                Panel(
                    *(Kind.STAT, "Waiting for the core", "How many messages has the core still to be sent?", "none"),
                    [_now("outbox_pending", _STORE)],
                    *(4, 0),
                    ((None, GREEN), (10, YELLOW), (100, RED)),
                ),
                Panel(
                    *(Kind.STAT, "Dead letters", "How many messages has the core refused?", "none"),
                    [_now("outbox_dead", _STORE)],
                    *(4, 0),
                    ((None, GREEN), (1, RED)),
                ),
                Panel(
                    *(Kind.STAT, "Quarantined", "How much was ever set aside unread?", "none"),
                    [_now("quarantined", _STORE)],
                    *(4, 0),
                    ((None, GREEN), (1, ORANGE)),
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.LINES, "Throughput", "How much comes in each second?", "cps"),
                    [_a_second("readings", "readings"), _a_second("payloads", "payloads")],
                    minimum=0,
                ),
                Panel(
                    *(Kind.LINES, "Delay", "How long from a measurement to the cloud, and how long was it deaf?", "ms"),
                    [
                        _line("delay_max_ms", "longest delay", _JOURNAL, "max"),
                        _line("deaf_ms", "deaf", _JOURNAL, "max"),
                    ],
                    thresholds=((None, GREEN), (_HOUR_MS, ORANGE)),
                    minimum=0,
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.LINES, "Outbox", "Does the core take what it is told?", "none"),
                    [
                        _line("outbox_pending", "waiting", _STORE, "max"),
                        _line("outbox_dead", "dead letters", _STORE, "max"),
                        _line("quarantined", "quarantined", _STORE, "max"),
                    ],
                    minimum=0,
                ),
                Panel(
                    *(Kind.LINES, "News of the past", "How often does late news change what was said?", "none"),
                    [
                        _more("events", "events"),
                        _more("late_events", "late events"),
                        _more("retractions", "retractions"),
                        _more("suspicions", "suspicions"),
                    ],
                    minimum=0,
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.LINES, "Devices", "How many are in service, overdue, silent?", "none"),
                    [
                        _line("devices", "in service", _JOURNAL),
                        _line("devices_overdue", "overdue", _JOURNAL),
                        _line("devices_silent", "silent", _JOURNAL),
                    ],
                    minimum=0,
                ),
                Panel(
                    *(Kind.LINES, "Entries", "How fast does the journal grow?", "cps"),
                    [_a_second("entries", "entries"), _a_second("events", "events")],
                    minimum=0,
                ),
            ),
        ),
    ),
    annotations=(alerts_annotated(), annotated("tampering", RED, "^tamper_suspected$")),
    span="now-6h",
)
