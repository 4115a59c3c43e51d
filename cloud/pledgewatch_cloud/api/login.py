"""Logging in and out by the OpenID provider, for people who come with a browser.

Nothing here says who somebody is: a login ends in a cookie, and what that opens is asked at each request, like a key
(access/identify.py). Where a browser is sent on to is never taken from what it was called with: the provider's page
comes from the provider, and the page to go on at is one of the console's (login/login.py).
"""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from pledgewatch_cloud.access.identify import StrangerError, UnguardedError, UnknownError, user_of
from pledgewatch_cloud.api.access import ServiceOf, count_login, shown_by, unknown
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.login.attempts import ATTEMPT_S
from pledgewatch_cloud.login.login import Answered, Login, LoginError
from pledgewatch_cloud.login.provider import AwayError
from pledgewatch_cloud.login.sessions import guard_of

router = APIRouter(prefix="/login", include_in_schema=False)

_STATUS = {
    "state": HTTPStatus.BAD_REQUEST,
    "provider": HTTPStatus.FORBIDDEN,
    "stranger": HTTPStatus.FORBIDDEN,
    "away": HTTPStatus.SERVICE_UNAVAILABLE,
}
_ONCE = {"cache-control": "no-store"}


@router.get("")
async def begin_login(
    request: Request, service: ServiceOf, to: Annotated[str, Query(alias="next", max_length=600)] = ""
) -> Response:
    """Send a browser to the provider. `next` is the console's page that it comes back to."""
    login = _login_of(service.login)
    count_login(request, service)
    try:
        url, cookie = login.begin(to)
    except LoginError as error:
        return _refused(request, login, error)
    except AwayError as error:
        return _refused(request, login, LoginError("away", f"nobody can log in now: {error}"))
    answer = RedirectResponse(url, HTTPStatus.SEE_OTHER, headers=_ONCE)
    # It comes back from another site, so this one is Lax: it opens nothing, and says only that the browser is the same.
    _set(answer, login, login.cookies.attempt, cookie, "lax", ATTEMPT_S)
    return answer


@router.get("/callback")
async def finish_login(
    request: Request,
    service: ServiceOf,
    state: Annotated[str, Query(max_length=100)] = "",
    code: Annotated[str, Query(max_length=4_096)] = "",
    error: Annotated[str, Query(max_length=1_000)] = "",
    iss: Annotated[str, Query(max_length=1_000)] = "",
) -> Response:
    """What the provider sends a browser back with: a session begins."""
    login = _login_of(service.login)
    names = login.cookies
    count_login(request, service)
    try:
        finished = await login.finish(Answered(state, code, error, iss), request.cookies.get(names.attempt, ""))
        request.state.viewer = user_of(finished.subject, service.writer.state.book, service.clock.now_ms())
    except LoginError as failure:
        return _refused(request, login, failure)
    except StrangerError as failure:
        return _refused(request, login, LoginError("stranger", str(failure)))
    login.end_session(request.cookies.get(names.session, ""))
    name = login.begin_session(finished)
    answer = RedirectResponse(f"{login.base_url}/{finished.to}", HTTPStatus.SEE_OTHER, headers=_ONCE)
    _set(answer, login, names.session, name, "strict", int(login.whole_s))
    _set(answer, login, names.guard, guard_of(name), "strict", int(login.whole_s), is_for_pages=True)
    _drop(answer, login, names.attempt)
    return answer


@router.post("/end")
async def end_login(request: Request, service: ServiceOf) -> Response:
    """End the session. Streams that were opened by it end with it. `location` says where the provider's own login is
    ended, where it has a page for that: whoever asks goes there, for the provider knows them by their browser alone."""
    login = _login_of(service.login)
    count_login(request, service)
    shown = shown_by(request, service)
    try:
        subject = service.door.login_of(shown)
        request.state.viewer = user_of(subject, service.writer.state.book, service.clock.now_ms())
    except UnguardedError as error:
        raise unknown(error, service) from None
    except UnknownError:
        pass  # it has ended already, or is no user's: there is nobody to note
    end_url = login.end_session(shown.session)
    service.writer.said.tell()
    more = {"location": end_url} if end_url else {}
    answer = Response(status_code=HTTPStatus.NO_CONTENT, headers={**_ONCE, **more})
    for name in (login.cookies.session, login.cookies.guard):
        _drop(answer, login, name)
    return answer


def _login_of(login: Login | None) -> Login:
    """Raises Problem where nobody logs in here."""
    if login is None:
        raise Problem(HTTPStatus.NOT_FOUND, "nobody logs in here: no [login] is configured; show a key of the API")
    return login


def _refused(request: Request, login: Login, error: LoginError) -> Response:
    """A login that did not come about: a page of the console for a person, else a problem, which is raised."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"{login.base_url}/#/refused/{error.reason}", HTTPStatus.SEE_OTHER, headers=_ONCE)
    raise Problem(_STATUS[error.reason], str(error), more={"login": "/login"})


def _set(
    answer: Response,
    login: Login,
    name: str,
    value: str,
    same_site: Literal["lax", "strict"],
    age_s: int,
    *,
    is_for_pages: bool = False,
) -> None:
    """Give a browser a cookie; scripts read it only where `is_for_pages`."""
    answer.set_cookie(
        name, value, age_s, path="/", secure=login.cookies.is_secure, httponly=not is_for_pages, samesite=same_site
    )


def _drop(answer: Response, login: Login, name: str) -> None:
    answer.delete_cookie(name, path="/", secure=login.cookies.is_secure, httponly=True)
