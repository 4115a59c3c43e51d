"""What is a signed act, and what is not: the form is small, and whatever is outside of it is refused."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from receipting import BANK, BUYER, DEPOSITOR, FIRST, KEYS, SOFAS, STRANGER, WAREHOUSE, Register, signed, stated

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.jose import JoseError
from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts.act import ActError

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def part(data: bytes | dict[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def with_header(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, by: str = WAREHOUSE) -> str:
    """A text with any header, rightly signed over it."""
    covered = f"{part(header)}.{part(payload)}"
    return f"{covered}.{part(KEYS[by].sign(covered.encode()))}"


@pytest.fixture
def register() -> Register:
    return Register()


def issuing(register: Register, **other: Any) -> dict[str, Any]:
    return register.says(WAREHOUSE, "issue", FIRST, **stated()) | other


def test_the_example_of_rfc_8037_is_read_and_verifies() -> None:
    # RFC 8037, appendix A: the key of A.2, the signature of A.4.
    text = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    one = jose.read(text)
    assert one.payload == b"Example of Ed25519 signing"
    assert jose.verifies(jose.public_key("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"), one)
    assert not jose.verifies(KEYS[WAREHOUSE].public_key().public_bytes_raw(), one)


def test_an_act_is_read_as_it_was_signed(register: Register) -> None:
    text = register.text(WAREHOUSE, "issue", FIRST, **stated())
    act = act_module.read(text)
    assert (act.kind, act.receipt, act.by, act.after) == ("issue", FIRST, WAREHOUSE, "")
    assert act.body["goods"][0].quantity_milli == SOFAS["quantity_milli"]
    assert act.at_ms == register.now_ms
    other = act_module.read(register.text(WAREHOUSE, "draft", FIRST, **stated()))
    assert act.digest == act_module.read(text).digest != other.digest


def test_no_sign_of_an_act_can_be_another(register: Register) -> None:
    text = register.text(WAREHOUSE, "issue", FIRST, **stated())
    for place, sign in enumerate(text):
        other = ALPHABET[(ALPHABET.index(sign) + 1) % 64] if sign in ALPHABET else "A"
        register.assert_refused(text[:place] + other + text[place + 1 :])
    register.take(text)
    assert register.get(FIRST).state == "issued"


def test_no_byte_of_what_is_signed_can_be_another(register: Register) -> None:
    text = register.text(WAREHOUSE, "issue", FIRST, **stated())
    header, payload, signature = (base64.urlsafe_b64decode(one + "==") for one in text.split("."))
    for number, data in enumerate((header, payload, signature)):
        for place in range(len(data)):
            parts = [header, payload, signature]
            parts[number] = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            register.assert_refused(".".join(map(part, parts)))


def test_an_act_by_a_key_that_is_not_its_signers_is_refused(register: Register) -> None:
    payload = issuing(register)
    error = register.assert_refused(signed(WAREHOUSE, payload, key=KEYS[STRANGER]))
    assert "the signature is not by the key k1 of la-1" in error.why
    error = register.assert_refused(signed(WAREHOUSE, payload, kid="k2"))
    assert error.why == "la-1 has no key called k2 in the book"
    error = register.assert_refused(signed(WAREHOUSE, payload | {"by": "nobody"}))
    assert error.why == "nobody has no key called k1 in the book"


def test_what_another_has_signed_is_not_taken_as_ones_own(register: Register) -> None:
    register.issue()
    error = register.assert_refused(signed(STRANGER, register.says(DEPOSITOR, "transfer", FIRST, to=STRANGER)))
    assert "the signature is not by the key" in error.why


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "k1"},
        {"alg": "None", "kid": "k1"},
        {"alg": "HS256", "kid": "k1"},
        {"alg": "ES256", "kid": "k1"},
        {"alg": "eddsa", "kid": "k1"},
        {"alg": ["EdDSA"], "kid": "k1"},
        {"kid": "k1"},
        {"alg": "EdDSA"},
        {"alg": "EdDSA", "kid": ""},
        {"alg": "EdDSA", "kid": 1},
        {"alg": "EdDSA", "kid": "k1", "crit": ["exp"]},
        {"alg": "EdDSA", "kid": "k1", "b64": False, "crit": ["b64"]},
        {"alg": "EdDSA", "kid": "k1", "jku": "https://example.org/keys"},
        {"alg": "EdDSA", "kid": "k1", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}},
        b'{"alg":"EdDSA","alg":"EdDSA","kid":"k1"}',
        b'{"alg":"none","alg":"EdDSA","kid":"k1"}',
        b'["EdDSA"]',
        b"\xff\xfe",
        b"",
    ],
)
def test_any_other_header_is_refused_though_rightly_signed(register: Register, header: dict[str, Any] | bytes) -> None:
    register.assert_refused(with_header(header, issuing(register)))


def test_the_same_by_the_header_that_is_taken_is_taken(register: Register) -> None:
    register.take(with_header({"alg": "EdDSA", "kid": "k1", "typ": "JWT"}, issuing(register)))
    assert register.get(FIRST).state == "issued"


def test_a_public_key_is_never_a_secret_to_make_signatures_with(register: Register) -> None:
    # Where HS256 is taken, whoever knows the public key can sign.
    covered = f"{part({'alg': 'HS256', 'kid': 'k1'})}.{part(issuing(register))}"
    made = hmac.new(KEYS[WAREHOUSE].public_key().public_bytes_raw(), covered.encode(), hashlib.sha256).digest()
    assert "only EdDSA" in register.assert_refused(f"{covered}.{part(made)}").why


def test_other_shapes_are_refused(register: Register) -> None:
    text = register.text(WAREHOUSE, "issue", FIRST, **stated())
    header, payload, signature = text.split(".")
    next_sign = ALPHABET[ALPHABET.index(signature[-1]) + 1]
    spellings = {
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "four parts": f"{text}.{signature}",
        "padding": f"{text}==",
        "a line break": f"{text}\n",
        "a space before it": f" {text}",
        "standard base64": f"{header}.{payload}.{signature[:-1]}+",
        "bits too many in the last sign": f"{header}.{payload}.{signature[:-1]}{next_sign}",
        "one sign too many": f"{header}.{payload}.{signature}AAA",
        "an empty text": "",
        "JSON serialization": json.dumps({"payload": payload, "protected": header, "signature": signature}),
        "too long": f"{header}.{'A' * 300_000}.{signature}",
        "other signs": f"{header}.{payload}.{'é' * 86}",
    }
    for name, other in spellings.items():
        assert register.assert_refused(other).why.startswith("act: "), name


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"act": "seize"}, "act: 'seize' is none that there is"),
        ({"receipt": "la 1"}, "receipt: 'la 1' is no id"),
        ({"receipt": "x/../la-1:0001"}, "receipt: 'x/../la-1:0001' is no id"),
        ({"by": "la-1/."}, "by: 'la-1/.' is no id"),
        ({"after": "ab"}, "after: 'ab' is no digest"),
        ({"after": None}, "after: None is no digest"),
        ({"after": "AB" * 32}, "is no digest"),
        ({"after": "ab" * 32}, "issue after a draft says depositor, goods, received, register, until again"),
        ({"at": "2026-01-01T12:00:00"}, "at: '2026-01-01T12:00:00' is not a time"),
        ({"at": 0}, "at: 0 is not a time"),
        ({"by": ["la-1"]}, "by: ['la-1'] is no id"),
        ({"colour": "red"}, "issue: 'colour': no such member"),
        ({"goods": []}, "goods: [] is no list of 1 to 100 lines"),
        ({"goods": [SOFAS | {"quantity_milli": 1.5}]}, "1.5 is no whole number"),
        ({"goods": [SOFAS | {"quantity_milli": 40_000.0}]}, "40000.0 is no whole number"),
        ({"goods": [SOFAS | {"quantity_milli": True}]}, "goods[0].quantity_milli: True is no whole number"),
        ({"goods": [SOFAS | {"quantity_milli": 0}]}, "goods[0].quantity_milli: 0 is no whole number"),
        ({"goods": [SOFAS | {"quantity_milli": -1}]}, "goods[0].quantity_milli: -1 is no whole number"),
        ({"goods": [SOFAS | {"quantity_milli": "40"}]}, "goods[0].quantity_milli: '40' is no whole number"),
        ({"goods": [SOFAS | {"bin": "A-01 "}]}, "goods[0].bin: 'A-01 '"),
        ({"goods": [SOFAS | {"sku": ""}]}, "goods[0].sku: is missing"),
        ({"goods": [SOFAS | {"colour": "red"}]}, "goods[0]: 'colour': no such key"),
        ({"goods": [{"sku": "S"}]}, "goods[0]: bin, quantity_milli, unit is missing"),
        ({"goods": [SOFAS | {"container": "MSKU1234560"}]}, "the check digit is 0 and should be 5 (ISO 6346)"),
        ({"goods": [SOFAS | {"container": 7}]}, "goods[0].container: 7 is no text"),
        ({"goods": [SOFAS | {"seal": "?"}]}, "goods[0].seal: '?' is no number of a seal"),
        ({"goods": [SOFAS | {"seal": "SÄ001"}]}, "goods[0].seal: 'SÄ001' is no number of a seal"),
        ({"goods": [SOFAS | {"seal": "msku 123456-5"}]}, "goods[0].seal: MSKU1234565 is the number of a container"),
        ({"goods": [SOFAS | {"device": "Door 1"}]}, "goods[0].device: 'Door 1' is no name of a device"),
        (
            {"received": {"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}},
            "received: from must be before",
        ),
        ({"received": {"from": "2026-01-01T00:00:00Z", "until": "2026-03-01T00:00:00Z"}}, "at most 31 days"),
        ({"received": "today"}, "received: 'today' is no window"),
        ({"until": "2025-01-01T00:00:00Z"}, "until: is not after the act itself"),
        ({"overrides": ["goods[0] lot"]}, "issue: an override needs its reason"),
        ({"overrides": "all", "reason": "seen"}, "overrides: 'all' is no list of asks"),
        ({"reason": " "}, "reason: ' ' is no reason"),
        ({"consents": ["x"]}, "consents[0]: a JWS in compact form has 3 parts"),
        ({"consents": [7]}, "consents[0]: 7 is no text"),
        ({"consents": {}}, "consents: {} is no list"),
    ],
)
def test_what_an_act_says_must_be_sound(register: Register, other: dict[str, Any], named: str) -> None:
    assert named in register.assert_refused(signed(WAREHOUSE, issuing(register, **other))).why


def test_what_is_missing_is_named(register: Register) -> None:
    payload = issuing(register)
    for name in ("act", "receipt", "after", "by", "at"):
        left = {key: value for key, value in payload.items() if key != name}
        assert register.assert_refused(signed(WAREHOUSE, left)).why == f"the act does not say {name}"
    for name in ("depositor", "goods", "received", "until"):
        left = {key: value for key, value in payload.items() if key != name}
        assert register.assert_refused(signed(WAREHOUSE, left)).why == f"issue: {name} is missing"


def test_a_payload_that_two_readers_could_read_otherwise_is_refused(register: Register) -> None:
    header = {"alg": "EdDSA", "kid": "k1"}
    said = json.dumps(issuing(register))
    twice = said.replace('"by": "la-1"', '"by": "la-2", "by": "la-1"')
    assert twice != said
    assert "the key 'by' comes twice" in register.assert_refused(with_header(header, twice.encode())).why
    for other in (
        b"[]",
        b"null",
        b"{",
        said.encode() + b" {}",
        said.encode("utf-16"),
        said.replace("40000", "NaN").encode(),
    ):
        register.assert_refused(with_header(header, other))


def test_a_key_that_fits_signatures_nobody_made_is_no_key() -> None:
    neutral = bytes([1]) + bytes(31)
    # With this point as key, the signature of R = the same point and S = 0 fits every text.
    forged = f"{part({'alg': 'EdDSA', 'kid': 'k1'})}.{part({'act': 'issue'})}.{part(neutral + bytes(32))}"
    assert not jose.verifies(neutral, jose.read(forged))
    assert not jose.verifies(b"short", jose.read(forged))
    with pytest.raises(JoseError, match="no public key of Ed25519"):
        jose.public_key(part(neutral))
    with pytest.raises(JoseError, match="no public key of Ed25519"):
        jose.public_key(part(b"short"))


def test_an_act_from_the_time_to_come_or_from_before_its_forerunner_is_refused(register: Register) -> None:
    register.issue()
    register.now_ms += 3_600_000
    register.do(DEPOSITOR, "transfer", FIRST, to=BUYER)
    early = register.says(BUYER, "pledge", FIRST, pledgee=BANK) | {"at": "2026-01-01T12:30:00Z"}
    assert "signed before the one that it follows" in register.assert_refused(signed(BUYER, early)).why
    late = register.says(BUYER, "pledge", FIRST, pledgee=BANK) | {"at": "2026-01-01T13:30:00Z"}
    assert "signed later than it was heard" in register.assert_refused(signed(BUYER, late)).why
    within = register.says(BUYER, "pledge", FIRST, pledgee=BANK) | {"at": "2026-01-01T13:04:00Z"}
    register.take(signed(BUYER, within))
    assert register.get(FIRST).pledgee == BANK


def test_an_act_that_comes_again_changes_nothing_while_it_is_the_newest(register: Register) -> None:
    issued = register.text(WAREHOUSE, "issue", FIRST, **stated())
    register.take(issued)
    before = register.receipts
    register.take(issued)
    assert register.receipts is before
    register.do(DEPOSITOR, "transfer", FIRST, to=BUYER)
    assert "there is a receipt la-1:0001 already" in register.assert_refused(issued).why


def test_keys_are_made_of_chance_and_signatures_of_keys_alone() -> None:
    key = Ed25519PrivateKey.generate()
    assert signed(WAREHOUSE, {"a": 1}, key=key) == signed(WAREHOUSE, {"a": 1}, key=key)
    with pytest.raises(ActError):
        act_module.read(signed(WAREHOUSE, {"a": 1}, key=key))
