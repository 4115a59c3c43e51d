"""How many a program that serves over HTTP serves at once, and whom it believes: the same for each of them."""

import ipaddress
from dataclasses import dataclass

from pledgewatch_wire.hosts import require_host


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """Where it is served, and to how many. `trusted_proxies`: addresses and networks of what stands before the service;
    whom they say they ask for (X-Forwarded-For) is who asks, and nobody else is believed. `connections_max`: how many
    connections there are at once, streams of changes included; each is an open file. `connections_per_address`: how
    many of them one address may have that is no trusted proxy; half where it is not said."""

    host: str = "127.0.0.1"
    port: int = 8420
    trusted_proxies: tuple[str, ...] = ()
    connections_max: int = 800
    connections_per_address: int | None = None

    def __post_init__(self) -> None:
        if self.host:
            require_host("host", self.host)
        for one in self.trusted_proxies:
            try:
                ipaddress.ip_network(one)
            except ValueError:
                text = "use addresses (10.0.0.2) and networks (10.0.0.0/24)"
                raise ValueError(f"trusted_proxies has {one!r}; {text}") from None
        if self.connections_max < 1:
            raise ValueError(f"connections_max is {self.connections_max}; it must be above 0")
        if self.connections_per_address is not None and self.connections_per_address < 1:
            text = "it must be above 0; as many as connections_max are no bound"
            raise ValueError(f"connections_per_address is {self.connections_per_address}; {text}")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; use 0 to 65535")

    @property
    def share_of_address(self) -> int:
        """How many connections one address may have."""
        share = self.connections_per_address
        return max(1, self.connections_max // 2) if share is None else share
