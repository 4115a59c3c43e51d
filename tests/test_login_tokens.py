"""Tokens that must not be believed, each for one reason alone, and the ones that must."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from answering import key, public
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwk, jws

from pledgewatch_cloud.login import tokens
from pledgewatch_cloud.login.tokens import Keys, Terms, TokenError, UnknownKeyError

NOW_S = 1_780_000_000
TERMS = Terms("https://id.example", "console", "watch-api", 60)
NONCE = "n-0S6_WzA2Mj"
Claims = dict[str, Any]


def identity_claims(**changes: Any) -> Claims:
    """An ID token's."""
    usual = {"iss": TERMS.issuer, "sub": "anna", "aud": "console", "iat": NOW_S, "exp": NOW_S + 300, "nonce": NONCE}
    return {name: value for name, value in (usual | changes).items() if value is not None}


def access_claims(**changes: Any) -> Claims:
    """An access token's."""
    return identity_claims(**{"aud": "watch-api", "nonce": None, "client_id": "console", "jti": "a", **changes})


def signed(claims: Claims, by: Any = None, alg: str = "RS256", **header: Any) -> str:
    """A token, signed by jwcrypto and not by what is tested."""
    by = key() if by is None else by
    token = jws.JWS(json.dumps(claims))
    token.allowed_algs = [alg]
    said = {"alg": alg, "kid": by["kid"], **header}
    token.add_signature(by, alg, json.dumps({name: value for name, value in said.items() if value is not None}))
    return str(token.serialize(compact=True))


def by_hand(header: Any, claims: Any, secret: bytes = b"") -> str:
    """A token as no library would make it: with an HMAC, or unsigned."""
    covered = ".".join(
        base64.urlsafe_b64encode(one if isinstance(one, bytes) else json.dumps(one).encode()).rstrip(b"=").decode()
        for one in (header, claims)
    )
    digest = hmac.new(secret, covered.encode(), hashlib.sha256).digest() if secret else b""
    return f"{covered}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def known() -> Keys:
    """The issuer's keys: two, so that a name is needed."""
    return tokens.read_keys(public(key(), key("two")))


def who(token: str, keys: Keys | None = None) -> str:
    """The subject of an ID token."""
    return tokens.identity(token, keys or known(), TERMS, NONCE, NOW_S)


def access_token(claims: Claims, by: Any = None, alg: str = "RS256", **header: Any) -> str:
    """An access token, as RFC 9068 wants it."""
    return signed(claims, by, alg, **({"typ": "at+jwt"} | header))


def shown(token: str, keys: Keys | None = None, terms: Terms = TERMS) -> str:
    """The subject of an access token."""
    return tokens.access(token, keys or known(), terms, NOW_S)


@pytest.mark.parametrize(
    ("kind", "alg"),
    [
        *(("RSA", alg) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        *(("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512"), ("Ed25519", "EdDSA")),
    ],
)
def test_each_algorithm_of_the_list_is_taken(kind: str, alg: str) -> None:
    by = key("its", kind)
    keys = tokens.read_keys(public(by))
    assert who(signed(identity_claims(), by, alg), keys) == "anna"
    assert shown(access_token(access_claims(), by, alg), keys) == "anna"


GOOD: list[Claims] = [
    identity_claims(aud=["console"]),
    identity_claims(azp="console"),
    identity_claims(aud=["console", "other"], azp="console"),
    identity_claims(exp=NOW_S - 59),
    identity_claims(nbf=NOW_S + 60, iat=NOW_S + 60),
    identity_claims(exp=NOW_S + 0.5),
]


@pytest.mark.parametrize("claims", GOOD)
def test_what_an_issuer_may_say_is_taken(claims: Claims) -> None:
    assert who(signed(claims)) == "anna"


def test_one_key_needs_no_name_and_of_two_one_must_be_named() -> None:
    token = signed(identity_claims(), kid=None)
    assert who(token, tokens.read_keys(public(key()))) == "anna"
    with pytest.raises(UnknownKeyError):
        who(token)


def pem(of: Any) -> bytes:
    """A public key as anybody can have it."""
    return bytes(of.export_to_pem())


def without_claim(name: str) -> str:
    return signed(identity_claims(**{name: None}))


BAD: dict[str, tuple[Callable[[], str], str]] = {
    "alg none": (lambda: by_hand({"alg": "none", "kid": "one"}, identity_claims()), "which is not taken"),
    "alg None by another spelling": (lambda: by_hand({"alg": "nOnE"}, identity_claims()), "which is not taken"),
    "no alg": (lambda: by_hand({"kid": "one"}, identity_claims()), "which is not taken"),
    "alg is a list": (lambda: by_hand({"alg": ["RS256"], "kid": "one"}, identity_claims()), "which is not taken"),
    "HS256 with the public key": (
        lambda: by_hand({"alg": "HS256", "kid": "one"}, identity_claims(), pem(key())),
        "which is not taken",
    ),
    "HMAC that calls itself RS256": (
        lambda: by_hand({"alg": "RS256", "kid": "one"}, identity_claims(), pem(key())),
        "does not verify",
    ),
    "another's key under a known name": (
        lambda: signed(identity_claims(), key("stranger"), kid="one"),
        "does not verify",
    ),
    "its own key in the header": (
        lambda: signed(identity_claims(), key("stranger"), kid="one", jwk=key("stranger").export_public(as_dict=True)),
        "does not verify",
    ),
    "unknown kid": (lambda: signed(identity_claims(), key("stranger")), "has no one key"),
    "an elliptic algorithm under an RSA key": (
        lambda: signed(identity_claims(), key("one", "P-256"), "ES256"),
        "has no one key",
    ),
    "kid is a number": (lambda: by_hand({"alg": "RS256", "kid": 1}, identity_claims()), "no text"),
    "crit": (lambda: signed(identity_claims(), crit=["b64"], b64=True), "crit"),
    "claims that were changed": (lambda: changed(signed(identity_claims())), "does not verify"),
    "wrong iss": (lambda: signed(identity_claims(iss="https://evil.example")), r"\(iss\)"),
    "iss with a slash more": (lambda: signed(identity_claims(iss=TERMS.issuer + "/")), r"\(iss\)"),
    "no iss": (lambda: without_claim("iss"), r"\(iss\)"),
    "wrong aud": (lambda: signed(identity_claims(aud="other")), r"\(aud\)"),
    "aud that only contains it": (lambda: signed(identity_claims(aud="console-2")), r"\(aud\)"),
    "no aud": (lambda: without_claim("aud"), r"\(aud\)"),
    "an access token": (lambda: signed(access_claims()), r"\(aud\)"),
    "wrong azp": (lambda: signed(identity_claims(azp="other")), r"\(azp\)"),
    "for several without azp": (lambda: signed(identity_claims(aud=["console", "other"])), r"\(azp\)"),
    "expired": (lambda: signed(identity_claims(exp=NOW_S - 60)), r"\(exp\)"),
    "no exp": (lambda: without_claim("exp"), "no time as exp"),
    "exp is a text": (lambda: signed(identity_claims(exp=str(NOW_S + 300))), "no time as exp"),
    "exp is true": (lambda: signed(identity_claims(exp=True)), "no time as exp"),
    "not yet valid": (lambda: signed(identity_claims(nbf=NOW_S + 61)), r"\(nbf\)"),
    "nbf is a text": (lambda: signed(identity_claims(nbf="soon")), "no time as nbf"),
    "issued in the future": (lambda: signed(identity_claims(iat=NOW_S + 61)), r"\(iat\)"),
    "no iat": (lambda: without_claim("iat"), "no time as iat"),
    "wrong nonce": (lambda: signed(identity_claims(nonce="another")), r"\(nonce\)"),
    "no nonce": (lambda: without_claim("nonce"), r"\(nonce\)"),
    "no sub": (lambda: without_claim("sub"), r"\(sub\)"),
    "sub is a number": (lambda: signed(identity_claims(sub=7)), r"\(sub\)"),
    "sub is empty": (lambda: signed(identity_claims(sub="")), r"\(sub\)"),
    "sub with a line end": (lambda: signed(identity_claims(sub="anna\n")), r"\(sub\)"),
    "an access token's type": (lambda: access_token(identity_claims()), r"at\+jwt.*\(typ\)"),
    "an access token's whole type": (
        lambda: signed(identity_claims(), typ="application/AT+JWT"),
        r"at\+jwt.*\(typ\)",
    ),
    "a logout token": (lambda: signed(identity_claims(), typ="logout+jwt"), r"\(typ\)"),
    "typ is a list": (lambda: by_hand({"alg": "RS256", "kid": "one", "typ": ["JWT"]}, identity_claims()), "no text"),
    "two parts": (lambda: "a.b", "three parts"),
    "five parts": (lambda: "a.b.c.d.e", "three parts"),
    "too long": (lambda: signed(identity_claims(more="x" * 20_000)), "at most"),
    "no base64": (lambda: "a!.b.c", "header cannot be read"),
    "a key twice": (
        lambda: by_hand(b'{"alg":"none","alg":"RS256"}', identity_claims()),
        "header cannot be read",
    ),
    "claims that are a list": (lambda: by_hand({"alg": "RS256", "kid": "one"}, [1]), "claims cannot be read"),
}


def changed(token: str) -> str:
    """A token of somebody else, with the signature that was there."""
    header, _, signature = token.split(".")
    claims = by_hand({}, identity_claims(sub="bo")).split(".")[1]
    return f"{header}.{claims}.{signature}"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_says_who_nobody_is(name: str) -> None:
    make, why = BAD[name]
    with pytest.raises(TokenError, match=why):
        who(make())


BAD_ACCESS: list[tuple[Claims, str]] = [
    (access_claims(aud="console"), r"\(aud\)"),
    (access_claims(nonce=NONCE), "ID token"),
    (access_claims(at_hash="x"), "ID token"),
    (access_claims(c_hash="x"), "ID token"),
    (identity_claims(), r"\(aud\)"),
    (access_claims(iss="https://evil.example"), r"\(iss\)"),
    (access_claims(exp=NOW_S - 60), r"\(exp\)"),
    (access_claims(nbf=NOW_S + 61), r"\(nbf\)"),
    (access_claims(iat=NOW_S + 61), r"\(iat\)"),
    (access_claims(iat=NOW_S + 10**9, exp=NOW_S + 2 * 10**9), r"\(iat\)"),
    (access_claims(iat=None), "no time as iat"),
    (access_claims(events={"http://schemas.openid.net/event/backchannel-logout": {}}), "events"),
    (access_claims(cnf={"jkt": "abc"}), r"\(cnf\)"),
]


@pytest.mark.parametrize(("claims", "why"), BAD_ACCESS)
def test_a_bad_access_token_opens_nothing(claims: Claims, why: str) -> None:
    assert shown(access_token(access_claims())) == "anna"
    with pytest.raises(TokenError, match=why):
        shown(access_token(claims))
    with pytest.raises(TokenError, match=why):
        shown(signed(claims), terms=UNTYPED)


UNTYPED = TERMS._replace(allow_untyped=True)


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
def test_an_access_token_says_that_it_is_one(kind: str) -> None:
    assert shown(signed(access_claims(), typ=kind)) == shown(signed(access_claims(), typ=kind), terms=UNTYPED) == "anna"


@pytest.mark.parametrize(
    "kind", [None, "JWT", "jwt", "", "logout+jwt", "secevent+jwt", "dpop+jwt", "at+jwt ", "xat+jwt"]
)
def test_what_does_not_say_it_is_taken_only_of_an_issuer_that_never_does(kind: str | None) -> None:
    token = signed(access_claims(), typ=kind)
    with pytest.raises(TokenError, match=r"\(typ\)"):
        shown(token)
    if kind in (None, "JWT", "jwt"):
        assert shown(token, terms=UNTYPED) == "anna"
    else:
        with pytest.raises(TokenError, match=r"\(typ\)"):
            shown(token, terms=UNTYPED)


@pytest.mark.parametrize(
    "claims",
    [
        access_claims(aud=["console", "watch-api"], azp="console"),
        access_claims(aud=["console", "watch-api"]),
        access_claims(aud=["other", "watch-api"], azp="other"),
        access_claims(azp="watch-api"),
    ],
)
def test_an_id_token_without_a_nonce_is_no_untyped_access_token(claims: Claims) -> None:
    """It is for whom it was issued to: to a client of the issuer, whatever else it is for."""
    with pytest.raises(TokenError, match="ID token"):
        shown(signed(claims), terms=UNTYPED)
    assert shown(signed(access_claims(aud=["account", "watch-api"], azp="console")), terms=UNTYPED) == "anna"


def test_without_an_audience_no_access_token_is_taken() -> None:
    terms = TERMS._replace(audience="")
    for aud in ("", None, "watch-api", [""]):
        with pytest.raises(TokenError, match="not taken here"):
            shown(access_token(access_claims(aud=aud)), terms=terms)


def test_keys_that_are_not_for_verifying_or_too_weak_are_left_out() -> None:
    weak = jwk.JWK.generate(kty="RSA", size=1_024, kid="weak")
    secret = jwk.JWK.generate(kty="oct", size=256, kid="shared")
    odd = [
        *public(key(), use="enc")["keys"],
        *public(weak)["keys"],
        json.loads(secret.export()),
        {**json.loads(key("own").export()), "kid": "private"},
        {"kty": "RSA", "kid": "empty"},
        {"kty": "EC", "crv": "secp256k1", "kid": "curve", "x": "AA", "y": "AA"},
        {"kty": ["RSA"]},
        "no key",
        *({**public(key())["keys"][0], "key_ops": uses} for uses in (None, 5, "verify", {"verify": 1}, [], ["sign"])),
    ]
    assert len(tokens.read_keys({"keys": odd})) == 0
    assert len(tokens.read_keys({"keys": [*odd, *public(key())["keys"]]})) == 1
    only = tokens.read_keys(public(key(), alg="RS512"))
    with pytest.raises(UnknownKeyError):
        who(signed(identity_claims()), only)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda one: st.one_of(st.lists(one, max_size=2), st.dictionaries(st.text(max_size=4), one, max_size=2)),
    max_leaves=4,
)
MEMBERS = ("kty", "crv", "x", "y", "n", "e", "d", "p", "oth", "kid", "use", "alg", "key_ops", "x5c")


@settings(max_examples=100)
@given(
    kind=st.sampled_from(["RSA", "P-256", "Ed25519"]),
    odd=st.dictionaries(st.sampled_from(MEMBERS), JSON, min_size=1, max_size=2),
    gone=st.sets(st.sampled_from(MEMBERS), max_size=1),
)
def test_an_odd_key_of_a_set_is_left_out_and_stops_nothing(kind: str, odd: Claims, gone: set[str]) -> None:
    """What an issuer publishes is read all the time by a task of the service, which would end with it."""
    one = {**public(key("one", kind))["keys"][0], **odd}
    found = {name: value for name, value in one.items() if name not in gone}
    assert 1 <= len(tokens.read_keys({"keys": [found, *public(key("two"))["keys"]]})) <= 2


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": [{}] * 101}])
def test_what_is_no_key_set_is_refused(document: Any) -> None:
    with pytest.raises(TokenError, match="JSON Web Key Set"):
        tokens.read_keys(document)


def test_nothing_of_a_token_is_in_what_is_said_of_it() -> None:
    token = signed(identity_claims(sub="secret-subject", nonce="another"))
    with pytest.raises(TokenError) as caught:
        who(token)
    for part in (*token.split("."), "secret-subject"):
        assert part not in str(caught.value)
