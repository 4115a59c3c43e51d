"""What is remembered of devices' identities, as one value. identity_acts.py says how it changes.

Everything has an end. There is one invitation for a device at a time, and those that are past go when another comes.
A device has at most two certificates that count: it may go on with the one before until it has shown the new one or
confirmed it. A certificate that counts no more is listed until it has expired by itself, at most REVOKED_MAX for each
device: beyond that a device is given no more of them, for to forget one would let it in again.

Keys of the chain are by epochs. A device that claims again with another key begins above every epoch that is known of
it, and what it has signed before is held against the key of then. Of a device whose identity was taken away no earlier
key is believed: whoever has it may be the reason.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.items.assets import Installation
from pledgewatch_wire.codec import MAX_EPOCH

INVITATIONS_MAX = 10_000
"""Of the keeper that wait at once."""
OPERATOR_INVITATIONS_MAX = 1_000
"""Of each operator. None takes room from another, or from the keeper."""
CERTIFICATES_MAX = 2
REVOKED_MAX = 64
RENEWALS_REVOKED_MAX = 32
"""So many of them renewals may cause. The rest is for claims: whoever is given no more certificates must be able to
begin anew."""
RENEWAL_WAIT_MS = 60_000
"""Between two renewals for two keys of which neither was confirmed, where nothing is listed yet; twice as long for each
certificate that is. So years are needed to use up what renewals may cause, and a wait is as long as it went on so."""
KEY_IN_FORCE_WAIT_MS = 300_000
"""Between a certificate for another key and one for the key of the older, which drops it: time for the device to put
in force what it was given, and to say so."""
DROPPED_TOLD = 3
"""So many certificates that were never confirmed, each dropped for another key, are told of: a device keeps the key
that it has asked with until it has a certificate for it."""
FORMER_KEYS_MAX = 32
"""Of more, the oldest is let go, and nothing more is taken of its epochs."""


class Invitation(NamedTuple):
    """Who may become a device until when, by showing the code of this SHA-256; see batch.DeviceInvitation. `party` is
    the operator that has invited; empty where the keeper has."""

    device: str
    operator: str
    asset: str
    replaces: str
    code_sha256: str
    settings: str
    by: str
    at_ms: int
    until_ms: int
    party: str = ""
    gateway: str = ""


class Issued(NamedTuple):
    """A certificate: its number, until when it is good, the digest of its key, and itself (DER in base64)."""

    serial: str
    not_after_ms: int
    key_sha256: str
    certificate: str


class Revoked(NamedTuple):
    """A certificate that counts no more, since when, and until when it would have been good. `misused_ms`: when it was
    shown after that for the first time, while its device had another; 0 where it was not. `signed_ms`: since when it
    counts no more by the device's own clock; 0 where it was not the device that said so."""

    serial: str
    at_ms: int
    not_after_ms: int
    misused_ms: int = 0
    signed_ms: int = 0


class Identity(NamedTuple):
    """One device's. `public_key` signs what is beyond `epoch`; nothing is taken of epochs below `from_epoch`; `former`
    are keys of before, each with the last epoch that it signed, oldest first. `claim` is the invitation that was
    claimed last, for who lost the answer; None once a certificate has been renewed. `revoked_ms` above 0: nothing at
    all is taken, `why` says why and `by` who said so. `renewed_ms`: when the newest of two certificates was given.
    `dropped`: how many were dropped for another key since the one in force was claimed or confirmed. `hasty`: numbers
    of certificates of which it was told that somebody asks by them as no agent does, of those that count; and of those
    that the journal does not know, and of which it was told, until the next of the former."""

    device: str
    public_key: str = ""
    epoch: int = 0
    from_epoch: int = 0
    former: tuple[tuple[int, str], ...] = ()
    certificates: tuple[Issued, ...] = ()
    revoked: tuple[Revoked, ...] = ()
    claim: Invitation | None = None
    revoked_ms: int = 0
    why: str = ""
    by: str = ""
    renewed_ms: int = 0
    dropped: int = 0
    hasty: tuple[str, ...] = ()


class IdentityBook:
    """Invitations and identities, by device, and when devices were retired, by the journal. Never changed."""

    def __init__(
        self,
        invitations: Mapping[str, Invitation] | None = None,
        identities: Mapping[str, Identity] | None = None,
        retired_ms: Mapping[str, int] | None = None,
    ) -> None:
        """Take them as they are."""
        self.invitations: Mapping[str, Invitation] = invitations or {}
        self.identities: Mapping[str, Identity] = identities or {}
        self.retired_ms: Mapping[str, int] = retired_ms or {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdentityBook) and (
            (self.invitations, self.identities, self.retired_ms)
            == (other.invitations, other.identities, other.retired_ms)
        )

    __hash__ = None  # type: ignore[assignment]

    def of(self, device: str) -> Identity:
        """A device's identity; of one that never claimed any, an empty one."""
        return self.identities.get(device) or Identity(device)

    def with_identity(self, one: Identity) -> "IdentityBook":
        """The same with another identity of a device."""
        return IdentityBook(self.invitations, {**self.identities, one.device: one}, self.retired_ms)

    def with_invitations(self, invitations: Mapping[str, Invitation]) -> "IdentityBook":
        """The same with these invitations."""
        return IdentityBook(invitations, self.identities, self.retired_ms)

    def with_retired(self, retired_ms: Mapping[str, int]) -> "IdentityBook":
        """The same with these devices retired."""
        return IdentityBook(self.invitations, self.identities, retired_ms)

    @cached_property
    def barred(self) -> Mapping[str, int]:
        """By device the lowest epoch of which anything is taken, where that is not every epoch."""
        found = {}
        for device, one in self.identities.items():
            below = MAX_EPOCH + 1 if one.revoked_ms else one.from_epoch
            if below:
                found[device] = below
        return found

    def silent(self, at_ms: int) -> frozenset[str]:
        """Devices that have claimed and have no certificate in force at a moment: the broker hears nothing of them."""
        return frozenset(device for device, one in self.identities.items() if _until_ms(one) <= at_ms)

    def speakers(self, installations: Iterable[Installation], at_ms: int) -> list[Installation]:
        """Those of some devices whom the broker hears at a moment. Who has claimed speaks for itself by then, also a
        zone of a gateway: by its own certificate, and by no gateway's."""
        silent = self.silent(at_ms)
        heard = (one for one in installations if one.device not in silent)
        return [one._replace(gateway="") if one.device in self.identities else one for one in heard]

    def silent_from_ms(self, at_ms: int) -> int | None:
        """The first moment after one at which another device falls silent if nothing is done; None for never."""
        return min((until for one in self.identities.values() if (until := _until_ms(one)) > at_ms), default=None)

    @cached_property
    def ends_ms(self) -> tuple[int, ...]:
        """When each certificate that counts ends, or has, in order."""
        return tuple(sorted(cert.not_after_ms for one in self.identities.values() for cert in one.certificates))

    @cached_property
    def revoked(self) -> tuple[Revoked, ...]:
        """The certificates that count no more, by number."""
        return tuple(sorted(one for some in self.identities.values() for one in some.revoked))

    def key_of(self, installation: Installation, epoch: int) -> str:
        """The public key that an epoch of a device is signed with."""
        known = self.identities.get(installation.device)
        if known is not None and epoch <= known.epoch:
            for until_epoch, key in known.former:
                if epoch <= until_epoch:
                    return key
        return installation.public_key

    def as_json(self) -> dict[str, Any]:
        """For the state's canonical form."""
        return {
            "invitations": [self.invitations[one] for one in sorted(self.invitations)],
            "identities": [self.identities[one] for one in sorted(self.identities)],
            "retired_ms": dict(self.retired_ms),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "IdentityBook":
        """The inverse of as_json."""
        invitations = (Invitation(*one) for one in value["invitations"])
        identities = (_identity(one) for one in value["identities"])
        return IdentityBook(
            {one.device: one for one in invitations}, {one.device: one for one in identities}, value["retired_ms"]
        )


def _until_ms(one: Identity) -> int:
    """Until when some certificate is in force."""
    return 0 if one.revoked_ms else max((cert.not_after_ms for cert in one.certificates), default=0)


def _identity(value: Iterable[Any]) -> Identity:
    device, public_key, epoch, from_epoch, former, certificates, revoked, claim, *rest, hasty = value
    return Identity(
        *(device, public_key, epoch, from_epoch),
        tuple((until_epoch, key) for until_epoch, key in former),
        tuple(Issued(*one) for one in certificates),
        tuple(Revoked(*one) for one in revoked),
        None if claim is None else Invitation(*claim),
        *(*rest, tuple(hasty)),
    )
