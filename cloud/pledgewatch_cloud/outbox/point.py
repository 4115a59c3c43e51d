"""A point in an endpoint's past, from which it is sent everything once more.

It is written as the number of a journal entry, a moment (ISO 8601 with its offset), or facility:sequence. What is sent
once more are the same bytes under the same ids, so who has them knows them; what was withdrawn meanwhile stays away.
"""

from pledgewatch_cloud.decide.moments import MomentError, moment_ms
from pledgewatch_cloud.journal.outbox import Outbox


class PointError(ValueError):
    """No point to begin from; the sentence says why."""


def replay_from(outbox: Outbox, endpoint: str, point: str) -> int:
    """Set an endpoint back. Returns how many facilities it is set back for. Raises PointError, StoreError."""
    known = [one.name for one in outbox.endpoints()]
    if endpoint not in known:
        raise PointError(f"there is no endpoint {endpoint!r}; there are {', '.join(known) or 'none'}")
    if point.isascii() and point.isdigit():
        return outbox.set_back_to_entry(endpoint, int(point))
    try:
        return outbox.set_back_to_entry(endpoint, outbox.entry_at(moment_ms("the point", point)))
    except MomentError:
        pass
    facility, _, sequence = point.rpartition(":")
    if not facility or not (sequence.isascii() and sequence.isdigit()) or int(sequence) < 1:
        raise PointError(f"{point!r} is neither an entry's number, nor a moment with its offset, nor facility:sequence")
    if not outbox.set_back(endpoint, facility, int(sequence)):
        raise PointError(f"facility {facility!r} has never sent a message")
    return 1
