"""Who has handed something in: the sender that a request is signed by, or whose token it shows."""

from http import HTTPStatus

from fastapi import Request

from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.notices.aside import UNAUTHENTICATED, Aside
from pledgewatch_cloud.notices.senders import SenderError


async def sender_of(service: Service, request: Request, raw: bytes, aside: Aside) -> str:
    """The sender of a request that brings these bytes.

    Raises Problem: 401 where no sender is shown to have made it; the bytes are then set aside, as long as there are not
    too many of them.
    """
    now_ms = service.delivery_clock.now_ms()
    try:
        return service.senders.of_request(dict(request.headers), raw, now_ms)
    except SenderError as error:
        text = str(error)
    if service.senders.may_keep(now_ms):
        await aside.keep("", UNAUTHENTICATED, text, raw)
    else:
        aside.became(UNAUTHENTICATED)
    raise Problem(HTTPStatus.UNAUTHORIZED, text)
