"""Fleet health: which devices are heard, how well they are, and what is suspected of them."""

from pledgewatch_dashboards.flux import (
    events,
    kept,
    mapped,
    over_time,
    read,
    scaled,
    script,
    standing,
    tag_values,
    then,
)
from pledgewatch_dashboards.page import LEVEL_STEPS, LEVELS, TO_ASSET, Choice, Page, annotated
from pledgewatch_dashboards.panels import BLUE, GREEN, ORANGE, RED, Column, Kind, Panel, Row
from pledgewatch_dashboards.portfolio import MAP, MAP_COLUMNS

_CHOSEN = "r.asset =~ /^${asset:regex}$/"
BATTERY_STEPS = ((None, RED), (3.4, ORANGE), (3.6, GREEN))
_DAY_MS = 86_400_000


def _devices(condition: str) -> str:
    return script(
        then(
            standing("device", "level", "heard"),
            f'filter(fn: (r) => {condition}, onEmpty: "keep")',
            'count(column: "level")',
        )
    )


_BATTERY = then(
    read("reading", "battery_mv", since="7d"),
    "last()",
    'group(columns: ["device"])',
    'sort(columns: ["_time"])',
    "last()",
    "group()",
    mapped(device="r.device", battery="float(v: r._value) / 1000.0"),
)
_TABLE = script(
    then(
        standing("device", "asset", "age_ms", "level", "heard", "tampers", "clock_doubts"),
        mapped(
            **{name: f"r.{name}" for name in ("device", "asset", "level", "heard", "tampers", "clock_doubts")},
            age="r.age_ms",
        ),
        'sort(columns: ["level", "age"], desc: true)',
    )
)


def _doubted(name: str, field: str) -> str:
    """How many values came in each step."""
    return script(
        then(
            read("reading", field, where=_CHOSEN),
            'group(columns: ["_field"])',
            "aggregateWindow(every: 1h, fn: count, createEmpty: false)",
            f"map(fn: (r) => ({{_time: r._time, {name}: r._value}}))",
        )
    )


PAGE = Page(
    "fleet-health",
    "Fleet health",
    "Which devices are heard, how their batteries and receivers do, and what is suspected of them.",
    (
        Row(
            4,
            (
                Panel(
                    Kind.STAT,
                    "In service",
                    "How many devices are fitted and not retired?",
                    "none",
                    [_devices("r.level >= 0")],
                    4,
                    0,
                ),
                Panel(
                    *(Kind.STAT, "Overdue", "How many are missed beyond what the voyage plan expects?", "none"),
                    [_devices("r.level == 1")],
                    *(5, 0),
                    ((None, GREEN), (1, ORANGE)),
                ),
                Panel(
                    *(Kind.STAT, "Silent", "How many have fallen silent?", "none"),
                    [_devices("r.level == 2")],
                    *(5, 0),
                    ((None, GREEN), (1, RED)),
                ),
                Panel(
                    *(Kind.STAT, "Never heard", "How many were fitted and never said anything?", "none"),
                    [_devices("r.heard == 0")],
                    *(5, 0),
                    ((None, GREEN), (1, ORANGE)),
                ),
                Panel(
                    *(
                        Kind.STAT,
                        "Oldest evidence",
                        "How old is the evidence of the asset that was heard longest ago?",
                        "ms",
                    ),
                    [script(then(standing("evidence", "age_ms"), 'max(column: "age_ms")', kept(("age_ms",))))],
                    *(5, 0),
                    ((None, GREEN), (_DAY_MS, ORANGE), (30 * _DAY_MS, RED)),
                ),
            ),
        ),
        Row(
            14,
            (
                Panel(
                    *(Kind.MAP, "Where assets were last", "Where is what is overdue or silent?", "none"),
                    [MAP],
                    thresholds=LEVEL_STEPS,
                    columns=MAP_COLUMNS,
                ),
                Panel(
                    *(Kind.TABLE, "Devices", "Which device needs somebody to go and see?", "none"),
                    [_TABLE],
                    columns=(
                        Column("asset", links=TO_ASSET),
                        Column("age", unit="ms"),
                        Column("level", words=LEVELS, thresholds=LEVEL_STEPS),
                        Column("heard", words=((0, "never", RED), (1, "yes", GREEN))),
                        Column("tampers", thresholds=((None, GREEN), (1, RED))),
                        Column("clock_doubts", title="clock doubts", thresholds=((None, GREEN), (1, ORANGE))),
                    ),
                    order=("device", "asset", "level", "age", "heard", "tampers", "clock_doubts"),
                ),
            ),
        ),
        Row(
            10,
            (
                Panel(
                    *(Kind.LINES, "Age of evidence", "Whose evidence grows old?", "ms"),
                    [script(then(over_time("evidence", "age_ms", where=_CHOSEN), kept(("_time", "_value", "asset"))))],
                    minimum=0,
                    name="${__field.labels.asset}",
                ),
                Panel(
                    *(Kind.STATES, "Devices over time", "When was which device overdue or silent?", "none"),
                    [script(then(over_time("device", "level"), kept(("_time", "_value", "device"))))],
                    words=LEVELS,
                    thresholds=LEVEL_STEPS,
                    name="${__field.labels.device}",
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.LINES, "Battery", "Which battery runs down?", "volt"),
                    [
                        script(
                            then(
                                read("reading", "battery_mv", where=_CHOSEN),
                                'group(columns: ["device", "_field"])',
                                "aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: false)",
                                scaled(1_000),
                                kept(("_time", "_value", "device")),
                            )
                        )
                    ],
                    decimals=2,
                    thresholds=BATTERY_STEPS,
                    gap_s=86_400,
                    name="${__field.labels.device}",
                ),
                Panel(
                    *(Kind.TABLE, "Lowest batteries", "Which battery must be changed first?", "volt"),
                    [script(then(_BATTERY, 'sort(columns: ["battery"])', "limit(n: 50)"))],
                    decimals=2,
                    columns=(Column("battery", thresholds=BATTERY_STEPS),),
                    order=("device", "battery"),
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.LINES, "Fixes an hour", "How much of what receivers say is doubted?", "none"),
                    [_doubted("good", "latitude_e7"), _doubted("doubted", "latitude_e7_doubted")],
                    minimum=0,
                ),
                Panel(
                    *(Kind.TABLE, "Suspicions", "What speaks against a device?", "none"),
                    [script(events("^(tamper_suspected|clock_doubted|source_)"))],
                    order=("Time", "_time", "subject", "type", "facts"),
                ),
            ),
        ),
    ),
    choices=(Choice("asset", "Asset", tag_values("evidence"), has_all=True),),
    annotations=(annotated("tampering", RED, "^tamper_suspected$"), annotated("silence", BLUE, "^source_")),
    span="now-2d",
)
