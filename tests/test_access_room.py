"""What is bounded is bounded for each for themselves: what one bank's goods lead to takes no room from another's, and
what was let go while goods were another's is told of from where they are one's own again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import IN_LOS_ANGELES, MINUTE_MS, position
from keeping import LINE
from receipting import BANK, OTHER_BANK
from seeing import OPERATOR, OTHER_LINE, Seeing
from warehouses import BOX, TRACKER

from pledgewatch_cloud.decide import causes
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_wire.reading import Cell, Channel

LENDERS = {BANK: Viewer("lender-one", BANK, Role.LENDER), OTHER_BANK: Viewer("lender-two", OTHER_BANK, Role.LENDER)}
FEW = 3


@pytest.fixture
def seeing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seeing]:
    monkeypatch.setattr(causes, "MAX_PER_KIND", FEW)
    made = Seeing(tmp_path)
    yield made
    made.close()


def lot(name: str, line: str, high: int) -> dict[str, Any]:
    limits = [{"channel": "temperature_mc", "low": 2_000, "high": high}]
    return {"id": name, "asset": BOX, "facility": line, "sku": "SEA-SKU", "quantity": 5, "limits": limits}


def measure(seeing: Seeing, *values: int) -> None:
    """The container is so warm, a minute each."""
    device = seeing.keeping.devices[TRACKER]
    for value in values:
        seeing.tick()
        cells = [Cell(Channel.TEMPERATURE_MC, value), *position(IN_LOS_ANGELES)]
        reading = device.measure(seeing.keeping.clock.at_ms - MINUTE_MS // 2, *sorted(cells))
        seeing.keeping.take(device.arrival([reading], operator=OPERATOR))


def facts(seeing: Seeing, bank: str = "") -> AssetFacts:
    """What stands of the container, as a bank sees it or whole."""
    whole = seeing.keeping.spine.state
    return (seeing.client.app.state.service.views.of(LENDERS[bank]).state if bank else whole).facts[BOX]


def test_what_goods_of_one_bank_suffer_drives_out_nothing_of_anothers_beside_them(seeing: Seeing) -> None:
    seeing.keeping.amend(lots=[lot("one", LINE, 20_000), lot("two", OTHER_LINE, 30_000)])
    measure(seeing, 10_000, 35_000, 10_000)
    before = facts(seeing, OTHER_BANK)
    measure(seeing, *[25_000, 10_000] * (FEW + 2))
    assert facts(seeing).forgotten.keys() == {"one"}, "there was no room for all of the one's"
    after = facts(seeing, OTHER_BANK)
    assert (after.causes, after.ends, after.forgotten) == (before.causes, before.ends, {})
    assert {one.lot for one in after.causes.values()} == {"two"}


def test_what_is_forgotten_of_another_banks_time_is_told_of_from_ones_own(seeing: Seeing) -> None:
    """The same goods go to the other bank, suffer there more often than can be kept, and come back."""
    for line in (LINE, OTHER_LINE):
        seeing.tick()
        seeing.keeping.amend(lots=[lot("one", line, 20_000)])
        measure(seeing, 10_000)
    measure(seeing, *[25_000, 10_000] * (FEW + 2))
    gone_ms = facts(seeing).forgotten["one"]
    assert facts(seeing, OTHER_BANK).forgotten == {"one": gone_ms}
    seeing.tick()
    seeing.keeping.amend(lots=[lot("one", LINE, 20_000)])
    assert facts(seeing, BANK).forgotten == {"one": seeing.keeping.clock.at_ms}


def told_to(seeing: Seeing) -> dict[str, Any]:
    """What the bank that had the goods is told; where its list of events ends is where the journal does."""
    paths = ("/alerts?cleared=true", "/alerts", "/lots", f"/facilities/{LINE}", f"/assets/{BOX}")
    return {one: seeing.get("lender-one", one) for one in paths} | {
        "/events": seeing.get("lender-one", "/events")["events"]
    }


def test_what_is_let_go_in_anothers_time_changes_nothing_for_who_had_the_goods_before(seeing: Seeing) -> None:
    seeing.keeping.amend(lots=[lot("one", LINE, 20_000)])
    measure(seeing, *[25_000, 10_000] * FEW)
    seeing.tick()
    seeing.keeping.amend(lots=[lot("one", OTHER_LINE, 20_000)])
    measure(seeing, 25_000)
    told = told_to(seeing)
    assert len([one for one in told["/events"] if one["type"] == "condition_breached"]) == FEW
    measure(seeing, *[10_000, 25_000] * (2 * FEW))
    assert facts(seeing).forgotten.keys() == {"one"}
    assert told_to(seeing) == told
    assert BOX not in seeing.client.app.state.service.views.of(LENDERS[BANK]).state.facts


def test_of_too_many_in_several_hands_the_newest_of_who_has_the_goods_now_stand(seeing: Seeing) -> None:
    """And what is let go is no evidence for anybody: it stands against the goods from where they are one's own."""
    seeing.keeping.amend(lots=[lot("one", LINE, 20_000)])
    measure(seeing, *[25_000, 10_000] * (FEW + 2))
    seeing.tick()
    seeing.keeping.amend(lots=[lot("one", OTHER_LINE, 20_000)])
    begun_ms = seeing.keeping.clock.at_ms
    measure(seeing, 25_000)
    seen = facts(seeing, OTHER_BANK)
    newest = max(one.at_ms for one in facts(seeing).causes.values())
    assert [one.at_ms for one in seen.causes.values() if one.kind == "condition_breached"] == [newest]
    assert seen.forgotten == {"one": begun_ms}
    breached = [one for one in seeing.get("lender-two", "/events")["events"] if one["type"] == "condition_breached"]
    assert [one["at_ms"] for one in breached] == [newest], "all of one's own are among the events"
