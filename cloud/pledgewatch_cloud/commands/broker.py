"""`pledgewatch-cloud broker`: the embedded MQTT broker without the service; Mosquitto's files, made of the book."""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pledgewatch_cloud.commands.options import Commands, add_config, settings_in, state_of
from pledgewatch_cloud.decide.items.assets import Installation
from pledgewatch_cloud.logs import log_to_stderr
from pledgewatch_cloud.mosquitto import (
    CLOUD_USER,
    MEMORY_BOUNDS_MB,
    MEMORY_MB,
    AclError,
    DevicesListener,
    Listener,
    acl_of,
    configuration_of,
    replace,
)
from pledgewatch_wire.topics import is_name


def add(commands: Commands) -> None:
    """The command's options."""
    broker = commands.add_parser("broker", help="run the embedded MQTT broker alone; make Mosquitto's files")
    acts = broker.add_subparsers(required=True, metavar="ACT")

    run = acts.add_parser("run", help="run the embedded MQTT broker alone")
    add_config(run)
    run.set_defaults(command=_run)

    acl = acts.add_parser("acl", help="Mosquitto's access list, made of the book's installations")
    source = acl.add_mutually_exclusive_group(required=True)
    source.add_argument("--book", type=Path, action="append", metavar="FILE", help="the book; again for further files")
    source.add_argument("--data", type=Path, metavar="FOLDER", help="the book in a service's data_folder")
    acl.add_argument("--cloud", type=_user, default=CLOUD_USER, metavar="NAME", help="the cloud's user (%(default)s)")
    acl.add_argument("--health", type=_user, metavar="NAME", help="who may read the broker's uptime")
    _add_output(acl)
    acl.set_defaults(command=_acl)

    conf = acts.add_parser("conf", help="Mosquitto's configuration: TLS, client certificates, the access list")
    conf.add_argument("--port", type=_port, default=8_883, help="where it listens (%(default)s)")
    for name, default, text in (
        ("ca-file", "/mosquitto/config/ca.pem", "whose certificates are taken"),
        ("certificate-file", "/mosquitto/config/server.pem", "the broker's certificate"),
        ("key-file", "/mosquitto/config/server.key", "the key that belongs to it"),
        ("acl-file", "/mosquitto/config/acl", "what `broker acl` writes"),
        ("persistence-folder", "/mosquitto/data", "where it keeps sessions"),
    ):
        conf.add_argument(f"--{name}", type=_path, default=_path(default), help=f"{text} (%(default)s)", metavar="PATH")
    conf.add_argument("--crl-file", type=_path, metavar="PATH", help="certificates that are taken no more")
    conf.add_argument("--pid-file", type=_path, metavar="PATH", help="where it notes its process, for [devices]")
    conf.add_argument("--devices-port", type=_port, metavar="PORT", help="where devices are let in, and nobody else")
    conf.add_argument("--devices-ca-file", type=_path, metavar="PATH", help="whose certificates devices have")
    conf.add_argument("--devices-crl-file", type=_path, metavar="PATH", help="those of devices that are taken no more")
    conf.add_argument("--memory-mb", type=_memory, default=MEMORY_MB, help="what it may fill, in MiB (%(default)s)")
    _add_output(conf)
    conf.set_defaults(command=_conf)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it there, whole or not at all (print it)")


def _user(text: str) -> str:
    if not is_name(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no user; use 1 to 64 lower-case letters, digits and hyphens")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 65535")
    return int(text)


def _memory(text: str) -> int:
    least, most = MEMORY_BOUNDS_MB
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text} is not from {least} to {most}")
    return int(text)


def _path(text: str) -> PurePosixPath:
    """A path of Mosquitto's. It reads to the end of a line, so a line break would begin another setting."""
    if not text.isprintable() or not PurePosixPath(text).is_absolute():
        raise argparse.ArgumentTypeError(f"{text!r} is no absolute path on one line")
    return PurePosixPath(text)


def _run(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.broker import run_alone

    settings = settings_in(options)
    log_to_stderr(settings.service.log_format)
    host, port = settings.broker.host, settings.broker.port
    try:
        asyncio.run(run_alone(host, port, settings.broker.accounts_file))
    except OSError as error:
        print(f"{error.filename or f'{host}:{port}'} cannot be used: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def _acl(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.book_at_start import BookFileError

    try:
        text = acl_of(_speakers(options), cloud=options.cloud, health=options.health or "")
        return _told(text, options.output)
    except (AclError, BookFileError) as error:
        print(error, file=sys.stderr)
        return 2


def _speakers(options: argparse.Namespace) -> Iterable[Installation]:
    """Whom the broker is to hear: of a service's data without those whose identity was taken away. Raises
    BookFileError, StoreError, DamagedError."""
    from pledgewatch_cloud.book_at_start import book_of

    if options.data is None:
        return book_of(tuple(options.book)).installations.values()
    state = state_of(options.data)
    return state.identities.speakers(state.book.installations.values(), time.time_ns() // 1_000_000)


def _conf(options: argparse.Namespace) -> int:
    try:
        devices = _devices(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    listener = Listener(
        port=options.port,
        ca_file=options.ca_file,
        certificate_file=options.certificate_file,
        key_file=options.key_file,
        acl_file=options.acl_file,
        data_folder=options.persistence_folder,
        crl_file=options.crl_file,
        devices=devices,
        pid_file=options.pid_file,
        memory_mb=options.memory_mb,
    )
    return _told(configuration_of(listener), options.output)


def _devices(options: argparse.Namespace) -> DevicesListener | None:
    """The listener of devices; None for none. Raises ValueError where what is said of it would not hold them apart."""
    port, ca_file, crl_file = options.devices_port, options.devices_ca_file, options.devices_crl_file
    if port is None and ca_file is None and crl_file is None:
        return None
    if port is None or ca_file is None:
        raise ValueError("a listener of devices needs --devices-port and --devices-ca-file")
    if port == options.port:
        raise ValueError(f"--devices-port is {port} like --port; devices need a listener of their own")
    if ca_file == options.ca_file:
        text = "so they would be let in at the other listener too"
        raise ValueError(
            f"--devices-ca-file is {ca_file} like --ca-file, {text}; give devices an authority of their own"
        )
    return DevicesListener(port=port, ca_file=ca_file, crl_file=crl_file)


def _told(text: str, output: Path | None) -> int:
    """Print it, or put it there by rename: a broker that reads it again meanwhile must not read half of it."""
    if output is None:
        print(text, end="")
        return 0
    try:
        replace(output, text.encode())
    except OSError as error:
        print(f"{output} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return 0
