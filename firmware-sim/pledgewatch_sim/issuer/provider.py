"""What an OpenID provider knows and does, without HTTP: codes that are given once, and tokens signed with RS256.

A code is for one client, one address and one PKCE challenge (RFC 7636, S256 alone), good for CODE_S and once. One that
is shown a second time gives nothing, whoever shows it. Tokens are JWS in compact form (RFC 7515), written here from the
standard alone, so that what reads them is tested against somebody else's.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CODE_S = 60
CODES_MAX = 1_000


class Client(NamedTuple):
    """A client as it is known: an empty `secret` makes it a public one."""

    id: str
    secret: str
    redirect_urls: tuple[str, ...]
    audience: str
    logout_urls: tuple[str, ...] = ()


class _Given(NamedTuple):
    client: str
    redirect_url: str
    challenge: str
    nonce: str
    subject: str
    until_s: float


class OAuthError(Exception):
    """A request that is refused: the standard's word, and a sentence."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.word = word


class Provider:
    """The provider under a URL; `now_s` is the world's clock."""

    def __init__(
        self, url: str, key: rsa.RSAPrivateKey, clients: list[Client], now_s: Callable[[], float], token_s: int
    ) -> None:
        self.url, self._key, self._now_s, self._token_s = url, key, now_s, token_s
        self.clients = {one.id: one for one in clients}
        self._given: dict[str, _Given] = {}
        numbers = key.public_key().public_numbers()
        self._jwk = {
            "kty": "RSA",
            "n": _base64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
            "e": _base64url(numbers.e.to_bytes(3)),
        }
        # A key's name is its thumbprint (RFC 7638).
        thumb = json.dumps(self._jwk, sort_keys=True, separators=(",", ":")).encode()
        self._jwk |= {"kid": _base64url(hashlib.sha256(thumb).digest()), "use": "sig", "alg": "RS256"}

    def discovery(self) -> dict[str, Any]:
        """What it says of itself (OpenID Connect Discovery 1.0, 3)."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "end_session_endpoint": f"{self.url}/logout",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "authorization_response_iss_parameter_supported": True,
        }

    def jwks(self) -> dict[str, Any]:
        """Its public key."""
        return {"keys": [self._jwk]}

    def client_at(self, client_id: str, redirect_url: str) -> Client:
        """The client of a request to log in. Raises OAuthError: nobody is sent to an address that is not known."""
        client = self.clients.get(client_id)
        if client is None or redirect_url not in client.redirect_urls:
            raise OAuthError("invalid_request", "no client of that id has that redirect_uri")
        return client

    def give_code(self, client: Client, redirect_url: str, asked: dict[str, str], subject: str) -> str:
        """The code that somebody comes back with. Raises OAuthError for a request that is none."""
        check_asked(asked)
        while self._given and (
            len(self._given) >= CODES_MAX or next(iter(self._given.values())).until_s <= self._now_s()
        ):
            del self._given[next(iter(self._given))]
        code = secrets.token_urlsafe(32)
        until_s = self._now_s() + CODE_S
        nonce = asked.get("nonce", "")
        self._given[code] = _Given(client.id, redirect_url, asked["code_challenge"], nonce, subject, until_s)
        return code

    def logged_out(self, asked: dict[str, str]) -> str:
        """Where somebody is sent who has logged out (OpenID Connect RP-Initiated Logout 1.0); empty for nowhere. Raises
        OAuthError where the hint is no ID token of ours for the client, or the address is not known of it."""
        back, hint = asked.get("post_logout_redirect_uri", ""), asked.get("id_token_hint", "")
        name = self._audience_of(hint) if hint else asked.get("client_id", "")
        client = self.clients.get(name)
        if client is None or asked.get("client_id", name) != name:
            raise OAuthError("invalid_request", "no client of that id, or the token is another's")
        if back and back not in client.logout_urls:
            raise OAuthError("invalid_request", "the client does not have that post_logout_redirect_uri")
        if not back:
            return ""
        state = f"?{urlencode({'state': asked['state']})}" if "state" in asked else ""
        return f"{back}{state}"

    def _audience_of(self, token: str) -> str:
        """Whose ID token it is; one whose time is over says so, too. Raises OAuthError."""
        try:
            covered, _, signature = token.rpartition(".")
            self._key.public_key().verify(_bytes_of(signature), covered.encode(), padding.PKCS1v15(), hashes.SHA256())
            header, said = (json.loads(_bytes_of(one)) for one in covered.split("."))
        except (InvalidSignature, ValueError):
            raise OAuthError("invalid_request", "id_token_hint is no token of this issuer") from None
        if header["typ"] != "JWT":
            raise OAuthError("invalid_request", "id_token_hint is no ID token")
        return str(said["aud"])

    def tokens(self, client: Client, asked: dict[str, str]) -> dict[str, Any]:
        """What there is for a code. Raises OAuthError."""
        if asked.get("grant_type") != "authorization_code":
            raise OAuthError("unsupported_grant_type", "only authorization_code is known")
        given = self._given.pop(asked.get("code", ""), None)
        if given is None or given.until_s <= self._now_s():
            raise OAuthError("invalid_grant", "there is no such code, or it was shown before, or is too old")
        if (given.client, given.redirect_url) != (client.id, asked.get("redirect_uri")):
            raise OAuthError("invalid_grant", "the code is another client's or for another redirect_uri")
        shown = _base64url(hashlib.sha256(asked.get("code_verifier", "").encode()).digest())
        if not hmac.compare_digest(shown, given.challenge):
            raise OAuthError("invalid_grant", "code_verifier does not fit the challenge")
        now_s = int(self._now_s())
        said = {"iss": self.url, "sub": given.subject, "iat": now_s, "exp": now_s + self._token_s}
        nonce = {"nonce": given.nonce} if given.nonce else {}
        # What RFC 9068, 2.2 wants of an access token; its type and `jti` tell it from an ID token and from another.
        for_api = {"aud": client.audience or self.url, "client_id": client.id, "jti": secrets.token_urlsafe(16)}
        found: dict[str, Any] = {
            "access_token": self._signed("at+jwt", {**said, **for_api}),
            "token_type": "Bearer",
            "expires_in": self._token_s,
            "id_token": self._signed("JWT", {**said, "aud": client.id, **nonce}),
        }
        return found

    def _signed(self, kind: str, claims: dict[str, Any]) -> str:
        header = {"alg": "RS256", "typ": kind, "kid": self._jwk["kid"]}
        covered = ".".join(_base64url(json.dumps(one).encode()) for one in (header, claims))
        signature = self._key.sign(covered.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{covered}.{_base64url(signature)}"


def check_asked(asked: dict[str, str]) -> None:
    """Raise OAuthError for a request to log in that is not of the Authorization Code flow with PKCE."""
    if asked.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "only code is known")
    if "openid" not in asked.get("scope", "").split():
        raise OAuthError("invalid_scope", "openid is needed")
    if asked.get("code_challenge_method") != "S256" or len(asked.get("code_challenge", "")) != 43:
        raise OAuthError("invalid_request", "a code_challenge of method S256 is needed")


def signing_key(path: Path | None) -> rsa.RSAPrivateKey:
    """The key in a file, made where there is none; a new one without a file. Raises OSError, ValueError."""
    if path is not None and path.exists():
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(found, rsa.RSAPrivateKey):
            raise ValueError(f"{path} holds no RSA key")
        return found
    made = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(made.private_bytes(*form))
    return made


def _bytes_of(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
