"""`pledgewatch-edge claim`: reads the claim, has it carried out, tells what was done and what is still to do."""

import argparse
from typing import Final, TextIO

from pledgewatch_edge.agent import load
from pledgewatch_edge.claim_steps import ClaimFailedError
from pledgewatch_edge.claiming import carry_out
from pledgewatch_edge.cloud_api import CloudError
from pledgewatch_edge.config import check_files
from pledgewatch_edge.identity import StateError
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_wire.claims import ClaimError
from pledgewatch_wire.settings import SettingsError

_LINE_MAX: Final = 8_192


def run(arguments: argparse.Namespace, typed: TextIO, out: TextIO, errors: TextIO) -> int:
    """Carry out a claim; returns the exit code. Raises SettingsError where the configuration stands against it."""

    def say(line: str) -> None:
        out.write(f"{line}\n")
        out.flush()

    text: str = arguments.claim
    if text == "-":
        if typed.isatty():
            errors.write("claim: ")
            errors.flush()
        text = typed.readline(_LINE_MAX)
    try:
        carry_out(
            text,
            config=arguments.config,
            state_folder=arguments.state_folder,
            ca_file=arguments.ca_file,
            replace=arguments.replace,
            say=say,
        )
    except (ClaimError, ClaimFailedError, CloudError, StateError, SpoolError) as error:
        errors.write(f"{error}\n")
        return 1
    try:
        check_files(load(arguments.config), arguments.config)
    except SettingsError as error:
        say("the configuration is not complete yet:")
        for line in error.errors:
            say(f"- {line}")
    else:
        say(f"to begin: pledgewatch-edge run --config {arguments.config}")
    return 0
