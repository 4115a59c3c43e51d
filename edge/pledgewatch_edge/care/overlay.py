"""What may be set from afar: an overlay over what the technician wrote, never in place of it.

The overlay is TOML of some sections. Where it has a key, it wins; where it has none, the configuration's stands. Each
version is the whole overlay: an empty one brings back what the technician wrote.

What may be set is the list of pledgewatch_wire/afar.py. What an invitation brings along is held to it too.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pledgewatch_wire.afar import BROKER_KEYS, SETTABLE
from pledgewatch_wire.toml_text import TomlError, read_toml


class OverlayError(ValueError):
    """Settings that may not be set from afar. `errors` holds one sentence for each fault."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = tuple(errors)


def read(toml: str) -> dict[str, Any]:
    """The sections of an overlay. Raises OverlayError where it is no TOML."""
    try:
        return read_toml(toml)
    except TomlError as error:
        raise OverlayError([f"the settings are not TOML: {error}"]) from None


def check(overlay: Mapping[str, Any], sensors: Iterable[str]) -> None:
    """Raise OverlayError where an overlay has what may not be set from afar. `sensors` are the sections of sensors."""
    may = (*SETTABLE, *sensors)
    errors = [f"[{one}] may not be set from afar; there are {', '.join(may)}" for one in overlay if one not in may]
    broker = overlay.get("broker")
    if isinstance(broker, Mapping):
        errors += [
            f"[broker] {key} may not be set from afar; there are {', '.join(BROKER_KEYS)}"
            for key in broker
            if key not in BROKER_KEYS
        ]
    if errors:
        raise OverlayError(errors)
