"""What is outside and may go away and come back: said once when it is lost, and once when it is back."""

import logging


class Outage:
    """Whether a disk, an endpoint or a folder is away. `lost` and `back` may be called as often as one likes."""

    def __init__(self, logger: logging.Logger, when_lost: str, when_back: str, *, level: int = logging.ERROR) -> None:
        """The sentences for either; the reason follows the first. `level` is the first's."""
        self._logger = logger
        self._when_lost = when_lost
        self._when_back = when_back
        self._level = level
        self.is_lost = False

    def lost(self, reason: object) -> None:
        """Say so, if it was not lost already."""
        if not self.is_lost:
            self._logger.log(self._level, "%s: %s", self._when_lost, reason)
        self.is_lost = True

    def back(self) -> None:
        """Say so, if it was lost."""
        if self.is_lost:
            self._logger.info("%s", self._when_back)
        self.is_lost = False
