"""`pledgewatch-sim`: devices as bytes, the sandbox bank, a login provider, the demo."""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pledgewatch_sim
from pledgewatch_wire.piped import piped
from pledgewatch_wire.settings import SettingsError, load
from pledgewatch_wire.topics import is_name


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 done, 1 found wrong, 2 cannot be done as asked."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return piped(lambda: command(options))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pledgewatch-sim", description=pledgewatch_sim.__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {pledgewatch_sim.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="the main job on simulated devices, told while it happens")
    demo.add_argument("--headless", action="store_true", help="plain lines, no browser; ends when all is told")
    demo.add_argument("--seconds", type=_number(20, 86_400), default=120.0, help="how long the story takes")
    demo.add_argument("--report", type=Path, metavar="FILE", help="write what was counted as JSON")
    demo.add_argument("--folder", type=Path, metavar="FOLDER", help="keep data and logs here")
    demo.add_argument("--seed", type=int, default=1)
    demo.add_argument("--login", action="store_true", help="people of every role log in at the console")
    demo.set_defaults(command=_demo)

    for name, help_text in (("bank", "run the sandbox financing core"), ("run", "the same as bank")):
        bank = commands.add_parser(name, help=help_text)
        bank.add_argument("--config", type=Path, required=True, metavar="FILE")
        bank.add_argument("--check", action="store_true", help="only check the configuration; needs no network")
        bank.set_defaults(command=_bank)

    issuer = commands.add_parser("issuer", help="run a login provider for development, on this machine alone")
    issuer.add_argument("--config", type=Path, required=True, metavar="FILE")
    issuer.add_argument("--check", action="store_true", help="only check the configuration; needs no network")
    issuer.set_defaults(command=_issuer)

    fleet = commands.add_parser("fleet", help="publish valid, signed traffic of many devices at a given rate")
    devices, days, rate = _whole(1, 10_000_000), _number(0, 3_650), _number(0, 1e7)
    fleet.add_argument("--devices", type=devices, required=True, metavar="N")
    fleet.add_argument("--rate", type=rate, default=0.0, metavar="R", help="live messages a second; 0: what goes")
    fleet.add_argument("--seconds", type=_number(0, 1e6), default=60.0, metavar="S", help="of live messages, at --rate")
    fleet.add_argument("--rounds", type=_whole(0, 1_000_000), help="instead of --seconds: live messages of each device")
    fleet.add_argument("--backlog", type=days, default=0.0, metavar="DAYS", help="of readings kept before, sent first")
    fleet.add_argument("--first", type=_whole(0, 2**60), default=0, metavar="NUMBER", help="of the first device")
    fleet.add_argument("--epoch", type=_whole(1, 2**53), default=1, help="raise it to run the same devices again")
    fleet.add_argument("--host", default="127.0.0.1")
    fleet.add_argument("--port", type=_whole(1, 65_535), default=1883)
    fleet.add_argument("--report", type=Path, metavar="FILE", help="write what was measured as JSON")
    fleet.add_argument("--book", type=Path, metavar="FILE", help="only write the book that knows the devices")
    fleet.add_argument("--fences", type=_whole(0, 1_000_000), default=100, metavar="N", help="in that book")
    fleet.set_defaults(command=_fleet)

    _add_warehouse(commands)

    site = commands.add_parser("site", help="a warehouse and the real gateway that measures it, in one program")
    site.add_argument("--config", type=Path, required=True, metavar="FILE")
    instead = site.add_mutually_exclusive_group()
    instead.add_argument("--check", action="store_true", help="only check the configuration; needs no network")
    instead.add_argument("--book", type=Path, metavar="FILE", help="only write the book that knows its devices (JSON)")
    site.set_defaults(command=_site)

    _add_scenario(commands)

    _add_devices(commands)
    return parser


def _add_devices(commands: Any) -> None:
    board = commands.add_parser("board", help="a receiver, probes and a controller, to practise set-up on")
    board.add_argument("folder", type=Path, metavar="FOLDER", help="where its devices are to be")
    board.add_argument("--has-gpsd", action="store_true", help="its receiver is behind gpsd, and not on a line")
    board.set_defaults(command=_board)

    play = commands.add_parser("play", help="play a recorded NMEA log over a pty")
    play.add_argument("log", type=Path, metavar="LOG")
    play.add_argument("--speed", type=_number(0, 1e6), default=1.0, help="cycles a second; 0: as fast as it is read")
    play.add_argument("--link", type=Path, help="a name for the port")
    play.add_argument("--wait", action="store_true", help="begin when somebody has opened the port")
    play.set_defaults(command=_play)


def _add_scenario(commands: Any) -> None:
    scenario = commands.add_parser(
        "scenario", help="play what happens to one container, a file, and see what came of it"
    )
    scenario.add_argument("story", metavar="FILE", nargs="?", help="a file, or the name of one that comes with this")
    scenario.add_argument("--list", action="store_true", help="only name those that come with this")
    scenario.add_argument("--check", action="store_true", help="only check the file")
    scenario.add_argument("--folder", type=Path, metavar="FOLDER", help="keep data and logs here, an empty folder")
    scenario.set_defaults(command=_scenario)


def _add_warehouse(commands: Any) -> None:
    warehouse = commands.add_parser("warehouse", help="a warehouse: its people, sensors and stock system")
    warehouse.add_argument("--folder", type=Path, required=True, metavar="FOLDER", help="for all that it leaves")
    warehouse.add_argument("--name", type=_name, default="la-3", help="what it is called (%(default)s)")
    warehouse.add_argument("--seed", type=_whole(0, 2**31), default=1)
    warehouse.add_argument("--days", type=_whole(1, 365), default=7, help="of the whole story")
    warehouse.add_argument("--past-days", type=_whole(0, 365), help="of it, before today (all but one)")
    warehouse.add_argument("--speed", type=_number(0, 1e9), default=0.0, help="of the days before now; 0: at once")
    warehouse.add_argument(
        "--sales", metavar="FILE", help="a table as UCI Online Retail, or dice (../shared/data/retail-uci, else dice)"
    )
    warehouse.add_argument("--broker", type=_whole(1, 65_535), metavar="PORT", help="of the LAN's broker here (none)")
    warehouse.add_argument("--wms-port", type=_whole(0, 65_535), default=0, help="of the stock system (any)")
    warehouse.add_argument("--modbus-port", type=_whole(0, 65_535), default=0, help="of the Modbus converter (any)")
    warehouse.add_argument("--token-file", type=Path, metavar="FILE", help="who asks the stock system bears its token")
    warehouse.add_argument("--every", type=_number(0.1, 3_600), default=10.0, metavar="S", help="each sensor speaks")
    warehouse.add_argument("--grace", type=_whole(0, 86_400), default=900, metavar="S", help="in the book's part")
    for kind in ("missed-scans", "double-imports", "thefts", "wrong-bins", "dead-sensors"):
        warehouse.add_argument(f"--{kind}", type=_whole(0, 1_000), default=0, metavar="N")
    warehouse.set_defaults(command=_warehouse)


def _name(text: str) -> str:
    """What a device may be called, which its zones' devices begin with."""
    if not is_name(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name; use small letters, digits and hyphens")
    return text


def _whole(low: int, high: int) -> Callable[[str], int]:
    """What argparse reads a whole number with."""

    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low} to {high}")
        return value

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    """What argparse reads a number with; nan is within no bounds."""

    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return read


def _demo(options: argparse.Namespace) -> int:
    try:
        from pledgewatch_sim.demo import program, troupe  # noqa: PLC0415 - the others need none of it

        asked = program.DemoOptions(
            options.seconds, options.headless, options.report, options.folder, options.seed, options.login
        )
        return asyncio.run(program.run(asked))
    except KeyboardInterrupt:  # before the demo could listen for it: nothing has been started
        return 0
    except troupe.DemoError as error:
        print(error, file=sys.stderr)
        return 1


def _bank(options: argparse.Namespace) -> int:
    from pledgewatch_sim.bank import program  # noqa: PLC0415 - the others need none of it
    from pledgewatch_sim.bank.settings import BankFile  # noqa: PLC0415

    settings = load(options.config, BankFile)
    return _served(options, f"{settings.bank.host}:{settings.bank.port}", lambda: program.run(settings))


def _issuer(options: argparse.Namespace) -> int:
    from pledgewatch_sim.issuer import program  # noqa: PLC0415 - the others need none of it
    from pledgewatch_sim.issuer.settings import IssuerFile  # noqa: PLC0415

    settings = load(options.config, IssuerFile)
    return _served(options, f"{settings.issuer.host}:{settings.issuer.port}", lambda: program.run(settings))


def _served(options: argparse.Namespace, address: str, run: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a server whose file could be read, or only say so."""
    if options.check:
        print(f"{options.config}: can be used")
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(run())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename or address} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _fleet(options: argparse.Namespace) -> int:
    from pledgewatch_sim import fleet_command  # noqa: PLC0415 - the others need none of it
    from pledgewatch_sim.publisher import PublishError  # noqa: PLC0415

    try:
        return fleet_command.run(options)
    except (PublishError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename or f"{options.host}:{options.port}"
        print(f"{where} cannot be used: {error.strerror or error}", file=sys.stderr)
        return 2


def _warehouse(options: argparse.Namespace) -> int:
    from pledgewatch_sim.bank.settings import read_token  # noqa: PLC0415 - the others need none of it
    from pledgewatch_sim.warehouse import program, sales  # noqa: PLC0415
    from pledgewatch_sim.warehouse.truth import Kind  # noqa: PLC0415

    try:
        asked = program.WarehouseOptions(
            folder=options.folder.resolve(),
            seed=options.seed,
            days=options.days,
            past_days=options.days - 1 if options.past_days is None else options.past_days,
            speed=options.speed,
            sales=sales.asked_for(options.sales),
            mishaps={kind: getattr(options, f"{kind}s") for kind in Kind},
            broker_port=options.broker,
            wms_port=options.wms_port,
            modbus_port=options.modbus_port,
            token=read_token(options.token_file) or "",
            every_s=options.every,
            grace_s=options.grace,
            name=options.name,
        )
        asyncio.run(program.run(asked))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename or 'an address'} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _site(options: argparse.Namespace) -> int:
    from pledgewatch_sim import site  # noqa: PLC0415 - the others need none of it

    settings = site.load_site(options.config)
    try:
        if options.check:
            asyncio.run(site.check(settings))
            print(f"{options.config}: can be used")
        elif options.book is not None:
            options.book.write_text(json.dumps(site.book(settings), indent=1) + "\n", encoding="utf-8")
        else:
            asyncio.run(site.run(settings))
    except site.SiteError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'an address'} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _scenario(options: argparse.Namespace) -> int:
    from pledgewatch_sim.scenario import script  # noqa: PLC0415 - the others need none of it
    from pledgewatch_sim.scenario.program import (  # noqa: PLC0415
        ScenarioError,
        complaint_of_further,
        play,
        room,
    )

    if options.list or options.story is None:
        for name in script.names():
            print(f"{name}: {script.read(name).about}")
        return 0
    scenario = script.read(options.story)
    if complaint := asyncio.run(complaint_of_further(scenario)):
        errors = [f"[fitted] further is refused by the agent: {one}" for one in complaint.splitlines()]
        raise SettingsError(Path(options.story), errors)
    if options.check:
        print(f"{options.story}: can be played")
        return 0
    try:
        with room(options.folder) as (folder, wrong):
            account = asyncio.run(play(scenario, folder))
            wrong[:] = account.wrong
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'an address'} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    print(account.as_json())
    for one in account.wrong:
        print(one, file=sys.stderr)
    return 1 if account.wrong else 0


def _board(options: argparse.Namespace) -> int:
    from pledgewatch_sim.board import play  # noqa: PLC0415 - the others need none of it

    async def played() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):  # also where a shell has this program ignore Ctrl-C
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await play(options.folder.absolute(), lambda said: print(said, flush=True), has_gpsd=options.has_gpsd)
        except* OSError as errors:
            raise errors.exceptions[0] from None

    try:
        asyncio.run(played())
    except OSError as error:
        print(f"{error.filename or options.folder} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 0
    return 0


def _play(options: argparse.Namespace) -> int:
    from pledgewatch_sim.play import play  # noqa: PLC0415 - the others need none of it
    from pledgewatch_sim.pty_port import PtyPort  # noqa: PLC0415

    async def played() -> int:
        async with PtyPort(options.link) as port:
            print(port.path, flush=True)
            if options.wait:
                await port.wait_for_reader()
            sent = await play(options.log, port, speed=options.speed)
        print(f"{sent} bytes", file=sys.stderr)
        return 0

    try:
        return asyncio.run(played())
    except OSError as error:
        print(f"{error.filename or options.log} cannot be played: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
