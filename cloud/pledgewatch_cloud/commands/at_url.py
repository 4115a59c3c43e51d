"""A running service, asked by its API."""

import argparse
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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


class At(NamedTuple):
    """Where a service is, and what is shown to it: a key of the API, empty where it asks for none."""

    url: str
    key: str = ""


def add_url(parser: argparse.ArgumentParser) -> None:
    """Where the service is, and what is shown to it."""
    parser.add_argument("--url", default=URL, help=f"the service's API, default: {URL}")
    parser.add_argument("--api-key", type=Path, metavar="FILE", help="a file with your key of the API (docs/ACCESS.md)")


def at(options: argparse.Namespace) -> At:
    """Where `add_url` says. Raises AnswerError where the key cannot be read."""
    if options.api_key is None:
        return At(options.url)
    try:
        return At(options.url, options.api_key.read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise AnswerError(f"{options.api_key} cannot be read: {error}") from None


def get(where: At, path: str, asked: Mapping[str, str | int] | None = None) -> "httpx2.Response":
    """What is there. Raises AnswerError."""
    headers = {"authorization": f"Bearer {where.key}"} if where.key else {}
    params = {name: value for name, value in (asked or {}).items() if value}
    return _answer("GET", where.url, path, params=params, headers=headers)


def post_json(where: At, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a service answers to what is asked of it. Raises AnswerError."""
    headers = {"authorization": f"Bearer {where.key}"} if where.key else {}
    found: dict[str, Any] = _answer("POST", where.url, path, json=body, headers=headers).json()
    return found


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
