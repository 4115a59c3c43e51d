"""Who has logged in, as a reader knows it: the service is asked each time, so what it ends has ended at once."""

from typing import Any

from pledgewatch_cloud.decide.access.users import Subject
from pledgewatch_cloud.login.login import Login, pages_at
from pledgewatch_cloud.login.provider import AwayError
from pledgewatch_cloud.login.tokens import TokenError
from pledgewatch_cloud.readers.line import Line, LostError, Said


class FarLogins:
    """The service's logins, by the line to it; see access/identify.py."""

    def __init__(self, line: Line, base_url: str) -> None:
        self._line = line
        self.origin, self.cookies = pages_at(base_url)

    async def subject_of_session(self, name: str, *, is_used: bool) -> Subject | None:
        """Whose session it is; nobody's, where the service has ended: its sessions have, too."""
        try:
            said = await self._line.ask("session", name=name, is_used=is_used)
        except LostError:
            return None
        return None if said["subject"] is None else Subject(*said["subject"])

    async def subject_of_token(self, token: str) -> Subject:
        """Whose access token it is. Raises TokenError, AwayError."""
        try:
            said = await self._line.ask("token", token=token)
        except LostError as error:
            raise AwayError(str(error)) from None
        if "refused" in said:
            raise TokenError(said["refused"])
        if "away" in said:
            raise AwayError(said["away"])
        return Subject(*said["subject"])


async def of_session(login: Login, said: Said) -> dict[str, Any]:
    """The service's answer to the first."""
    return {"subject": await login.subject_of_session(said["name"], is_used=said["is_used"])}


async def of_token(login: Login, said: Said) -> dict[str, Any]:
    """The service's answer to the second."""
    try:
        return {"subject": await login.subject_of_token(said["token"])}
    except TokenError as error:
        return {"refused": str(error)}
    except AwayError as error:
        return {"away": str(error)}
