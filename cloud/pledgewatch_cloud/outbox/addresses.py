"""Where outgoing requests may go: not into the network that this service stands in, unless that is allowed.

Whoever may name a URL could otherwise make this service speak to what only it can reach: its own API, a cloud's
metadata, a printer. A name is looked up once for each request, every address that it has is judged, and the connection
is made to one of those very addresses, so a name that changes between the look and the call gains nothing. An IPv6
address that carries an IPv4 address inside (mapped, 6to4, NAT64, ISATAP) is judged by that one too; the forms of old
(compatible, Teredo) are not public whatever they carry. Of IPv6 only global unicast is public (2000::/3, the IANA IPv6
address space registry), without what is set aside in it (the IANA special-purpose address registries).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from pledgewatch_cloud.outbox.aside import aside

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052; its local form 64:ff9b:1::/48 (RFC 8215) is not public
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})  # RFC 5214, 6.1: before an IPv4 address, the interface identifier
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_SET_ASIDE = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments, RFC 6890; its anycast addresses answer nearby
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays, RFC 7526
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments, RFC 2928; Teredo, benchmarks and ORCHID are in it
    ipaddress.IPv6Network("2001:db8::/32"),  # documentation, RFC 3849
    ipaddress.IPv6Network("3fff::/20"),  # documentation, RFC 9637
)


class ForbiddenAddressError(Exception):
    """An address that may not be reached; the sentence names it and the cure."""


def refuse_private(host: str, address: str) -> None:
    """Raise ForbiddenAddressError where an address, or an IPv4 address inside it, is not one of the public internet."""
    found = ipaddress.ip_address(address.partition("%")[0])
    for one in (found, *_inside(found)):
        if not _is_public(one):
            raise ForbiddenAddressError(
                f"{host} is at {address}, which is not public; set allow_private_networks = true if it is meant"
            )


def _inside(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP and address in _GLOBAL_UNICAST:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None or address in _NAT64 or address.sixtofour is not None:
            return True  # it is what it carries, and that is judged too
        if address not in _GLOBAL_UNICAST:
            return False
    if any(address in one for one in _SET_ASIDE):
        return False
    odd = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    return address.is_global and not odd and not address.is_link_local


def look_up(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of a host, each once; blocks. Raises OSError, and ForbiddenAddressError where any is not allowed:
    a name that has one private address among public ones is not trusted with the others."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    if not allow_private:
        for one in addresses:
            refuse_private(host, one)
    return addresses


class Resolver:
    """Looks hosts up; whoever asks for one that is being looked up waits for the same answer."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._under_way: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """See look_up."""
        key = host, port
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(
                aside(lambda: look_up(host, port, allow_private=self._allow_private)), name=f"look up {host}"
            )
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: tuple[str, int], task: "asyncio.Task[list[str]]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever waited has it; where nobody does any more, it needs no mention
