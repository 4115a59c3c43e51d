"""The options of `setup` and `self-test`. What carries them out is imported when it is run: no agent needs it."""

import argparse
from pathlib import Path
from typing import Final

CONFIG: Final = Path("/etc/pledgewatch/edge.toml")
SYSTEM_FOLDER: Final = Path("/etc/systemd/system")
WATCH_S: Final = 5.0
SELF_TEST_S: Final = 60.0
SECONDS_MAX: Final = 86_400.0


def seconds(text: str) -> float:
    """So many seconds. Raises ValueError."""
    found = float(text)
    if not 0.0 <= found <= SECONDS_MAX:  # nor is it for what is no number
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is out of range; use 0 to {SECONDS_MAX:g}")
    return found


def place(text: str) -> Path:
    """A file or folder that a configuration can name. Raises argparse.ArgumentTypeError."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            f"{text!a} is not UTF-8, which a configuration is; choose another name"
        ) from None
    return Path(text)


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add setup and self-test to a parser's commands."""
    setup = commands.add_parser(
        "setup", help="find sensors, show what they say, write the configuration, install the service, test all of it"
    )
    setup.add_argument("--config", type=place, default=CONFIG, metavar="FILE", help=f"the configuration ({CONFIG})")
    setup.add_argument("--yes", action="store_true", help="ask nothing: take what is measured, and what options say")
    setup.add_argument("--replace", action="store_true", help="also where configuration or service say something else")
    who = setup.add_argument_group("who the device is, where the configuration does not say it yet")
    who.add_argument("--claim", nargs="?", const="-", metavar="CLAIM", help="what the cloud printed; - reads a line")
    who.add_argument("--ca-file", type=place, metavar="FILE", help="the cloud's CA, where its server does not show it")
    who.add_argument("--operator", metavar="NAME", help="without a claim: whose device it is")
    who.add_argument("--device", metavar="NAME", help="without a claim: its name")
    who.add_argument("--broker", metavar="HOST[:PORT]", help="without a claim: where the broker is")
    who.add_argument("--state-folder", type=place, metavar="FOLDER", help="keys and readings (/var/lib/pledgewatch)")
    what = setup.add_argument_group("what it has")
    what.add_argument("--gps", metavar="PORT", help="the serial line of its receiver, gpsd's HOST:PORT, or none")
    what.add_argument("--probes", nargs="*", metavar="ID", help="its one-wire probes in the order of their channels")
    what.add_argument("--contacts", nargs="*", metavar="LINE=CHANNEL", help="its contacts, such as 17=door_open")
    what.add_argument(
        "--without", action="append", default=[], metavar="SECTION", help="what is here and is not its, such as sht3x"
    )
    what.add_argument("--watch", type=seconds, metavar="SECONDS", help=f"how long values are shown ({WATCH_S:g})")
    where = setup.add_argument_group("where things are")
    where.add_argument("--devices", type=place, default=Path("/dev"), metavar="FOLDER", help="the devices (/dev)")
    where.add_argument(
        "--one-wire", type=place, default=Path("/sys/bus/w1/devices"), metavar="FOLDER", help="the kernel's tree"
    )
    where.add_argument("--gpsd", default="127.0.0.1:2947", metavar="HOST:PORT", help="gpsd (127.0.0.1:2947)")
    where.add_argument(
        "--unit-folder",
        type=place,
        default=SYSTEM_FOLDER,
        metavar="FOLDER",
        help=f"where the service is put; only in {SYSTEM_FOLDER} is it started",
    )
    where.add_argument("--no-unit", action="store_true", help="install no service")
    where.add_argument("--no-self-test", action="store_true", help="begin the service without a self-test")
    test = commands.add_parser("self-test", help="run the agent for a moment and tell each step up to the cloud's word")
    test.add_argument("--config", type=place, default=CONFIG, metavar="FILE", help=f"the configuration ({CONFIG})")
    for one in (setup, test):
        one.add_argument(
            "--seconds",
            type=seconds,
            default=SELF_TEST_S,
            metavar="N",
            help=f"how long the self-test may take ({SELF_TEST_S:g})",
        )
