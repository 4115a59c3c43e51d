"""Those who sign in the demo: two warehouses, who keeps sofas there, the bank that lends on them and one that would.

Each has a key of their own, which nobody else has; an act on a receipt is a JWS in compact form (docs/RECEIPTS.md).
"""

import json
from base64 import urlsafe_b64encode
from typing import Any, NamedTuple

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_NAME = "demo"


class Refusal(NamedTuple):
    """An act that was not taken: what the service answered, and why."""

    receipt: str
    by: str
    to: str
    status: int
    why: str


class Party:
    """Somebody with a key."""

    def __init__(self, identity: str, name: str) -> None:
        self.id = identity
        self._name = name
        self._key = Ed25519PrivateKey.generate()

    def as_document(self) -> dict[str, Any]:
        """As the book has them."""
        public = _base64url(self._key.public_key().public_bytes_raw())
        return {"id": self.id, "name": self._name, "keys": [{"kid": KEY_NAME, "x": public}]}

    def signed(self, says: dict[str, Any]) -> str:
        """An act, signed."""
        parts = ({"alg": "EdDSA", "kid": KEY_NAME}, says)
        covered = ".".join(_base64url(json.dumps(one, sort_keys=True, separators=(",", ":")).encode()) for one in parts)
        return f"{covered}.{_base64url(self._key.sign(covered.encode()))}"


class Register:
    """The register of receipts behind the cloud's API, as those who sign use it."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def act(self, by: Party, receipt: str, kind: str, at: str, **says: Any) -> dict[str, Any] | Refusal:
        """Sign an act on a receipt as it stands, and hand it in: the receipt after it, or why it was refused."""
        after = "" if kind == "issue" else (await self._get(f"/receipts/{_in_path(receipt)}"))["head"]
        begins = await self._get("/receipts/register") if kind == "issue" else {}
        text = by.signed({"act": kind, "receipt": receipt, "after": after, "by": by.id, "at": at, **begins, **says})
        headers = {"content-type": "application/jose"}
        answer = await self._http.post(f"{self._url}/receipts/acts", content=text, headers=headers)
        said: dict[str, Any] = answer.json()
        if answer.is_success:
            found: dict[str, Any] = said["receipt"]
            return found
        to = str(says.get("pledgee", ""))
        return Refusal(receipt, by.id, to, answer.status_code, said.get("why", said.get("detail", "")))

    async def _get(self, path: str) -> Any:
        answer = await self._http.get(f"{self._url}{path}")
        answer.raise_for_status()
        return answer.json()


def _in_path(receipt: str) -> str:
    return receipt.replace(":", "%3A")


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
