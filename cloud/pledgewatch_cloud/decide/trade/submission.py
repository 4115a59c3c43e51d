"""A submission: what a sender handed in, read in the form that it came in, and whether it may be believed.

It is taken whole or refused whole, with every fault's place. Reading needs nothing but the text; whether the sender is
known, may say this, and has not said otherwise before is checked against the book of senders and the notices kept.
"""

from collections.abc import Callable, Mapping, Sequence

from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.trade import dcsa, epcis, plain
from pledgewatch_cloud.decide.trade.fields import IN_ONE_MAX
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook
from pledgewatch_cloud.decide.trade.senders import Sender
from pledgewatch_cloud.decide.trade.vocabulary import OTHER
from pledgewatch_wire import topics

FORMS: Mapping[str, Callable[[str, str], list[Notice]]] = {
    "plain": plain.read,
    "dcsa": dcsa.read,
    "epcis": epcis.read,
}
"""How each form is read."""


def read(form: str, sender: str, text: str) -> list[Notice]:
    """The notices that a sender has handed in. Raises NoticeError with every fault's place."""
    if form not in FORMS:
        raise NoticeError([f"form: {short(form)} is none of {', '.join(FORMS)}"])
    if not topics.is_name(sender):
        raise NoticeError([f"sender: {short(sender)}: use 1 to 64 lower-case letters, digits and hyphens"])
    found = FORMS[form](sender, text)
    if len(found) > IN_ONE_MAX:
        raise NoticeError([f"{len(found)} notices; at most {IN_ONE_MAX}: hand them in in parts"])
    return found


def check(senders: Mapping[str, Sender], sender: str, notices: Sequence[Notice], book: NoticeBook) -> None:
    """Whether notices may be taken from a sender into the book. Raises NoticeError with every fault."""
    known = senders.get(sender)
    if known is None and notices and all(book.is_taking_back(one) or book.get(one.key) == one for one in notices):
        # Who has left the book of senders may still take back what they said.
        known = Sender(sender)
    if known is None:
        raise NoticeError([f"sender: {short(sender)} is none that the book knows; add it to the section senders"])
    may = (*known.kinds, OTHER, "") if known.kinds else ()
    errors = [
        f"{one.key}: {sender} may not say {one.kind}; it may say {', '.join(known.kinds)}"
        for one in notices
        if may and one.kind not in may
    ]
    try:
        book.taken(notices)
    except NoticeError as error:
        errors += error.errors
    if errors:
        raise NoticeError(errors)
