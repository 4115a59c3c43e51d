"""Names of computers, as somebody writes them into a configuration.

Whoever looks a name up has it encoded first (IDNA), and a name that cannot be encoded is a ValueError there, where only
what the network does is waited for. So it is refused where it is read. A colon stands in no name, only in an address of
IPv6, so a name with another is a name and a port in one, or half an address.
"""

import unicodedata
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit


def require_host(key: str, host: str) -> None:
    """Raise ValueError where `host` can be no computer's name or address."""
    if any(letter.isspace() or unicodedata.category(letter) == "Cc" for letter in host):
        raise ValueError(f"{key} {host!r} has a blank or control character; write the name or the address alone")
    if ":" in host:
        try:
            IPv6Address(host)
        except ValueError:
            raise ValueError(
                f"{key} {host!r} has a colon and is no address of IPv6; write the name or the address alone"
            ) from None
    try:
        encoded = host.encode("idna")
    except UnicodeError:
        encoded = b""
    if not encoded:
        raise ValueError(
            f"{key} {host!r} cannot be a computer's name: between two dots stand 1 to 63 characters; write it as "
            "broker.example.com, or an address"
        )


def require_url(key: str, url: str) -> SplitResult:
    """The parts of the address of an HTTP server. Raises ValueError where it is none; what stands in for `key` says of
    what."""
    cure = "use https://NAME:PORT"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in {"http", "https"} or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{key} {url!r} is no address; {cure}")
    require_host(key, host)
    if not url.isprintable() or " " in url or not parts.path.isascii():
        raise ValueError(f"{key} {url!r} has a character that no address has; {cure}")
    return parts
