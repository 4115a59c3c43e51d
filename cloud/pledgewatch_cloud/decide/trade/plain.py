"""The plain form: notices as this product says them itself, for senders that have no form of their own.

    {"notices": [{"id": "4711", "kind": "customs_cleared", "happened_at": "2026-03-01T09:30:00Z",
                  "about": {"container": ["MSKU1234565"], "customs": ["26DE123"]}, "place": "DEHAM"},
                 {"id": "4712", "withdraws": "4711"}]}

Here a key that nobody knows is a fault: the form is ours, so it can only be a slip.
"""

from typing import Any

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade import fields
from pledgewatch_cloud.decide.trade.fields import Faults
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.decide.trade.vocabulary import CLASSIFIERS, NOTICE_KINDS, REFERENCE_TYPES

KEYS = ("id", "kind", "happened_at", "classifier", "about", "place", "until", "party", "withdraws", "replaces")


def read(sender: str, text: str) -> list[Notice]:
    """The notices in a text of the plain form. Raises NoticeError with every fault's place."""
    document = fields.document(text)
    if not isinstance(document, dict) or set(document) != {"notices"}:
        raise NoticeError(['the document: an object with the one key "notices" is needed'])
    faults = Faults()
    found = [
        _notice(faults, sender, f"notices[{number}]", one)
        for number, one in enumerate(fields.listed("notices", document["notices"]))
    ]
    faults.end()
    return found


def _notice(faults: Faults, sender: str, where: str, value: Any) -> Notice:
    one = faults.gathered({}, fields.present, where, value)
    faults.errors += [f"{where}.{key}: no such key" for key in sorted(one.keys() - set(KEYS))]
    key = faults.gathered("", fields.own_key, f"{where}.id", sender, one.get("id"))
    taken_back = {
        name: faults.gathered("", fields.own_key, f"{where}.{name}", sender, one[name])
        for name in ("withdraws", "replaces")
        if name in one
    }
    faults.errors += [f"{where}.{name}: names the notice itself" for name, other in taken_back.items() if other == key]
    is_bare = "withdraws" in one and "kind" not in one
    if is_bare and "replaces" in one:
        faults.errors.append(f"{where}.replaces: what replaces another says something: give its kind")
    kind = "" if is_bare else faults.gathered("", fields.one_of, f"{where}.kind", one.get("kind"), NOTICE_KINDS)
    happened_ms, until_ms = 0, NEVER
    if not is_bare or "happened_at" in one:
        happened_ms = faults.gathered(0, fields.moment, f"{where}.happened_at", one.get("happened_at"))
    if "until" in one:
        until_ms = faults.gathered(NEVER, fields.moment, f"{where}.until", one["until"])
    if until_ms <= happened_ms:
        faults.errors.append(f"{where}.until: {iso(until_ms)} is not after happened_at {iso(happened_ms)}")
    references = _references(faults, f"{where}.about", one.get("about"))
    if not references and not is_bare:
        faults.errors.append(f"{where}.about: name what it is about: {', '.join(REFERENCE_TYPES)}, each a list")
    return Notice(
        key,
        sender,
        kind,
        happened_ms,
        faults.gathered("", fields.one_of, f"{where}.classifier", one.get("classifier", "actual"), CLASSIFIERS),
        references,
        faults.gathered("", fields.place, f"{where}.place", one.get("place")),
        until_ms,
        faults.gathered("", fields.party, f"{where}.party", one.get("party")),
        taken_back.get("withdraws", ""),
        taken_back.get("replaces", ""),
    )


def _references(faults: Faults, where: str, value: Any) -> tuple[str, ...]:
    about = faults.gathered({}, fields.mapped, where, value)
    some = []
    for kind, values in about.items():
        if kind not in REFERENCE_TYPES:
            faults.errors.append(f"{where}.{kind}: none of {', '.join(REFERENCE_TYPES)}")
            continue
        named = faults.gathered([], fields.listed, f"{where}.{kind}", values)
        some += [(f"{where}.{kind}[{number}]", kind, one) for number, one in enumerate(named)]
    return fields.references(faults, some)
