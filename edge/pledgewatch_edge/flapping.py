"""States that flap: a contact that changes again and again says nothing new by it, and what is urgent is never dropped.

Changes of a state are counted in minutes of the samples' own moments. With one more than CHANGES_MAX in a minute the
state flaps, which is urgent once; from then on its changes are not, and of samples that hold nothing but states one a
minute is kept. It ends with a minute of no more than CALM_MAX changes, at the first sample after it, which is urgent
once more. Each reading by which any of that is told says which states flap (FLAPPING, bits in the order of
STATE_CHANNELS) and how often states have changed while they did (FLAPS, a running total since the start).

A clock that goes back begins a minute anew and ends nothing.
"""

from dataclasses import dataclass
from typing import Final

from pledgewatch_edge.sample import Sample
from pledgewatch_wire.reading import STATE_CHANNELS, Cell, Channel, Quality

CHANGES_MAX: Final = 12
CALM_MAX: Final = 3
MINUTE_MS: Final = 60_000


@dataclass(slots=True)
class _State:
    """What is known of one: its value, when it changed last, the changes in the minute that began at a moment, and
    whether it flaps."""

    value: int
    changed_ms: int
    minute_ms: int
    changes: int = 0
    flaps: bool = False


class Flapping:
    """Of one device's states which flap. It remembers nothing across a restart."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}
        self._total = 0
        self._told_ms = 0
        self._is_news = False

    def hear(self, sample: Sample) -> bool:
        """Take in a sample's states. Returns whether they make it urgent: a change of one that does not flap, or that
        one begins or ends to flap."""
        at_ms, is_urgent, self._is_news = sample.measured_at_ms, False, False
        for channel, value, quality in sample.cells:
            if channel not in STATE_CHANNELS or quality != Quality.GOOD:
                continue
            state = self._states.setdefault(channel, _State(value, at_ms, at_ms))
            self._is_news |= _has_ended(state, at_ms)
            if value != state.value:
                state.value, state.changed_ms, state.changes = value, at_ms, state.changes + 1
                self._total += state.flaps
                is_urgent |= not state.flaps
                self._is_news |= not state.flaps and state.changes > CHANGES_MAX
                state.flaps |= state.changes > CHANGES_MAX
        return is_urgent or self._is_news

    def told(self, sample: Sample, *, is_urgent: bool) -> tuple[Cell, ...] | None:
        """What a sample that was heard is to say beside its own; None where it is not to be kept at all."""
        flapping = {channel for channel, state in self._states.items() if state.flaps}
        if not self._is_news and flapping.isdisjoint(cell.channel for cell in sample.cells):
            return ()
        at_ms = sample.measured_at_ms
        is_soon = self._told_ms <= at_ms < self._told_ms + MINUTE_MS
        if is_soon and not is_urgent and is_of_states(sample):
            return None
        self._told_ms = at_ms
        bits = sum(1 << place for place, channel in enumerate(STATE_CHANNELS) if channel in flapping)
        return (Cell(Channel.FLAPPING, bits), Cell(Channel.FLAPS, self._total))


def is_of_states(sample: Sample) -> bool:
    """Whether a sample holds nothing but states, and nothing is wrong with any."""
    return all(cell.channel in STATE_CHANNELS and cell.quality == Quality.GOOD for cell in sample.cells)


def _has_ended(state: _State, at_ms: int) -> bool:
    """Begin the next minute of a state, if one is over; whether it has ceased to flap by that."""
    is_over = at_ms >= state.minute_ms + MINUTE_MS
    if not is_over and at_ms >= state.minute_ms:
        return False
    is_calm = is_over and (state.changes <= CALM_MAX or at_ms >= state.changed_ms + MINUTE_MS)
    has_ended = state.flaps and is_calm
    state.minute_ms, state.changes = at_ms, 0
    state.flaps &= not has_ended
    return has_ended
