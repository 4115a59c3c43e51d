"""The console's files, and who asks for it to show.

The files are for everybody: they hold nothing of anybody's. They are read once, at the start; a browser asks each time
whether what it has is still so, and is answered 304 where it is.
"""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from pledgewatch_cloud.api.access import ViewOf
from pledgewatch_cloud.api.around import POLICY
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.console import Page, pages, staged
from pledgewatch_cloud.decide.currencies import EXPONENTS


def console_router(stage: str = "") -> APIRouter:
    """`/` and `/docs`, and the files that these name. `stage`: of a demo; the page knows it then, and may ask there."""
    router, known = APIRouter(include_in_schema=False), pages(EXPONENTS)
    home = staged(known["index.html"], stage) if stage else known["index.html"]
    policy = {"content-security-policy": f"{POLICY}; connect-src 'self' {stage}"} if stage else {}

    @router.get("/")
    async def read_console(request: Request) -> Response:
        answer = _answer(request, home)
        answer.headers.update(policy)
        return answer

    @router.get("/docs")
    async def read_operations(request: Request) -> Response:
        # The framework's own page for /docs is fetched from a stranger's host; a site without one has it too.
        return _answer(request, known["operations.html"])

    @router.get("/console/{path:path}")
    async def read_file(request: Request, path: str) -> Response:
        if path not in known:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such file of the console")
        return _answer(request, known[path])

    return router


def _answer(request: Request, page: Page) -> Response:
    if request.headers.get("if-none-match") == page.tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": page.tag})
    return Response(page.body, headers={"etag": page.tag, "content-type": page.kind})


router = APIRouter(prefix="/viewer", tags=["viewer"])


@router.get("")
async def read_viewer(view: ViewOf) -> dict[str, Any]:
    """Who asks, as the service knows them: what they are shown depends on it. A keeper without a name has none."""
    who = view.viewer
    return {
        "user": who.user,
        "party": who.party,
        "role": str(who.role),
        "sees_money": view.scope.sees_money,
        "may_write": who.may_write,
    }
