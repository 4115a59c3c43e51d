"""`pledgewatch-cloud quotes`: the document to post for a file of prices or rates. Needs no network."""

import argparse
import json
import sys
from pathlib import Path

from pledgewatch_cloud.commands.options import Commands


def add(commands: Commands) -> None:
    """The command's options."""
    quotes = commands.add_parser("quotes", help="read a file of prices or rates and print the document to post")
    quotes.add_argument("file", type=Path, metavar="FILE", help="see docs/MARKET.md")
    quotes.add_argument("--kind", choices=("ecb", "csv", "json"), help="default: by its ending and header")
    quotes.add_argument("--until", metavar="DATE", help="only what is dated then or before")
    quotes.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.market_file import MarketFileError, read_market_file

    try:
        quotes = read_market_file(options.file, options.kind, options.until)
    except MarketFileError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{options.file} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    print(json.dumps(quotes))
    return 0
