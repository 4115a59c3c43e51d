"""Container numbers, places and LEIs: what is right has one spelling, what is wrong is told what it should be."""

import csv
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needed import DATA, needs

from pledgewatch_cloud.decide import identifiers
from pledgewatch_cloud.decide.identifiers import IdentifierError

NUMBERS = DATA / "std-iso6346" / "container_numbers.csv"
LEIS = ("5493001KJTIIGC8Y1R12", "529900T8BM49AURSDO55", "HWUPKR0MPOU8FGXBT394")  # Bloomberg, CNB, Apple


@needs("std-iso6346")
def test_known_container_numbers_are_judged_as_their_sources_judge_them() -> None:
    with NUMBERS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11
    for row in rows:
        number = row["number"]
        if row["check_digit_valid"] == "1":
            assert identifiers.container(number) == number
        else:
            right = identifiers.container_check_digit(number[:10])
            with pytest.raises(IdentifierError, match=f"the check digit is {number[10]} and should be {right}"):
                identifiers.container(number)


@pytest.mark.parametrize("text", ["CSQU3054383", "csqu3054383", "CSQU 305438 3", "CSQU-305438-3", "CSQU/305438.3"])
def test_a_container_has_one_spelling(text: str) -> None:
    assert identifiers.container(text) == "CSQU3054383"


@pytest.mark.parametrize(
    "text", ["", "CSQ3054383", "CSQX3054383", "CSQU305438", "CSQU30543833", "CSQÜ3054383", "CSQU305438\u0663", "  "]
)
def test_what_is_no_container_number_says_how_one_looks(text: str) -> None:
    with pytest.raises(IdentifierError, match="three letters, then U, J or Z, then seven digits"):
        identifiers.container(text)


def test_a_remainder_of_ten_is_the_digit_nought() -> None:
    ten = next(f"MSKU{number:06}" for number in range(1_000) if remainder(f"MSKU{number:06}") == 10)
    assert identifiers.container(f"{ten}0") == f"{ten}0"


def remainder(ten: str) -> int:
    """Worked out apart from the product: letters count from 10 on and leave out 11, 22 and 33."""
    values = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", [one for one in range(10, 39) if one % 11], strict=True))
    return sum((values.get(sign) or int(sign)) << place for place, sign in enumerate(ten)) % 11


@given(st.from_regex(r"[A-Z]{3}[UJZ][0-9]{6}", fullmatch=True), st.integers(0, 10), st.sampled_from("0123456789"))
def test_the_check_digit_is_that_of_the_standard_and_shows_a_wrong_digit(ten: str, place: int, digit: str) -> None:
    number = f"{ten}{remainder(ten) % 10}"
    assert identifiers.container(number) == number
    place = max(place, 4)
    slipped = number[:place] + digit + number[place + 1 :]
    # The one pair that the standard itself cannot tell apart: a remainder of ten is written like that of nought.
    if slipped != number and {remainder(ten), remainder(slipped[:10])} != {0, 10}:
        with pytest.raises(IdentifierError, match="the check digit"):
            identifiers.container(slipped)


@needs("places-unlocode")
def test_every_place_of_the_list_has_the_form_and_its_country_is_known() -> None:
    with gzip.open(DATA / "places-unlocode" / "unlocode_2022-2.csv.gz", "rt", encoding="utf-8") as file:
        codes = {row["country"] + row["location"] for row in csv.DictReader(file) if row["location"]}
    assert len(codes) > 115_000
    # The manual has the digits 2 to 9 only, since 0 and 1 are mistaken for letters; three places of the list break it.
    for code in codes - {"DE9B0", "DEB90", "IT940"}:
        assert identifiers.locode(code) == code


@pytest.mark.parametrize(("text", "code"), [("USLAX", "USLAX"), ("us lax", "USLAX"), ("XZTIX", "XZTIX")])
def test_a_place_has_one_spelling(text: str, code: str) -> None:
    assert identifiers.locode(text) == code


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("US", "is no UN/LOCODE"),
        ("USLA1", "is no UN/LOCODE"),
        ("USLAXX", "is no UN/LOCODE"),
        ("U1LAX", "is no UN/LOCODE"),
        ("UKLON", "UK is no country of ISO 3166-1"),
    ],
)
def test_what_is_no_place_says_why(text: str, why: str) -> None:
    with pytest.raises(IdentifierError, match=why):
        identifiers.locode(text)


@pytest.mark.parametrize("code", LEIS)
def test_a_lei_is_taken_and_one_wrong_sign_is_not(code: str) -> None:
    assert identifiers.lei(code.lower()) == code
    for place in range(18):
        slipped = (
            code[:place]
            + ("B" if code[place] == "A" else "1" if code[place] == "0" else "0" if code[place].isdigit() else "A")
            + code[place + 1 :]
        )
        with pytest.raises(IdentifierError, match=f"the check digits are {code[18:]} and should be"):
            identifiers.lei(slipped)


def test_a_lei_is_told_its_check_digits_and_its_form() -> None:
    with pytest.raises(IdentifierError, match="are 13 and should be 12 "):
        identifiers.lei("5493001KJTIIGC8Y1R13")
    with pytest.raises(IdentifierError, match="18 letters or digits, then two check digits"):
        identifiers.lei("5493001KJTIIGC8Y1R1")
