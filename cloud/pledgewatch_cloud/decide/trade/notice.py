"""A notice: what a sender says has happened, to what, when and where.

A notice is never changed. Its key is the sender and the sender's own id for it; the same key with other content is a
fault, and a correction comes under a new id and says what it replaces. Because a key begins with the sender, nobody
can withdraw or replace what another has said.

Where one event of a sender makes several notices, or its form numbers the editions of an event by time (DCSA Track &
Trace 3), each has a key of its own, and `event` is the key that the sender knows the event by.
"""

from typing import NamedTuple

from pledgewatch_cloud.decide.stretches import NEVER


class NoticeError(ValueError):
    """What cannot be taken from a sender. `errors` holds one sentence for each fault, each naming its place."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors[:20]) + (f"; and {len(errors) - 20} more" if len(errors) > 20 else ""))
        self.errors = tuple(errors)


class Notice(NamedTuple):
    """What a sender said.

    `key` is `<sender>/<id>`. `kind` is one of vocabulary.NOTICE_KINDS, empty where nothing is said but that something
    is taken back. `happened_ms` and `until_ms` are Unix milliseconds: when it happened (0 where a withdrawal does not
    say) and up to when it holds (NEVER: it does not end). `references` are sorted, each `<type>:<value>`; `place` is a
    UN/LOCODE or empty; `party` is `lei:…`, `id:…` or empty. `withdraws` and `replaces` are keys, or empty.

    `event` is the key of the event that this is a part or an edition of, empty where the notice is all of it.
    `edition_ms` is when the sender wrote the edition down: of one event only the newest edition counts.
    """

    key: str
    sender: str
    kind: str
    happened_ms: int
    classifier: str = "actual"
    references: tuple[str, ...] = ()
    place: str = ""
    until_ms: int = NEVER
    party: str = ""
    withdraws: str = ""
    replaces: str = ""
    event: str = ""
    edition_ms: int = 0
