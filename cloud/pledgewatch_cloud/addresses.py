"""Whose an address is, where requests and connections are counted by address."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network

_OF_ONE_BITS = 64


def counted_as(host: str) -> str:
    """What an address is counted as: of IPv6 the first half, for whoever has one address there has all that share it.
    One of IPv4 that is written as IPv6 is of IPv4."""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
        return str(address.ipv4_mapped or ip_network((address, _OF_ONE_BITS), strict=False))
    except ValueError:
        return host


def is_among(host: str, networks: Iterable[str]) -> bool:
    """Whether an address is one of these addresses and networks."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ip_network(one) for one in networks)
