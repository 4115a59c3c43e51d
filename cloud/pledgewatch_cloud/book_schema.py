"""The book's JSON Schema (draft 2020-12), so that editors help and other programs can check a book before they send it.

What a schema cannot say (references that lead nowhere, outlines that cross themselves, legs that overlap) only an
amendment finds. `docs/book.schema.json` is this schema; a test holds the two together.
"""

from typing import Any

from pledgewatch_cloud.decide.access import users
from pledgewatch_cloud.decide.collateral.loss import UNKNOWN, USED_MAX_BP
from pledgewatch_cloud.decide.collateral.policies import (
    MAX_DAYS,
    MAX_HORIZON_DAYS,
    MAX_LEVEL_BP,
    MAX_Z_MILLI,
    PRESETS,
    WINDOW_MIN_QUOTES,
)
from pledgewatch_cloud.decide.collateral.products import CURVE_KINDS, MAX_LIFE_H, MAX_MINUTES, MAX_Q10_MILLI
from pledgewatch_cloud.decide.collateral.terms import BREACH, CLASSES, DARK, DIMENSIONS, EVIDENCE_BY, RESERVE_KINDS
from pledgewatch_cloud.decide.condition import SEVERITIES
from pledgewatch_cloud.decide.fence_feature import GRADES, KINDS, MOST_METRES
from pledgewatch_cloud.decide.grade import GRADE_NAMES
from pledgewatch_cloud.decide.identifiers import LOCODE
from pledgewatch_cloud.decide.item import CHANNELS, MAX_WAIT_S
from pledgewatch_cloud.decide.items.alert_rules import CAUSES, GROUPINGS
from pledgewatch_cloud.decide.items.assets import ASSET_KINDS, TAKEN_NAMES
from pledgewatch_cloud.decide.items.facilities import (
    DAY_COUNTS,
    MAX_MOVEMENTS,
    MAX_RATE_BP,
    MAX_RETENTION_DAYS,
    MOVEMENT_KINDS,
)
from pledgewatch_cloud.decide.items.lots import MAX_QUANTITY, MAX_SOLD_MILLI
from pledgewatch_cloud.decide.items.papers import PAPER_KINDS, RECEIPT_STATES
from pledgewatch_cloud.decide.items.parties import ACCOUNT, BIC, IBAN, KEYS_MAX
from pledgewatch_cloud.decide.kinetic import WINDOW_MAX_H
from pledgewatch_cloud.decide.market import QUOTES_KEPT
from pledgewatch_cloud.decide.milestones.clauses import (
    FACT_PARAMETERS,
    LONGEST_S,
    MOST_DAYS,
    MOST_FACTS,
    MOST_LTV_BP,
    Parameters,
)
from pledgewatch_cloud.decide.milestones.terms import SHARES_OF
from pledgewatch_cloud.decide.moments import ID
from pledgewatch_cloud.decide.money import AMOUNT_MAX_MINOR, BASIS_POINTS
from pledgewatch_cloud.decide.stock import csv_form
from pledgewatch_cloud.decide.stock.rows import AT_FAULT, BARE_DATES, INVENTORY_ADVICE, MEANS, WORD_MAX
from pledgewatch_cloud.decide.stock.rows import KINDS as STOCK_KINDS
from pledgewatch_cloud.decide.stock.stock_terms import (
    MAX_NAMES,
    MAX_PATTERN,
    MAX_RULES,
    OFFSET_MAX_MINUTES,
    QUALIFIER,
)
from pledgewatch_cloud.decide.stock.texts import ENCODINGS
from pledgewatch_cloud.decide.trade.vocabulary import FACT_KINDS, REFERENCE_TYPES
from pledgewatch_cloud.decide.voyage import LEG_KINDS, SIGNALS
from pledgewatch_cloud.decide.warehouse.terms import (
    DAYS,
    MAX_BINS,
    MAX_OFFSETS,
    MAX_PIECES,
    MAX_WEIGHT_G,
    MAX_ZONES,
    TIME_OF_DAY,
)

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
COUNTRY: Schema = {"type": "string", "pattern": "^[A-Z]{2}$", "description": "ISO 3166-1, two letters"}
CURRENCY: Schema = {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217"}
MOMENT: Schema = {"type": "string", "format": "date-time", "description": "ISO 8601 with its offset"}
CHANNEL = one_of(CHANNELS, "a channel of the wire; its name ends in its unit")
SEVERITY = one_of(SEVERITIES, "how bad it is")
PERIODS = listed(item("from until", **{"from": MOMENT, "until": MOMENT}))
IDS = listed(IDENTITY)


def wait(about: str) -> Schema:
    """Seconds to wait."""
    return whole(0, MAX_WAIT_S, f"seconds; {about}")


def share(about: str) -> Schema:
    """A share of a whole."""
    return whole(0, BASIS_POINTS, f"basis points; {about}")


def amount(about: str, least: int = 0) -> Schema:
    """Money."""
    return whole(least, AMOUNT_MAX_MINOR, f"minor units; {about}")


def days(about: str) -> Schema:
    """Days of age or supply."""
    return whole(0, MAX_DAYS, f"days; {about}")


def flag(about: str) -> Schema:
    """Whether something is asked for."""
    return {"enum": [0, 1], "description": about}


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
RECEIPT = item(
    "id", id=IDENTITY, state=one_of(RECEIPT_STATES, "how it stands; none: the receipt book says so"), until=MOMENT
)
PAPER = item("kind id", kind=one_of(PAPER_KINDS, "what it is"), id=IDENTITY, until=MOMENT)
PARTY_KEY = item(
    "kid x",
    kid=IDENTITY | {"description": "the key's name, as signed texts have it"},
    x={"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$", "description": "the x of its JWK: Ed25519, RFC 8037"},
)
MOVEMENT = item(
    "id kind at amount_minor",
    id=IDENTITY,
    kind=one_of(MOVEMENT_KINDS, "up or down"),
    at=MOMENT,
    amount_minor=amount("what is moved", 1),
)
INTEREST = item(
    "rate_bp day_count since",
    rate_bp=whole(0, MAX_RATE_BP, "basis points a year"),
    day_count=one_of(DAY_COUNTS, "how days are counted, ISDA 2006, 4.16 (e), (d), (f)"),
    since=MOMENT,
)
BANDS = listed(item("from_days bp", from_days=days("reached"), bp=share("the haircut from then on")))
SWING = item(
    "",
    bp=share("a fixed haircut; this or a window"),
    window=whole(WINDOW_MIN_QUOTES, QUOTES_KEPT, "so many quotes make the haircut"),
    horizon_days=whole(1, MAX_HORIZON_DAYS, "days that it must last"),
    z_milli=whole(1, MAX_Z_MILLI, "thousandths; so many standard deviations"),
)
POLICY = item(
    "id",
    id=IDENTITY,
    preset=one_of(PRESETS, "fills what is not said"),
    advance_bp=item("", **{name: share("lent on this class; absent: nothing") for name in CLASSES}),
    evidence=item(
        "",
        by=one_of(EVIDENCE_BY, "what counts as evidence"),
        fresh_s=wait("fresh up to this age"),
        stale_s=wait("ageing up to this age, then stale; 0: not asked"),
        ageing_bp=share("the haircut while it is ageing"),
        dark=one_of(DARK, "what it counts as while no signal is expected"),
    ),
    price_stale_days=days("a quote may be so old, 0: not asked"),
    rate_stale_days=days("an exchange rate may be so old, 0: not asked"),
    appraisal=flag("1: an appraisal must be in force"),
    receipt=flag("1: a valid warehouse receipt is needed"),
    count=flag("1: the stock system must have counted"),
    count_stale_s=wait("a count may be so old, 0: not asked"),
    fences=IDS,
    countries=listed(COUNTRY),
    breach=one_of(BREACH, "what a breach of the condition does"),
    papers=listed(one_of(PAPER_KINDS, "a kind that must be there")),
    age_max_days=days("since received, 0: not asked"),
    expiry_min_days=days("left before it expires, 0: not asked"),
    age_bands=BANDS,
    on_hand_max_days=days("of sales; what is beyond is ineligible, 0: not asked"),
    on_hand_bands=BANDS,
    fx=SWING,
    price=SWING,
    cap_bp=item("", **{name: share("of the whole for what shares it; absent: no cap") for name in DIMENSIONS}),
    reserves=listed(
        item(
            "id kind",
            id=IDENTITY,
            kind=one_of(RESERVE_KINDS, "what for"),
            amount_minor=amount("held back"),
            bp=share("of the eligible, held back"),
        )
    ),
    sub_limits=listed(
        item(
            "id classes limit_minor",
            id=IDENTITY,
            within=IDENTITY,
            classes={**listed(one_of(CLASSES, "a class in it")), "minItems": 1},
            limit_minor=amount("lent on these at most"),
        )
    ),
    covenants=item(
        "",
        warning_bp=whole(0, MAX_LEVEL_BP, "loan to value that warns, 0: not asked"),
        call_bp=whole(0, MAX_LEVEL_BP, "loan to value that makes a margin call, 0: not asked"),
        default_bp=whole(0, MAX_LEVEL_BP, "loan to value that is a default, 0: not asked"),
        clear_bp=whole(0, MAX_LEVEL_BP, "a level is left only so far below it"),
        cure_s=wait("a margin call may stay unanswered"),
        minimum=listed(item("sku quantity", sku=IDENTITY, quantity=whole(1, MAX_QUANTITY, "that must be eligible"))),
    ),
)
CURVE: Schema = {
    "oneOf": [
        item(
            "kind points",
            kind={"const": CURVE_KINDS[0]},
            limit=IDENTITY,
            unknown=one_of(UNKNOWN, "what unknown minutes count as"),
            points={
                **listed(item("minutes bp", minutes=whole(1, MAX_MINUTES, "outside"), bp=share("lost"))),
                "minItems": 1,
            },
        ),
        item(
            "kind life_h reference_mc points",
            kind={"const": CURVE_KINDS[1]},
            life_h=whole(1, MAX_LIFE_H, "hours of shelf life at the reference"),
            reference_mc=whole(-100_000, 200_000, "thousandths of a degree Celsius"),
            q10_milli=whole(1_000, MAX_Q10_MILLI, "thousandths; so much faster for ten degrees"),
            activation_j_mol=whole(1_000, 1_000_000, "activation energy in joules per mole"),
            points={
                **listed(
                    item("consumed_bp bp", consumed_bp=whole(1, USED_MAX_BP, "basis points of life"), bp=share("lost"))
                ),
                "minItems": 1,
            },
        ),
    ]
}
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
WORD: Schema = {"type": "string", "minLength": 1, "maxLength": WORD_MAX}


def named(values: Schema, about: str) -> Schema:
    """An object from what a stock system writes to what that is called here."""
    return {"type": "object", "additionalProperties": values, "maxProperties": MAX_NAMES, "description": about}


STOCK_TABLE = item(
    "columns",
    columns={
        "type": "object",
        "additionalProperties": False,
        "properties": dict.fromkeys(csv_form.FIELDS, WORD),
        "description": "the column of each field",
    },
    fixed={
        "type": "object",
        "additionalProperties": False,
        "properties": dict.fromkeys(csv_form.FIELDS, WORD),
        "description": "what a field holds in every row",
    },
    kinds=named(one_of(STOCK_KINDS, "the kind"), "what the source calls a kind"),
    rules={
        **listed(
            item(
                "when kind",
                when={
                    "type": "object",
                    "additionalProperties": {"type": "string", "maxLength": MAX_PATTERN},
                    "description": "a regular expression for all of the cell, by column; none fits every row",
                },
                kind=one_of((*STOCK_KINDS, csv_form.LEFT_OUT), "what rows are that fit"),
                turned=flag("1: the sign of the quantity is turned"),
                signed=flag("1: a quantity without a sign is written with a plus"),
                reason=WORD,
            )
        ),
        "maxItems": MAX_RULES,
    },
    delimiter=one_of(csv_form.DELIMITERS, "between cells"),
    decimal=one_of((".", ","), "the decimal sign"),
    repeats=one_of(csv_form.REPEATS, "what rows mean that are equal and have no id"),
    trailer=WORD,
    complete=flag("1: counts leave nothing of the owner's out"),
)
ZONE = item(
    "asset bins",
    asset=IDENTITY,
    bins={"type": "array", "items": WORD, "minItems": 1, "maxItems": MAX_BINS},
    weight_tolerance_g=whole(0, MAX_WEIGHT_G, "grams that its scales may be off by in all"),
    pieces_tolerance=whole(0, MAX_PIECES, "pieces or tags that its counters may be off by in all"),
)
OFFSET = whole(-OFFSET_MAX_MINUTES, OFFSET_MAX_MINUTES, "minutes that its clocks are ahead of UTC")
TIME: Schema = {"type": "string", "pattern": f"^(?:{TIME_OF_DAY.pattern})$", "description": "by its own clocks"}
HOURS = item(
    "utc_offset_minutes open",
    utc_offset_minutes=OFFSET,
    open=listed(
        item(
            "days from until",
            days={"type": "array", "items": one_of(DAYS, "a day of the week"), "minItems": 1},
            **{"from": TIME, "until": TIME},
        )
    ),
    changes=listed(item("from utc_offset_minutes", utc_offset_minutes=OFFSET, **{"from": MOMENT}))
    | {"maxItems": MAX_OFFSETS},
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
            device=NAME | {"not": {"enum": list(TAKEN_NAMES)}},
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
            quantity=whole(0, MAX_QUANTITY, "units"),
            haircut_bp=share("off market value"),
            limits=listed(LIMIT),
            mkt=MKT,
            cost_minor=amount("what cost_per units cost"),
            cost_per=whole(1, MAX_QUANTITY, "units"),
            cost_currency=CURRENCY,
            counted=whole(0, MAX_QUANTITY, "units that the stock system counted"),
            counted_at=MOMENT,
            receipt=RECEIPT,
            papers=listed(PAPER),
            received_at=MOMENT,
            stays=listed(item("asset until", asset=IDENTITY, until=MOMENT)),
            expires_at=MOMENT,
            sold_milli_per_day=whole(0, MAX_SOLD_MILLI, "thousandths of a unit"),
            buyer=IDENTITY,
            country=COUNTRY,
            vessel=IDENTITY,
            warehouse=IDENTITY,
            corridor=IDENTITY,
        )
    ),
    "prices": listed(
        item(
            "sku unit_price_minor currency",
            sku=IDENTITY,
            unit_price_minor=whole(0, AMOUNT_MAX_MINOR, "minor units"),
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
            outstanding_minor=amount("drawn before the movements"),
            policy=IDENTITY,
            limit_minor=amount("the most that may be drawn, 0: no limit"),
            movements={**listed(MOVEMENT), "maxItems": MAX_MOVEMENTS},
            interest=INTEREST,
            payees=IDS,
            retention_days=whole(
                0, MAX_RETENTION_DAYS, "how long what its lender saw of a lot stays seen after release"
            ),
        )
    ),
    "milestones": listed(
        item(
            "id facility payee when release",
            id=IDENTITY,
            facility=IDENTITY,
            payee=IDENTITY,
            when={"$ref": "#/$defs/clause"},
            release={
                "oneOf": [
                    item("amount_minor", amount_minor=whole(1, AMOUNT_MAX_MINOR, "minor units")),
                    item(
                        "share_bp of",
                        share_bp=whole(1, BASIS_POINTS, "basis points, rounded down"),
                        of=one_of(SHARES_OF, "the value of the milestone's lots, or the facility's limit"),
                    ),
                ]
            },
            shipment=IDENTITY,
            lot=IDENTITY,
            after=IDS,
            expires_at=MOMENT,
        )
    ),
    "parties": listed(
        item(
            "id name",
            id=IDENTITY,
            name={"type": "string", "minLength": 1, "maxLength": 140},
            lei={"type": "string", "pattern": "^[A-Z0-9]{18}[0-9]{2}$", "description": "ISO 17442"},
            iban={"type": "string", "pattern": f"^{IBAN.pattern}$", "description": "ISO 13616"},
            account={"type": "string", "pattern": f"^{ACCOUNT.pattern}$", "description": "where there is no IBAN"},
            bic={"type": "string", "pattern": f"^{BIC.pattern}$", "description": "ISO 9362"},
            country=COUNTRY,
            keys=listed(PARTY_KEY) | {"maxItems": KEYS_MAX, "description": "what it signs with; no two of one name"},
        )
    ),
    "senders": listed(
        item(
            "id",
            id=NAME,
            kinds={"type": "array", "items": one_of(FACT_KINDS, "what it may say; none: all")},
            grade=one_of(GRADE_NAMES, "the best that its notices can be as evidence"),
            facilities=IDS | {"description": "whose milestones its notices count for; none: all"},
        )
    ),
    "shipments": listed(
        item(
            "id facility lots",
            id=IDENTITY,
            facility=IDENTITY,
            lots=IDS | {"minItems": 1},
            about={
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    kind: {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 256}}
                    for kind in REFERENCE_TYPES
                },
            },
        )
    ),
    "stock_sources": listed(
        item(
            "id warehouse means units",
            id=NAME,
            warehouse=IDENTITY,
            means=one_of(MEANS, "what its documents do"),
            units=named(IDENTITY, "what the book calls each unit that it writes") | {"minProperties": 1},
            owner=IDENTITY,
            owners=named(IDENTITY, "what the book calls each owner that it writes"),
            sku_units=named(IDENTITY, "the one unit that a SKU is counted in"),
            bin=WORD,
            needs_lot=flag("1: every row names its lot"),
            at_fault=one_of(AT_FAULT, "what becomes of a document with faults"),
            utc_offset_minutes=whole(-OFFSET_MAX_MINUTES, OFFSET_MAX_MINUTES, "of times without an offset"),
            bare_dates=one_of(BARE_DATES, "what a date without a time means"),
            encoding=one_of(ENCODINGS, "of documents without a byte order mark"),
            sku_qualifiers={
                "type": "array",
                "items": {"type": "string", "pattern": f"^{QUALIFIER.pattern}$"},
                "minItems": 1,
                "uniqueItems": True,
                "description": "by which SKUs are found in X12, the preferred first",
            },
            inventory_advice=one_of(INVENTORY_ADVICE, "whether an 846 of X12 lists all of an owner's stock"),
            csv=STOCK_TABLE,
        )
    ),
    "users": listed(
        item(
            "id name party role",
            id=IDENTITY,
            name={"type": "string", "minLength": 1, "maxLength": 140},
            party=IDENTITY | {"description": "for whom they ask"},
            role=one_of(users.Role, "what they are to the goods; see docs/ACCESS.md"),
            subjects=listed(
                item(
                    "issuer subject",
                    issuer={"type": "string", "pattern": "^https?://", "maxLength": 510},
                    subject={"type": "string", "minLength": 1, "maxLength": 255},
                )
            )
            | {"maxItems": users.SUBJECTS_MAX, "description": "how identity providers call them"},
            keys=listed(
                item(
                    "kid sha256",
                    kid=IDENTITY,
                    sha256={"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "of the key"},
                    until=MOMENT,
                    scope=one_of(users.SCOPES, "whether it is for writing too"),
                )
            )
            | {"maxItems": users.KEYS_MAX},
            facilities=IDS | {"description": "what an insurer or an auditor may see"},
            until=MOMENT | {"description": "nobody is let in as this user from then on"},
        )
    ),
    "warehouses": listed(
        item(
            "id",
            id=IDENTITY,
            zones=listed(ZONE) | {"maxItems": MAX_ZONES},
            gates=IDS | {"description": "assets whose devices read the tags that pass"},
            fences=IDS | {"description": "goods kept here are in one of these"},
            unit_weights_g={
                "type": "object",
                "additionalProperties": whole(1, MAX_WEIGHT_G, "grams that one unit of the SKU weighs"),
            },
            grace_s=wait("how long what is measured and what the stock system says may differ"),
            inspectors=IDS | {"description": "parties that may count here; none: nobody"},
            hours=HOURS,
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
    "policies": listed(POLICY),
    "products": listed(item("sku", sku=IDENTITY, series=IDENTITY, loss=listed(CURVE))),
    "appraisals": listed(
        item("sku nolv_bp until", sku=IDENTITY, nolv_bp=share("net orderly liquidation value"), until=MOMENT)
    ),
}


def _clause() -> Schema:
    """A clause: one of its forms, or a fact with what its kind takes."""
    other: Schema = {"$ref": "#/$defs/clause"}
    some: Schema = {**listed(other), "minItems": 1, "maxItems": MOST_FACTS}
    told: dict[str, Schema] = {
        **dict.fromkeys(("fence", "lot", "milestone", "limit"), IDENTITY),
        "place": {"type": "string", "pattern": f"^{LOCODE.pattern}$", "description": "UN/LOCODE"},
        "sender": NAME,
        "grade": one_of(GRADE_NAMES, "the least that its evidence must be worth, by default good"),
        "dwell_s": whole(0, LONGEST_S, "seconds that it must have stayed"),
        "max_age_s": whole(1, LONGEST_S, "seconds for which it stands; left out: for ever"),
        "at": MOMENT,
        "ltv_bp": whole(1, MOST_LTV_BP, "basis points"),
    }
    kinds: dict[Parameters, list[str]] = {}
    for kind, parameters in FACT_PARAMETERS.items():
        kinds.setdefault(parameters, []).append(kind)
    facts = [
        item(
            " ".join(("fact", *parameters.needed)),
            fact={"enum": names},
            **{name: told[name] for name in (*parameters.needed, *parameters.taken)},
        )
        for parameters, names in kinds.items()
    ]
    days = whole(1, MOST_DAYS, "days after the other has come to hold")
    forms = [
        item("all", all=some),
        item("any", any=some),
        item("at_least of", at_least=whole(1, MOST_FACTS, "how many of them"), of=some),
        item("not", **{"not": other}),
        item("by that", by=MOMENT, that=other),
        item("within_days after that", within_days=days, after=other, that=other),
        item("upon that", upon=other, that=other),
    ]
    return {"oneOf": [*forms, *facts]}


def schema() -> Schema:
    """The schema of an amendment."""
    whole_book = item("", **SECTIONS, remove=item("", **dict.fromkeys(SECTIONS, IDS)))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pledgewatch book",
        "description": "An amendment of the book: items are upserted by id, remove names items to take out.",
        "$defs": {"clause": _clause()},
        **whole_book,
    }
