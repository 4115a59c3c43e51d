"""Queries in Flux, made of few pieces. Each names a measurement and fields of series/shape.py, and nothing else.

Two kinds of question: how things stood at the end of the range that is shown, and how they went within it. The first
looks back over RECENT only: gauges come at every tick whether anything happened or not, so what is older is gone.
"""

from collections.abc import Iterable

from pledgewatch_cloud.series.shape import MEASUREMENTS

RECENT = "45m"  # three ticks of gauges
PLACED_WITHIN = "90d"  # a container may be dark for a leg, and still be where it was
_IMPORTS = ("date", "influxdata/influxdb/schema")
_FROM = "from(bucket: v.defaultBucket)"
_RANGE = "|> range(start: v.timeRangeStart, stop: v.timeRangeStop)"


def read(measurement: str, *fields: str, since: str = "", where: str = "") -> str:
    """The fields of a measurement within the range that is shown; with `since`, that long before its end instead.

    `where` is a further condition on a row `r`, over tags. Raises KeyError where nobody writes such a field.
    """
    known = MEASUREMENTS[measurement]
    for field in fields:
        if not known.has(field):
            raise KeyError(f"{measurement} has no field {field}")
    span = f"|> range(start: date.sub(d: {since}, from: v.timeRangeStop), stop: v.timeRangeStop)" if since else _RANGE
    wanted = " or ".join(f'r._field == "{field}"' for field in fields)
    lines = [
        _FROM,
        span,
        f'|> filter(fn: (r) => r._measurement == "{measurement}")',
        f"|> filter(fn: (r) => {wanted})",
        *([f"|> filter(fn: (r) => {where})"] if where else []),
    ]
    return "\n  ".join(lines)


def then(first: str, *steps: str) -> str:
    """A query with further steps."""
    return "\n  |> ".join((first, *steps))


def script(*statements: str) -> str:
    """A query as it is sent: what it imports first."""
    text = "\n\n".join(statements)
    imports = [f'import "{name}"' for name in _IMPORTS if f"{name.split('/')[-1]}." in text]
    return "\n".join([*imports, *([""] if imports else []), text, ""])


def standing(measurement: str, *fields: str, where: str = "") -> str:
    """How each subject of a gauge stood at the end of the range: a row for each, with a column for each field."""
    tag = MEASUREMENTS[measurement].tags[0]
    return then(
        read(measurement, *fields, since=RECENT, where=where),
        "last()",
        f'pivot(rowKey: ["{tag}"], columnKey: ["_field"], valueColumn: "_value")',
        "group()",
    )


def over_time(measurement: str, *fields: str, where: str = "", every: str = "v.windowPeriod", fn: str = "last") -> str:
    """How fields went, a series for each tag and field."""
    return then(
        read(measurement, *fields, where=where),
        f"aggregateWindow(every: {every}, fn: {fn}, createEmpty: false)",
    )


def rows_over_time(measurement: str, *fields: str, where: str = "", every: str = "v.windowPeriod") -> str:
    """The same as rows of a moment, with a column for each field, by subject."""
    tag = MEASUREMENTS[measurement].tags[0]
    return then(
        over_time(measurement, *fields, where=where, every=every),
        f'pivot(rowKey: ["_time", "{tag}"], columnKey: ["_field"], valueColumn: "_value")',
    )


def kept(columns: Iterable[str]) -> str:
    """Only these columns."""
    return "keep(columns: [" + ", ".join(f'"{name}"' for name in columns) + "])"


def mapped(**columns: str) -> str:
    """New rows with these columns, each an expression over a row `r`."""
    return "map(fn: (r) => ({" + ", ".join(f"{name}: {value}" for name, value in columns.items()) + "}))"


def amount(field: str) -> str:
    """An amount of a facility in whole units of its currency."""
    return f"float(v: r.{field}) / float(v: r.scale)"


def share(field: str) -> str:
    """A ratio in basis points as one; there is none where nothing is to be divided by."""
    return f"float(v: r.{field}) / 10000.0"


def scaled(divisor: float) -> str:
    """Values divided, such as thousandths of a degree."""
    return f"map(fn: (r) => ({{r with _value: float(v: r._value) / {divisor:.1f}}}))"


def named(text: str) -> str:
    """Series with a name of their own."""
    return f'set(key: "_field", value: "{text}")'


def events(types: str, subject: str = "") -> str:
    """The events whose type matches a regular expression, newest first."""
    return then(
        read("event", "type", "facts", "retracts", where=subject),
        'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")',
        "group()",
        f"filter(fn: (r) => r.type =~ /{types}/)",
        kept(("_time", "subject", "type", "facts")),
        'sort(columns: ["_time"], desc: true)',
        "limit(n: 200)",
    )


def places() -> str:
    """Where each asset was last, by its newest good fix."""
    return then(
        read("reading", "latitude_e7", "longitude_e7", since=PLACED_WITHIN),
        "last()",
        'group(columns: ["asset", "_field"])',
        'sort(columns: ["_time"])',
        "last()",
        'pivot(rowKey: ["asset"], columnKey: ["_field"], valueColumn: "_value")',
        "group()",
        mapped(
            asset="r.asset",
            latitude="float(v: r.latitude_e7) / 10000000.0",
            longitude="float(v: r.longitude_e7) / 10000000.0",
        ),
    )


def tag_values(measurement: str) -> str:
    """What a variable offers: every subject of a gauge that was told of lately."""
    tag = MEASUREMENTS[measurement].tags[0]
    return script(
        f'schema.tagValues(bucket: v.defaultBucket, tag: "{tag}",'
        f' predicate: (r) => r._measurement == "{measurement}", start: -{PLACED_WITHIN})'
    )
