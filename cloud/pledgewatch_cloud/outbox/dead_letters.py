"""Passing a dead letter over. One that lets money move is not passed over in silence: nobody pays it any more, and the
journal must hear from somebody that its release is not booked, or the milestone would wait for ever and nobody know.

Only the running service writes the journal, and it alone knows which endpoints pay.
"""

from pledgewatch_cloud.decide.milestones.lifecycle import RELEASING
from pledgewatch_cloud.journal.outbox import Outbox, OutboxMessage


def that_lets_money_move(outbox: Outbox, endpoint: str, message_id: str) -> OutboxMessage | None:
    """The message of an endpoint's dead letter, if it lets money move; None where it does not, or there is none.

    Raises StoreError.
    """
    for one in outbox.dead_letters(endpoint):
        if one.message.id == message_id and one.message.type in RELEASING:
            return one.message
    return None
