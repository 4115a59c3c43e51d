"""How far devices have been heard.

While the broker is away, or more waits with it than is taken at once, it is the cloud that is deaf: nobody is missed
for what they said meanwhile.

After a start or a lost connection a grace passes first, so that devices can connect to the broker again and send again
what it lost. Then time goes on for silence too, and who is still not heard is missed from event time, as ever.
"""

from pledgewatch_cloud.decide.stretches import NEVER


class Hearing:
    """Whether the cloud hears its devices."""

    def __init__(self, grace_s: float) -> None:
        """`grace_s` is longer than a device waits before it connects and sends again."""
        self._grace_s = grace_s
        self._connections = 0
        self._since_s: float | None = None
        self._is_behind = False
        self._until_ms = -NEVER

    def took(self, *, everything: bool) -> None:
        """The ingestor has taken messages: all that were there, or as many as it takes at once."""
        self._is_behind = not everything

    def until_ms(self, *, connected: bool, connections: int, now_ms: int, now_s: float) -> int:
        """Up to when devices have been heard (-NEVER: not since the start).

        `connections` counts those to the broker so far, `now_ms` is the journal's clock, `now_s` a monotonic one.
        """
        if not connected:
            self._since_s = None
        elif self._since_s is None or connections != self._connections:
            self._since_s, self._connections = now_s, connections
        if self._since_s is not None and now_s - self._since_s >= self._grace_s and not self._is_behind:
            self._until_ms = now_ms
        return self._until_ms
