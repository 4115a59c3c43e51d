"""`pledgewatch-sim`: devices as bytes, the sandbox bank, the demo."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pledgewatch_sim
from pledgewatch_wire.settings import SettingsError, load


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 done, 1 found wrong, 2 cannot be done as asked."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pledgewatch-sim", description=pledgewatch_sim.__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {pledgewatch_sim.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="the main job on simulated devices, told while it happens")
    demo.add_argument("--headless", action="store_true", help="plain lines, no table")
    demo.add_argument("--seconds", type=float, default=60.0, help="how long the story takes")
    demo.add_argument("--report", type=Path, metavar="FILE", help="write what was counted as JSON")
    demo.add_argument("--folder", type=Path, metavar="FOLDER", help="keep data and logs here")
    demo.add_argument("--seed", type=int, default=1)
    demo.set_defaults(command=_demo)

    for name, help_text in (("bank", "run the sandbox financing core"), ("run", "the same as bank")):
        bank = commands.add_parser(name, help=help_text)
        bank.add_argument("--config", type=Path, required=True, metavar="FILE")
        bank.add_argument("--check", action="store_true", help="only check the configuration; needs no network")
        bank.set_defaults(command=_bank)

    play = commands.add_parser("play", help="play a recorded NMEA log over a pty")
    play.add_argument("log", type=Path, metavar="LOG")
    play.add_argument("--speed", type=float, default=1.0, help="cycles a second; 0: as fast as it is read")
    play.add_argument("--link", type=Path, help="a name for the port")
    play.add_argument("--wait", action="store_true", help="begin when somebody has opened the port")
    play.set_defaults(command=_play)
    return parser


def _demo(options: argparse.Namespace) -> int:
    try:
        from pledgewatch_sim import demo  # noqa: PLC0415 - the others need none of it

        if not demo.SHORTEST_S <= options.seconds <= demo.LONGEST_S:
            allowed = f"from {demo.SHORTEST_S} to {demo.LONGEST_S}"
            print(f"--seconds is {options.seconds:g}; the story takes {allowed}", file=sys.stderr)
            return 2
        asked = demo.DemoOptions(options.seconds, options.headless, options.report, options.folder, options.seed)
        return asyncio.run(demo.run(asked))
    except KeyboardInterrupt:  # before the demo could listen for it: nothing has been started
        return 0
    except demo.DemoError as error:
        print(error, file=sys.stderr)
        return 1


def _bank(options: argparse.Namespace) -> int:
    from pledgewatch_sim import bank  # noqa: PLC0415 - the others need none of it

    settings = load(options.config, bank.BankFile)
    if options.check:
        print(f"{options.config}: can be used")
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(bank.run(settings))
    except OSError as error:
        where = error.filename or f"{settings.bank.host}:{settings.bank.port}"
        print(f"{where} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
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
