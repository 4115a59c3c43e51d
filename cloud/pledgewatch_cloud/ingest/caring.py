"""Saying to devices what they are to be set to and to do, until they have answered or its end has come.

Settings are retained by the broker, so a device that connects hears them at once; when they are answered they are taken
back there, but not while their device has postponed them, as its disk takes nothing. Commands are not retained: they
are said when they are given, and again when their device comes online. Everything is said again after a start of the
cloud and after a new connection to the broker, as nobody knows what the one before took with it. A device that hears a
thing twice does it once, and says so.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide.batch import CareAnswer, CareCommand, CareSettings
from pledgewatch_cloud.decide.care import Care, DeviceCare
from pledgewatch_cloud.ingest.decode import DeviceAnswer, DeviceStatus
from pledgewatch_cloud.ingest.subscriber import Subscriber
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_wire import topics
from pledgewatch_wire.topics import Kind

_LOOK_EVERY_S = 0.25


class _Word(NamedTuple):
    """Something to say to a device. `number` is a version or an id; of settings that are taken back it is negative."""

    device: str
    kind: Kind
    number: int


class Caring:
    """Which devices are due a word, and what they answer."""

    def __init__(self, subscriber: Subscriber, writer: Writer, clock: Clock) -> None:
        """`clock` is the world's, as devices have it."""
        self._subscriber = subscriber
        self._writer = writer
        self._clock = clock
        self._said: set[_Word] = set()
        self._connections = 0
        self._looked_at: Care | None = None
        self._next_end_ms = 0

    def connected(self, statuses: Iterable[DeviceStatus]) -> None:
        """Devices that have just come online have missed the commands of before."""
        online = {one.device for one in statuses if one.status.online}
        if missed := {word for word in self._said if word.kind is Kind.COMMAND and word.device in online}:
            self._said -= missed
            self._looked_at = None

    async def heard(self, one: DeviceAnswer) -> None:
        """A device has answered."""
        answer = one.answer
        said = CareAnswer(
            one.device,
            one.operator,
            answer.version,
            answer.id,
            answer.became.name.lower(),
            answer.text,
            answer.result.hex(),
            self._clock.now_ms(),
        )
        await self._writer.hear(said)

    async def run(self) -> None:
        """Say what is due, until cancelled. What the broker does not take now is said later."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Say what is due now."""
        connections, care, now_ms = self._subscriber.counts.connections, self._writer.state.care, self._clock.now_ms()
        if not self._subscriber.connected:
            return
        if connections != self._connections:
            self._connections, self._looked_at = connections, None
            self._said.clear()
        if care is self._looked_at and now_ms < self._next_end_ms:
            return
        due = {word: payload for device, one in care.items() for word, payload in _due(device, one, now_ms)}
        self._said &= due.keys()
        for word, (operator, payload) in due.items():
            if word not in self._said:
                topic = topics.topic(operator, word.device, word.kind)
                if not await self._subscriber.publish(topic, payload, retain=word.kind is Kind.SETTINGS):
                    return
                self._said.add(word)
        self._looked_at, self._next_end_ms = care, min(_ends(care, now_ms), default=2**63)


def _due(device: str, one: DeviceCare, now_ms: int) -> Iterator[tuple[_Word, tuple[str, bytes]]]:
    """What is to be said to a device: with whose it is, and as what."""
    if one.setting is not None:
        asked, said = one.setting
        if said.is_final or asked.until_ms <= now_ms:
            yield _Word(device, Kind.SETTINGS, -asked.version), (asked.operator, b"")
        else:
            yield _Word(device, Kind.SETTINGS, asked.version), (asked.operator, bytes.fromhex(asked.signed))
    for command, _ in one.open_commands(now_ms):
        yield _Word(device, Kind.COMMAND, command.id), (command.operator, bytes.fromhex(command.signed))


def _ends(care: Care, now_ms: int) -> Iterator[int]:
    """When things that are asked come to their end."""
    asked: list[CareSettings | CareCommand] = []
    for one in care.values():
        asked += [one.setting.asked] if one.setting is not None else []
        asked += [command.asked for command in one.commands]
    return (one.until_ms for one in asked if one.until_ms > now_ms)
