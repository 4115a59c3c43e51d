"""Cold chain: temperatures with their gaps drawn as gaps, and what they mean for the lots."""

from pledgewatch_dashboards.flux import events, kept, over_time, read, scaled, script, standing, tag_values, then
from pledgewatch_dashboards.page import CONDITIONS, LEVEL_STEPS, LEVELS, TO_ASSET, Choice, Page, annotated
from pledgewatch_dashboards.panels import BLUE, GREEN, ORANGE, RED, Column, Kind, Panel, Row

_CHOSEN = "r.asset =~ /^${asset:regex}$/"
_SUBJECT = "r.subject =~ /^${asset:regex}$/"
# A line goes over no more than this: a gap is unknown, and is seen to be.
GAP_S = 3_600


def _lots_in(state: int) -> str:
    return script(
        then(
            standing("condition", "state"),
            f'filter(fn: (r) => r.state == {state}, onEmpty: "keep")',
            'count(column: "state")',
        )
    )


def _measured(field: str, divisor: float, fn: str = "mean") -> str:
    """A channel by asset and device, in its unit."""
    return script(
        then(
            read("reading", field, where=_CHOSEN),
            'group(columns: ["asset", "device", "_field"])',
            f"aggregateWindow(every: v.windowPeriod, fn: {fn}, createEmpty: false)",
            scaled(divisor),
            kept(("_time", "_value", "asset", "device")),
        )
    )


_TABLE = script(
    then(
        standing("condition", "state", "broken", "unknown", "asset", "facility"),
        'sort(columns: ["state", "lot"], desc: true)',
        kept(("lot", "state", "broken", "unknown", "asset", "facility")),
    )
)

PAGE = Page(
    "cold-chain",
    "Cold chain",
    "What is measured of the goods, where nothing was measured, and which lots keep their condition.",
    (
        Row(
            4,
            (
                Panel(
                    *(Kind.STAT, "Lots broken", "How many lots have broken a limit?", "none"),
                    [_lots_in(2)],
                    *(8, 0),
                    ((None, GREEN), (1, RED)),
                ),
                Panel(
                    *(Kind.STAT, "Lots unknown", "Of how many lots is the condition not known?", "none"),
                    [_lots_in(1)],
                    *(8, 0),
                    ((None, GREEN), (1, ORANGE)),
                ),
                Panel(
                    *(Kind.STAT, "Lots kept", "How many lots are known to have kept their limits?", "none"),
                    [_lots_in(0)],
                    *(8, 0),
                ),
            ),
        ),
        Row(
            12,
            (
                Panel(
                    *(Kind.LINES, "Temperature", "How warm was it, and when is that not known?", "celsius"),
                    [_measured("temperature_mc", 1_000)],
                    *(24, 2),
                    gap_s=GAP_S,
                    name="${__field.labels.asset} ${__field.labels.device}",
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.LINES, "Highest within each step", "Does a mean hide a peak?", "celsius"),
                    [_measured("temperature_mc", 1_000, "max")],
                    decimals=2,
                    gap_s=GAP_S,
                    name="${__field.labels.asset} ${__field.labels.device}",
                ),
                Panel(
                    *(Kind.LINES, "Temperature that is doubted", "What was said that is no evidence?", "celsius"),
                    [_measured("temperature_mc_doubted", 1_000)],
                    decimals=2,
                    gap_s=GAP_S,
                    name="${__field.labels.asset} ${__field.labels.device}",
                ),
            ),
        ),
        Row(
            8,
            (
                Panel(
                    *(Kind.LINES, "Humidity", "Was it too damp or too dry?", "humidity"),
                    [_measured("humidity_cpercent", 100)],
                    decimals=1,
                    gap_s=GAP_S,
                    name="${__field.labels.asset} ${__field.labels.device}",
                ),
                Panel(
                    *(Kind.STATES, "Door", "When was which door open?", "none"),
                    [_measured("door_open", 1, "max")],
                    words=((0, "closed", GREEN), (1, "open", ORANGE)),
                    thresholds=((None, GREEN), (1, ORANGE)),
                    name="${__field.labels.asset}",
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.STATES, "Condition of lots", "When was which lot broken or unknown?", "none"),
                    [script(then(over_time("condition", "state"), kept(("_time", "_value", "lot"))))],
                    words=CONDITIONS,
                    thresholds=LEVEL_STEPS,
                    name="${__field.labels.lot}",
                ),
                Panel(
                    *(Kind.TABLE, "Lots", "Which lot, in which asset, for which facility?", "none"),
                    [_TABLE],
                    columns=(
                        Column("asset", links=TO_ASSET),
                        Column("state", words=CONDITIONS, thresholds=LEVEL_STEPS),
                        Column("broken", title="limits broken"),
                        Column("unknown", title="limits unknown"),
                    ),
                    order=("lot", "state", "broken", "unknown", "asset", "facility"),
                ),
            ),
        ),
        Row(
            9,
            (
                Panel(
                    *(Kind.STATES, "Evidence", "When was which asset overdue or silent?", "none"),
                    [script(then(over_time("evidence", "level", where=_CHOSEN), kept(("_time", "_value", "asset"))))],
                    words=LEVELS,
                    thresholds=LEVEL_STEPS,
                    name="${__field.labels.asset}",
                ),
                Panel(
                    *(Kind.TABLE, "Breaches", "What was broken, when, and what was taken back?", "none"),
                    [script(events("^(condition_|mkt_|event_retracted)", _SUBJECT))],
                    order=("Time", "_time", "subject", "type", "facts"),
                ),
            ),
        ),
    ),
    choices=(Choice("asset", "Asset", tag_values("evidence"), has_all=True),),
    annotations=(
        annotated("breaches", RED, "^(condition_breached|mkt_exceeded)$", _SUBJECT),
        annotated("restored", GREEN, "^condition_restored$", _SUBJECT),
        annotated("silence", BLUE, "^source_", _SUBJECT),
    ),
    span="now-2d",
)
