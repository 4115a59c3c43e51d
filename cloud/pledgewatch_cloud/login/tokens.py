"""Tokens of an issuer (OpenID Connect Core 1.0; RFC 9068; RFC 8725 for what goes wrong): who is spoken of, if all of it
holds.

What a token says of itself decides nothing: its algorithm must be one of ALGORITHMS, all with a public key; its key
is one that the issuer has published, of the kind that the algorithm is for; what else it names (`jku`, `jwk`, `x5u`) is
not looked at, and one with `crit` is refused. Time comes in as an argument.

An ID token says to us who has logged in, and comes from the issuer's token endpoint alone. An access token is shown
with each request, and is for us where its `aud` names our API. Neither is taken for the other, nor any other token of
the issuer's (logout, events) for one of them: they are told apart by `typ`, as RFC 8725, 3.11 and RFC 9068, 4 want it.
Where an issuer does not say it of its access tokens, and that is configured, what ID tokens have is looked for instead.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from jwt import PyJWS
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.strict_json import JsonError, strict_json

TEXT_MAX = 16_384
KEYS_MAX = 100
RSA_MIN_BITS = 2_048
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS = frozenset({*_RSA, *_CURVES, "EdDSA"})
"""What a token may be signed by. None of them has a secret, so nobody who can verify can sign."""
_ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_UNTYPED = frozenset({None, "jwt"})
"""`typ` of a token that does not say which kind it is; of ID tokens no standard names another."""
_OF_ID_TOKENS = ("nonce", "at_hash", "c_hash")
_SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")


class TokenError(Exception):
    """A token that is not believed; one sentence, which has nothing of it that would open anything."""


class UnknownKeyError(TokenError):
    """No key that is known has the name that the token names: the issuer may have a new one."""


class _Key(NamedTuple):
    kind: str
    """`RSA`, `Ed25519` or the name of a curve."""
    algorithm: str
    """The only one that it is for, as its issuer says; empty: any of its kind."""
    public: Any


class Keys:
    """An issuer's public keys, by their names."""

    def __init__(self, found: list[tuple[str, _Key]]) -> None:
        self._found = found

    def __len__(self) -> int:
        """How many there are."""
        return len(self._found)

    def named(self, kid: str | None, algorithm: str) -> Any:
        """The key for a token. Raises UnknownKeyError."""
        kind = "RSA" if algorithm in _RSA else _CURVES.get(algorithm, "Ed25519")
        fits = [
            key.public
            for name, key in self._found
            if key.kind == kind and key.algorithm in ("", algorithm) and kid in (None, name)
        ]
        if len(fits) != 1:  # without a name, or with one of two, it cannot be told which key is meant
            raise UnknownKeyError(f"the issuer has no one key {short(kid)} for {algorithm}")
        return fits[0]


def read_keys(document: Any) -> Keys:
    """The keys of a JSON Web Key Set that can be used; others are left out, as RFC 7517, 5 wants it. Raises TokenError
    where it is none."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise TokenError(f"a JSON Web Key Set has `keys`, a list of at most {KEYS_MAX}")
    found = []
    for one in listed:
        key = _key(one) if isinstance(one, dict) else None
        if key is not None:
            found.append((str(one.get("kid", "")), key))
    return Keys(found)


def _key(jwk: Mapping[str, Any]) -> _Key | None:
    """None where it is not for verifying, not of a kind that is taken, or too weak."""
    uses = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or "d" in jwk or not isinstance(uses, list) or "verify" not in uses:
        return None
    kind: str = ""
    public: Any = None
    try:
        match jwk.get("kty"), jwk.get("crv"):
            case "RSA", _:
                rsa = RSAAlgorithm.from_jwk(dict(jwk))
                kind, public = "RSA", rsa if rsa.key_size >= RSA_MIN_BITS else None
            case "EC", str(curve) if curve in _CURVES.values():
                kind, public = curve, ECAlgorithm.from_jwk(dict(jwk))
            case "OKP", "Ed25519":
                kind, public = "Ed25519", OKPAlgorithm.from_jwk(dict(jwk))
    except (PyJWTError, ValueError, TypeError):
        return None
    if public is None:
        return None
    return _Key(kind, str(jwk.get("alg", "")), public)


class Terms(NamedTuple):
    """What tokens are held to. `skew_s`: how far the issuer's clock may be from ours. Without `audience` no access
    token is for us. `allow_untyped`: the issuer does not say of its access tokens that they are such."""

    issuer: str
    client_id: str
    audience: str
    skew_s: int
    allow_untyped: bool = False


def identity(token: str, keys: Keys, terms: Terms, nonce: str, now_s: int) -> str:
    """The subject of an ID token that answers to a login of ours with this nonce. Raises TokenError."""
    kind, claims = _claims(token, keys, terms, now_s)
    if kind not in _UNTYPED:
        raise TokenError(f"the token is a {short(kind)}, not an ID token (typ)")
    _check_audience(claims, terms.client_id)
    if claims.get("azp", terms.client_id) != terms.client_id:
        raise TokenError("the token was issued to another client (azp)")
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and "azp" not in claims:
        raise TokenError("the token is for several and does not say to whom it was issued (azp)")
    if claims.get("nonce") != nonce:
        raise TokenError("the token answers to another login (nonce)")
    return _subject(claims)


def access(token: str, keys: Keys, terms: Terms, now_s: int) -> str:
    """The subject of an access token for our API. Raises TokenError."""
    if not terms.audience:
        raise TokenError("tokens of the issuer are not taken here")
    kind, claims = _claims(token, keys, terms, now_s)
    is_typed = kind in _ACCESS_TYPES
    if not is_typed and not (terms.allow_untyped and kind in _UNTYPED):
        raise TokenError(f"the token is of the type {short(kind)}; an access token is an at+jwt (typ)")
    _check_audience(claims, terms.audience)
    if any(name in claims for name in _OF_ID_TOKENS) or not (is_typed or _may_be_access(claims, terms)):
        raise TokenError("that is an ID token; show an access token")
    if "events" in claims:
        raise TokenError("the token tells of events (RFC 8417) and opens nothing")
    if "cnf" in claims:
        # It is good only together with a proof of the key that it names, and none is asked for here.
        raise TokenError("the token is bound to a key (cnf), which cannot be shown here: ask for one that is not")
    return _subject(claims)


def _may_be_access(claims: dict[str, Any], terms: Terms) -> bool:
    """Whether an untyped token is not plainly an ID token: that is for the client it was issued to."""
    said = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    return terms.client_id not in said and claims.get("azp") not in said


def _claims(token: str, keys: Keys, terms: Terms, now_s: int) -> tuple[str | None, dict[str, Any]]:
    """What both kinds of tokens must hold to: signature, issuer and times. With it what the token calls itself, a media
    type, whose case says nothing."""
    header, claims = _read(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenError(f"the token is signed by {short(algorithm)}, which is not taken")
    kind = header.get("typ")
    if "crit" in header or not all(one is None or isinstance(one, str) for one in (kid, kind)):
        raise TokenError("the token's header has what is not known here (crit), or a kid or typ that is no text")
    try:
        PyJWS().decode(token, keys.named(kid, algorithm), algorithms=[algorithm])
    except (PyJWTError, ValueError, TypeError):
        raise TokenError("the token's signature does not verify") from None
    if claims.get("iss") != terms.issuer:
        raise TokenError("the token is by another issuer (iss)")
    if _seconds(claims, "exp") <= now_s - terms.skew_s:
        raise TokenError("the token has expired (exp)")
    if "nbf" in claims and _seconds(claims, "nbf") > now_s + terms.skew_s:
        raise TokenError("the token is not valid yet (nbf)")
    if _seconds(claims, "iat") > now_s + terms.skew_s:
        raise TokenError("the token was issued in the future (iat): compare the clocks")
    return kind if kind is None else kind.lower(), claims


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = token.split(".")
    if len(token) > TEXT_MAX or len(parts) != 3:
        raise TokenError(f"a token has three parts, and at most {TEXT_MAX} characters")
    found = []
    for name, part in zip(("header", "claims"), parts, strict=False):
        try:
            one = strict_json(jose.decoded(name, part).decode())
        except (jose.JoseError, JsonError, UnicodeDecodeError):
            one = None
        if not isinstance(one, dict):
            raise TokenError(f"the token's {name} cannot be read")
        found.append(one)
    return found[0], found[1]


def _check_audience(claims: dict[str, Any], wanted: str) -> None:
    said = claims.get("aud")
    if wanted not in (said if isinstance(said, list) else [said]):
        raise TokenError("the token is for somebody else (aud)")


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenError(f"the token has no time as {name}")
    return value


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise TokenError("the token does not say of whom it speaks (sub)")
    return subject
