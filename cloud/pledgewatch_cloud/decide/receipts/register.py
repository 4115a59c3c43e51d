"""The name of a register of receipts: which one an act is for.

A receipt is singular only where there is one register of it, so the act that begins a receipt names the register, and
no other takes it. Each journal is one register. Its own name stays with it, as other things follow from that (see
membership.reference); what everybody may know is a digest of it.
"""

from pledgewatch_cloud.decide import canonical

_DOMAIN = "pledgewatch register 1\0"
_DIGITS = 32


def register_of(journal: str) -> str:
    """What the register of a journal is called: 32 hexadecimal digits."""
    return canonical.sha256((_DOMAIN + journal).encode())[:_DIGITS]
