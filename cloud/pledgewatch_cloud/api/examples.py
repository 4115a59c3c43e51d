"""Examples of what is written, as /openapi.json shows them, each taken as it stands; and of answers that are made
of many parts, each with the fields of a real one (tests/test_openapi.py)."""

from typing import Any

_AT = "2026-03-01T09:30:00Z"
_CONTAINER = "MSKU1234565"

AMENDMENT: dict[str, Any] = {
    "prices": [{"sku": "SOFA-3", "unit_price_minor": 31_000, "currency": "USD"}],
    "facilities": [
        {
            "id": "autumn-line",
            "lender": "bank",
            "borrower": "exporter",
            "currency": "USD",
            "outstanding_minor": 1_000_000,
        }
    ],
}
QUOTES: dict[str, Any] = {
    "prices": [{"series": "steel", "date": "2025-12-31", "price": "10.00", "currency": "USD"}],
    "rates": [{"currency": "USD", "date": "2025-12-31", "rate": "1.25"}],
}
MOVEMENTS: dict[str, Any] = {
    "movements": [{"id": "m-1", "kind": "drawdown", "at": "2025-12-31T09:30:00Z", "amount_minor": 500_000}]
}
SHOCKS: dict[str, Any] = {
    "shocks": [
        {"id": "prices", "price_bp": -2_000, "series_bp": {"steel": -3_500, "=SOFA-3": 0}},
        {"id": "dollar", "currency_bp": {"USD": -500}},
        {"id": "port-closed", "lost_fences": ["los-angeles"]},
    ]
}
NOTICES: dict[str, Any] = {
    "notices": [{"id": "1", "kind": "arrived", "happened_at": _AT, "about": {"container": [_CONTAINER]}}]
}
DCSA: dict[str, Any] = {
    "eventID": "e-1",
    "eventType": "EQUIPMENT",
    "eventCreatedDateTime": "2026-03-01T10:00:00Z",
    "eventClassifierCode": "ACT",
    "eventDateTime": _AT,
    "equipmentEventTypeCode": "LOAD",
    "equipmentReference": _CONTAINER,
    "emptyIndicatorCode": "LADEN",
    "transportCall": {"modeOfTransport": "VESSEL", "UNLocationCode": "CNSGH"},
}
EPCIS_EVENT: dict[str, Any] = {
    "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
    "type": "ObjectEvent",
    "action": "OBSERVE",
    "bizStep": "receiving",
    "eventTime": _AT,
    "eventTimeZoneOffset": "+00:00",
    "epcList": ["urn:epc:id:sscc:0614141.1234567890"],
}
EPCIS: dict[str, Any] = {
    "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
    "type": "EPCISDocument",
    "schemaVersion": "2.0",
    "creationDate": _AT,
    "epcisBody": {"eventList": [{key: value for key, value in EPCIS_EVENT.items() if key != "@context"}]},
}
STOCK: dict[str, Any] = {
    "movements": [
        {
            "id": "M-1",
            "kind": "received",
            "at": _AT,
            "sku": "SOFA-3",
            "bin": "A-01",
            "unit": "EA",
            "quantity": "40",
            "owner": "exporter",
        }
    ]
}
STOCK_CSV = f"id,kind,at,owner,sku,bin,unit,quantity\nM-1,received,{_AT},exporter,SOFA-3,A-01,EA,40\n"
JWS = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0.eyJ0aGUiOiAiYWN0In0.c2lnbmF0dXJl"
"""The form of what is signed; what is in it is the party's to say and to sign."""

_AT_MS = 1_772_357_400_000
EVENT: dict[str, Any] = {
    "id": "333.0",
    "type": "condition_breached",
    "at_ms": _AT_MS,
    "subject": _CONTAINER,
    "facts": {"lot": "sofas", "limit": "cold", "device": "pi-7", "epoch": 1, "sequence": 4_012, "value": 9_300},
    "entry": 333,
    "recorded_ms": _AT_MS + 4_000,
    "said_by": {
        "device": "pi-7",
        "epoch": 1,
        "sequence": 4_012,
        "measured_ms": _AT_MS,
        "received_ms": _AT_MS + 3_000,
        "recorded_ms": _AT_MS + 4_000,
        "entry": 333,
        "first_sequence": 4_001,
        "last_sequence": 4_060,
    },
    "stands": True,
}
EVIDENCE: dict[str, Any] = {
    "lot": "sofas",
    "asset": _CONTAINER,
    "quantity": 240,
    "measured_ms": _AT_MS,
    "age_ms": 900_000,
    "reading": {"device": "pi-7", "epoch": 1, "sequence": 4_012},
    "by": "reading",
    "counts_as": "fresh",
    "is_dark": False,
    "fresh_ms": 14_400_000,
    "stale_ms": 86_400_000,
    "dark_counts_as": "ageing",
}
TRAIL: dict[str, Any] = {
    "lot": "sofas",
    "facility": "autumn-line",
    "is_shown": True,
    "as_of_ms": _AT_MS + 900_000,
    "evidence": EVIDENCE,
    "quantity": {
        "lot": 240,
        "counted": {"quantity": 240, "at_ms": _AT_MS},
        "receipt": "la-3:0001",
        "claimed": [{"quantity_milli": 240_000, "released_milli": 0, "unit": "EA"}],
        "held": {"state": "valid", "until_ms": None, "missing": 0, "cases": [], "heard_ms": _AT_MS},
        "asset": _CONTAINER,
        "machines": [{"channel": "tags_present", "value": 240, "measured_ms": _AT_MS}],
    },
    "amounts": {
        "currency": "USD",
        "value": {
            "value_minor": 7_440_000,
            "quantity": 240,
            "price": {
                "series": "steel",
                "sku": "SOFA-3",
                "is_agreed": False,
                "price_minor": 31_000,
                "per": 1,
                "currency": "USD",
                "date": "2026-03-01",
            },
            "rates": [],
            "cost": None,
            "appraisal": None,
            "unvalued": [],
            "unvalued_told": [],
        },
        "ineligible": [
            {
                "step": "condition_loss",
                "taken_minor": 744_000,
                "grounds": [["event ", {"noun": "events", "id": "333.0"}]],
                "told": [{"code": "by_events", "given": {"events": [{"noun": "events", "id": "333.0"}]}}],
            }
        ],
        "eligible_minor": 6_696_000,
        "advance": {
            "advance_minor": 5_022_000,
            "advance_bp": 7_500,
            "in_class": "in_transit",
            "fences": [],
            "policy": "furniture",
        },
    },
}
ALERT: dict[str, Any] = {
    "id": "333.0",
    "rule": "condition-breached",
    "group": "sofas",
    "state": "open",
    "severity": "critical",
    "causes": ["333.0"],
    "since_ms": _AT_MS,
    "opened_ms": _AT_MS,
    "cleared_ms": None,
    "told_ms": _AT_MS + 4_000,
    "acknowledged_by": "",
    "acknowledged_severity": "",
    "unheeded": False,
    "repeated_ms": None,
    "earlier": [],
    "next_ms": None,
    "comments": [],
    "silence": None,
    "hands": [],
    "is_own": True,
    "pledge": "autumn-line harbour-bank sofa-works la-3:0001",
    "assets": [_CONTAINER],
    "lots": ["sofas"],
    "receipts": ["la-3:0001"],
    "facilities": ["autumn-line"],
    "told": [
        {
            "event": "333.0",
            "kind": "condition_breached",
            "asset": _CONTAINER,
            "at_ms": _AT_MS,
            "ended_ms": None,
            "lot": "sofas",
            "limit": "cold",
            "channel": "temperature_mc",
            "low": 2_000,
            "high": 8_000,
            "value": 9_300,
            "outside_ms": 600_000,
        }
    ],
}
DEVICE: dict[str, Any] = {
    "device": "pi-7",
    "operator": "harbour-line",
    "asset": _CONTAINER,
    "epochs": [
        {
            "epoch": 1,
            "contiguous": 4_060,
            "received": 4_060,
            "missing": [],
            "thinned": 0,
            "signed": 4_000,
            "chain_hash": "0" * 64,
            "suspicions": 0,
        }
    ],
    "heard_ms": _AT_MS,
    "sources": [
        {
            "device": "pi-7",
            "channel": None,
            "state": "live",
            "at_ms": _AT_MS,
            "overdue_after_s": 1_800,
            "silent_after_s": 3_600,
        }
    ],
    "battery_mv": 3_712,
    "completeness": {
        "expected": 4_060,
        "received": 4_060,
        "thinned": 0,
        "lost": 0,
        "lost_at_least": 0,
        "refused": 0,
        "unsure": None,
        "spooled": 0,
        "words": "received 4,060 of 4,060, thinned 0, lost 0",
    },
    "said": {
        "online": True,
        "epoch": 1,
        "measured": 4_060,
        "spooled": 0,
        "held_back": 0,
        "refused": 0,
        "agent_version": "0.1.0",
    },
}
DEVICE_CARE: dict[str, Any] = {
    "device": "pi-7",
    "operator": "harbour-line",
    "asset": _CONTAINER,
    "settings": {
        "version": 3,
        "toml": "[uplink]\nsend_every_s = 900\n",
        "by": "night desk",
        "at": "2025-12-31T12:00:00.000Z",
        "until": "2026-01-30T12:00:00.000Z",
        "became": "done",
        "said": "in force: the cloud was heard",
        "said_at": "2025-12-31T12:00:40.000Z",
    },
    "commands": [
        {
            "id": 7,
            "what": "diagnostics",
            "epoch": 0,
            "first": 0,
            "last": 0,
            "seconds": 0,
            "by": "night desk",
            "at": "2025-12-31T12:00:00.000Z",
            "until": "2026-01-01T12:00:00.000Z",
            "became": "done",
            "said": "3120 bytes",
            "said_at": "2025-12-31T12:00:02.000Z",
            "has_result": True,
        }
    ],
}
PRICES: dict[str, Any] = {
    "series": "steel",
    "quotes": [{"series": "steel", "date": "2025-12-31", "price": "10.00", "currency": "USD", "per": 1}],
}
RATES: dict[str, Any] = {
    "currency": "USD",
    "quotes": [{"currency": "USD", "date": "2025-12-31", "rate": "1.25"}],
}
NOTICE: dict[str, Any] = {
    "key": "carrier/1",
    "sender": "carrier",
    "kind": "arrived",
    "happened_ms": _AT_MS,
    "classifier": "actual",
    "references": [f"container:{_CONTAINER}"],
    "place": "USLAX",
    "until_ms": None,
    "party": "",
    "withdraws": "",
    "replaces": "",
    "event": "",
    "edition_ms": 0,
    "fate": "standing",
    "against": [],
}


OF_ANSWERS: dict[str, Any] = {
    "/alerts": [ALERT],
    "/devices": [DEVICE],
    "/devices/{device}": DEVICE_CARE,
    "/events/{event}": EVENT,
    "/facilities/{facility}/evidence": [EVIDENCE],
    "/lots/{lot}/trail": TRAIL,
    "/market/prices/{series}": PRICES,
    "/market/rates/{currency}": RATES,
    "/notices/{notice}": NOTICE,
}
"""By the path of what is read."""


def json_body(example: Any, media: str = "application/json") -> dict[str, Any]:
    """What a route says of a JSON body that it reads itself."""
    schema = {"type": ["object", "array"] if example is DCSA else "object"}
    return body({media: (schema, example)})


def body(forms: dict[str, tuple[dict[str, Any], Any]]) -> dict[str, Any]:
    """What a route says of a body, by media type: its schema and an example."""
    content = {media: {"schema": schema, "example": example} for media, (schema, example) in forms.items()}
    return {"requestBody": {"required": True, "content": content}}


def signed_body() -> dict[str, Any]:
    """What a route says of a compact JWS."""
    text = {"type": "string"}
    return body({"application/jose": (text, JWS), "text/plain": (text, JWS)})
