"""Taking what a sender hands in, whichever way it came: commit it whole, or set it aside whole and say why.

What is refused is kept in quarantine as it came, up to the length that quarantine keeps; so nothing longer is taken.
"""

import json
from collections.abc import Sequence
from typing import NoReturn

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.strict_json import JsonError
from pledgewatch_cloud.decide.trade.notice import NoticeError
from pledgewatch_cloud.journal.store import QUARANTINE_RAW_MAX_BYTES, Store
from pledgewatch_cloud.notices.aside import Aside
from pledgewatch_cloud.notices.metrics import Submissions
from pledgewatch_cloud.spine.writer import Writer

DOCUMENT_MAX_BYTES = QUARANTINE_RAW_MAX_BYTES
REFUSED = "notice_refused"
# What shows the form of a document: a field at its top. DCSA's events may be a list as well.
_FORMS = {
    "notices": "plain",
    "@context": "epcis",
    "epcisBody": "epcis",
    "events": "dcsa",
    "eventType": "dcsa",
    "metadata": "dcsa",
    "eventClassification": "dcsa",
}


class RefusedError(Exception):
    """What a sender handed in was not taken, and is in quarantine. `errors` holds a sentence for each fault."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__(str(NoticeError(list(errors))))
        self.errors = tuple(errors)


class Intake:
    """The way into the journal for what senders hand in."""

    def __init__(self, writer: Writer, store: Store, submissions: Submissions, clock: Clock) -> None:
        self._writer = writer
        self.aside = Aside("notices", store, submissions, clock)

    async def hand_in(self, sender: str, form: str, raw: bytes) -> int | None:
        """Commit what a sender hands in; the entry that took it, None where all of it was known.

        Raises RefusedError where it cannot be read or is not believed, StoreError where nothing can be committed now.
        """
        try:
            outcome = await self._writer.commit(drafts.submit, sender, form, raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            await self.refuse(sender, raw, [f"byte {error.start}: is not UTF-8"])
        except NoticeError as error:
            await self.refuse(sender, raw, error.errors)
        self.aside.became("known" if outcome is None else "taken")
        return None if outcome is None else outcome.state.entry

    async def refuse(self, sender: str, raw: bytes, errors: Sequence[str]) -> NoReturn:
        """Set aside what a sender handed in. Raises RefusedError when that is done, StoreError where it cannot be."""
        refused = RefusedError(errors)
        await self.aside.keep(sender, REFUSED, str(refused), raw)
        raise refused


def form_of(raw: bytes) -> str:
    """The form of a document by what is in it. Raises JsonError where it is no JSON, or not yet; NoticeError where it
    is of no form that is known."""
    try:
        document = json.loads(raw)  # what is odd in it is for the form's own reader to say
    except (ValueError, RecursionError) as error:
        raise JsonError(f"no JSON: {error}") from None
    if isinstance(document, list):
        return "dcsa"
    if isinstance(document, dict):
        for field, form in _FORMS.items():
            if field in document:
                return form
    errors = [f"the document: tells its form by one of {', '.join(_FORMS)} at its top, or is a list of DCSA events"]
    raise NoticeError(errors)
