"""Portfolio: what a bank has lent on, over all facilities whose data is in the bucket."""

from pledgewatch_dashboards.flux import (
    amount,
    kept,
    mapped,
    over_time,
    places,
    rows_over_time,
    scaled,
    script,
    share,
    standing,
    then,
)
from pledgewatch_dashboards.page import (
    COVER_STEPS,
    COVERS,
    LEVEL_STEPS,
    LEVELS,
    TO_ASSET,
    TO_FACILITY,
    Page,
    alerts_annotated,
    annotated,
)
from pledgewatch_dashboards.panels import GREEN, ORANGE, RED, YELLOW, Column, Kind, Panel, Row

LTV_STEPS = ((None, GREEN), (0.6, YELLOW), (0.7, ORANGE), (0.9, RED))
_CURRENCY = "${__field.labels.currency}"
_BY_CURRENCY = 'group(columns: ["currency"])'


def _sum_of(field: str) -> str:
    """An amount over all facilities, by currency: money in two currencies is not added."""
    return script(
        then(
            standing("cover", field, "currency", "scale"),
            mapped(currency="r.currency", _value=amount(field)),
            _BY_CURRENCY,
            "sum()",
        )
    )


def _sum_over_time(field: str, name: str) -> str:
    return script(
        then(
            rows_over_time("cover", field, "currency", "scale", every="15m"),
            "group()",
            mapped(_time="r._time", currency="r.currency", _value=amount(field)),
            'group(columns: ["_time", "currency"])',
            "sum()",
            _BY_CURRENCY,
            f"map(fn: (r) => ({{_time: r._time, currency: r.currency, {name}: r._value}}))",
            'sort(columns: ["_time"])',
        )
    )


def _facilities_at(level: int) -> str:
    return script(
        then(
            standing("cover", "cover"),
            f'filter(fn: (r) => r.cover >= {level}, onEmpty: "keep")',
            'count(column: "cover")',
        )
    )


_FIELDS = ("base_minor", "outstanding_minor", "availability_minor", "headroom_minor", "ltv_bp", "cover", "call_minor")
_TABLE = script(
    then(
        standing("cover", *_FIELDS, "currency", "scale", "unvalued"),
        mapped(
            facility="r.facility",
            cover="r.cover",
            currency="r.currency",
            base=amount("base_minor"),
            outstanding=amount("outstanding_minor"),
            availability=amount("availability_minor"),
            headroom=amount("headroom_minor"),
            ltv=share("ltv_bp"),
            call=amount("call_minor"),
            unvalued="r.unvalued",
        ),
        'sort(columns: ["cover", "ltv"], desc: true)',
    )
)
_LTV = script(
    then(
        over_time("cover", "ltv_bp"),
        "filter(fn: (r) => r._value >= 0)",
        scaled(10_000),
        kept(("_time", "_value", "facility")),
    )
)
_COVER = script(then(over_time("cover", "cover"), kept(("_time", "_value", "facility"))))
MAP = script(
    f"places = {places()}",
    "levels = "
    + then(standing("evidence", "level", "age_ms", "facility"), kept(("asset", "level", "age_ms", "facility"))),
    'join(tables: {one: places, other: levels}, on: ["asset"])',
)
MAP_COLUMNS = (
    Column("level", title="evidence", words=LEVELS, thresholds=LEVEL_STEPS),
    Column("age_ms", unit="ms", title="age of evidence"),
    Column("asset", links=TO_ASSET),
)

PAGE = Page(
    "portfolio",
    "Portfolio",
    "What a bank has lent on: bases, covenants and where the goods are.",
    (
        Row(
            4,
            (
                Panel(
                    Kind.STAT,
                    "Borrowing base",
                    "How much may be lent on what is there?",
                    "locale",
                    [_sum_of("base_minor")],
                    6,
                    2,
                    name=_CURRENCY,
                ),
                Panel(
                    Kind.STAT,
                    "Outstanding",
                    "How much is owed?",
                    "locale",
                    [_sum_of("outstanding_minor")],
                    6,
                    2,
                    name=_CURRENCY,
                ),
                Panel(
                    *(Kind.STAT, "Availability", "How much more could be drawn?", "locale"),
                    [_sum_of("availability_minor")],
                    *(6, 2),
                    ((None, RED), (0, GREEN)),
                    name=_CURRENCY,
                ),
                Panel(
                    *(Kind.STAT, "Facilities called", "How many facilities are called or in default?", "none"),
                    [_facilities_at(2)],
                    *(6, 0),
                    ((None, GREEN), (1, RED)),
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.TABLE, "Facilities", "Which facility needs looking at first?", "locale"),
                    [_TABLE],
                    *(24, 2),
                    columns=(
                        Column("facility", links=TO_FACILITY),
                        Column("cover", words=COVERS, thresholds=COVER_STEPS, unit="none", decimals=0),
                        Column("ltv", title="LTV", unit="percentunit", decimals=1, thresholds=LTV_STEPS),
                        Column("call", title="margin call"),
                        Column("unvalued", title="lots without a value", unit="none", decimals=0),
                    ),
                    order=(
                        *("facility", "cover", "currency", "base", "outstanding", "availability", "headroom", "ltv"),
                        *("call", "unvalued"),
                    ),
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.LINES, "Base and outstanding", "Does what is lent on keep up with what is owed?", "locale"),
                    [_sum_over_time("base_minor", "base"), _sum_over_time("outstanding_minor", "outstanding")],
                    decimals=2,
                ),
                Panel(
                    *(Kind.LINES, "Loan to value", "Which facility moves towards its covenants?", "percentunit"),
                    [_LTV],
                    decimals=1,
                    thresholds=LTV_STEPS,
                    minimum=0,
                    name="${__field.labels.facility}",
                ),
            ),
        ),
        Row(
            8,
            (
                Panel(
                    *(Kind.STATES, "Covenants", "When was which facility warned or called?", "none"),
                    [_COVER],
                    thresholds=COVER_STEPS,
                    words=COVERS,
                    name="${__field.labels.facility}",
                ),
                Panel(
                    *(Kind.LINES, "Open alerts", "How much is open, and how bad is it?", "none"),
                    [script(then(over_time("alerts", "open"), kept(("_time", "_value", "severity"))))],
                    decimals=0,
                    minimum=0,
                    name="${__field.labels.severity}",
                ),
            ),
        ),
        Row(
            14,
            (
                Panel(
                    *(Kind.MAP, "Where the goods are", "Where is what is lent on, and is it heard from?", "none"),
                    [MAP],
                    24,
                    thresholds=LEVEL_STEPS,
                    columns=MAP_COLUMNS,
                ),
            ),
        ),
    ),
    annotations=(
        annotated("covenants", RED, "^(margin_called|covenant_breached|cover_restored)$"),
        alerts_annotated(),
    ),
)
