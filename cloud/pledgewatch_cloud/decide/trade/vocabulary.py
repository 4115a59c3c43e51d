"""What can be said of a shipment: one closed list of kinds, shared by every form that notices come in.

The carriers' words (DCSA Track & Trace) and the tracking firms' agree on what happens to a container; the papers and
the stock add what happens to the goods' title, cover and count. Each kind is a fact of the same name that a milestone
may ask for. Some kinds end another: a bill of lading that is voided is issued no more. What says nothing of this list
is kept as `other`, with what it is about, and is no fact.
"""

from collections.abc import Mapping
from typing import NamedTuple


class KindOfNotice(NamedTuple):
    """What a kind is about, and the kinds that end what it says.

    `subject` is `container` (what happens to a box), `shipment` (a document or the stock) or `any` (what is no fact).
    """

    subject: str
    ended_by: tuple[str, ...] = ()


OTHER = "other"

NOTICE_KINDS: Mapping[str, KindOfNotice] = {
    "empty_out": KindOfNotice("container"),
    "full_in": KindOfNotice("container"),
    "vessel_loaded": KindOfNotice("container"),
    "departed": KindOfNotice("container"),
    "arrived": KindOfNotice("container"),
    "discharged": KindOfNotice("container"),
    "transshipped": KindOfNotice("container"),
    "available_for_pickup": KindOfNotice("container"),
    "full_out": KindOfNotice("container"),
    "empty_return": KindOfNotice("container"),
    "hold_placed": KindOfNotice("container", ("hold_lifted",)),
    "hold_lifted": KindOfNotice("container"),
    "bill_of_lading_issued": KindOfNotice("shipment", ("bill_of_lading_voided",)),
    "bill_of_lading_surrendered": KindOfNotice("shipment"),
    "bill_of_lading_voided": KindOfNotice("shipment"),
    "customs_declared": KindOfNotice("shipment"),
    "customs_cleared": KindOfNotice("shipment", ("customs_refused",)),
    "customs_refused": KindOfNotice("shipment"),
    "insurance_bound": KindOfNotice("shipment", ("insurance_cancelled",)),
    "insurance_cancelled": KindOfNotice("shipment"),
    "invoice_confirmed": KindOfNotice("shipment", ("invoice_disputed",)),
    "invoice_disputed": KindOfNotice("shipment"),
    "goods_received": KindOfNotice("shipment"),
    "goods_counted": KindOfNotice("shipment"),
    "receipt_issued": KindOfNotice("shipment", ("receipt_cancelled",)),
    "receipt_cancelled": KindOfNotice("shipment"),
    "pledge_registered": KindOfNotice("shipment", ("pledge_discharged",)),
    "pledge_discharged": KindOfNotice("shipment"),
    OTHER: KindOfNotice("any"),
}
"""Every kind of notice. A bare withdrawal has none: its kind is empty."""

FACT_KINDS = tuple(kind for kind in NOTICE_KINDS if kind != OTHER)
"""The kinds that a clause may ask for."""

CLASSIFIERS = ("actual", "estimated", "planned")
"""Only what is actual has happened; the others are kept and never stand."""

REFERENCE_TYPES = (
    "container",
    "bill_of_lading",
    "booking",
    "shipment",
    "customs",
    "invoice",
    "insurance",
    "receipt",
    "lot",
    "epc",
    "vessel",
)
"""What a notice may be about: `<type>:<value>`, as `container:MSKU1234565`."""
