"""What a write became."""

from typing import TypedDict


class Written(TypedDict):
    """What a write became: the entry, None where all was known already."""

    entry: int | None
    changed: bool


class Said(TypedDict):
    """The entry that something said became."""

    entry: int
