"""The API with what is behind it, in the test's own process: a store, a spine whose clock is set by hand, series."""

from pathlib import Path
from typing import Any

import httpx2
from asking import AppClient
from builders import (
    AT_SEA,
    IN_LOS_ANGELES,
    MINUTE_MS,
    NOON_MS,
    Device,
    ManualClock,
    book_document,
    position,
    temperature,
)

from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.api.app import create_app
from pledgewatch_cloud.clock import SystemClock
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import SubscriberCounts
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.series.feeder import Feeder
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_wire.reading import Cell

TOKEN = "not-a-secret"
JSON = {"content-type": "application/json"}


def client_over(store: Store, writer: Writer, series: EmbeddedSeries, **others: Any) -> AppClient:
    """A client of the API; `others` are what else a Service is made of, where a test wants it otherwise. Where it has a
    token the client shows it: it is the keeper's."""
    usual: dict[str, Any] = {
        "metrics": Metrics(),
        "delivery_clock": SystemClock(),
        "wake_relay": lambda: None,
        "broker_connected": lambda: True,
        "broker_counts": SubscriberCounts,
        "token": None,
    }
    service = Service(store=store, writer=writer, series=series, **(usual | others))
    return AppClient(create_app(service), headers=shown(service.token) if service.token else None)


def shown(token: str) -> dict[str, str]:
    """The headers of who shows a token, or a key of the API."""
    return {"authorization": f"Bearer {token}"}


class ApiCloud:
    """The API over a store, which is SQLite's in a folder unless one is given. `others` are as for `client_over`."""

    def __init__(self, folder: Path, *, at_ms: int = NOON_MS, store: Store | None = None, **others: Any) -> None:
        self.device = Device()
        self.clock = ManualClock(at_ms)
        self.store = SqliteStore(folder) if store is None else store
        self.spine = Spine(self.store, self.clock)
        self.writer = Writer(self.spine, lambda _: None)
        self.series = EmbeddedSeries(folder, self.store.journal)
        self.feeder = Feeder(self.store, self.series)
        self.woken = 0
        mine: dict[str, Any] = {"wake_relay": self._wake, "clock": self.clock}
        self.client = client_over(self.store, self.writer, self.series, **(mine | others))

    def close(self) -> None:
        """Let go of the files."""
        self.store.close()
        self.series.close()

    def measure(self, minute: int, *cells: Cell, signed: bool = False) -> None:
        """The device measures so many minutes past noon, and it comes in; with a checkpoint where it is signed."""
        reading = self.device.measure(NOON_MS + minute * MINUTE_MS, *cells)
        self.spine.take([self.device.arrival([reading], [self.device.checkpoint()] if signed else [])])

    def sail_into_port(self) -> None:
        """With a book of the device, a container sails into Los Angeles, and its condition is breached there."""
        self.spine.commit(drafts.amend, book_document(self.device))
        self.measure(0, *position(AT_SEA), temperature(5_000), signed=True)
        self.measure(1, *position(IN_LOS_ANGELES), signed=True)
        self.measure(2, temperature(9_000), signed=True)
        self.measure(20, temperature(9_100), signed=True)
        self.feeder.catch_up()

    def get(self, path: str) -> Any:
        """The JSON at a path, which is there."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _wake(self) -> None:
        self.woken += 1


def assert_problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """It is problem details of this status, which are returned."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    return found
