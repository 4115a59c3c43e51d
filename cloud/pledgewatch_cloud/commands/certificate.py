"""`pledgewatch-cloud certificate`: write a borrowing base down and sign it, or verify what was signed."""

import argparse
import json
import sys
import time
from pathlib import Path

from pledgewatch_cloud.commands.options import Commands, add_data, moments_ms
from pledgewatch_cloud.decide.moments import MomentError, iso
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.spine.base_at import BaseAtError, base_at


def add(commands: Commands) -> None:
    """The command's options."""
    certificate = commands.add_parser("certificate", help="make a signed borrowing-base certificate, or verify one")
    acts = certificate.add_subparsers(required=True, metavar="ACT")
    make = acts.add_parser("make", help="write a base as CSV, XLSX and PDF, each with its signature")
    add_data(make)
    make.add_argument("--facility", required=True, metavar="ID")
    make.add_argument("--key", type=Path, required=True, metavar="PEM", help="the Ed25519 key to sign with")
    make.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the six files go")
    make.add_argument("--as-of", metavar="MOMENT", help="as for `base`")
    make.add_argument("--known-at", metavar="MOMENT", help="as for `base`")
    make.add_argument("--stated", type=Path, metavar="FILE", help="the borrower's own figures, JSON or CSV")
    make.set_defaults(command=_make)
    verify = acts.add_parser("verify", help="say whether a file is what was signed, and by which key")
    verify.add_argument("file", type=Path, metavar="FILE", help="its signature file is beside it")
    verify.add_argument(
        "--key-of", metavar="HEX", help="the signer's public key; without it, the one that the signature file names"
    )
    verify.set_defaults(command=_verify)


def _make(options: argparse.Namespace) -> int:
    from pledgewatch_cloud import signing_key
    from pledgewatch_cloud.certificate import signing
    from pledgewatch_cloud.certificate.build import certificate_of
    from pledgewatch_cloud.certificate.stated_file import StatedError, read_stated

    store = SqliteStore(options.data, read_only=True)
    try:
        key = signing_key.load(options.key)
        found = base_at(store, options.facility, *moments_ms(options))
        if found.known_at_ms > max(found.known.recorded_at_ms, time.time_ns() // 1_000_000):
            print(f"{iso(found.known_at_ms)} is still to come: what is known then nobody can sign", file=sys.stderr)
            return 2
        stated = read_stated(options.stated, found.currency) if options.stated else None
        paths = signing.write(certificate_of(store, found, stated), options.out, key)
    except (BaseAtError, MomentError, signing_key.SigningKeyError) as error:
        print(error, file=sys.stderr)
        return 2
    except StatedError as error:
        print("\n".join(error.errors), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    finally:
        store.close()
    made = {
        "facility": found.facility,
        "as_of": iso(found.as_of_ms),
        "known_at": iso(found.known_at_ms),
        "entry": found.entry,
        "public_key": signing.public_key_hex(key),
        "files": [str(path) for path in paths],
    }
    print(json.dumps(made))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.certificate import signing
    from pledgewatch_cloud.certificate.model import SIGNATURE_SUFFIX

    try:
        signature = options.file.with_name(options.file.name + SIGNATURE_SUFFIX).read_bytes()
        said = signing.verify(options.file.read_bytes(), signature, options.key_of)
    except signing.CertificateError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    print(said)
    return 0
