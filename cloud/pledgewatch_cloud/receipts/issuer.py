"""Who issues credentials: the register, under a name that is its key.

The name is a `did:jwk`: the public key itself, as a JSON Web Key in base64url. So the name and the key can never part,
and nothing has to be looked up to check a signature: no web server, no certificate, no registry that might be gone when
a receipt is argued about. What it costs: a new key is a new name, and a name says nothing about who bears it. Both are
met the same way: the bank is given the issuer's key by another way than the receipt, and names it when it verifies.

A key has one spelling, with the members `crv`, `kty` and `x` in this order and no spaces, so that a name can be
compared as text.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.canonical import decode, encode
from pledgewatch_cloud.decide.moments import short

_BASE_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-])?")


class IssuerError(ValueError):
    """What is no issuer's key or no address; one sentence that says why and what would be one."""


class Issuer(NamedTuple):
    """Who issues: `public_key` is Ed25519's, 32 bytes; `base_url` is where what is issued can be had, without a slash
    at its end. It is part of the ids of credentials, so it stays the same for good."""

    public_key: bytes
    base_url: str

    @property
    def did(self) -> str:
        """The issuer's name."""
        return did_of(self.public_key)

    @property
    def kid(self) -> str:
        """The name of the issuer's only key."""
        return kid_of(self.public_key)


def issuer(public_key: bytes, base_url: str) -> Issuer:
    """An issuer whose parts have been looked at. Raises IssuerError."""
    if len(public_key) != 32:
        raise IssuerError(f"an Ed25519 public key has 32 bytes, not {len(public_key)}")
    check_base_url(base_url)
    return Issuer(public_key, base_url)


def check_base_url(base_url: str) -> None:
    """Raises IssuerError where nothing can be issued under an address."""
    if not _BASE_URL.fullmatch(base_url):
        raise IssuerError(
            f"{short(base_url)} is no address to issue under; one is like https://register.example/pledgewatch"
        )


def jwk_of(public_key: bytes) -> dict[str, str]:
    """The public key as a JSON Web Key (RFC 8037)."""
    return {"crv": "Ed25519", "kty": "OKP", "x": jose.encoded(public_key)}


def did_of(public_key: bytes) -> str:
    """The name of whoever holds the key."""
    return f"did:jwk:{jose.encoded(encode(jwk_of(public_key)))}"


def kid_of(public_key: bytes) -> str:
    """The name of the key itself, as a JWS header gives it."""
    return f"{did_of(public_key)}#0"


def read_jwk(jwk: str | Mapping[str, Any]) -> bytes:
    """The public key that a JSON Web Key holds, as text or as read. Raises IssuerError.

    Members that name or limit a key (`kid`, `use`, `alg`, …) may stand there and say nothing here.
    """
    if isinstance(jwk, str):
        try:
            said = decode(jwk)
        except (ValueError, RecursionError):
            raise IssuerError(
                'the issuer\'s key is no JSON; it is like {"crv":"Ed25519","kty":"OKP","x":"…"}'
            ) from None
    else:
        said = jwk
    if not isinstance(said, Mapping):
        raise IssuerError('the issuer\'s key is no JSON Web Key; one is like {"crv":"Ed25519","kty":"OKP","x":"…"}')
    if "d" in said:
        raise IssuerError(
            "this is a private key, which nobody needs for verifying: take its member `d` out of the file"
        )
    if (said.get("kty"), said.get("crv")) != ("OKP", "Ed25519"):
        raise IssuerError(
            f"the issuer's key is of kty {short(said.get('kty'))} and crv {short(said.get('crv'))}; OKP and Ed25519 "
            "are needed"
        )
    try:
        return jose.public_key(said["x"] if isinstance(said.get("x"), str) else "")
    except jose.JoseError as error:
        raise IssuerError(f"the issuer's key: {error}") from None
