"""Notices to test with: documents of each form, and what is read from them."""

import json
from typing import Any

import pytest

from pledgewatch_cloud.decide.trade import submission
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError

NOON_MS = 1_767_268_800_000
NOON = "2026-01-01T12:00:00Z"
CONTAINER = "MSKU1234565"
OTHER_CONTAINER = "CSQU3054383"


def plain_notice(identity: str = "1", kind: str = "arrived", **changes: Any) -> dict[str, Any]:
    """One notice of the plain form; a change to None leaves a key out."""
    one = {"id": identity, "kind": kind, "happened_at": NOON, "about": {"container": [CONTAINER]}} | changes
    return {key: value for key, value in one.items() if value is not None}


def plain(*notices: Any) -> str:
    return json.dumps({"notices": list(notices)})


def read(form: str, text: Any, sender: str = "carrier") -> list[Notice]:
    """What a sender has handed in, given as text or as a document."""
    return submission.read(form, sender, text if isinstance(text, str) else json.dumps(text))


def errors(form: str, text: Any, sender: str = "carrier") -> list[str]:
    """Why it is refused."""
    with pytest.raises(NoticeError) as caught:
        read(form, text, sender)
    return list(caught.value.errors)
