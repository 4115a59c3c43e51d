"""`receipts verify`: whether a credential or a sheet can be believed, without a network.

Exit code 0 where it holds, 1 where anything is wrong, 2 where that could not be looked at. What the issuer has signed
is printed even where it no longer holds; what is wrong is said beside it, a sentence a line.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from pledgewatch_cloud.commands.options import Commands
from pledgewatch_cloud.decide.moments import MomentError, moment_ms

_FILE_BYTES_MAX = 16_000_000


def add(commands: Commands) -> None:
    """The command's options."""
    verify = commands.add_parser("verify", help="whether a credential or a sheet holds; needs no network")
    verify.add_argument("file", type=Path, metavar="FILE", help="a credential (JWS) or a sheet (PDF)")
    verify.add_argument("--issuer", type=Path, required=True, metavar="JWK", help="the issuer's public key, JSON")
    verify.add_argument("--status-list", type=Path, nargs="+", metavar="FILE", help="the newest status lists")
    verify.add_argument("--at", metavar="MOMENT", help="whether it held then; default: now")
    verify.add_argument("--list-age-max-s", type=int, metavar="S", help="a status list may be so old; default: any age")
    verify.set_defaults(command=_verify)


def _verify(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.receipts.issuer import IssuerError
    from pledgewatch_cloud.receipts.verify import verify

    try:
        now_ms = time.time_ns() // 1_000_000 if options.at is None else moment_ms("--at", options.at)
        lists = None
        if options.status_list:
            lists = "".join(f"{_read(path).decode('ascii', 'replace').strip()}\n" for path in options.status_list)
        age_max_ms = None if options.list_age_max_s is None else 1_000 * options.list_age_max_s
        verdict = verify(
            _read(options.file), _read(options.issuer).decode("utf-8", "replace"), lists, now_ms, age_max_ms
        )
    except IssuerError as error:
        print(f"{options.issuer}: {error}", file=sys.stderr)
        return 2
    except MomentError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    if verdict.receipt is not None:
        print(json.dumps(_shown(verdict.receipt._asdict())))
    for why in verdict.why:
        print(f"{options.file}: {why}", file=sys.stderr)
    return 0 if verdict.ok else 1


def _shown(extract: dict[str, Any]) -> dict[str, Any]:
    """What was signed, as JSON."""
    return {**extract, "goods": [one._asdict() for one in extract["goods"]]}


def _read(path: Path) -> bytes:
    """A file's bytes; of one that is too long to be anything that is looked for, so many that it shows."""
    with path.open("rb") as file:
        return file.read(_FILE_BYTES_MAX)
