"""What became of the reports of stock since the service started, and whether the stock book has room for more."""

import logging
from dataclasses import dataclass, field

from pledgewatch_cloud.notices.metrics import Submissions
from pledgewatch_cloud.outage import Outage

log = logging.getLogger(__name__)


def _room() -> Outage:
    return Outage(log, "reports of stock are refused, for the stock book is full", "the stock book has room again")


@dataclass(slots=True)
class StockReports(Submissions):
    """Counters as of other submissions; `room` is lost while what stock systems say finds none in the stock book."""

    room: Outage = field(default_factory=_room)
