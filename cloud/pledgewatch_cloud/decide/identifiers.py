"""What the trade calls things by: containers, places and parties, each with a form that shows a slip of the pen.

A container number (ISO 6346) is an owner's three letters, a category (U freight container, J its equipment, Z trailer
or chassis), six digits and a check digit: each of the ten signs has a value (0 to 9; letters from 10 on, without the
multiples of 11), which counts twice as much as that of the sign before it, and the sum is taken modulo 11 and then 10.
A place is a UN/LOCODE: a country of ISO 3166-1 (or XZ, the high sea) and three signs; whether there is such a place is
not asked. A party's LEI (ISO 17442) is 18 signs and two check digits, so that the whole, letters read as 10 to 35, is
1 modulo 97.
"""

import re
from functools import lru_cache

from pledgewatch_cloud.decide.countries import COUNTRIES
from pledgewatch_cloud.decide.moments import short
from pledgewatch_wire.reading import tag_name

LOCODE = re.compile(r"[A-Z]{2}[A-Z2-9]{3}")
_CONTAINER = re.compile(r"[A-Z]{3}[UJZ][0-9]{7}")
_LEI = re.compile(r"[A-Z0-9]{18}[0-9]{2}")
_HIGH_SEA = "XZ"
_VALUES = {sign: value for value, sign in enumerate("0123456789A?BCDEFGHIJK?LMNOPQRSTU?VWXYZ") if sign != "?"}


class IdentifierError(ValueError):
    """What identifies nothing: a sentence that says what is wrong and, where it can be told, what it should be."""


def container(text: str) -> str:
    """A container number in its plain form, MSKU1234565; small letters and what is no letter or digit are forgiven."""
    number = tag_name(text)
    if not text.isascii() or not _CONTAINER.fullmatch(number):
        raise IdentifierError(
            f"{short(text)} is no container number of ISO 6346: three letters, then U, J or Z, then seven digits"
        )
    digit = container_check_digit(number[:10])
    if int(number[10]) != digit:
        raise IdentifierError(f"{short(text)}: the check digit is {number[10]} and should be {digit} (ISO 6346)")
    return number


@lru_cache(16_384)
def is_container(asset: str) -> bool:
    """Whether an asset is called by a container number, plainly written. The same few are asked of again and again."""
    try:
        return container(asset) == asset
    except IdentifierError:
        return False


def container_check_digit(ten: str) -> int:
    """The check digit that belongs behind the first ten signs of a container number."""
    return sum(_VALUES[sign] << place for place, sign in enumerate(ten)) % 11 % 10


def locode(text: str) -> str:
    """A UN/LOCODE in its plain form, USLAX; small letters and the space behind the country are forgiven."""
    code = text.replace(" ", "").upper()
    if not LOCODE.fullmatch(code):
        raise IdentifierError(f"{short(text)} is no UN/LOCODE: a country's two letters and three signs, as USLAX")
    if code[:2] not in COUNTRIES and code[:2] != _HIGH_SEA:
        raise IdentifierError(f"{short(text)}: {code[:2]} is no country of ISO 3166-1")
    return code


def lei(text: str) -> str:
    """A legal entity identifier; small letters are forgiven."""
    code = text.upper()
    if not _LEI.fullmatch(code):
        raise IdentifierError(f"{short(text)} is no LEI of ISO 17442: 18 letters or digits, then two check digits")
    digits = 98 - _as_number(code[:18] + "00") % 97
    if int(code[18:]) != digits:
        raise IdentifierError(f"{short(text)}: the check digits are {code[18:]} and should be {digits:02} (ISO 17442)")
    return code


def _as_number(signs: str) -> int:
    return int("".join(str(int(sign, 36)) for sign in signs))
