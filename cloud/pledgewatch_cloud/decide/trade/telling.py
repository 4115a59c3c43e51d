"""What the journal's events say, as those outside are told it: each with all that its telling needs.

Outside, a thing has a name that is unique in the world. A container is named by its number, as EPCIS has it; whatever
has no such name gets one of ours, `urn:pledgewatch:<what>:<id>`, in which every character that a URN cannot hold is
written as its bytes in UTF-8, `%` and two digits.
"""

import re
from typing import NamedTuple

from pledgewatch_cloud.decide.events import Event, SaidEvent
from pledgewatch_cloud.decide.geodesy import E7
from pledgewatch_cloud.decide.trade.notice import Notice

URN = "urn:pledgewatch:"
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._~:@/-]")


class Telling(NamedTuple):
    """An event of the journal, to be told outside: the same whenever it is asked for.

    `notice` is the one that a `notice_taken` or a `notice_withdrawn` is about.
    """

    journal: str
    said: SaidEvent
    notice: Notice | None = None

    @property
    def event(self) -> Event:
        """The event itself."""
        return self.said.event

    def text(self, name: str) -> str:
        """A fact as text; empty where the event has none of that name."""
        return str(dict(self.event.facts).get(name, ""))

    def number(self, name: str) -> int | None:
        """A fact that is a number; None where the event has none of that name."""
        value = dict(self.event.facts).get(name)
        return value if isinstance(value, int) else None


def urn(what: str, identity: str) -> str:
    """The world-wide name of something that has none but ours."""
    return f"{URN}{what}:{quoted(identity)}"


def quoted(text: str) -> str:
    """Text as a URN may hold it (RFC 8141)."""
    return _NOT_PLAIN.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)


def degrees(value_e7: int) -> str:
    """Ten-millionths of a degree, written exactly."""
    whole, rest = divmod(abs(value_e7), E7)
    return f"{'-' if value_e7 < 0 else ''}{whole}.{rest:07d}"
