"""Alerts: what is pending, open, acknowledged, escalated or cleared; taking one on, saying something of it, putting it
aside for a while (docs/CONSOLE.md has the law of that)."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api.access import ServiceOf, StateViewOf, ViewerOf, ViewOf, by_of
from pledgewatch_cloud.api.alert_causes import Abouts
from pledgewatch_cloud.api.paging import PagingOf, place
from pledgewatch_cloud.api.plain import plain
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.writing import WritingOf
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.access.hands import hands, is_in_hands
from pledgewatch_cloud.decide.alert_half import alerts_by_facility
from pledgewatch_cloud.decide.alert_notes import LIFTED, SILENCE_MAX_MS, TEXT_MAX, silence_of
from pledgewatch_cloud.decide.alerts import Alert, AlertState
from pledgewatch_cloud.decide.moments import MomentError, moment_ms
from pledgewatch_cloud.decide.stretches import NEVER

router = APIRouter(prefix="/alerts", tags=["alerts"])
_SILENCE_MAX_S = SILENCE_MAX_MS // 1_000
ByOf = Annotated[str, Body(min_length=1, max_length=200, examples=["night desk"])]


@router.get("", response_model=list[dict[str, Any]])
async def list_alerts(
    view: StateViewOf,
    paging: PagingOf,
    state: AlertState | None = None,
    severity: Literal["warning", "critical"] | None = None,
    facility: str = "",
    silenced: bool | None = None,
    cleared: bool | None = None,
) -> Any:
    """Alerts as they stand, the latest first, of a state, a severity or a facility where one is named; those that are
    `silenced` for who asks, or are not, and those that have `cleared`, or have not. Moments that have not come are
    null. `comments` and `silence` are of the own party; a keeper has all comments. `is_own` says whether it is for who
    asks to take on, to comment on and to silence; one about no goods is for those in `hands`, and for no lender.
    `lots`, `receipts` and `facilities` are those that an alert concerns; `told` says what was found, of the newest
    eight causes, and how much it is by now, give or take a second."""
    seen, party = view.state, view.viewer.party
    some = list(seen.alerts.values())
    if facility:
        some = alerts_by_facility(seen.book, seen.alerts, seen.recorded_at_ms).get(facility, [])
    page = paging.page(
        (place(-one.since_ms, one.id, one.rule, one.group, one.pledge), one)
        for one in some
        if (state is None or one.state is state)
        and (severity is None or one.severity == severity)
        and (cleared is None or cleared == (one.state is AlertState.CLEARED))
        and (silenced is None or silenced == (silence_of(one.silences, party, seen.recorded_at_ms) is not None))
    )
    abouts = view.kept(Abouts)
    return plain([_written(view, one) | abouts.of(seen, one) for one in page.items], paging.headers)


def _written(view: View, one: Alert) -> dict[str, Any]:
    words = {key: None if value == NEVER else value for key, value in one._asdict().items() if key != "silences"}
    silence = silence_of(one.silences, view.viewer.party, view.state.recorded_at_ms)
    of = hands(view.state.book, view.state.facts, one)
    return {
        **words,
        "comments": [said._asdict() for said in one.comments],
        "silence": None if silence is None else silence._asdict(),
        "hands": sorted(of),
        "is_own": is_in_hands(view.viewer, of, one),
    }


@router.post("/{alert}/acknowledgement")
async def acknowledge_alert(
    writing: WritingOf,
    view: ViewOf,
    viewer: ViewerOf,
    alert: str,
    by: Annotated[str, Body(embed=True, min_length=1, max_length=200, examples=["night desk"])],
) -> dict[str, Any]:
    """Take an open alert on. `by` says who does; of a user their own name stands. One about no goods is for the
    operator of its device, a warehouse at its own site, and keepers: 403 for others."""
    is_seen = any(one.id == alert for one in view.state.alerts.values())
    held = writing.where(lambda now: _check_own(now, alert))
    outcome = await held.commit(drafts.acknowledge, alert, by_of(viewer, by)) if is_seen else None
    if outcome is None:
        raise Problem(HTTPStatus.CONFLICT, f"there is no open alert {alert!r} that nobody has taken on")
    return {"entry": outcome.state.entry}


@router.post("/{alert}/comments")
async def comment_on_alert(
    writing: WritingOf,
    viewer: ViewerOf,
    alert: str,
    by: ByOf,
    text: Annotated[str, Body(min_length=1, max_length=TEXT_MAX, examples=["The reefer's plug was found loose."])],
) -> dict[str, Any]:
    """Say something of an alert, for one's own party and keepers. `by` says who; of a user their own name stands.
    403 where it is not theirs (see its acknowledgement)."""
    held = writing.where(lambda now: _check_own(now, alert))
    outcome = await held.commit(drafts.comment, alert, by_of(viewer, by), viewer.party, text)
    if outcome is None:
        raise Problem(HTTPStatus.CONFLICT, f"nobody was told of alert {alert!r}")
    return {"entry": outcome.state.entry}


@router.post("/{alert}/silence")
async def silence_alert(
    service: ServiceOf,
    writing: WritingOf,
    view: ViewOf,
    viewer: ViewerOf,
    alert: str,
    by: ByOf,
    why: Annotated[str, Body(min_length=1, max_length=TEXT_MAX, examples=["The probe is replaced on Monday."])],
    until: Annotated[str | None, Body(max_length=64, examples=["2026-03-04T08:00:00Z"])] = None,
    for_s: Annotated[int | None, Body(ge=1, le=_SILENCE_MAX_S, examples=[None, 86_400])] = None,
) -> dict[str, Any]:
    """Put an alert aside for one's own party until a moment (ISO 8601 with its offset, 30 days ahead at most), or for
    so many seconds from when this is taken, and say why; without either it is put aside no more. It ends by itself when
    the alert is escalated or clears. 403 where it is not theirs (see its acknowledgement)."""
    _check_own(view, alert)
    until_ms = _until_ms(until, for_s, service.clock.now_ms())
    asked = alert, by_of(viewer, by), viewer.party, why, until_ms
    outcome = await writing.where(lambda now: _check_own(now, alert)).commit(drafts.silence, *asked)
    if outcome is None:
        what = "that stands" if until_ms else f"that is silenced for {viewer.party or 'the keeper'}"
        raise Problem(HTTPStatus.CONFLICT, f"there is no alert {alert!r} {what}")
    return {"entry": outcome.state.entry}


def _check_own(view: View, alert: str) -> None:
    """Only whose an alert is goes on, by what they see of it. Raises Problem: 404 where it is not seen, 403."""
    some = [one for one in view.state.alerts.values() if one.id == alert]
    if not some:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no alert {alert!r}")
    for one in some:
        of = hands(view.state.book, view.state.facts, one)
        if not is_in_hands(view.viewer, of, one):
            named = f", which is {' or '.join(sorted(of))}," if of else ""
            text = (
                f"alert {alert!r} is about no goods: it is for whoever runs the device or the site{named} and for"
                f" keepers to take on, to comment on and to silence; {view.viewer.user} asks as {view.viewer.role}"
            )
            raise Problem(HTTPStatus.FORBIDDEN, text)


def _until_ms(text: str | None, for_s: int | None, now_ms: int) -> int:
    """Raises Problem: 422."""
    if text is None:
        return LIFTED if for_s is None else now_ms + 1_000 * for_s
    if for_s is not None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "until and for_s both say when it ends; leave out one")
    try:
        until_ms = moment_ms("until", text)
    except MomentError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    if not now_ms < until_ms <= now_ms + SILENCE_MAX_MS:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "until lies ahead, and no more than 30 days")
    return until_ms
