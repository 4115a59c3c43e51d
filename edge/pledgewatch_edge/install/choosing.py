"""Which of the things that were found are this device's: asked on the terminal, or taken from the options.

What an option says is not asked. With `--yes` nothing is: what is measured and not said otherwise is taken, a receiver
on a serial line before gpsd, of several the first. Contacts cannot be found, so without a word there are none.

What is there and cannot be measured (a receiver that is plugged in and silent, a bus that hangs) is not left out by
itself: somebody says that it is to be, or nothing is done.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TextIO, TypeVar

from pledgewatch_edge.install.draft import contact
from pledgewatch_edge.install.finding import Found, header_chip
from pledgewatch_edge.install.folding import COLUMNS_LEAST, STAYS, columns_of, folded, kept

NONE: Final = "none"
NOBODY: Final = "nobody answers; run this in a terminal, or with --yes and what it should choose"
RECEIVERS: Final = ("gps", "gpsd")
CHIPS: Final = ("sht3x", "adxl345")
WHERE_CURED: Final = 'docs/INSTALL.md, "What is missing"'
T = TypeVar("T")


class ChoiceError(ValueError):
    """What was said cannot be chosen; the text says why, and what to say."""


class NotMeasuredError(Exception):
    """Something is there and cannot be measured, and nobody has said to leave it out; the text says what, and the
    cure."""


class Chosen(NamedTuple):
    """What the device has: things that were found, and contacts by their line."""

    things: list[Found]
    contacts: Mapping[int, str]


class Asker:
    """Asks on a terminal until the answer can be used."""

    def __init__(self, typed: TextIO, out: TextIO) -> None:
        self._typed, self._out = typed, out

    def ask(self, question: str, default: str, use: Callable[[str], T]) -> T:
        """What `use` makes of the answer; where it raises ValueError that is said, and asked again. Raises ChoiceError
        where nobody answers any more."""
        while True:
            asked = f"{question} [{default}]:" if default else f"{question}:"
            self._out.write(f"{folded(asked, columns_of(self._out))} ")
            self._out.flush()
            line = self._typed.readline(8_192)
            if not line:
                raise ChoiceError(NOBODY)
            try:
                return use(line.strip() or default)
            except ValueError as error:
                self._out.write(f"{folded(str(error), columns_of(self._out))}\n")

    def confirm(self, question: str) -> bool:
        """Whether the answer is yes."""
        return self.ask(question, "yes", _yes_or_no)


def choose(
    found: Sequence[Found], arguments: argparse.Namespace, asker: Asker | None, said: Mapping[Found, str]
) -> Chosen:
    """What is chosen of what was found; `asker` None asks nobody. `said` is what each said last, by which somebody
    tells things of a kind apart. Raises ChoiceError, and NotMeasuredError."""
    measured = [one for one in found if one.settings is not None and one.section not in arguments.without]
    receivers = [one for section in RECEIVERS for one in measured if one.section == section]
    probes = [one for one in measured if one.section == "onewire"]
    _leave_out(_silent(found, arguments, has_receiver=bool(receivers)), asker)
    things = [*_receiver(receivers, arguments, asker, said), *_probes(probes, arguments, asker, said)]
    for section in CHIPS:
        things += _chip([one for one in measured if one.section == section], asker)
    return Chosen(things, _contacts(arguments, asker, header_chip(found)))


def _silent(
    found: Sequence[Found], arguments: argparse.Namespace, *, has_receiver: bool
) -> Iterator[tuple[Found, str]]:
    """What is there, may be the device's and cannot be measured, each with the options that leave it out. One receiver
    is enough: beside it another line may be silent."""
    for one in found:
        if one.settings is not None:
            continue
        if one.section == "gps" and arguments.gps is None and not has_receiver and "gps" not in arguments.without:
            yield one, f"--gps {NONE}"
        elif one.section in CHIPS and (left := [name for name in CHIPS if name not in arguments.without]):
            yield one, " ".join(f"--without {name}" for name in left)


def _leave_out(silent: Iterable[tuple[Found, str]], asker: Asker | None) -> None:
    """Raise NotMeasuredError where something is not to be left out, or nobody says so."""
    for one, options in silent:
        if asker is None:
            raise NotMeasuredError(
                f"{one.place}: {one.note}; nothing was written. The cure is in {WHERE_CURED}; {options} leaves it out"
            )
        if not asker.ask(f"{one.place}: {one.note}\nGo on without it, yes or no?", "", _yes_or_no):
            raise NotMeasuredError(f"nothing was written; the cure is in {WHERE_CURED}")


def _receiver(
    receivers: Sequence[Found], arguments: argparse.Namespace, asker: Asker | None, said: Mapping[Found, str]
) -> list[Found]:
    if arguments.gps == NONE:
        return []
    if arguments.gps is not None:
        right = [one for one in receivers if arguments.gps == one.place]
        if not right:
            heard = ", ".join(one.place for one in receivers) or "none at all"
            raise ChoiceError(f"--gps {arguments.gps}: no receiver is heard there; heard were {heard}")
        return right
    if asker is None or not receivers:
        return list(receivers[:1])
    about = "Which receiver tells where this is? Beside each is what it said last; 0 for none"
    question = "\n".join([about, *_numbered(receivers, said), "receiver"])
    number = asker.ask(question, "1", lambda text: _number(text, len(receivers), least=0))
    return [receivers[number - 1]] if number else []


def _probes(
    probes: Sequence[Found], arguments: argparse.Namespace, asker: Asker | None, said: Mapping[Found, str]
) -> list[Found]:
    by_place = {one.place: one for one in probes}
    if arguments.probes is not None:
        names = [name for name in arguments.probes if name != NONE]
        if missing := [name for name in names if name not in by_place]:
            there = ", ".join(by_place) or "none at all"
            raise ChoiceError(f"--probes {missing[0]}: no such probe is here; here are {there}")
        return [by_place[name] for name in names]
    if asker is None or not probes:
        return list(probes)
    about = "Which probes, in the order of their channels? Beside each is what it said last; 0 for none"
    order = " ".join(str(number) for number in range(1, len(probes) + 1))
    numbers = asker.ask(
        "\n".join([about, *_numbered(probes, said), "probes"]), order, lambda text: _order(text, len(probes))
    )
    return [probes[number - 1] for number in numbers]


def _numbered(things: Sequence[Found], said: Mapping[Found, str]) -> list[str]:
    """Things with numbers, places, and what each said, as lines that can be folded."""
    return [
        f"  {number}{STAYS}{one.place}  {kept(said.get(one, ''), COLUMNS_LEAST)}".rstrip()
        for number, one in enumerate(things, 1)
    ]


def _chip(chips: Sequence[Found], asker: Asker | None) -> list[Found]:
    for one in chips:
        if asker is None or asker.confirm(f"Use the {one.section} at {one.place}?"):
            return [one]
    return []


def _contacts(arguments: argparse.Namespace, asker: Asker | None, chip: Found | None) -> Mapping[int, str]:
    if arguments.contacts is None and asker is not None:
        if chip is None:  # a contact is at one's line
            return {}
        about = "Contacts on GPIO lines, as LINE=CHANNEL with blanks between, such as 17=door_open 27=light_present"
        return asker.ask(f"{about}; {NONE} for none\ncontacts", NONE, lambda text: _pairs(text.split(), chip))
    try:
        return _pairs(arguments.contacts or [], chip)
    except ValueError as error:
        raise ChoiceError(f"--contacts: {error}") from None


def _pairs(words: Sequence[str], chip: Found | None) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for line, channel in (contact(word) for word in words if word != NONE):
        if line in found:
            raise ValueError(f"line {line} is named twice, as {found[line]} and as {channel}; name each line once")
        if channel in found.values():
            raise ValueError(f"{channel} is named twice; give each contact a channel of its own")
        if chip is not None and chip.lines is not None and line >= chip.lines:
            raise ValueError(f"line {line} is not there; {chip.place} has lines 0 to {chip.lines - 1}")
        found[line] = channel
    if found and chip is None:
        raise ValueError("contacts need a GPIO chip, and none is here; leave them out")
    return found


def _number(text: str, most: int, *, least: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"{text!r} is none of them; say a number from {least} to {most}")
    return int(text)


def _order(text: str, most: int) -> list[int]:
    if text == "0":
        return []
    numbers = [_number(word, most, least=1) for word in text.split()]
    if len(set(numbers)) < len(numbers):
        raise ValueError("one is named twice; name each once")
    return numbers


def _yes_or_no(text: str) -> bool:
    if text.lower() not in {"y", "yes", "n", "no"}:
        raise ValueError(f"{text!r} is neither; say yes or no")
    return text.lower().startswith("y")
