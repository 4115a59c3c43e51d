"""Notices that come as files: `<folder>/<sender>/<name>.json` (see drop_folder).

The beginning of a JSON document never is one, so what is no JSON may still grow.
"""

from pledgewatch_cloud.decide.strict_json import JsonError
from pledgewatch_cloud.decide.trade.notice import NoticeError
from pledgewatch_cloud.drop_folder import REFUSED, TAKEN, Became, NotYetError
from pledgewatch_cloud.notices.intake import DOCUMENT_MAX_BYTES, Intake, RefusedError, form_of


class NoticeFiles:
    """Who takes the files of senders."""

    noun = "notices"
    endings: tuple[str, ...] = (".json",)
    max_bytes = DOCUMENT_MAX_BYTES

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def take(self, whose: str, _name: str, raw: bytes, *, is_final: bool) -> Became:
        """See Taker."""
        try:
            entry = await self._hand_in(whose, raw, is_final=is_final)
        except RefusedError as error:
            return Became(REFUSED, error.errors, f"is refused: {error}")
        return Became(TAKEN, (), f"is in entry {entry}" if entry else "was known already")

    async def _hand_in(self, sender: str, raw: bytes, *, is_final: bool) -> int | None:
        """See Intake.hand_in. Raises NotYetError for what is no JSON, unless it is to be judged as it is."""
        if len(raw) > DOCUMENT_MAX_BYTES:
            raise RefusedError([f"the file has more than {DOCUMENT_MAX_BYTES} bytes: split it"])
        try:
            form = form_of(raw)
        except JsonError as error:
            if not is_final:
                raise NotYetError from None
            await self._intake.refuse(sender, raw, [str(error)])
        except NoticeError as error:
            await self._intake.refuse(sender, raw, error.errors)
        return await self._intake.hand_in(sender, form, raw)
