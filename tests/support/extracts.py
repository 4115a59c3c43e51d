"""A receipt as credentials need it, an issuer with his key, and what they make together."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud.decide.receipts.goods import GoodsLine
from pledgewatch_cloud.decide.receipts.receipt import Receipt, State
from pledgewatch_cloud.receipts import status_list
from pledgewatch_cloud.receipts.credential import credential, sign
from pledgewatch_cloud.receipts.issuer import issuer, jwk_of

DAY_MS = 86_400_000
ISSUED_MS = 1_767_261_600_000  # 2026-01-01T10:00:00Z
NOW_MS = ISSUED_MS + DAY_MS
LIST_MS = NOW_MS - 3_600_000
UNTIL_MS = ISSUED_MS + 90 * DAY_MS

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ISSUER = issuer(KEY.public_key().public_bytes_raw(), "https://register.example")
OTHER_ISSUER = issuer(OTHER_KEY.public_key().public_bytes_raw(), "https://register.example")
JWK = jwk_of(ISSUER.public_key)


RECEIPT = Receipt(
    id="la-bonded-1:2026-0001",
    warehouse="la-bonded-1",
    depositor="foshan-sofas",
    holder="foshan-sofas",
    pledgee="harbour-bank",
    state=State.PLEDGED,
    goods=(
        GoodsLine("SOFA-3S-GREY", 120_000, "piece", "A-01-02", "MSKU1234565", "CN778812", "dev-17"),
        GoodsLine("FABRIC-LINEN", 1_250_500, "m", "A-01-03"),
    ),
    released_milli=(0, 250_500),
    ordered_milli=(0, 50_000),
    delivered_milli=(0, 0),
    received_ms=ISSUED_MS - 2 * DAY_MS,
    received_until_ms=ISSUED_MS - DAY_MS,
    issued_ms=ISSUED_MS,
    until_ms=UNTIL_MS,
    head="ab" * 32,
    at_ms=ISSUED_MS,
)


def claims(receipt: Receipt = RECEIPT, index: int = 7, at_ms: int = ISSUED_MS) -> dict[str, Any]:
    return credential(receipt, ISSUER, index, at_ms)


def token(receipt: Receipt = RECEIPT, index: int = 7, at_ms: int = ISSUED_MS) -> str:
    return sign(claims(receipt, index, at_ms), KEY, ISSUER.kid)


def lists(
    revoked: tuple[int, ...] = (), suspended: tuple[int, ...] = (), *, number: int = 0, at_ms: int = LIST_MS
) -> str:
    """The file of status lists, in which some credentials are struck."""
    standings = {
        index: status_list.CredentialStanding(is_revoked=index in revoked, is_suspended=index in suspended)
        for index in (*revoked, *suspended)
    }
    return status_list.signed(ISSUER, number, standings, KEY, at_ms=at_ms, until_ms=at_ms + DAY_MS)
