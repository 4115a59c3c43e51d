"""Credentials of receipts: checked with another implementation of JOSE, broken byte by byte, struck from the lists."""

import base64
import gzip
import json
import tracemalloc
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from extracts import (
    DAY_MS,
    ISSUED_MS,
    ISSUER,
    JWK,
    KEY,
    LIST_MS,
    NOW_MS,
    OTHER_ISSUER,
    OTHER_KEY,
    RECEIPT,
    UNTIL_MS,
    claims,
    lists,
    token,
)
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto import jwk as other_jwk
from jwcrypto.jws import JWS, InvalidJWSSignature

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.receipts.goods import GoodsLine
from pledgewatch_cloud.decide.receipts.receipt import Receipt, State
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.receipts import credential as credentials
from pledgewatch_cloud.receipts import status_list
from pledgewatch_cloud.receipts.credential import ENTRIES, CredentialError, credential, sign
from pledgewatch_cloud.receipts.issuer import IssuerError, did_of, issuer, jwk_of, read_jwk
from pledgewatch_cloud.receipts.status_list import (
    CredentialStanding,
    StatusListError,
    bits_of,
    decode,
    is_set,
    standings,
)
from pledgewatch_cloud.receipts.verify import Verdict, verify

SIGNATURE = "the signature is not by the issuer's key, or what it covers was changed"
REVOKED = "it is revoked: the receipt has ended, or is no longer what this says"
SUSPENDED = "it is suspended: the receipt is frozen or reported lost"
SPELLING = (
    "it is no signed credential: the signature is not in the one spelling of its bytes: its last sign carries bits "
    "too many"
)
NO_PARTS = "it is no signed credential: a JWS in compact form has 3 parts with a full stop between them, not"
NO_BASE64URL = "it is no signed credential: the {} is no base64url: letters, digits, - and _ only, without padding"
ELSEWHERE = (
    "this says only where the credential is: get it from "
    "'https://register.example/receipts/la-bonded-1%3A2026-0001/credentials/7', see that its SHA-256 is "
    f"'{'ab' * 32}', and verify it"
)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def verified(file: str | bytes, status_lists: str | None = lists(), now_ms: int = NOW_MS, **more: Any) -> Verdict:
    return verify(file, JWK, status_lists, now_ms, **more)


def signed_as_is(said: Any, *, key: Ed25519PrivateKey = KEY, **header: Any) -> str:
    """What a careless or hostile holder of a key might sign."""
    head = {"alg": "EdDSA", "kid": ISSUER.kid, "typ": "vc+jwt"} | header
    text = f"{jose.encoded(encode(head))}.{jose.encoded(encode(said))}"
    return f"{text}.{jose.encoded(key.sign(text.encode()))}"


def opened_by_another(text: str, jwk: dict[str, str] = JWK) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload as jwcrypto finds them, which knows nothing of our code."""
    other = JWS()
    other.deserialize(text, other_jwk.JWK.from_json(json.dumps(jwk)))
    return json.loads(other.objects["protected"]), json.loads(other.payload)


# What is signed.


def test_another_implementation_of_jose_finds_the_signature_good_and_the_credential_whole() -> None:
    header, said = opened_by_another(token())
    assert header == {"alg": "EdDSA", "typ": "vc+jwt", "kid": f"{ISSUER.did}#0"}
    assert said == claims()
    for line in lists((3,)).splitlines():
        assert opened_by_another(line)[0] == header


def test_another_implementation_refuses_another_key() -> None:
    with pytest.raises(InvalidJWSSignature):
        opened_by_another(token(), jwk_of(OTHER_ISSUER.public_key))


def test_the_key_can_be_read_out_of_the_issuers_name_by_anybody() -> None:
    _, _, encoded = claims()["issuer"].rpartition(":")
    assert json.loads(base64.urlsafe_b64decode(encoded + "==")) == {"crv": "Ed25519", "kty": "OKP", "x": JWK["x"]}


def test_a_credential_has_the_members_that_the_data_model_asks_for() -> None:
    said = claims()
    assert said["@context"][0] == "https://www.w3.org/ns/credentials/v2"
    assert said["type"][0] == "VerifiableCredential"
    assert (said["validFrom"], said["validUntil"]) == ("2026-01-01T10:00:00Z", "2026-04-01T10:00:00Z")
    assert said["credentialStatus"] == [
        {
            "type": "BitstringStatusListEntry",
            "statusPurpose": purpose,
            "statusListIndex": "7",
            "statusListCredential": f"https://register.example/receipts/status-lists/{purpose}/0",
        }
        for purpose in ("revocation", "suspension")
    ]
    assert said["credentialSubject"]["goods"][1] == {
        "sku": "FABRIC-LINEN",
        "quantity_milli": 1_250_500,
        "unit": "m",
        "bin": "A-01-03",
        "released_milli": 250_500,
        "ordered_milli": 50_000,
    }


def test_the_same_credential_is_the_same_bytes() -> None:
    assert token() == token()
    assert lists((1, 2)) == lists((2, 1))


@pytest.mark.parametrize("state", ["drafted", "split", "delivered", "cancelled", "frozen", "lost", "replaced"])
def test_no_credential_is_made_for_a_receipt_that_does_not_stand(state: str) -> None:
    with pytest.raises(
        CredentialError, match=f"receipt la-bonded-1:2026-0001 is {state}: a credential is made for one that is"
    ):
        credential(RECEIPT._replace(state=State(state)), ISSUER, 0, NOW_MS)


def test_a_key_signs_for_its_own_issuer_only() -> None:
    with pytest.raises(ValueError, match="the signing key is did:jwk:"):
        sign(claims(), OTHER_KEY, ISSUER.kid)
    with pytest.raises(ValueError, match="the signing key is did:jwk:"):
        sign(claims(), OTHER_KEY, OTHER_ISSUER.kid)


# What is believed.


def test_a_credential_that_holds_is_believed_and_says_what_was_signed() -> None:
    verdict = verified(token())
    assert (verdict.ok, verdict.why) == (True, ())
    assert verdict.receipt is not None
    sofas = verdict.receipt.goods[0]
    assert tuple(sofas) == ("SOFA-3S-GREY", 120_000, "piece", "A-01-02", "MSKU1234565", "CN778812", "dev-17", 0, 0)
    assert (verdict.receipt.holder, verdict.receipt.pledgee) == ("foshan-sofas", "harbour-bank")
    assert (verdict.receipt.until_ms, verdict.receipt.status_index) == (UNTIL_MS, 7)
    assert verified(f"{token()}\n".encode()).ok
    assert verified(f"{token()}\r\n").ok


def test_a_receipt_without_end_never_expires() -> None:
    text = token(RECEIPT._replace(until_ms=0))
    late = UNTIL_MS + 9_999 * DAY_MS
    assert "validUntil" not in opened_by_another(text)[1]
    assert verified(text, lists(at_ms=late), late).ok


@pytest.mark.parametrize(
    ("made", "status_lists", "now_ms", "more", "why"),
    [
        (token(), lists((7,)), NOW_MS, {}, [REVOKED]),
        (token(), lists((), (7,)), NOW_MS, {}, [SUSPENDED]),
        (token(), lists((7,), (7,)), NOW_MS, {}, [REVOKED, SUSPENDED]),
        (token(), lists((6, 8), (6, 8)), NOW_MS, {}, []),
        (token(), lists(at_ms=UNTIL_MS), UNTIL_MS, {}, ["it expired at 2026-04-01T10:00:00Z"]),
        (token(), lists(at_ms=UNTIL_MS - 1), UNTIL_MS - 1, {}, []),
        (
            token(at_ms=NOW_MS + 1_000),
            lists(at_ms=NOW_MS + 1_000),
            NOW_MS,
            {},
            [
                "it speaks only from 2026-01-02T10:00:01Z on, and it is 2026-01-02T10:00:00Z",
                *(
                    f"the status list for {purpose} is of 2026-01-02T10:00:01Z, and it is 2026-01-02T10:00:00Z: one of "
                    "the clocks is wrong"
                    for purpose in ("revocation", "suspension")
                ),
            ],
        ),
        (
            token(),
            lists(at_ms=ISSUED_MS),
            ISSUED_MS + DAY_MS,
            {},
            [
                f"the status list for {purpose} is of 2026-01-01T10:00:00Z and was to be used until "
                "2026-01-02T10:00:00Z: it is too old, get a new one"
                for purpose in ("revocation", "suspension")
            ],
        ),
        (
            token(),
            lists(),
            NOW_MS,
            {"list_age_max_ms": 3_599_999},
            [
                f"the status list for {purpose} is of 2026-01-02T09:00:00Z: it is too old for you, get a new one"
                for purpose in ("revocation", "suspension")
            ],
        ),
        (token(), lists(), NOW_MS, {"list_age_max_ms": 3_600_000}, []),
        (
            token(at_ms=LIST_MS + 1),
            lists(),
            NOW_MS,
            {},
            [
                f"the status list for {purpose} is of 2026-01-02T09:00:00Z, before the credential's "
                "2026-01-02T09:00:00.001Z: it is too old for it, get a new one"
                for purpose in ("revocation", "suspension")
            ],
        ),
        (
            token(),
            None,
            NOW_MS,
            {},
            [
                "no status list was given, so whether it is revoked or suspended cannot be told",
            ],
        ),
        (
            token(),
            lists(number=1),
            NOW_MS,
            {},
            [
                f"the status list for {purpose}, 'https://register.example/receipts/status-lists/{purpose}/0', is not "
                "there, so that cannot be told"
                for purpose in ("revocation", "suspension")
            ],
        ),
        (token(index=ENTRIES + 7), lists((ENTRIES + 7,), number=1), NOW_MS, {}, [REVOKED]),
        (token(index=ENTRIES + 7), lists((ENTRIES + 8,), number=1), NOW_MS, {}, []),
        (
            token(),
            lists().splitlines()[0],
            NOW_MS,
            {},
            [
                f"the status list for {purpose}, 'https://register.example/receipts/status-lists/{purpose}/0', is not "
                "there, so that cannot be told"
                for purpose in ("suspension",)
            ],
        ),
    ],
)
def test_each_thing_that_is_wrong_is_said(
    made: str, status_lists: str | None, now_ms: int, more: dict[str, Any], why: list[str]
) -> None:
    verdict = verified(made, status_lists, now_ms, **more)
    assert list(verdict.why) == why
    assert verdict.ok == (not why)
    assert verdict.receipt is not None, "what was signed is shown even where it no longer holds"


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in claims().items() if key != name}


def with_subject(**changed: Any) -> dict[str, Any]:
    return {**claims(), "credentialSubject": {**claims()["credentialSubject"], **changed}}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("", f"{NO_PARTS} 1"),
        ("a.b", f"{NO_PARTS} 2"),
        (f"{token()}.", f"{NO_PARTS} 4"),
        (f" {token()}", NO_BASE64URL.format("header")),
        (f"{token()}\n\n", NO_BASE64URL.format("signature")),
        (token() + "A", "it is no signed credential: the signature has 65 bytes; one of Ed25519 has 64"),
        (b"\xff\xfe", "it is no receipt: a credential is ASCII text, and a sheet begins with %PDF-"),
        (b"%PDF-1.4\n", "the PDF holds no credential, so it is no sheet of a receipt"),
        (
            lists().splitlines()[0],
            "it is no warehouse receipt: its type is ['VerifiableCredential', 'BitstringStatusListCredential']",
        ),
        (signed_as_is(claims(), typ="JWT"), "it is no credential: typ of its header must be vc+jwt"),
        (
            signed_as_is(claims(), alg="none"),
            "it is no signed credential: the header's alg is 'none'; only EdDSA (Ed25519) is taken",
        ),
        (
            signed_as_is(claims(), alg="HS256"),
            "it is no signed credential: the header's alg is 'HS256'; only EdDSA (Ed25519) is taken",
        ),
        (
            signed_as_is(claims(), crit=["b64"], b64=False),
            "it is no signed credential: the header holds 'b64', 'crit'; only alg, kid and typ are taken",
        ),
        (signed_as_is([1]), "it is no signed credential: the payload is no JSON object"),
        (
            signed_as_is(without("credentialStatus")),
            "the credential lacks these members or has them too many: 'credentialStatus'",
        ),
        (signed_as_is({**claims(), "proof": {}}), "the credential lacks these members or has them too many: 'proof'"),
        (
            signed_as_is({**claims(), "credentialStatus": claims()["credentialStatus"][:1]}),
            "credentialStatus must say where revocation and suspension stand, each once",
        ),
        (
            signed_as_is({**claims(), "id": "https://register.example/receipts/la-bonded-1%3A2026-0001/credentials/8"}),
            "the id of the credential does not go with the place of its status",
        ),
        (
            signed_as_is({**claims(), "validUntil": "soon"}),
            "validUntil: 'soon' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z",
        ),
        (
            signed_as_is(with_subject(state="delivered")),
            "credentialSubject.state is 'delivered'; it is one of issued, pledged, partly_released, released",
        ),
        (signed_as_is(with_subject(goods=[])), "credentialSubject.goods must be a list of at least one"),
        (
            signed_as_is(with_subject(goods=[{"sku": "A", "unit": "m", "bin": "B", "quantity_milli": 1.5}])),
            "credentialSubject.goods[0]: quantities must be whole numbers, none below 0 or above quantity_milli",
        ),
        (signed_as_is(with_subject(holder=7)), "holder must be text, not 7"),
        (signed_as_is(with_subject(overrides=["x", 7])), "credentialSubject.overrides must be a list of texts"),
        (signed_as_is(with_subject(overrides="x")), "credentialSubject.overrides must be a list of texts"),
        (
            f"https://register.example/receipts/la-bonded-1%3A2026-0001/credentials/7#sha256={'ab' * 32}",
            ELSEWHERE,
        ),
    ],
)
def test_what_is_no_receipt_is_told_apart(made: str | bytes, why: str) -> None:
    assert verified(made) == ((why,), None)


def test_a_credential_of_another_issuer_is_named_as_such() -> None:
    other = {**claims(), "issuer": OTHER_ISSUER.did}
    stranger = sign(other, OTHER_KEY, OTHER_ISSUER.kid)
    by_another = f"it is by another issuer, '{OTHER_ISSUER.did}', and not by {ISSUER.did}"
    assert verified(stranger) == ((SIGNATURE, by_another), None)
    assert verified(signed_as_is(other)) == ((by_another,), None)
    assert verified(signed_as_is(claims(), key=OTHER_KEY)) == ((SIGNATURE,), None)
    of_another_key = f"it names another key, '{ISSUER.did}#1', and not {ISSUER.kid}"
    assert verified(signed_as_is(claims(), kid=f"{ISSUER.did}#1")) == ((of_another_key,), None)


def test_status_lists_of_another_issuer_say_nothing() -> None:
    all_clear = [
        sign(
            {**status_list.status_list(ISSUER, 0, purpose, (), at_ms=LIST_MS, until_ms=LIST_MS + DAY_MS)}
            | {"issuer": OTHER_ISSUER.did},
            OTHER_KEY,
            OTHER_ISSUER.kid,
        )
        for purpose in ("revocation", "suspension")
    ]
    verdict = verified(token(), "\n".join(all_clear))
    assert not verdict.ok
    assert verdict.why[0] == f"line 1 of the status lists: {SIGNATURE}"
    assert sum("is not there, so that cannot be told" in one for one in verdict.why) == 2


def test_a_list_of_one_purpose_does_not_do_for_the_other() -> None:
    revocation, _ = lists().splitlines()
    twice = verified(token(), f"{revocation}\n{revocation}\n")
    assert [one[:30] for one in twice.why] == ["the status list for suspension"]


def test_a_list_under_the_name_of_another_purpose_counts_for_neither() -> None:
    revocation = status_list.status_list(ISSUER, 0, "revocation", (), at_ms=LIST_MS, until_ms=LIST_MS + DAY_MS)
    revocation["credentialSubject"]["statusPurpose"] = "suspension"
    verdict = verified(token(), f"{signed_as_is(revocation)}\n{lists().splitlines()[1]}")
    assert [one[:30] for one in verdict.why] == ["the status list for revocation"]


def test_of_two_lists_the_newer_one_counts() -> None:
    old, new = lists(at_ms=LIST_MS - 1), lists((7,))
    for both in (old + new, new + old):
        assert verified(token(), both).why == (REVOKED,)


def test_a_receipt_given_for_a_status_list_is_none() -> None:
    verdict = verified(token(), token())
    assert "line 1 of the status lists: it is no status list: its type is ['Veri" in verdict.why[0]
    assert not verdict.ok


# One byte.


def test_a_credential_with_any_one_bit_flipped_is_not_believed() -> None:
    whole = token().encode()
    status_lists = lists()
    assert verified(whole, status_lists).ok
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            assert not verified(bytes(flipped), status_lists).ok, f"byte {place}, bit {bit}"


@given(place=st.integers(0, len(token()) - 1), character=st.sampled_from(ALPHABET))
def test_no_other_letter_at_any_place_is_believed(place: int, character: str) -> None:
    whole = token()
    changed = whole[:place] + character + whole[place + 1 :]
    assert verified(changed).ok == (changed == whole)


def test_a_signature_has_one_spelling() -> None:
    """The last letter of 64 bytes in base64url has four bits to spare, which a lenient reader throws away."""
    whole = token()
    same = {
        letter
        for letter in ALPHABET
        if base64.urlsafe_b64decode(whole[-86:-1] + letter + "==") == jose.decoded("signature", whole[-86:])
    }
    assert len(same) == 16, "the letters that a lenient reader takes for the same"
    for letter in same - {whole[-1]}:
        assert verified(whole[:-1] + letter).why == (SPELLING,)


@given(place=st.integers(0, len(lists((9,))) - 1), bit=st.integers(0, 7))
def test_status_lists_with_any_one_bit_flipped_are_not_believed(place: int, bit: int) -> None:
    flipped = bytearray(lists((9,)).encode())
    flipped[place] ^= 1 << bit
    text = flipped.decode("latin-1")
    assert not verified(token(), text).ok


# Status lists.


@given(st.sets(st.integers(0, ENTRIES - 1), max_size=30))
def test_the_bits_that_are_set_are_those_that_are_found(indexes: set[int]) -> None:
    bits = decode(status_list.encode(bits_of(indexes)))
    assert len(bits) == 16_384
    assert {index for index in indexes if is_set(bits, index)} == indexes
    assert sum(byte.bit_count() for byte in bits) == len(indexes)


def test_the_first_bit_is_the_left_most_and_the_form_is_gzip_in_base64url_after_u() -> None:
    encoded = status_list.encode(bits_of([0, 9]))
    assert encoded[0] == "u"
    assert gzip.decompress(base64.urlsafe_b64decode(encoded[1:] + "=" * (-len(encoded[1:]) % 4)))[:3] == b"\x80\x40\x00"


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        ("", "encodedList must be base64url after the letter u"),
        ("zAAAA", "encodedList must be base64url after the letter u"),
        ("uAA==", "encodedList must be base64url after the letter u"),
        ("uAAAA", "encodedList holds no gzip"),
        (status_list.encode(b"\0" * 16_383), "encodedList has 131064 places; at least 131072 are needed"),
        (status_list.encode(b"\0" * (1 << 21)), "encodedList holds more than 1048576 bytes"),
        (
            f"u{jose.encoded(gzip.compress(bytes(16_384), mtime=0)[:-1])}",
            "encodedList holds gzip that ends too soon or goes on",
        ),
        (
            f"u{jose.encoded(gzip.compress(bytes(16_384), mtime=0) + b'x')}",
            "encodedList holds gzip that ends too soon or goes on",
        ),
    ],
)
def test_what_is_no_list_is_refused(encoded: str, why: str) -> None:
    with pytest.raises(StatusListError, match=why):
        decode(encoded)


def test_a_small_list_that_claims_to_be_huge_is_not_unpacked() -> None:
    packed = status_list.encode(b"\0" * (1 << 26))
    tracemalloc.start()
    try:
        with pytest.raises(StatusListError, match="more than 1048576 bytes"):
            decode(packed)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1 << 23


@pytest.mark.parametrize("index", [-1, ENTRIES])
def test_a_place_outside_the_list_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="is no place in a list"):
        bits_of([index])
    with pytest.raises(StatusListError, match="its last is 131071"):
        is_set(bytes(16_384), index)


@pytest.mark.parametrize(
    ("now", "is_revoked", "is_suspended"),
    [
        (RECEIPT, False, False),
        (RECEIPT._replace(head="cd" * 32), False, False),
        (RECEIPT._replace(holder="affiliate"), True, False),
        (RECEIPT._replace(pledgee="other-bank"), True, False),
        (RECEIPT._replace(state=State.PARTLY_RELEASED), True, False),
        (RECEIPT._replace(released_milli=(1, 250_500)), True, False),
        (RECEIPT._replace(ordered_milli=(0, 50_001)), True, False),
        (RECEIPT._replace(goods=RECEIPT.goods[:1], released_milli=(0,), ordered_milli=(0,)), True, False),
        (RECEIPT._replace(until_ms=UNTIL_MS + 1), True, False),
        (RECEIPT._replace(until_ms=0), True, False),
        *(
            (RECEIPT._replace(state=State(one)), True, False)
            for one in ("split", "delivered", "cancelled", "replaced", "drafted")
        ),
        (RECEIPT._replace(state=State.FROZEN, frozen_from="pledged", head="cd" * 32), False, True),
        (RECEIPT._replace(state=State.LOST, frozen_from="pledged"), False, True),
        (RECEIPT._replace(state=State.FROZEN, frozen_from="released"), True, False),
        (RECEIPT._replace(state=State.FROZEN, frozen_from="pledged", holder="affiliate"), True, False),
        (RECEIPT._replace(state=State.FROZEN, frozen_from="delivered"), True, False),
    ],
)
def test_a_credential_stands_as_long_as_it_says_what_is_so(now: Receipt, is_revoked: bool, is_suspended: bool) -> None:
    book = ReceiptBook().put([RECEIPT]).put([now])
    assert standings(book, 0).get(1, CredentialStanding(is_revoked=False, is_suspended=False)) == (
        is_revoked,
        is_suspended,
    )
    if is_revoked:  # for good: what is said again later has a number of its own
        again = book.put([RECEIPT])
        assert standings(again, 0)[1] == (True, False)
        known = again.get(RECEIPT.id)
        assert known is not None
        assert known.number == book.numbers + 1 == again.numbers
        assert known.number not in standings(again, 0)


def test_numbers_go_on_in_the_next_list_and_after_the_book_was_written_down() -> None:
    book = ReceiptBook().put([RECEIPT]).kept({}, ENTRIES - 1)
    book = book.put([RECEIPT._replace(holder="affiliate")]).put([RECEIPT._replace(holder="another")])
    assert book.numbers == ENTRIES + 1
    assert (len(standings(book, 0)), standings(book, 1)) == (
        ENTRIES - 1,
        {ENTRIES: CredentialStanding(is_revoked=True, is_suspended=False)},
    )
    again = ReceiptBook.from_json(json.loads(json.dumps(book.as_json())))
    assert again == book
    assert again.numbers == book.numbers


# Keys.


@pytest.mark.parametrize(
    ("jwk", "why"),
    [
        ("{", "the issuer's key is no JSON"),
        ("[]", "the issuer's key is no JSON Web Key"),
        ({**JWK, "d": "AA"}, "this is a private key, which nobody needs for verifying: take its member `d` out"),
        ({**JWK, "kty": "EC"}, "the issuer's key is of kty 'EC' and crv 'Ed25519'; OKP and Ed25519 are needed"),
        ({**JWK, "x": "AAAA"}, "the issuer's key: x: 'AAAA' is no public key of Ed25519 that can be used: 32 bytes in"),
        ({**JWK, "x": JWK["x"] + "="}, "the issuer's key: the x is no base64url"),
        ({**JWK, "x": None}, "the issuer's key: x: '' is no public key"),
        ({**JWK, "x": "A" * 43}, "is no public key of Ed25519 that can be used"),
    ],
)
def test_a_key_that_is_none_is_refused_with_the_cure(jwk: Any, why: str) -> None:
    with pytest.raises(IssuerError, match=why):
        read_jwk(jwk)
    with pytest.raises(IssuerError, match=why):
        verify(token(), jwk, lists(), NOW_MS)


def test_a_key_is_read_from_text_and_may_bear_a_name() -> None:
    assert read_jwk(json.dumps({**JWK, "kid": "2026", "use": "sig"})) == ISSUER.public_key


@pytest.mark.parametrize(
    "url", ["", "register.example", "https://register.example/", "https://a b", "ftp://register.example"]
)
def test_an_issuer_needs_an_address(url: str) -> None:
    with pytest.raises(IssuerError, match="is no address to issue under"):
        issuer(ISSUER.public_key, url)
    with pytest.raises(IssuerError, match="has 32 bytes, not 3"):
        issuer(b"abc", "https://register.example")


# Any receipt.

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
blanks = names | st.just("")
goods = st.builds(GoodsLine, names, st.integers(0, 10**15), names, names, blanks, blanks, blanks)
moments = st.integers(0, 4_000_000_000_000)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    some = tuple(draw(st.lists(goods, min_size=1, max_size=4)))
    parts = [tuple(draw(st.integers(0, one.quantity_milli)) for one in some) for _ in range(2)]
    return Receipt(
        id=draw(names),
        warehouse=draw(names),
        depositor=draw(names),
        holder=draw(names),
        pledgee=draw(blanks),
        state=draw(st.sampled_from(credentials.STANDING)),
        goods=some,
        released_milli=parts[0],
        ordered_milli=parts[1],
        delivered_milli=(0,) * len(some),
        received_ms=draw(moments),
        received_until_ms=draw(moments),
        issued_ms=draw(moments),
        until_ms=draw(moments),
        head=draw(st.binary(min_size=32, max_size=32)).hex(),
        at_ms=draw(moments),
        parent=draw(blanks),
        replaces=draw(blanks),
        overrides=tuple(draw(st.lists(names, max_size=3))),
    )


@given(receipts(), st.integers(0, 10**9), moments)
def test_whatever_is_signed_is_read_again_as_it_was(receipt: Receipt, index: int, at_ms: int) -> None:
    said = credential(receipt, ISSUER, index, at_ms)
    text = sign(said, KEY, ISSUER.kid)
    found, entries = credentials.read(opened_by_another(text)[1])
    for name in (
        "id",
        "warehouse",
        "depositor",
        "holder",
        "pledgee",
        "state",
        "received_ms",
        "received_until_ms",
        "issued_ms",
    ):
        assert getattr(found, name) == getattr(receipt, name)
    assert (found.parent, found.replaces, found.status_index) == (receipt.parent, receipt.replaces, index)
    assert found.overrides == receipt.overrides
    assert (found.until_ms, found.head, found.at_ms) == (receipt.until_ms, receipt.head, at_ms)
    assert [one[:7] for one in found.goods] == [tuple(one) for one in receipt.goods]
    assert tuple(one.released_milli for one in found.goods) == receipt.released_milli
    assert tuple(one.ordered_milli for one in found.goods) == receipt.ordered_milli
    assert {entry.bit for entry in entries} == {index % ENTRIES}
    assert did_of(ISSUER.public_key) == found.issuer


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_anything_at_all_gets_a_sentence(file: str | bytes) -> None:
    verdict = verified(file)
    assert verdict.receipt is None
    assert all(verdict.why)
    assert verdict.why


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


@given(st.sampled_from(sorted(claims())), json_values, st.sampled_from(sorted(claims()["credentialSubject"])))
def test_whatever_the_issuer_signs_gets_a_verdict(name: str, value: Any, inner: str) -> None:
    for said in ({**claims(), name: value}, with_subject(**{inner: value})):
        verdict = verified(signed_as_is(said))
        assert verdict.ok == (not verdict.why)
        assert verdict.receipt is not None or verdict.why
    said = {**claims(), "type": ["VerifiableCredential", "BitstringStatusListCredential"], name: value}
    assert not verified(token(), signed_as_is(said)).ok
