"""A borrower's own figures from a file: gross, eligible, base, outstanding, one or more of them.

    {"gross": "1250000.00", "outstanding": "800000.00"}        figure,amount
                                                               gross,1250000.00
                                                               outstanding,800000.00

Amounts are decimal text in the major unit of the facility's currency. A file is taken whole or refused with every fault
behind its line.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pledgewatch_cloud.book_file import DocumentError, strict_json
from pledgewatch_cloud.certificate.model import Stated
from pledgewatch_cloud.decide.currencies import exponent
from pledgewatch_cloud.decide.moments import short

FIGURES = ("gross", "eligible", "base", "outstanding")
MAX_FILE_BYTES = 65_536
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,9}))?")
_HEADER = ["figure", "amount"]

Found = tuple[str, str, object]
"""Where it stands, a figure's name and its amount, as written."""


class StatedError(ValueError):
    """A file that cannot be taken. `errors` holds one sentence for each fault, behind file and line."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = tuple(errors)


def read_stated(path: Path, currency: str) -> Stated:
    """The figures in a .json file or a CSV file. Raises OSError, StatedError, or UnknownCurrencyError."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise StatedError([f"{path}: more than {MAX_FILE_BYTES} bytes: it needs no more than four figures"])
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StatedError([f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8"]) from None
    rows = _json(path, text) if path.suffix.lower() == ".json" else _csv(path, text)
    decimals = exponent(currency)
    found, faults = dict[str, int](), list[str]()
    for where, name, written in rows:
        fault = _fault(name, written, currency, decimals)
        if not fault and name in found:
            fault = f"{name} comes twice"
        if fault:
            faults.append(f"{where}: {fault}")
        else:
            found[name] = _minor(str(written), decimals)
    if faults:
        raise StatedError(faults)
    if not found:
        raise StatedError([f"{path}: no figure is there; state one or more of {', '.join(FIGURES)}"])
    gross, eligible, base, outstanding = (found.get(name) for name in FIGURES)
    return Stated(gross, eligible, base, outstanding, path.name)


def _json(path: Path, text: str) -> list[Found]:
    try:
        document = strict_json(text)
    except DocumentError as error:
        raise StatedError([f"{path}: {error}"]) from None
    if not isinstance(document, dict):
        raise StatedError([f'{path}: an object is needed, as {{"gross": "1250000.00"}}'])
    return [(_place(path, text, name), name, written) for name, written in document.items()]


def _place(path: Path, text: str, name: str) -> str:
    """File and line of a key; only the file where it is written in another way than we would."""
    matched = re.search(re.escape(json.dumps(name, ensure_ascii=False)) + r"\s*:", text)
    return f"{path}:{text.count(chr(10), 0, matched.start()) + 1}" if matched else str(path)


def _csv(path: Path, text: str) -> list[Found]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(_rows(reader))
    except csv.Error as error:
        raise StatedError([f"{path}:{reader.line_num}: no CSV: {error}"]) from None
    if not rows or [cell.casefold() for cell in rows[0][1]] != _HEADER:
        line = rows[0][0] if rows else 1
        raise StatedError([f"{path}:{line}: a header figure,amount is needed, and a line for each figure"])
    faults = [
        f"{path}:{line}: {len(cells)} cells where figure and amount are needed; write amounts without separators"
        for line, cells in rows[1:]
        if len(cells) != len(_HEADER)
    ]
    if faults:
        raise StatedError(faults)
    return [(f"{path}:{line}", name.casefold(), written) for line, (name, written) in rows[1:]]


def _rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    for row in reader:
        if row:
            yield reader.line_num, [cell.strip() for cell in row]


def _fault(name: str, written: object, currency: str, decimals: int) -> str:
    """What is wrong with a figure; empty: nothing."""
    if name not in FIGURES:
        return f"{short(name)} is no figure; there are {', '.join(FIGURES)}"
    if isinstance(written, float):
        return f'{name}: {written!r} is a binary fraction and not what was stated: write "{written!r}", as text'
    matched = _AMOUNT.fullmatch(str(written)) if isinstance(written, str | int) else None
    if matched is None:
        return f'{name}: {short(written)} is not a decimal number from 0, as "1250000.00"'
    if len(matched[2] or "") > decimals:
        return f"{name}: {written} has more decimals than {currency}, which has {decimals}"
    return ""


def _minor(text: str, decimals: int) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(decimals, "0"))
