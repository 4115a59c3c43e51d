"""The book's JSON Schema (draft 2020-12), so that editors help and other programs can check a book before they send it.

What a schema cannot say (references that lead nowhere, outlines that cross themselves, legs that overlap) only an
amendment finds. `docs/book.schema.json` is this schema; a test holds the two together.
"""

from typing import Any

from pledgewatch_cloud.decide.book_items import (
    ASSET_KINDS,
    CAUSES,
    CHANNELS,
    GROUPINGS,
    MAX_AMOUNT_MINOR,
    MAX_WAIT_S,
)
from pledgewatch_cloud.decide.condition import SEVERITIES
from pledgewatch_cloud.decide.fence_feature import GRADES, KINDS, MOST_METRES
from pledgewatch_cloud.decide.grade import GRADE_NAMES
from pledgewatch_cloud.decide.kinetic import WINDOW_MAX_H
from pledgewatch_cloud.decide.moments import ID
from pledgewatch_cloud.decide.voyage import LEG_KINDS, SIGNALS

Schema = dict[str, Any]


def whole(least: int, most: int, about: str) -> Schema:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": least, "maximum": most, "description": about}


def one_of(words: object, about: str) -> Schema:
    """One of some words."""
    return {"enum": list(words), "description": about}  # type: ignore[call-overload]


def item(required: str, **properties: Schema) -> Schema:
    """An object in which nothing but these may stand."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def listed(items: Schema) -> Schema:
    """A list of such items."""
    return {"type": "array", "items": items}


IDENTITY: Schema = {"type": "string", "pattern": f"^{ID.pattern}$"}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"}
CURRENCY: Schema = {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217"}
MOMENT: Schema = {"type": "string", "format": "date-time", "description": "ISO 8601 with its offset"}
CHANNEL = one_of(CHANNELS, "a channel of the wire; its name ends in its unit")
SEVERITY = one_of(SEVERITIES, "how bad it is")
PERIODS = listed(item("from until", **{"from": MOMENT, "until": MOMENT}))
IDS = listed(IDENTITY)


def wait(about: str) -> Schema:
    """Seconds to wait."""
    return whole(0, MAX_WAIT_S, f"seconds; {about}")


PATIENCE = {
    "overdue_after_s": wait("overdue after so long without a word while signal is expected, 0: not judged"),
    "silent_after_s": wait("silent after so long, 0: not judged"),
}
LIMIT = item(
    "channel low high",
    id=IDENTITY,
    channel=CHANNEL,
    low=whole(-(10**9), 10**9, "in the channel's unit"),
    high=whole(-(10**9), 10**9, "in the channel's unit"),
    severity=SEVERITY,
    grace_s=wait("how long one spell outside is borne"),
    cumulative_s=wait("how long all spells together are borne, 0: not judged"),
    budget=whole(0, 10**12, "stability budget: units times minutes outside, 0: not judged"),
    max_gap_s=wait("a longer gap is unknown, 0: not judged; a day where it is absent"),
    stuck_after_s=wait("a value that does not move for longer is doubted, 0: not judged"),
    legs=IDS,
    ignore=PERIODS,
)
MKT = item(
    "channel high_mc worst_low_mc worst_high_mc",
    channel=CHANNEL,
    high_mc=whole(-100_000, 200_000, "thousandths of a degree Celsius"),
    worst_low_mc=whole(-100_000, 200_000, "what unknown time is counted as, at best"),
    worst_high_mc=whole(-100_000, 200_000, "what unknown time is counted as, at worst"),
    activation_j_mol=whole(1_000, 1_000_000, "activation energy in joules per mole"),
    window_h=whole(0, WINDOW_MAX_H, "hours; 0: the voyage"),
    max_gap_s=whole(1, MAX_WAIT_S, "seconds; a longer gap is unknown"),
)
LEG = item(
    "id kind from until",
    id=IDENTITY,
    kind=one_of(LEG_KINDS, "how it travels"),
    signal=one_of(SIGNALS, "whether it can be heard"),
    **{"from": MOMENT, "until": MOMENT},
)
FEATURE = item(
    "type id geometry",
    type={"const": "Feature"},
    id=IDENTITY,
    bbox={"type": "array"},
    geometry={"type": "object", "required": ["type", "coordinates"]},
    properties=item(
        "",
        name={"type": "string", "minLength": 1, "maxLength": 200},
        kind=one_of(KINDS, "what it is"),
        radius_m=whole(1, MOST_METRES, "metres, of a Point"),
        half_width_m=whole(1, MOST_METRES, "metres, of a line"),
        margin_m=whole(0, MOST_METRES, "metres; left only farther outside"),
        enter_margin_m=whole(0, MOST_METRES, "metres; entered only deeper inside"),
        dwell_s=wait("entered only once every fix has shown it for so long"),
        leave_after_s=wait("left only once every fix has shown it for so long"),
        accuracy_aware={"enum": [0, 1, False, True]},
        grade=one_of(GRADES, "the least that a fix must be worth"),
        active=PERIODS,
        legs=IDS,
    ),
)
SECTIONS: dict[str, Schema] = {
    # A collection may say more of itself than its features (RFC 7946, 6.1).
    "fences": item("type features", type={"const": "FeatureCollection"}, features=listed(FEATURE))
    | {"additionalProperties": True},
    "assets": listed(
        item(
            "id kind",
            id=IDENTITY,
            kind=one_of(ASSET_KINDS, "what it is"),
            max_speed_mmps=whole(0, 1_000_000, "millimetres a second; 0: not judged"),
        )
    ),
    "installations": listed(
        item(
            "device operator asset public_key",
            device=NAME,
            operator=NAME,
            asset=IDENTITY,
            public_key={"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Ed25519"},
            retired={"enum": [0, 1]},
            gateway=IDENTITY,
            fitted_at=MOMENT,
            calibrated_until=MOMENT,
            ahead_s=wait("a reading dated further ahead waits for its time"),
            sensors=listed(item("channel", channel=CHANNEL, **PATIENCE)),
            **PATIENCE,
        )
    ),
    "lots": listed(
        item(
            "id asset facility sku quantity",
            id=IDENTITY,
            asset=IDENTITY,
            facility=IDENTITY,
            sku=IDENTITY,
            quantity=whole(0, 10**9, "units"),
            haircut_bp=whole(0, 10_000, "basis points off market value"),
            limits=listed(LIMIT),
            mkt=MKT,
        )
    ),
    "prices": listed(
        item(
            "sku unit_price_minor currency",
            sku=IDENTITY,
            unit_price_minor=whole(0, MAX_AMOUNT_MINOR, "minor units"),
            currency=CURRENCY,
        )
    ),
    "facilities": listed(
        item(
            "id lender borrower currency",
            id=IDENTITY,
            lender=IDENTITY,
            borrower=IDENTITY,
            currency=CURRENCY,
            outstanding_minor=whole(0, MAX_AMOUNT_MINOR, "minor units drawn"),
        )
    ),
    "milestones": listed(
        item(
            "id facility lot destination amount_minor payee",
            id=IDENTITY,
            facility=IDENTITY,
            lot=IDENTITY,
            destination=IDENTITY,
            amount_minor=whole(1, MAX_AMOUNT_MINOR, "minor units"),
            payee=IDENTITY,
            grade=one_of(GRADE_NAMES, "the least that the fix which shows the arrival must be worth"),
        )
    ),
    "voyages": listed(item("id asset", id=IDENTITY, asset=IDENTITY, legs=listed(LEG))),
    "alert_rules": listed(
        item(
            "id on",
            id=IDENTITY,
            on=one_of(CAUSES, "what makes the alert"),
            severity=SEVERITY,
            fences=IDS,
            group_by=one_of(GROUPINGS, "causes that share it share one alert"),
            persist_s=wait("raised only once the cause has lasted so long"),
            cool_down_s=wait("not raised again sooner than this"),
            repeat_s=wait("told again while nobody takes it on, 0: not"),
            escalate_after_s=wait("escalated where nobody has taken it on by then, 0: not"),
        )
    ),
}


def schema() -> Schema:
    """The schema of an amendment."""
    whole_book = item("", **SECTIONS, remove=item("", **dict.fromkeys(SECTIONS, IDS)))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pledgewatch book",
        "description": "An amendment of the book: items are upserted by id, remove names items to take out.",
        **whole_book,
    }
