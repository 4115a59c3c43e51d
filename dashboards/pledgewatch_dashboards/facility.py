"""Facility: the base of one facility, from gross to what may be drawn, and the evidence behind it."""

from pledgewatch_cloud.decide.collateral.result import STEPS
from pledgewatch_dashboards.flux import (
    amount,
    events,
    kept,
    mapped,
    over_time,
    rows_over_time,
    scaled,
    script,
    share,
    standing,
    tag_values,
    then,
)
from pledgewatch_dashboards.page import (
    CONDITIONS,
    COVER_STEPS,
    COVERS,
    LEVEL_STEPS,
    LEVELS,
    TO_ASSET,
    Choice,
    Page,
    annotated,
)
from pledgewatch_dashboards.panels import CONSOLE, GREEN, ORANGE, RED, Column, Kind, Panel, Row
from pledgewatch_dashboards.portfolio import LTV_STEPS

_MINE = 'r.facility == "${facility}"'
_OF_MINE = "filter(fn: (r) => r.facility =~ /(^|,)${facility:regex}(,|$)/)"  # goods of several may be in one asset
_LINK = (("Facility in the console", f"{CONSOLE}/#/facilities/${{facility:percentencode}}"),)


def _figure(field: str) -> str:
    return script(
        then(
            standing("cover", field, "currency", "scale", where=_MINE),
            mapped(currency="r.currency", _value=amount(field)),
            'group(columns: ["currency"])',
        )
    )


def _whole(field: str) -> str:
    return script(then(standing("cover", field, where=_MINE), mapped(_value=f"r.{field}")))


def _stat(title: str, question: str, field: str, lowest: float | None = None) -> Panel:
    steps = ((None, GREEN),) if lowest is None else ((None, RED), (lowest, GREEN))
    return Panel(
        Kind.STAT,
        title,
        question,
        "locale",
        [_figure(field)],
        4,
        2,
        steps,
        links=_LINK,
        name="${__field.labels.currency}",
    )


_WATERFALL = (
    ("gross", "gross_minor"),
    *((name, f"ineligible_{name}") for name in STEPS),
    *(("eligible", "eligible_minor"), ("base", "base_minor"), ("limit", "limit_minor")),
    *(("outstanding", "outstanding_minor"), ("availability", "availability_minor")),
)
_BARS = script(
    then(
        standing("cover", *(field for _, field in _WATERFALL), "scale", where=_MINE),
        mapped(**{name: amount(field) for name, field in _WATERFALL}),
    )
)
_OVER_TIME = ("gross_minor", "eligible_minor", "base_minor", "outstanding_minor")
_AMOUNTS = script(
    then(
        rows_over_time("cover", *_OVER_TIME, "scale", where=_MINE),
        "group()",
        mapped(_time="r._time", **{field.removesuffix("_minor"): amount(field) for field in _OVER_TIME}),
    )
)
_WHY = script(
    """from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "facility")
  |> filter(fn: (r) => r._field =~ /^change_/)
  |> filter(fn: (r) => """
    + _MINE
    + """)
  |> aggregateWindow(every: v.windowPeriod, fn: sum, createEmpty: false)
  |> keep(columns: ["_time", "_value", "_field"])"""
)
_EVIDENCE = script(
    then(
        standing("evidence", "age_ms", "overdue_ms", "level", "facility"),
        _OF_MINE,
        mapped(asset="r.asset", level="r.level", age="r.age_ms", overdue="r.overdue_ms"),
        'sort(columns: ["level", "age"], desc: true)',
    )
)
_LOTS = script(
    then(
        standing("condition", "state", "broken", "unknown", "asset", "facility"),
        _OF_MINE,
        mapped(lot="r.lot", state="r.state", broken="r.broken", unknown="r.unknown", asset="r.asset"),
        'sort(columns: ["state", "lot"], desc: true)',
    )
)

PAGE = Page(
    "facility",
    "Facility",
    "One facility: its base step by step, its covenants, and the evidence that it rests on.",
    (
        Row(
            4,
            (
                _stat("Base", "How much may be lent on what is there?", "base_minor"),
                _stat("Outstanding", "How much is owed?", "outstanding_minor"),
                _stat("Availability", "How much more may be drawn?", "availability_minor", 0),
                _stat("Headroom", "How far is it to the next covenant?", "headroom_minor", 0),
                Panel(
                    *(Kind.STAT, "Loan to value", "How much is owed for what is there?", "percentunit"),
                    [script(then(standing("cover", "ltv_bp", where=_MINE), mapped(_value=share("ltv_bp"))))],
                    *(4, 1),
                    LTV_STEPS,
                ),
                Panel(
                    *(Kind.STAT, "Covenants", "Is it warned, called or in default?", "none"),
                    [_whole("cover")],
                    *(4, 0),
                    COVER_STEPS,
                    COVERS,
                ),
            ),
        ),
        Row(
            14,
            (
                Panel(
                    *(Kind.BARS, "From gross to availability", "What takes how much out of the base?", "locale"),
                    [_BARS],
                    decimals=2,
                    order=tuple(name for name, _ in _WATERFALL),
                ),
                Panel(
                    *(Kind.LINES, "Amounts", "How did value, base and debt go?", "locale"),
                    [_AMOUNTS],
                    decimals=2,
                    minimum=0,
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.LINES, "Loan to value over time", "How near did it come to its covenants?", "percentunit"),
                    [
                        script(
                            then(
                                over_time("cover", "ltv_bp", where=_MINE),
                                "filter(fn: (r) => r._value >= 0)",
                                scaled(10_000),
                                kept(("_time", "_value", "facility")),
                            )
                        )
                    ],
                    decimals=1,
                    thresholds=LTV_STEPS,
                    minimum=0,
                    name="${__field.labels.facility}",
                ),
                Panel(
                    *(
                        Kind.LINES,
                        "Why the base changed",
                        "Which reason moved the base, and by how much?",
                        "suffix: minor units",
                    ),
                    [_WHY],
                ),
            ),
        ),
        Row(
            10,
            (
                Panel(
                    *(Kind.TABLE, "Age of evidence", "What of this facility's goods is not heard from?", "ms"),
                    [_EVIDENCE],
                    columns=(
                        Column("asset", links=TO_ASSET),
                        Column("level", unit="none", words=LEVELS, thresholds=LEVEL_STEPS),
                    ),
                    order=("asset", "level", "age", "overdue"),
                ),
                Panel(
                    *(Kind.TABLE, "Lots", "Whose condition is broken, or not known?", "none"),
                    [_LOTS],
                    columns=(
                        Column("asset", links=TO_ASSET),
                        Column("state", words=CONDITIONS, thresholds=LEVEL_STEPS),
                        Column("broken", title="limits broken"),
                        Column("unknown", title="limits unknown"),
                    ),
                    order=("lot", "state", "broken", "unknown", "asset"),
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(
                        Kind.TABLE,
                        "Milestones and covenants",
                        "What was released, held or called, and on what facts?",
                        "none",
                    ),
                    [script(events("^(milestone_|margin_|covenant_|cover_)", 'r.subject == "${facility}"'))],
                    24,
                    order=("Time", "_time", "type", "facts", "subject"),
                ),
            ),
        ),
    ),
    choices=(Choice("facility", "Facility", tag_values("cover")),),
    annotations=(
        annotated("covenants", RED, "^(margin_called|covenant_breached|cover_restored)$", 'r.subject == "${facility}"'),
        annotated("milestones", ORANGE, "^milestone_", 'r.subject == "${facility}"'),
    ),
)
