"""Remote care as the cloud remembers it: what each device is to be set to, what it is to do, what it said of either.

    desired ─► taken ─► done          commanded ─► done
        └────────┴────► refused            └─────► refused
    settings that its disk did not take are postponed: they stay said, and the device decides when the disk is well
    after `refused` a device may still say `done`
    after `done` one that cannot run with its settings any more says that it has left them aside: `left_aside`
    a device that claims anew is told again what was done or is postponed, by itself: a newer version of the same
    whatever has no end by its `until_ms` has expired: the device does not take it any more

A device's versions and ids only go up, and are given here, one after the other. There is one version at a time; of
commands the newest COMMANDS_KEPT are remembered, and at most OPEN_MAX wait for their answer. The bytes that travel are
in the entry as they were signed, so they are said again as they were, and an audit can verify them.

What a device answers changes nothing else: no reading, no alert and no money rests on it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.batch import CareAnswer, CareCommand, CareSettings, Content
from pledgewatch_cloud.decide.book import Book
from pledgewatch_wire.care import Became

COMMANDS_KEPT = 32
OPEN_MAX = 8
TAKEN, REFUSED, DONE, POSTPONED, LEFT_ASIDE = (
    one.name.lower() for one in (Became.TAKEN, Became.REFUSED, Became.DONE, Became.POSTPONED, Became.LEFT_ASIDE)
)
NOT_IN_FORCE = frozenset({REFUSED, LEFT_ASIDE})
SAID_AGAIN = frozenset({DONE, POSTPONED})
"""To who claims anew. What was taken and never done may be what a card died of, and would be tried at each claim."""
_FINAL = frozenset({DONE, *NOT_IN_FORCE})


class CareError(ValueError):
    """What cannot be asked of a device; the sentence says why, and what to do. `is_unknown`: there is none of it."""

    def __init__(self, text: str, *, is_unknown: bool = False) -> None:
        super().__init__(text)
        self.is_unknown = is_unknown


class Said(NamedTuple):
    """What a device said of something: `became` is empty before it said anything, `result_entry` the entry with what a
    command gave, 0 where it gave nothing."""

    became: str = ""
    text: str = ""
    at_ms: int = 0
    result_entry: int = 0

    @property
    def is_final(self) -> bool:
        """Whether nothing more is expected."""
        return self.became in _FINAL


class Setting(NamedTuple):
    """What a device is to be set to, and what it said of it."""

    asked: CareSettings
    said: Said = Said()

    def is_over(self, now_ms: int) -> bool:
        """Whether it has expired: the device does not take it any more."""
        return not self.said.is_final and self.asked.until_ms <= now_ms


class Ordered(NamedTuple):
    """What a device is to do, and what it said of it."""

    asked: CareCommand
    said: Said = Said()


class DeviceCare(NamedTuple):
    """One device's. `last_version` and `last_id` were given out last."""

    last_version: int = 0
    last_id: int = 0
    setting: Setting | None = None
    commands: tuple[Ordered, ...] = ()

    def open_commands(self, now_ms: int) -> list[Ordered]:
        """The commands that wait for an answer, and have not expired."""
        return [one for one in self.commands if not one.said.is_final and one.asked.until_ms > now_ms]


Care = Mapping[str, DeviceCare]
_NONE = DeviceCare()


def asked_settings(book: Book, care: Care, asked: CareSettings, sign: Callable[[CareSettings], bytes]) -> CareSettings:
    """Settings as their entry holds them, with their version. Raises CareError."""
    installed = _installed(book, asked.device)
    version = care.get(asked.device, _NONE).last_version + 1
    numbered = asked._replace(operator=installed, version=version)
    return numbered._replace(signed=sign(numbered).hex())


def asked_command(book: Book, care: Care, asked: CareCommand, sign: Callable[[CareCommand], bytes]) -> CareCommand:
    """A command as its entry holds it, with its id. Raises CareError."""
    installed = _installed(book, asked.device)
    known = care.get(asked.device, _NONE)
    if len(known.open_commands(asked.at_ms)) >= OPEN_MAX:
        raise CareError(f"{OPEN_MAX} commands wait for {asked.device} already; wait for its answers, or for their end")
    numbered = asked._replace(operator=installed, id=known.last_id + 1)
    return numbered._replace(signed=sign(numbered).hex())


def is_news(care: Care, answer: CareAnswer) -> bool:
    """Whether a device's answer says anything new of what is known here."""
    about = _about(care.get(answer.device, _NONE), answer)
    if about is None or about.said.became == LEFT_ASIDE:
        return False
    if about.said.became == DONE:
        return answer.became == LEFT_ASIDE and bool(answer.version)
    if about.said.became == REFUSED:
        return answer.became == DONE
    if about.said.became == POSTPONED:
        return answer.became != POSTPONED
    return answer.became in _FINAL or not about.said.became


def followed(care: Care, content: Content, entry: int) -> Care:
    """What is remembered after an entry."""
    match content:
        case CareSettings() as asked:
            known = care.get(asked.device, _NONE)
            return {**care, asked.device: known._replace(last_version=asked.version, setting=Setting(asked))}
        case CareCommand() as asked:
            known = care.get(asked.device, _NONE)
            commands = (*known.commands, Ordered(asked))[-COMMANDS_KEPT:]
            return {**care, asked.device: known._replace(last_id=asked.id, commands=commands)}
        case CareAnswer() as answer:
            return _answered(care, answer, entry)
        case _:
            return care


def as_json(care: Care) -> dict[str, Any]:
    """For the state's canonical form."""
    return {device: list(one) for device, one in care.items()}


def from_json(value: Mapping[str, Any]) -> Care:
    """The inverse of as_json."""
    return {device: _device(*one) for device, one in value.items()}


def _device(last_version: int, last_id: int, setting: Any, commands: Any) -> DeviceCare:
    return DeviceCare(
        last_version,
        last_id,
        None if setting is None else Setting(CareSettings(*setting[0]), Said(*setting[1])),
        tuple(Ordered(CareCommand(*asked), Said(*said)) for asked, said in commands),
    )


def _about(known: DeviceCare, answer: CareAnswer) -> Setting | Ordered | None:
    """What an answer is about."""
    if answer.version:
        one = known.setting
        return one if one is not None and one.asked.version == answer.version else None
    return next((one for one in known.commands if one.asked.id == answer.id), None)


def _answered(care: Care, answer: CareAnswer, entry: int) -> Care:
    known = care.get(answer.device, _NONE)
    about = _about(known, answer)
    said = Said(answer.became, answer.text, answer.at_ms, entry if answer.result else 0)
    if about is None:
        return care
    if isinstance(about, Setting):
        return {**care, answer.device: known._replace(setting=about._replace(said=said))}
    commands = tuple(one._replace(said=said) if one is about else one for one in known.commands)
    return {**care, answer.device: known._replace(commands=commands)}


def _installed(book: Book, device: str) -> str:
    """The operator of a device that can be cared for. Raises CareError."""
    known = book.installations.get(device)
    if known is None or known.retired:
        raise CareError(f"there is no device {device!r} in the book, or it is retired", is_unknown=True)
    if known.gateway:
        raise CareError(f"{device} speaks through gateway {known.gateway}; set and ask that where it stands")
    return known.operator
