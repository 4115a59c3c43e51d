"""The stock system over HTTP, as systems of its kind are asked: a feed of bookings by number, and what is on hand now.

    GET /movements?after=17&limit=500    {"movements": [{"id": "M-000018", "kind": "sold", …}], "next": "18"}
    GET /snapshot?owner=sofa-works       {"id": "…", "at": "…", "owner": "sofa-works", "complete": true, "rows": […]}

`next` is what the next question says as `after`; it stays the same where there is nothing new. Where a token is set,
who does not bear it is told nothing (401).
"""

import hmac
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Query

from pledgewatch_sim.warehouse.stock_forms import movement, snapshot
from pledgewatch_sim.warehouse.wms import StockSystem

PAGE_MAX = 1_000


def create_wms(stock_system: StockSystem, now_ms: Callable[[], int], token: str = "") -> FastAPI:
    """The application. Bookings have to be made from the loop that serves it."""

    def admitted(authorization: Annotated[str, Header()] = "") -> None:
        if token and not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "who asks must bear the token", {"WWW-Authenticate": "Bearer"})

    app = FastAPI(title="A stock system", dependencies=[Depends(admitted)], openapi_url=None)

    @app.get("/movements")
    async def movements(
        after: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX
    ) -> dict[str, Any]:
        found = stock_system.after(after, limit)
        rows = [movement(one) for one in found]
        return {"movements": rows, "next": str(found[-1].number if found else after)}

    @app.get("/snapshot")
    async def all_there_is(owner: str) -> dict[str, Any]:
        return snapshot(stock_system.on_hand(), owner, now_ms())

    return app
