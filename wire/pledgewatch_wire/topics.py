"""Topics: `pw/1/<operator>/<device>/<kind>`.

A device touches its own only. Names are lower-case letters, digits and hyphens, so that no name can hold an MQTT
separator or wildcard and one name has one spelling.
"""

import re
from enum import StrEnum
from typing import NamedTuple

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_PREFIX = "pw/1"


class Kind(StrEnum):
    """What a topic carries, and which way: `up`, `status` and `answer` from the device, the others to it."""

    UP = "up"
    STATUS = "status"
    COMMITTED = "committed"
    SETTINGS = "settings"
    COMMAND = "command"
    ANSWER = "answer"


class Address(NamedTuple):
    """Whose topic it is, and of which kind."""

    operator: str
    device: str
    kind: Kind


def is_name(text: str) -> bool:
    """Whether `text` may name an operator or a device: 1 to 64 of a-z, 0-9 and inner hyphens."""
    return _NAME.fullmatch(text) is not None


def topic(operator: str, device: str, kind: Kind) -> str:
    """The topic of one device. Raises ValueError for a name that is none."""
    for name in (operator, device):
        if not is_name(name):
            raise ValueError(
                f"{name!r} cannot be a name in a topic: use 1 to 64 lower-case letters, digits and hyphens"
            )
    return f"{_PREFIX}/{operator}/{device}/{kind}"


def topic_filter(kind: Kind) -> str:
    """The filter that matches this kind of topic of every device."""
    return f"{_PREFIX}/+/+/{kind}"


def parse(text: str) -> Address:
    """The address behind a topic. Raises ValueError where the topic is not one of ours."""
    levels = text.split("/")
    if len(levels) != 5 or "/".join(levels[:2]) != _PREFIX or not is_name(levels[2]) or not is_name(levels[3]):
        raise ValueError(f"{text!r} is not a topic of the form {_PREFIX}/<operator>/<device>/<kind>")
    try:
        kind = Kind(levels[4])
    except ValueError:
        raise ValueError(f"{text!r} ends in no known kind: one of {', '.join(Kind)}") from None
    return Address(levels[2], levels[3], kind)
