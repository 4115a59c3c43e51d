"""A running service, asked by its API."""

import argparse
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

URL = "http://127.0.0.1:8420"
_PATIENCE_S = 30.0


class AnswerError(Exception):
    """What a service answered instead; one sentence. `is_refusal`: it was heard and refused, else it was not asked."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status

    @property
    def is_refusal(self) -> bool:
        """Whether the service heard it and said no."""
        return HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR


def add_url(parser: argparse.ArgumentParser) -> None:
    """Where the service is."""
    parser.add_argument("--url", default=URL, help=f"the service's API, default: {URL}")


def get(url: str, path: str, asked: Mapping[str, str | int] | None = None) -> "httpx2.Response":
    """What is there. Raises AnswerError."""
    return _answer("GET", url, path, params={name: value for name, value in (asked or {}).items() if value})


def post_text(url: str, path: str, text: str) -> dict[str, Any]:
    """What a service answers to a signed text. Raises AnswerError."""
    headers = {"content-type": "application/jose"}
    found: dict[str, Any] = _answer("POST", url, path, content=text.encode(), headers=headers).json()
    return found


def post_bytes(
    url: str, path: str, raw: bytes, headers: Mapping[str, str], asked: Mapping[str, str], patience_s: float
) -> dict[str, Any]:
    """What a service answers to a document as it is. Raises AnswerError."""
    answer = _answer("POST", url, path, params=asked, content=raw, headers=headers, timeout=patience_s)
    try:
        found: dict[str, Any] = answer.json()
    except ValueError:
        raise AnswerError(_said(answer), answer.status_code) from None
    return found


def _answer(method: str, url: str, path: str, **more: Any) -> "httpx2.Response":
    import httpx2

    where = f"{url.rstrip('/')}{path}"
    try:
        with httpx2.Client(timeout=_PATIENCE_S) as client:
            answer = client.request(method, where, **more)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        text = f"{where} does not answer ({str(error) or type(error).__name__}); start the service, or name its --url"
        raise AnswerError(text) from None
    if answer.is_success:
        return answer
    raise AnswerError(_said(answer), answer.status_code)


def _said(answer: "httpx2.Response") -> str:
    """What is wrong, by problem details where they came."""
    try:
        problem = answer.json()
        return "\n".join([str(problem["detail"]), *map(str, problem.get("errors", ()))])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{answer.url} answered {answer.status_code}, and not as this service does; is its --url right?"
