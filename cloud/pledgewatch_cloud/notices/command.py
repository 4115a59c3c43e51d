"""`pledgewatch-cloud notices`: what is understood of a file that a sender would hand in. Needs no network."""

from pathlib import Path
from typing import Any

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.strict_json import JsonError
from pledgewatch_cloud.decide.trade import submission
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.notices.intake import DOCUMENT_MAX_BYTES, form_of


def understood(path: Path, sender: str, form: str | None) -> dict[str, Any]:
    """The notices in a file, as JSON. Raises OSError, or NoticeError with every fault's place."""
    with path.open("rb") as file:
        raw = file.read(DOCUMENT_MAX_BYTES + 1)
    if len(raw) > DOCUMENT_MAX_BYTES:
        raise NoticeError([f"the file has more than {DOCUMENT_MAX_BYTES} bytes: split it"])
    try:
        form = form or form_of(raw)
        text = raw.decode("utf-8")
    except JsonError as error:
        raise NoticeError([str(error)]) from None
    except UnicodeDecodeError as error:
        raise NoticeError([f"byte {error.start}: is not UTF-8"]) from None
    return {"form": form, "notices": [_written(one) for one in submission.read(form, sender, text)]}


def _written(one: Notice) -> dict[str, Any]:
    """A notice as JSON: what it does not say is left out, moments are ISO 8601."""
    found = {name: value for name, value in one._asdict().items() if value not in ("", ())}
    for field, name, nothing in (
        ("happened_ms", "happened_at", None),
        ("until_ms", "until", NEVER),
        ("edition_ms", "edition_at", 0),
    ):
        at_ms = found.pop(field)
        if at_ms != nothing:
            found[name] = iso(at_ms)
    return found
