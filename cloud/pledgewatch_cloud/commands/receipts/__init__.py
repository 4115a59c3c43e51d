"""`pledgewatch-cloud receipts`: keys, signed acts, receipts as they stand, and credentials verified offline.

One command for each kind of act builds it, signs it and hands it in to a running service; keys never leave the machine
that signs.
"""

from pledgewatch_cloud.commands.options import Commands
from pledgewatch_cloud.commands.receipts.acts import add as add_acts
from pledgewatch_cloud.commands.receipts.checks import add as add_checks
from pledgewatch_cloud.commands.receipts.keys import add as add_keys
from pledgewatch_cloud.commands.receipts.reads import add as add_reads


def add(commands: Commands) -> None:
    """The command's options."""
    receipts = commands.add_parser("receipts", help="warehouse receipts: keys, acts, credentials, verifying")
    some = receipts.add_subparsers(required=True, metavar="ACT")
    for add_some in (add_keys, add_acts, add_reads, add_checks):
        add_some(some)
