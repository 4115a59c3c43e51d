"""`pledgewatch-edge setup`: from a board with something plugged in to readings that the cloud has committed.

Each part can be left out and done again. Nothing is asked with `--yes`, so a script can fit a fleet. The order is that
of what may fail: what is found and chosen first, then the claim, whose code works once, then the file, the service and
the test. A service that was running is stopped while its sensors are looked at, and started again however this ends
(paused.py).
"""

import argparse
import asyncio
import contextlib
import logging
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TextIO

import tomlkit

from pledgewatch_edge import config_file
from pledgewatch_edge.agent import EdgeSettings, load
from pledgewatch_edge.claim_steps import ClaimFailedError
from pledgewatch_edge.claiming import STATE_FOLDER, carry_out, is_left_behind
from pledgewatch_edge.cloud_api import CloudError
from pledgewatch_edge.config import check_files, require_name
from pledgewatch_edge.identity import StateError, make_folder, make_state_folder
from pledgewatch_edge.install import cures, draft, unit
from pledgewatch_edge.install.choosing import NOBODY, Asker, ChoiceError, Chosen, NotMeasuredError, choose
from pledgewatch_edge.install.finding import Board, Found, find, header_chip
from pledgewatch_edge.install.folding import columns_of, folded
from pledgewatch_edge.install.live import show_live
from pledgewatch_edge.install.options import SYSTEM_FOLDER, WATCH_S
from pledgewatch_edge.install.paused import paused
from pledgewatch_edge.install.self_test import in_words, passed, self_test, verdict
from pledgewatch_edge.install.values import sample_words
from pledgewatch_edge.ownership import as_owner_of
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError
from pledgewatch_edge.spool.file import whose_spool
from pledgewatch_edge.spool.reserve import room_doubt
from pledgewatch_wire.claims import ClaimError, read_claim
from pledgewatch_wire.hosts import require_host
from pledgewatch_wire.settings import SettingsError

WATCH_ASKED_S: Final = 600.0
FAILED: Final = 1
BAD_USE: Final = 2
_LINE_MAX: Final = 8_192
_SHOWN: Final = 100  # of what was said and is none
_QUESTIONS: Final = {"--broker": "broker, as HOST or HOST:PORT"}
_ADDRESS: Final = re.compile(r"(?:\[(?P<inner>[^\[\]]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?")


def run(arguments: argparse.Namespace, typed: TextIO, out: TextIO, errors: TextIO) -> int:
    """Fit a board, or test one that is fitted; returns the exit code. Raises SettingsError where the configuration
    stands against it."""
    # What the sensors and the uplink log is told in words here, or is a row of the table.
    logging.basicConfig(handlers=[logging.NullHandler()])
    try:
        if arguments.command == "self-test":
            return _tested(load(arguments.config), arguments, out)
        with _stopped_service(arguments):
            return _Setup(arguments, typed, out).run()
    except ChoiceError as error:
        errors.write(f"{folded(str(error), columns_of(errors))}\n")
        return BAD_USE
    except (
        ClaimError,
        ClaimFailedError,
        CloudError,
        NotMeasuredError,
        StateError,
        SpoolError,
        SpoolCorruptError,
        unit.UnitError,
    ) as error:
        errors.write(f"{folded(str(error), columns_of(errors))}\n")
        return FAILED


class _Identity(NamedTuple):
    """Who the device is to be: by a claim, or by name. Neither where the configuration says it."""

    claim: str | None = None
    named: dict[str, config_file.Keys] = {}  # noqa: RUF012 - nobody changes it


class _Setup:
    def __init__(self, arguments: argparse.Namespace, typed: TextIO, out: TextIO) -> None:
        self._arguments = arguments
        self._typed, self._out = typed, out
        self._asker = None if arguments.yes else Asker(typed, out)
        self._config: Path = arguments.config.absolute()
        host, port = _address(arguments.gpsd, 2_947, "--gpsd")
        state: Path | None = arguments.state_folder
        self._state = None if state is None else state.absolute()  # from where one stands, as all the others
        devices, one_wire = arguments.devices.absolute(), arguments.one_wire.absolute()
        self._board = Board(devices, one_wire, gpsd_host=host, gpsd_port=port)

    def run(self) -> int:
        """All parts in their order."""
        self._require_places()
        identity = self._identity()
        found, chosen = self._found_and_chosen()
        try:
            sections = draft.sections_of(chosen.things, chosen.contacts, header_chip(found))
        except ValueError as error:
            raise ChoiceError(str(error)) from None
        if "host" in self._arguments.without:
            del sections["host"]
        toml = draft.as_toml(sections, draft.temperatures_of(sections))
        # What stands against it is said before anything is asked, done, or spent.
        claim = read_claim(identity.claim) if identity.claim is not None else None
        merged, replace = self._merged(identity, toml), self._arguments.replace
        ahead = draft.read_ahead(self._config, merged, claim, self._state, replace=replace)
        if self._is_begun():
            unit.require_own(ahead.device.state_folder)
            unit.require_reachable(self._config, ahead.device.state_folder)
        self._require_moved(ahead)
        if claim is None:
            self._require_own_state(ahead)
            check_files(ahead, self._config)
        if self._asker is not None:
            self._out.write(f"\n{toml}\n")
            if not self._asker.confirm(f"Write that to {self._config}?"):
                self._say("nothing was written")
                return FAILED
        settings = self._written(identity, toml)
        is_ours = self._install_unit(settings)
        if self._arguments.no_self_test:
            if is_ours:
                self._begin_service()
            return 0
        self._say("\nself-test: the agent runs for a moment")
        return self._service_tested() if is_ours else _tested(settings, self._arguments, self._out)

    def _require_places(self) -> None:
        """Raise what says so where something that is to be written cannot be: who forgot sudo learns it before he is
        asked."""
        arguments, config = self._arguments, self._config
        try:
            cures.require_place(config.parent)
        except OSError as error:
            raise SettingsError(config, [_unwritten(config, error)]) from None
        is_used = arguments.claim is not None or not arguments.no_self_test or self._is_begun()
        state = self._state or draft.state_folder_of(config_file.read(config), config.parent) or STATE_FOLDER
        try:
            cures.require_place(state, is_written=is_used)
        except OSError as error:
            raise StateError(f"{state}: {_unwritten(state, error)}") from None
        if not arguments.no_unit:
            unit.require_place(arguments.unit_folder)

    def _found_and_chosen(self) -> tuple[list[Found], Chosen]:
        arguments = self._arguments
        self._say("looking for sensors (15 s where a serial line is silent)")
        found = asyncio.run(find(self._board._replace(lines_of_others=self._modbus_lines())))
        if not found:
            self._say("  none is here")
        is_terminal = self._out.isatty()
        typed = self._typed if self._asker is not None and is_terminal and self._typed.isatty() else None
        if typed is not None:
            self._say("what they say now (warm a probe in your hand to tell it from others); Enter goes on")
        seconds = arguments.watch if arguments.watch is not None else (WATCH_ASKED_S if typed else WATCH_S)
        try:
            latest = asyncio.run(show_live(found, self._out, in_place=is_terminal, seconds=seconds, typed=typed))
        except EOFError:
            raise ChoiceError(NOBODY) from None
        said = {one: sample_words(sample) for one, sample in latest.items()}
        return found, choose(found, arguments, self._asker, said)

    def _modbus_lines(self) -> frozenset[Path]:
        """The serial line that the configuration gives a Modbus device: a receiver is not looked for there."""
        section = config_file.read(self._config).unwrap().get("modbus")
        line = section.get("line") if isinstance(section, dict) else None
        try:
            return frozenset({(self._config.parent / line).resolve()} if isinstance(line, str) else ())
        except (ValueError, OSError, RuntimeError):  # no path, or a ring of links; said when it is loaded
            return frozenset()

    def _identity(self) -> _Identity:
        """Who it is to be; nothing where the configuration says so. Raises ChoiceError where nobody says it."""
        arguments = self._arguments
        device, broker = (config_file.read(self._config).unwrap().get(name, {}) for name in ("device", "broker"))
        by_hand = {"--operator": arguments.operator, "--device": arguments.device, "--broker": arguments.broker}
        given = [name for name, value in by_hand.items() if value is not None]
        if arguments.claim is not None:
            if given:
                raise ChoiceError(f"--claim says what {given[0]} would say; leave out one of them")
            text = self._claim_text(arguments.claim)
            read_claim(text)  # here and not when it is carried out, so that nobody waits to be told
            return _Identity(text)
        is_named = all(isinstance(device, dict) and device.get(key) for key in ("operator", "name", "state_folder"))
        if is_named and isinstance(broker, dict) and broker.get("host") and not given:
            return _Identity(None, self._moved())
        if not given and self._asker is not None:
            question = "The claim that the cloud printed; empty to name the device by hand\nclaim"
            if text := self._asker.ask(question, "", _claim_or_nothing):
                return _Identity(text)
            for name in by_hand:
                question = _QUESTIONS.get(name, name.removeprefix("--"))
                by_hand[name] = self._asker.ask(question, "", partial(_right, name))
        if missing := [name for name, value in by_hand.items() if value is None]:
            raise ChoiceError(f"nobody says who this device is; give --claim, or {' and '.join(missing)}")
        for name, value in by_hand.items():
            try:
                _right(name, str(value))
            except ValueError as error:
                raise ChoiceError(str(error)) from None
        host, port = _address(str(by_hand["--broker"]), 1_883, "--broker")
        moved = self._moved()
        state = self._state or Path(device.get("state_folder") or STATE_FOLDER)
        named: dict[str, config_file.Keys] = {
            "device": {
                **moved.get("device", {}),
                "operator": str(by_hand["--operator"]),
                "name": str(by_hand["--device"]),
                "state_folder": str(self._config.parent / state),
            },
            "broker": {**moved.get("broker", {}), "host": host, "port": port},
        }
        return _Identity(None, named)

    def _moved(self) -> dict[str, config_file.Keys]:
        """The state folder that an option says, and what the configuration says to be in it, where it was another."""
        if self._state is None:
            return {}
        return draft.moved(config_file.read(self._config), self._config.parent, self._state)

    def _require_own_state(self, settings: EdgeSettings) -> None:
        """Raise StateError where the state folder is another device's; SpoolError where it cannot be looked into."""
        name, folder = settings.device.name, settings.device.state_folder
        owner, _ = whose_spool(folder)
        if owner not in {"", name}:
            raise StateError(
                f"{folder} holds readings of {owner!r}, not of {name!r}; give another folder with --state-folder"
            )

    def _require_moved(self, settings: EdgeSettings) -> None:
        """Raise StateError where the state folder leaves the device's own keys behind."""
        device, folder = settings.device, settings.device.state_folder
        document = config_file.read(self._config)
        before = draft.state_folder_of(document, self._config.parent) or folder
        said = document.unwrap().get("device")
        if not isinstance(said, dict) or (said.get("operator"), said.get("name")) != (device.operator, device.name):
            return
        try:
            is_behind = is_left_behind(before, folder)
        except OSError as error:
            raise StateError(f"{error.filename}: {cures.in_words(error)}") from None
        if is_behind:
            raise StateError(
                f"{before} has the keys and readings of this device, and {folder} has no keys; move all of it there "
                f"(systemctl stop {unit.NAME}; mv {before} {folder}), then run the same again"
            )

    def _claim_text(self, text: str) -> str:
        return self._typed.readline(_LINE_MAX).strip() if text == "-" else text

    def _written(self, identity: _Identity, toml: str) -> EdgeSettings:
        """Claim the device where that is asked for, and write the configuration."""
        arguments, config = self._arguments, self._config
        try:
            make_folder(config.parent)  # which the service's user comes through
        except OSError as error:
            raise SettingsError(config, [f"its folder cannot be made: {cures.in_words(error)}"]) from None
        if identity.claim is not None:
            carry_out(
                identity.claim,
                config=config,
                state_folder=self._state,
                ca_file=arguments.ca_file,
                replace=arguments.replace,
                say=self._say,
            )
        with config_file.sole_edit(config):
            settings = draft.write(config, self._merged(identity, toml))  # with the file as it is by now
        self._say(f"{config}: written, can be used")
        if doubt := room_doubt(settings.device.state_folder, settings.spool.max_mib):
            self._say(f"{config}: {doubt}")
        return settings

    def _merged(self, identity: _Identity, toml: str) -> tomlkit.TOMLDocument:
        """The configuration with what was chosen. What the inviter has set for all of a fleet comes before what set-up
        sets for any device."""
        replace = self._arguments.replace
        keeps_defaults = not replace or identity.claim is not None
        return draft.merged(self._config, toml, identity.named, replace=replace, keeps_defaults=keeps_defaults)

    def _install_unit(self, settings: EdgeSettings) -> bool:
        """Install the service; whether it is one that this machine's systemd starts."""
        arguments, folder = self._arguments, settings.device.state_folder
        if arguments.no_unit:
            return False
        text = unit.unit_text(_program(), self._config, folder.absolute(), unit.groups_here())
        is_new = unit.install(arguments.unit_folder, text, replace=arguments.replace)
        self._say(f"{arguments.unit_folder / unit.NAME}: {'written' if is_new else 'is as it should be'}")
        if not self._is_begun():
            is_there = arguments.unit_folder == SYSTEM_FOLDER
            why = "no systemd runs here" if is_there else f"systemd starts what is in {SYSTEM_FOLDER}"
            self._say(f"the service was not started: {why}")
            return False
        unit.make_user()
        make_state_folder(folder)
        unit.give_away(folder)
        unit.systemctl("daemon-reload")
        unit.systemctl("enable", unit.NAME)
        return True

    def _is_begun(self) -> bool:
        """Whether the service is installed where systemd here starts it."""
        return not self._arguments.no_unit and unit.is_of_this_machine(self._arguments.unit_folder)

    def _service_tested(self) -> int:
        """The self-test as the user of the service: what he may not open is found now. Then the service begins."""
        command = [*_program(), "self-test", "--config", str(self._config), "--seconds", str(self._arguments.seconds)]
        self._out.flush()
        try:
            code = subprocess.run(  # noqa: S603 - our own program
                command, user=unit.USER, group=unit.USER, extra_groups=unit.groups_here(), cwd="/", check=False
            ).returncode
        except OSError as error:
            where = Path(sys.prefix)
            raise unit.UnitError(
                f"the user {unit.USER} cannot run {command[0]}: {error.strerror}; let others read it: "
                f"chmod -R a+rX {where}"
            ) from None
        self._begin_service()
        return FAILED if code else 0

    def _begin_service(self) -> None:
        unit.systemctl("restart", unit.NAME)
        self._say(f"the service runs; its log: journalctl -u {unit.NAME.removesuffix('.service')}")

    def _say(self, line: str) -> None:
        self._out.write(f"{folded(line, columns_of(self._out))}\n")
        self._out.flush()


def _tested(settings: EdgeSettings, arguments: argparse.Namespace, out: TextIO) -> int:
    """The self-test, for root as the user whose the state folder is: what he may not open is found now. Raises
    SettingsError, StateError."""
    device = settings.device
    with as_owner_of([device.state_folder], [arguments.config]):
        check_files(settings, arguments.config)
        steps = asyncio.run(self_test(settings, arguments.seconds))
    columns = columns_of(out)
    out.write("".join(f"{line}\n" for line in in_words(steps, columns)))
    out.write(f"{folded(f'{device.name} of {device.operator} {verdict(steps)}', columns)}\n")
    return 0 if passed(steps) else FAILED


@contextlib.contextmanager
def _stopped_service(arguments: argparse.Namespace) -> Iterator[None]:
    """Without the service, where one is running: it holds its sensors and its state folder."""
    if arguments.no_unit or not unit.is_of_this_machine(arguments.unit_folder) or not unit.is_up():
        yield
        return
    with paused():
        yield


def _program() -> Sequence[str]:
    """How this program is started: by its own name, where it is installed under one."""
    script = Path(sys.executable).with_name("pledgewatch-edge")
    return [str(script)] if script.exists() else [sys.executable, "-m", "pledgewatch_edge"]


def _unwritten(place: Path, error: OSError) -> str:
    where = "" if error.filename == str(place) else f", for {error.filename}"
    return f"cannot be written{where}: {cures.in_words(error)}"


def _claim_or_nothing(text: str) -> str:
    """A claim as it was said; empty where nothing was. Raises ClaimError."""
    if text:
        read_claim(text)
    return text


def _right(option: str, text: str) -> str:
    """What an option about the device says, as it was said. Raises ValueError where it cannot be that."""
    if not text:
        raise ValueError(f"{option.removeprefix('--')} cannot be empty")
    if option == "--broker":
        _address(text, 1_883, option)
    else:
        require_name(option, text)
    return text


def _address(text: str, port: int, option: str) -> tuple[str, int]:
    """Host and port of `HOST[:PORT]`. Raises ChoiceError."""
    found = _ADDRESS.fullmatch(text)
    number = int(found["port"] or port) if found else 0
    if found is None or not 1 <= number <= 65_535 or (found["inner"] is not None and ":" not in found["inner"]):
        brackets = ", with an address of IPv6 in brackets, such as [fd00::1]:1883" if text.count(":") > 1 else ""
        raise ChoiceError(f"{option} {text[:_SHOWN]!r} is no HOST:PORT{brackets}")
    host: str = found["inner"] or found["name"]
    try:
        require_host(option, host)
    except ValueError as error:
        raise ChoiceError(str(error)) from None
    return host, number
