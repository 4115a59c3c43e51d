"""How a station stands, in words for whoever looks at it: what `status` prints where nobody asks for JSON."""

from collections.abc import Mapping
from typing import Any, Final

_TOLD: Final = frozenset(
    {
        *("operator", "device", "epoch", "measured", "head_sequence", "spooled", "undated", "spooled_bytes", "refused"),
        *("thinned", "broken", "committed_contiguous", "signed_sequence", "oldest_spooled", "certificate_ends"),
        *("certificate_renewed_from", "wrong"),
    }
)
_WIDTH: Final = 13


def status_words(found: Mapping[str, Any]) -> list[str]:
    """The lines about one station. What is not known here is told by its name."""
    lines = [f"{found['device']} of {found['operator']}"]
    rows = [
        ("measured", _measured(found)),
        ("committed", _committed(found)),
        ("signed", f"up to {_number(found['signed_sequence'])}" if found["signed_sequence"] else "nothing yet"),
    ]
    if found["undated"]:
        rows.append(("undated", f"{_readings(found['undated'])} without a number until the time is known"))
    for name, what in (
        ("thinned", "old ones dropped for want of room, declared to the cloud"),
        ("refused", "could not be kept"),
        ("broken", "were not to be found in a broken spool"),
    ):
        if found[name]:
            rows.append((name, f"{_readings(found[name])}: {what}"))
    rows.append(("certificate", _certificate(found)))
    rows += [(name.replace("_", " "), _other(value)) for name, value in found.items() if name not in _TOLD]
    rows += [("wrong", one) for one in found.get("wrong", ())] or [("wrong", "nothing that can be seen from here")]
    return lines + [f"  {name:<{_WIDTH}} {words}" for name, words in rows]


def size(count: float) -> str:
    """Bytes, for people."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1_000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.1f} GB"


def _measured(found: Mapping[str, Any]) -> str:
    if not found["measured"]:
        return "nothing yet"
    newest = f"number {_number(found['head_sequence'])} of epoch {found['epoch']}"
    return f"{_readings(found['measured'])}, the newest is {newest}"


def _committed(found: Mapping[str, Any]) -> str:
    done = found["committed_contiguous"]
    began = f"up to {_number(done)}" if done else "nothing yet"
    if not found["spooled"]:
        return f"{began}, none waits"
    oldest = found["oldest_spooled"]
    return (
        f"{began}, {_readings(found['spooled'])} wait{'s' if found['spooled'] == 1 else ''} from {_number(oldest)} on "
        f"({size(found['spooled_bytes'])} on the disk)"
    )


def _certificate(found: Mapping[str, Any]) -> str:
    if found.get("certificate_ends") is None:
        return "none"
    return f"good until {found['certificate_ends']}, renewed from {found['certificate_renewed_from']} on"


def _other(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_other(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_other(one) for one in value) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _number(value) if isinstance(value, int) else str(value)


def _readings(count: int) -> str:
    return f"{_number(count)} reading{'' if count == 1 else 's'}"


def _number(value: int) -> str:
    return f"{value:,}"
