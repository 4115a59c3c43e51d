"""Text as people may safely be shown it: what is no visible character is written out by its number.

A name that somebody else chose may hold what turns the direction of the line, ends it, or is not there at all. On a
document that people sign or trust, such a character is said and not obeyed.
"""

import re

# Control characters, what changes the direction of text or joins it unseen, and what is no character.
_UNRULY = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")


def plain(text: str) -> str:
    """A text with what is no visible character written out, as in `\\u{a}`."""
    return _UNRULY.sub(lambda found: spelled(found[0]), text)


def spelled(character: str) -> str:
    """A character by its number in Unicode."""
    return f"\\u{{{ord(character):x}}}"
