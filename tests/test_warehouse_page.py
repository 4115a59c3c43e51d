"""docs/WAREHOUSES.md says what is true: its count is read as it stands, its numbers are those of the code."""

import json
import re
from pathlib import Path
from typing import Any

from builders import NOON_MS
from receipting import DEPOSITOR, WAREHOUSE, signed
from warehouses import KEYS, SURVEYOR, book_with

from pledgewatch_cloud.decide.receipts.life import SKEW_MS
from pledgewatch_cloud.decide.warehouse import counting, signals
from pledgewatch_cloud.decide.warehouse.counting import check, read
from pledgewatch_cloud.decide.warehouse.terms import GRACE_S
from pledgewatch_wire.reading import PASSAGE_CHANNELS, WEIGHT_CHANNELS

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "WAREHOUSES.md").read_text(encoding="utf-8")


def test_the_count_on_the_page_is_taken_as_it_stands() -> None:
    found = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    said: dict[str, Any] = json.loads(found[1])
    count = read(signed(SURVEYOR, said, key=KEYS[SURVEYOR]))
    check(count, lambda one: {"k1": KEYS[one].public_key().public_bytes_raw()}, book_with().warehouses, NOON_MS)
    ((key, milli),) = count.rows
    assert (key.warehouse, key.owner, milli) == (WAREHOUSE, DEPOSITOR, 38_000)
    members = PAGE[PAGE.index("| member | what it is |") : PAGE.index("```json")]
    assert all(f"`{name}`" in members for name in (*said, *said["rows"][0]))


def test_the_page_tells_the_limits_and_the_channels() -> None:
    for one in (signals.TAGS_MAX, signals.OPENINGS_MAX, counting.ROWS_MAX, counting.PHOTOS_MAX, counting.NOTE_MAX):
        assert f"{one:,}" in PAGE
    assert f"`grace_s` ({GRACE_S})" in PAGE
    assert f"more than {SKEW_MS // 60_000} minutes" in PAGE
    assert f"older than {counting.OLDEST_MS // 86_400_000} days" in PAGE
    assert signals.QUARTER_MS == 15 * 60_000
    ends = {WEIGHT_CHANNELS[0], WEIGHT_CHANNELS[-1], *PASSAGE_CHANNELS}
    for channel in ends | set(signals.VALUE_CHANNELS) - set(WEIGHT_CHANNELS):
        assert f"`{channel.name.lower()}`" in PAGE
