"""`pledgewatch-cloud registry`: a registry that several banks share, and what its operator and its members need."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from pledgewatch_cloud.commands.options import Commands, add_config
from pledgewatch_cloud.decide.registry.claim_book import Tally, lacking
from pledgewatch_cloud.logs import log_to_stderr
from pledgewatch_cloud.registry.kept import KeptBook
from pledgewatch_cloud.registry.settings import RegistrySettings
from pledgewatch_wire.settings import load, unreadable


def add(commands: Commands) -> None:
    """The command's options."""
    registry = commands.add_parser("registry", help="a registry of pledged goods that several banks share")
    under = registry.add_subparsers(required=True, metavar="WHAT")
    serve = under.add_parser("serve", help="run a registry")
    add_config(serve)
    serve.add_argument("--check", action="store_true", help="only check the configuration; needs no network")
    serve.set_defaults(command=_serve)
    members = under.add_parser("members", help="how each member of a registry has asked; also while it runs")
    add_config(members)
    members.set_defaults(command=_members)
    drop = under.add_parser("drop", help="withdraw all claims of a member that has gone; not while the registry runs")
    add_config(drop)
    drop.add_argument("member", metavar="MEMBER")
    drop.set_defaults(command=_drop)
    key = under.add_parser("key", help="the fingerprint of a key that members make marks with")
    key.add_argument("file", type=Path, metavar="FILE")
    key.set_defaults(command=_key)


def _serve(options: argparse.Namespace) -> int:
    settings = load(options.config, RegistrySettings)
    if options.check:
        print(f"{options.config}: can be used")
        for fault in unreadable(settings.files()):
            print(f"before it is run: {fault}")
        return 0
    from pledgewatch_cloud.registry import service
    from pledgewatch_cloud.serving import ServingError

    log_to_stderr(settings.service.log_format)
    try:
        asyncio.run(service.run(settings))
    except ServingError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _members(options: argparse.Namespace) -> int:
    settings = load(options.config, RegistrySettings)
    kept = KeptBook(settings.service.data_folder, read_only=True)
    try:
        book = kept.book
    finally:
        kept.close()
    without = lacking(book, book.keys.next_key) if book.keys.next_key else {}
    for member in sorted({one.id for one in settings.members} | book.of_members.keys()):
        tally = book.tallies.get(member, Tally())
        found = {
            "member": member,
            "live": book.of_members.get(member, 0),
            "asked": tally.asked,
            "clashed": tally.clashed,
            "withdrawn_within_an_hour": tally.brief,
        }
        if book.keys.next_key:
            found["without_next_key"] = without.get(member, 0)
        print(json.dumps(found))
    return 0


def _drop(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.registry import service
    from pledgewatch_cloud.serving import ServingError

    settings = load(options.config, RegistrySettings)
    try:
        is_changed = service.drop(settings, options.member)
    except ServingError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({"member": options.member, "changed": is_changed}))
    return 0


def _key(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.credentials import CredentialError, marks_key_in

    try:
        print(marks_key_in(options.file).fingerprint)
    except CredentialError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
