"""Writes of who asks, in one place for all routes: what somebody may write is held against the state in which it is
written.

    what is asked ─► who asks, once more ─► the writer's lock ─► still the same? still theirs? ─► draft ─► entry

A body may take a minute to come, and a commit waits for those before it. Whoever was taken out of the book meanwhile,
or whose facility, alert or device it was and is no more, writes nothing: between what is found out here and the entry
nothing is committed.
"""

from collections.abc import Callable
from typing import Annotated, Concatenate, NamedTuple, ParamSpec

from fastapi import Depends, Request

from pledgewatch_cloud.access.identify import ChangedError, Shown, UnknownError
from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api.access import Service, ServiceOf, asking, shown_by, unknown
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.drafts import Draft
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.step import Outcome

Arguments = ParamSpec("Arguments")


class Held(NamedTuple):
    """Commits as a `Writer` does, where who asks may write it: `may` is given what they see of the state that it is
    written in, and raises what refuses it."""

    service: Service
    shown: Shown
    viewer: Viewer
    may: Callable[[View], object]

    async def commit(
        self,
        asked: Callable[Concatenate[State, Arguments], Draft | None],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Outcome | None:
        """See Writer.commit. Raises what `may` raises, too, and Problem where who asks is nobody now, or may other
        things than when they were asked first."""
        service = self.service
        try:
            subject = await service.door.subject_of(self.shown, service.writer.state.book)
        except UnknownError as error:
            raise unknown(error, service) from None

        def check() -> None:
            try:
                viewer = service.door.viewer_by(self.shown, subject, service.writer.state.book, service.clock.now_ms())
                if viewer != self.viewer:
                    raise ChangedError
            except UnknownError as error:
                raise unknown(error, service) from None
            self.may(service.views.of(viewer))

        return await service.writer.commit_where(check, asked, *args, **kwargs)


class Writing(NamedTuple):
    """What somebody asks to write."""

    service: Service
    shown: Shown
    viewer: Viewer

    def where(self, may: Callable[[View], object]) -> Held:
        """What commits, where `may` lets it through."""
        return Held(*self, may)

    @property
    def anyhow(self) -> Held:
        """What commits for those that may write it by who they are: keepers."""
        return self.where(lambda _: None)


async def writing_of(request: Request, service: ServiceOf) -> Writing:
    """A write of who asks. Raises Problem where nobody is known."""
    return Writing(service, shown_by(request, service), await asking(request))


WritingOf = Annotated[Writing, Depends(writing_of)]
