"""`receipts draft`, `issue`, `transfer` and so on: an act built, signed and handed in; and consents to others' acts.

What a kind of act says beside what all do is read off receipts/act.BODY, so there is an option for each member and a
command for each kind. An act that others must consent to is written down first (`--unsigned`), goes round for their
consents, and is then signed with these (`receipts sign`).
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pledgewatch_cloud.commands import at_url
from pledgewatch_cloud.commands.options import Commands
from pledgewatch_cloud.commands.receipts import asked
from pledgewatch_cloud.commands.signing import SaidError, add_key, document_in, signed, text_in, told
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts.act import BODY, ActError, ActKind


class _Member(NamedTuple):
    """An option by which a member is said, how its value is read, and what it is. `is_many`: it may be given again."""

    option: str
    read: Callable[[Any], Any]
    metavar: str
    about: str
    is_many: bool = False


def _integers(text: str) -> list[int]:
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise SaidError(f"{text!r}: write a whole number in thousandths for each line, as 40000,2500") from None


def _json_in(path: str) -> Any:
    return document_in(Path(path))


_QUANTITIES = "thousandths of the unit for each line, with commas; all where it is left out"
_MEMBERS = {
    "register": _Member("--register", str, "ID", "the register that it begins in; default: as the service says"),
    "depositor": _Member("--depositor", str, "ID", "whose goods they are"),
    "goods": _Member("--goods", _json_in, "FILE", "a JSON list of lines, see docs/RECEIPTS.md"),
    "until": _Member("--until", str, "MOMENT", "until when the goods are stored"),
    "to": _Member("--to", str, "ID", "the new holder"),
    "pledgee": _Member("--pledgee", str, "ID", "who has it as a pledge"),
    "quantities_milli": _Member("--quantities", _integers, "N,…", _QUANTITIES),
    "into_milli": _Member(
        "--part", lambda some: [_integers(one) for one in some], "N,…", "the quantities of a part", is_many=True
    ),
    "reason": _Member("--reason", str, "TEXT", "why"),
    "replacement": _Member("--replacement", str, "ID", "the receipt that stands in its place"),
    "overrides": _Member("--override", list, "ASK", "what is asked for and passed over", is_many=True),
    "consents": _Member(
        "--consent", lambda some: [text_in(Path(one)) for one in some], "FILE", "somebody's consent to it", is_many=True
    ),
}
"""By member of an act. `received` has two options of its own."""


def add(commands: Commands) -> None:
    """The commands' options."""
    for kind in ActKind:
        needed, allowed = BODY[kind]
        one = commands.add_parser(kind.value, help=f"{kind} a receipt: build the act, sign it and hand it in")
        one.add_argument("receipt", metavar="RECEIPT", help="<warehouse>:<name>")
        one.add_argument("--by", required=True, metavar="PARTY", help="who signs")
        add_key(one, is_needed=False)
        at_url.add_url(one)
        for name in sorted(needed | allowed):
            _add_member(one, name)
        one.add_argument("--after", metavar="HEAD", help="the head that it follows; default: as the service has it")
        one.add_argument("--at", metavar="MOMENT", help="when it is signed; default: now")
        how = one.add_mutually_exclusive_group()
        how.add_argument("--unsigned", action="store_true", help="only print what it says, to be consented to")
        how.add_argument("--keep", action="store_true", help="only print the signed text, and hand in nothing")
        one.set_defaults(command=_act, kind=kind)
    _add_signing(commands)


def _add_signing(commands: Commands) -> None:
    sign = commands.add_parser("sign", help="sign an act that was written down; with --url it is handed in")
    sign.add_argument("file", type=Path, metavar="ACT.json", help="what the act says")
    add_key(sign, is_needed=True)
    sign.add_argument("--consent", action="append", metavar="FILE", help=_MEMBERS["consents"].about)
    sign.add_argument("--url", help="the service to hand it in to; without it the signed text is printed")
    sign.set_defaults(command=_sign)
    consent = commands.add_parser("consent", help="consent to an act that another will sign; the text is printed")
    consent.add_argument("file", type=Path, metavar="ACT.json", help="what the act says")
    consent.add_argument("--by", required=True, metavar="PARTY", help="who consents")
    add_key(consent, is_needed=True)
    consent.set_defaults(command=_consent)


def _add_member(parser: argparse.ArgumentParser, name: str) -> None:
    if name == "received":
        parser.add_argument("--received-from", metavar="MOMENT", help="the goods came in from then on")
        parser.add_argument("--received-until", metavar="MOMENT", help="and until then")
        return
    member = _MEMBERS[name]
    action = "append" if member.is_many else "store"
    parser.add_argument(member.option, dest=name, action=action, metavar=member.metavar, help=member.about)


def _act(options: argparse.Namespace) -> int:
    return told(lambda: _done(options), ActError)


def _done(options: argparse.Namespace) -> int:
    says = _says(options)
    if options.unsigned:
        print(json.dumps(says))
        return 0
    if options.key is None:
        raise SaidError("--key is missing: name the signer's private key, or print the act with --unsigned")
    text = _signed(options, says)
    print(text if options.keep else json.dumps(asked.hand_in(options.url, text)))
    return 0


def _says(options: argparse.Namespace) -> dict[str, Any]:
    """What an act says, by its options. Raises SaidError, AnswerError."""
    needed, allowed = BODY[options.kind]
    given = {name: getattr(options, name) for name in sorted((needed | allowed) - {"received"})}
    body = {name: _MEMBERS[name].read(value) for name, value in given.items() if value is not None}
    window = getattr(options, "received_from", None), getattr(options, "received_until", None)
    if window != (None, None):
        body["received"] = {"from": window[0], "until": window[1]}
    after = options.after
    if after is None:
        after = "" if options.kind is ActKind.DRAFT else asked.head_of(at_url.at(options), options.receipt)
    if "register" in needed and not after and "register" not in body:
        body["register"] = asked.register(at_url.at(options))
    at = options.at or iso(time.time_ns() // 1_000_000)
    return {"act": options.kind.value, "receipt": options.receipt, "after": after, "by": options.by, "at": at, **body}


def _sign(options: argparse.Namespace) -> int:
    return told(lambda: _signed_and_done(options), ActError)


def _signed_and_done(options: argparse.Namespace) -> int:
    says = document_in(options.file)
    if not isinstance(says, dict):
        raise SaidError(f"{options.file}: an act is a JSON object")
    if options.consent:
        says = {**says, "consents": [*says.get("consents", ()), *(text_in(Path(one)) for one in options.consent)]}
    text = _signed(options, says)
    print(text if options.url is None else json.dumps(asked.hand_in(options.url, text)))
    return 0


def _signed(options: argparse.Namespace, says: dict[str, Any]) -> str:
    """An act's text, which can be read again. Raises ActError, SigningKeyError."""
    text = signed(options.key, options.kid, says)
    act_module.read(text)
    return text


def _consent(options: argparse.Namespace) -> int:
    return told(lambda: _consented(options), ActError)


def _consented(options: argparse.Namespace) -> int:
    says = document_in(options.file)
    if not isinstance(says, dict) or not isinstance(says.get("receipt"), str):
        raise SaidError(f"{options.file}: an act is a JSON object that names its receipt")
    said = {"act": "consent", "receipt": says["receipt"], "by": options.by, "at": iso(time.time_ns() // 1_000_000)}
    print(signed(options.key, options.kid, {**said, "to": act_module.says(says)}))
    return 0
