"""A receipt as the API and the command line show it: moments as ISO 8601, quantities in thousandths of the unit."""

from typing import Any

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.life import Role, may
from pledgewatch_cloud.decide.receipts.receipt import Receipt


def as_json(receipt: Receipt) -> dict[str, Any]:
    """A receipt as it stands, and which acts each party to it may do by the table. `number` is its credential's."""
    parties = sorted({str(getattr(receipt, role)) for role in Role} - {""})
    return {
        "id": receipt.id,
        "state": str(receipt.state),
        "warehouse": receipt.warehouse,
        "depositor": receipt.depositor,
        "holder": receipt.holder,
        "pledgee": receipt.pledgee,
        "controller": receipt.controller,
        "goods": [
            {
                **{name: value for name, value in one._asdict().items() if value != ""},
                "released_milli": released_milli,
                "ordered_milli": ordered_milli,
                "delivered_milli": delivered_milli,
            }
            for one, released_milli, ordered_milli, delivered_milli in zip(
                receipt.goods, receipt.released_milli, receipt.ordered_milli, receipt.delivered_milli, strict=True
            )
        ],
        "received": {"from": iso(receipt.received_ms), "until": iso(receipt.received_until_ms)},
        "issued": iso(receipt.issued_ms) if receipt.issued_ms else None,
        "until": iso(receipt.until_ms),
        "head": receipt.head,
        "acts": receipt.acts,
        "signed": iso(receipt.at_ms),
        "parent": receipt.parent,
        "children": list(receipt.children),
        "replaces": receipt.replaces,
        "replaced_by": receipt.replaced_by,
        "frozen_from": receipt.frozen_from,
        "overrides": list(receipt.overrides),
        "number": receipt.number,
        "may": {party: [str(kind) for kind in may(receipt, party)] for party in parties},
    }
