"""Examples of what is written, as /openapi.json shows them. Each is taken as it stands (tests/test_openapi.py)."""

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
