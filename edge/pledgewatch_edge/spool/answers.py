"""What a spool answers."""

from typing import NamedTuple


class Appended(NamedTuple):
    """What became of a batch: `accepted` samples are on disk, `refused` ones are gone for good, and to make room
    `thinned` readings were dropped."""

    accepted: int
    refused: int
    thinned: int = 0


class Forgotten(NamedTuple):
    """What a `committed` did: how many readings left the spool; `ignored` says why it was not believed, else None.
    `again`: first and last of what the cloud has no more, and is here (spool/put_back.py)."""

    readings: int
    ignored: str | None = None
    again: tuple[int, int] | None = None
