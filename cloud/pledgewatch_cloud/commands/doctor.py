"""`pledgewatch-cloud doctor`: whether there is what the service needs. Exit code 1 where something is not well."""

import argparse
import asyncio

from pledgewatch_cloud.commands.options import Commands, add_config, settings_in


def add(commands: Commands) -> None:
    """The command's options."""
    doctor = commands.add_parser("doctor", help="examine what the service needs, and say what to do about it")
    add_config(doctor)
    doctor.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.doctor import examine

    found = asyncio.run(examine(settings_in(options)))
    for one in found:
        print(f"{'ok ' if one.is_well else 'BAD'} {one.what}: {one.text}")
    return int(not all(one.is_well for one in found))
