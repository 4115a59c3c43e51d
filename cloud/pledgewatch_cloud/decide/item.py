"""An item of a document: its keys are taken one by one, and every fault is told with its place.

What is left when all is taken is a key that nobody knows, and a fault too.
"""

import re

from pledgewatch_cloud.decide.countries import COUNTRIES
from pledgewatch_cloud.decide.currencies import UnknownCurrencyError, exponent
from pledgewatch_cloud.decide.moments import ID, ID_IS, MomentError, moment_ms, periods, short
from pledgewatch_wire import topics
from pledgewatch_wire.reading import Channel

COUNTRY = re.compile(r"[A-Z]{2}")
CURRENCY = re.compile(r"[A-Z]{3}")
CHANNELS = {channel.name.lower(): channel.value for channel in Channel}
CHANNEL_NAMES = {number: name for name, number in CHANNELS.items()}
MAX_WAIT_S = 366 * 86_400
"""The longest that an item may have something wait."""


class BookError(ValueError):
    """An amendment that cannot be taken. `errors` holds one sentence for each fault, each naming its place."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors[:20]) + (f"; and {len(errors) - 20} more" if len(errors) > 20 else ""))
        self.errors = tuple(errors)


class Item:
    """One item of an amendment while it is read: takes keys one by one, and knows its place for the errors."""

    def __init__(self, place: str, value: object) -> None:
        if not isinstance(value, dict):
            raise BookError([f"{place}: an object is needed, not {type(value).__name__}"])
        self.place = place
        self._left = dict(value)

    def has(self, key: str) -> bool:
        """Whether a key is there and was not taken yet."""
        return key in self._left

    def value(self, key: str) -> object:
        """What stands there, as it is; None where nothing does."""
        return self._left.pop(key, None)

    def text(self, key: str, pattern: re.Pattern[str] = ID, default: str | None = None) -> str:
        """A text that matches."""
        value = self._take(key, default)
        if not isinstance(value, str) or (value != default and not pattern.fullmatch(value)):
            raise self.error(
                key, f"{value!r} is no id: {ID_IS}" if pattern is ID else f"{value!r} does not match {pattern.pattern}"
            )
        return value

    def currency(self, key: str) -> str:
        """A currency of ISO 4217."""
        code = self.text(key, CURRENCY)
        try:
            exponent(code)
        except UnknownCurrencyError as error:
            raise self.error(key, str(error)) from None
        return code

    def word(self, key: str) -> str:
        """An id, empty where it is not said."""
        return self.text(key) if self.has(key) else ""

    def country(self, key: str) -> str:
        """A country of ISO 3166-1, empty where it is not said."""
        code = self.text(key, COUNTRY) if self.has(key) else ""
        if code and code not in COUNTRIES:
            raise self.error(key, f"{code!r} is no country of ISO 3166-1")
        return code

    def one_of(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        """One of some words."""
        value = self._take(key, default)
        if value not in known:
            raise self.error(key, f"{value!r} is none of {', '.join(known)}")
        return str(value)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number within bounds."""
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f"{short(value)} is not a whole number from {low} to {high}")
        return value

    def moment(self, key: str, default: int | None = None) -> int:
        """A moment in Unix milliseconds."""
        if key not in self._left:
            if default is None:
                raise self.error(key, "is missing")
            return default
        try:
            return moment_ms(f"{self.place}.{key}", self._left.pop(key))
        except MomentError as error:
            raise BookError([str(error)]) from None

    def windows(self, key: str) -> tuple[tuple[int, int], ...]:
        """Periods in order and apart."""
        try:
            return periods(f"{self.place}.{key}", self._left.pop(key, []))
        except MomentError as error:
            raise BookError([str(error)]) from None

    def ids(self, key: str) -> tuple[str, ...]:
        """A list of ids, as a sorted set."""
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and ID.fullmatch(one) for one in value):
            raise self.error(key, f"a list of ids is needed, each {ID_IS}")
        return tuple(sorted(set(value)))

    def words(self, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """A list of some words, each once, in the order in which they are known."""
        value = self._left.pop(key, [])
        if not isinstance(value, list):
            raise self.error(key, "a list is needed")
        for one in value:
            if one not in known:
                raise self.error(key, f"{one!r} is none of {', '.join(known)}")
        return tuple(one for one in known if one in value)

    def items(self, key: str) -> list["Item"]:
        """A list of items."""
        value = self._take(key, [])
        if not isinstance(value, list):
            raise self.error(key, "a list is needed")
        return [Item(f"{self.place}.{key}[{place}]", one) for place, one in enumerate(value)]

    def item(self, key: str) -> "Item | None":
        """An item in this one, if it is there."""
        return Item(f"{self.place}.{key}", self._left.pop(key)) if key in self._left else None

    def channel(self, key: str = "channel") -> int:
        """A channel by its name."""
        name = self.text(key)
        if name not in CHANNELS:
            raise self.error(key, f"{name!r} is no channel; there are {', '.join(CHANNELS)}")
        return CHANNELS[name]

    def name(self, key: str) -> str:
        """A name as topics have it."""
        if not topics.is_name(str(self._left.get(key))):
            raise self.error(key, "use 1 to 64 lower-case letters, digits and hyphens")
        return self.text(key)

    def end(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise BookError([f"{self.place}.{key}: no such key" for key in sorted(self._left)])

    def error(self, key: str, text: str) -> BookError:
        """What is wrong with a key."""
        return BookError([f"{self.place}.{key}: {text}"])

    def _take(self, key: str, default: object = None) -> object:
        if key not in self._left and default is None:
            raise self.error(key, "is missing")
        return self._left.pop(key, default)
