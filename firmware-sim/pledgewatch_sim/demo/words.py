"""What the demo says on the console's banner, in both of the console's languages."""

from typing import NamedTuple


class Words(NamedTuple):
    """The same, in English and in Chinese. The terminal is told in English."""

    en: str
    zh: str

    def as_json(self) -> dict[str, str]:
        """By the languages' codes."""
        return self._asdict()
