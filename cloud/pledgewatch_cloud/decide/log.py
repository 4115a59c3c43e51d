"""What one entry leads to while it is being decided: events as they are said, messages as they are written."""

from collections.abc import Mapping
from typing import Any

from pledgewatch_cloud.decide.batch import Amending, Entry
from pledgewatch_cloud.decide.events import Because, Event, SaidEvent
from pledgewatch_cloud.decide.facility import FacilityState
from pledgewatch_cloud.decide.messages import Message, MessageType, message
from pledgewatch_cloud.decide.stretches import NEVER


class Log:
    """Numbers the entry's events in the order in which they are said, and each facility's messages.

    `withdrawn`: messages of earlier entries that must not be sent any more.
    """

    def __init__(self, journal: str, entry: Entry, facilities: Mapping[str, FacilityState]) -> None:
        self.said: list[SaidEvent] = []
        self.messages: list[Message] = []
        self.withdrawn: list[str] = []
        self.facilities = dict(facilities)
        self.journal, self._entry = journal, entry
        self._because = Because.AMENDED_BOOK if isinstance(entry.content, Amending) else ""

    def say(self, one: Event, told_ms: int = NEVER, replaces: str = "", because: str = "") -> SaidEvent:
        """Say an event. Whatever an amendment leads to is because of it."""
        said = SaidEvent(f"{self._entry.number}.{len(self.said)}", one, told_ms, replaces, because or self._because)
        self.said.append(said)
        return said

    def send(
        self, facility: str, place: str, message_type: MessageType, subject: str, at_ms: int, data: Mapping[str, Any]
    ) -> Message:
        """Write a facility's next message; `place` names the event that it carries."""
        before = self.facilities.get(facility, FacilityState())
        sequence = before.messages_sent + 1
        self.facilities[facility] = before._replace(messages_sent=sequence)
        written = message(self.journal, place, message_type, facility, sequence, subject, at_ms, dict(data))
        self.messages.append(written)
        return written

    def withdraw(self, message_id: str) -> None:
        """Take a message back that has not been delivered yet."""
        self.withdrawn.append(message_id)
