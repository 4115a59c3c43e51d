"""What stands for each lot of a facility: its newest evidence that counts, how old that is, and what it counts as."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pledgewatch_cloud.decide.asset import EMPTY, AssetState, Key
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.collateral import goods as goods_module
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.collateral.stand import newest_evidence
from pledgewatch_cloud.decide.collateral.terms import EvidencePolicy


class Evidence(NamedTuple):
    """What stands for a lot at `at_ms`. `key` is of the newest reading that counts, None where there is none, and
    without a device where only its moment is known; `counts_as` fresh, ageing, stale or not_asked by the policy's
    `rule`; `is_dark`: no signal is expected just then."""

    lot: str
    asset: str
    quantity: int
    key: Key | None
    at_ms: int
    counts_as: str
    is_dark: bool
    rule: EvidencePolicy

    def as_json(self) -> dict[str, Any]:
        """The evidence as a JSON object; limits that are not asked are null."""
        measured_ms, device, epoch, sequence = self.key or (None, "", 0, 0)
        return {
            "lot": self.lot,
            "asset": self.asset,
            "quantity": self.quantity,
            "measured_ms": measured_ms,
            "age_ms": None if measured_ms is None else max(0, self.at_ms - measured_ms),
            "reading": {"device": device, "epoch": epoch, "sequence": sequence} if device else None,
            "by": self.rule.by,
            "counts_as": self.counts_as,
            "is_dark": self.is_dark,
            "fresh_ms": self.rule.fresh_s * 1_000 if self.rule.stale_s else None,
            "stale_ms": self.rule.stale_s * 1_000 or None,
            "dark_counts_as": self.rule.dark,
        }


def evidence_of(
    sheet: Sheet, book: Book, assets: Mapping[str, AssetState], facility: str, now_ms: int
) -> list[Evidence]:
    """What stands for each lot of a facility, by lot id. Raises KeyError where there is none of that name."""
    goods, policy = sheet.goods, book.policy_of(facility)
    number = goods.number[facility]
    rows = np.arange(goods.first[number], goods.first[number + 1])
    columns = goods.columns.rows(rows)
    words = goods_module.evidence_words(columns, policy, now_ms)
    found = []
    for row, word, is_dark in zip(rows.tolist(), words, columns.is_dark.tolist(), strict=True):
        lot = book.lots[goods.ids[row]]
        asset = lot.stay_at(now_ms).asset
        key = newest_evidence(lot, policy.evidence.by, assets.get(asset, EMPTY), now_ms)
        found.append(Evidence(lot.id, asset, lot.quantity, key, now_ms, word, is_dark, policy.evidence))
    return found
