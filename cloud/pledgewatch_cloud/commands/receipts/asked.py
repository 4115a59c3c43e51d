"""Receipts at a running service."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from pledgewatch_cloud.commands import at_url
from pledgewatch_cloud.commands.at_url import AnswerError, At


def path_of(receipt: str) -> str:
    """The path of a receipt."""
    return f"/receipts/{quote(receipt, safe='')}"


def head_of(at: At, receipt: str) -> str:
    """The head of a receipt, empty where there is none yet. Raises AnswerError."""
    try:
        return str(at_url.get(at, path_of(receipt)).json()["head"])
    except AnswerError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return ""
        raise


def register(at: At) -> str:
    """What the register is called. Raises AnswerError."""
    return str(at_url.get(at, "/receipts/register").json()["register"])


def hand_in(url: str, text: str) -> dict[str, Any]:
    """The receipt after a signed act. Raises AnswerError."""
    return at_url.post_text(url, "/receipts/acts", text)
