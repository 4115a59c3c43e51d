"""From bytes to text: in which encoding a document came, told by its first bytes or by the book, never guessed.

A byte order mark says UTF-8 or UTF-16. Without one a document is UTF-8, or Windows-1252 where the book says so of the
source: nearly every run of bytes is some text in Windows-1252, so it can be no guess. Nor is it believed where the
bytes are UTF-8 with signs beyond ASCII, which hardly any text in Windows-1252 is by chance: a system that changed its
encoding would otherwise sell from `GrÃ¶ÃŸe` what `Größe` had received.
"""

import re
from collections.abc import Iterator

from pledgewatch_cloud.decide.stock.rows import DOCUMENT_MAX_BYTES, Fault, StockError, Terms

ENCODINGS = ("utf-8", "windows-1252")
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_END_OF_DOS = "\x1a"
_ASCII = bytes(range(128))
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1b\x7f]")


def decoded(terms: Terms, data: bytes | str) -> str:
    """The text of a document, without its byte order mark. Raises StockError with the line of what cannot be read.

    Nor has it the sign with which DOS ended files. Four control characters that separate things, 0x1c to 0x1f, are let
    through: X12 may use them.
    """
    size = len(data) if isinstance(data, bytes) else len(data.encode(errors="surrogatepass"))
    if size > DOCUMENT_MAX_BYTES:
        raise StockError((Fault(0, f"{size} bytes; at most {DOCUMENT_MAX_BYTES}: hand it in in parts"),))
    text = data.removeprefix("\ufeff") if isinstance(data, str) else _from_bytes(terms, data)
    text = text.rstrip(_END_OF_DOS)
    found = _CONTROL.search(text)
    if found is not None:
        cure = "save it as UTF-8, or as UTF-16 with a byte order mark"
        raise StockError((Fault(_line_of(text, found.start()), f"holds the control character {found[0]!r}: {cure}"),))
    return text


def lines(text: str) -> Iterator[str]:
    """The lines of a text, each with its end, which is CR, LF or both."""
    return (found[0] for found in _LINE.finditer(text))


def _from_bytes(terms: Terms, data: bytes) -> str:
    mark, encoding = next((one for one in _MARKS if data.startswith(one[0])), (b"", terms.encoding))
    if encoding == "windows-1252" and not data.isascii() and _is_utf_8(data):
        line = _line_of(data.decode(), len(data) - len(data.lstrip(_ASCII)))
        cure = "say in the book which it is, or save it with a byte order mark"
        raise StockError((Fault(line, f"is UTF-8, where the book says that it is {encoding}: {cure}"),))
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = _line_of(error.object[: error.start].decode(encoding, errors="replace"), len(error.object))
        cure = "" if mark or encoding != "utf-8" else ": save it as UTF-8, or say in the book that it is windows-1252"
        raise StockError((Fault(line, f"is no {encoding} at byte {len(mark) + error.start}{cure}"),)) from None


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _line_of(text: str, place: int) -> int:
    return 1 + sum(one.endswith(("\r", "\n")) for one in lines(text[:place]))
