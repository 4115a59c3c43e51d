"""The register as it signs: credentials of receipts as they stand, and the lists of those that no longer hold.

What a receipt says has a number, an act by which it came to say so, and a moment when that was heard (Receipt.number).
Its credential is made of these and of nothing else, so whoever asks for it, and however often, gets the same bytes
until the receipt says something else; and nothing need be kept of what was given out.
"""

from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.receipts import status_list
from pledgewatch_cloud.receipts.credential import ENTRIES, credential, sign
from pledgewatch_cloud.receipts.issuer import Issuer, issuer

LIST_VALID_MS = 86_400_000
"""How long a status list may be used."""


class Signer(NamedTuple):
    """An issuer with its private key."""

    issuer: Issuer
    key: Ed25519PrivateKey

    def credential(self, receipt: Receipt) -> str:
        """The credential of a receipt, a compact JWS. Raises CredentialError where the receipt does not stand."""
        as_said = receipt._replace(head=receipt.number_head)
        return sign(credential(as_said, self.issuer, receipt.number, receipt.number_ms), self.key, self.issuer.kid)

    def lists(self, receipts: ReceiptBook, number: int, at_ms: int) -> str:
        """The file of status lists `number`, both purposes, a line each, as of a moment."""
        standings = status_list.standings(receipts, number)
        until_ms = at_ms + LIST_VALID_MS
        return status_list.signed(self.issuer, number, standings, self.key, at_ms=at_ms, until_ms=until_ms)


def signer(key: Ed25519PrivateKey, base_url: str) -> Signer:
    """Whoever signs with a key what can be had at an address. Raises IssuerError where that is none."""
    return Signer(issuer(key.public_key().public_bytes_raw(), base_url), key)


def lists_of(receipts: ReceiptBook) -> int:
    """How many lists there are: at least one, so that a verifier always finds the first."""
    return receipts.numbers // ENTRIES + 1
