"""Every operation of the API is asked what its own description allows, as every role: nothing ends in a 5xx, and no
answer is otherwise than the description says. `scripts/schemathesis` asks more."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Response
from inviting import Inviting
from keeping import LINE
from receipting import BANK, FIRST, WAREHOUSE
from schemas import assert_answers_as_it_says
from seeing import HALL_LOT, NIGHT, SEA_LOT
from warehouses import BOX, HALL, TRACKER, ZONE

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
"""How many times each operation is asked."""


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Inviting]:
    made = Inviting(tmp_path)
    made.lend_on_sea(LINE)
    made.pledge(FIRST, BANK)
    made.read()
    made.read(ZONE)
    made.keeping.row("sold", 25, minute=made.minute)
    assert made.invite("operator-one", "fresh-1", asset=BOX).status_code == 201
    assert made.post("operator-one", f"/devices/{TRACKER}/commands", what="report_now").status_code == 200
    yield made
    made.close()


def test_no_answer_is_otherwise_than_the_api_says(seeing: Inviting) -> None:
    state = seeing.keeping.spine.state
    known = {
        "asset": [BOX, HALL],
        "channel": ["temperature_mc", "latitude_e7"],
        "device": [TRACKER, ZONE, NIGHT, "fresh-1"],
        "command": ["1", "2"],
        "facility": [LINE],
        "lot": [SEA_LOT, HALL_LOT],
        "fence": list(state.book.fences),
        "receipt": [FIRST],
        "number": ["0", "1"],
        "purpose": ["revocation"],
        "warehouse": [WAREHOUSE],
        "case": list(state.watch.cases),
        "by": ["vessel", "country"],
        "alert": [one.id for one in state.alerts.values()] or ["1"],
        "event": [one.id for one in seeing.store.events(0, 1_000)],
    }
    found = assert_answers_as_it_says(seeing.client.app, known, EXAMPLES)
    assert len(found) > 60
    good = [label for label, statuses in found.items() if statuses & {200, 201, 202}]
    assert len(good) > 25, good
    assert not {500, 502, 503} & set().union(*found.values())


@pytest.mark.parametrize("fault", ["status", "type", "body", "server"])
def test_what_is_otherwise_is_found(fault: str) -> None:
    app = FastAPI()

    @app.get("/one")
    async def one() -> dict[str, str]:
        """Say something else than is said of it."""
        return {
            "status": Response("{}", 202, media_type="application/json"),
            "type": Response("x", media_type="text/plain"),
            "body": Response("[]", media_type="application/json"),
            "server": Response("{}", 503, media_type="application/json"),
        }[fault]  # type: ignore[return-value]

    with pytest.raises(BaseException, match="failure"):
        assert_answers_as_it_says(app, {}, 2)
