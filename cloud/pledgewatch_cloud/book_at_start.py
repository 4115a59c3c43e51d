"""The book files of the configuration: tried before a start, and put into the journal at one.

A file is journalled once for each content. A fault in one stops a service that has no book yet; one that has a book
goes on by that.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from pledgewatch_cloud.book_file import BookFile, DocumentError, read_book_file
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.drafts import amend_from_file
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.spine.spine import Spine

log = logging.getLogger(__name__)

Taken = TypeVar("Taken")


class BookFileError(Exception):
    """A book file cannot be taken: file, line and reason of each fault."""


def faults_of(files: tuple[Path, ...]) -> list[str]:
    """What is wrong in the book files that are there, as the first that a journal takes, in their order."""
    book, faults = book_module.empty(), list[str]()
    for path in files:
        if path.exists():  # what is not is told with the other files that are missing
            try:
                book = _taken(path, partial(_amended, book))
            except BookFileError as error:
                faults.append(str(error))
    return faults


def book_of(files: tuple[Path, ...]) -> Book:
    """The book that these files make in their order. Raises BookFileError for the first that is faulty or missing."""
    book = book_module.empty()
    for path in files:
        book = _taken(path, partial(_amended, book))
    return book


def amend_from_files(spine: Spine, files: tuple[Path, ...]) -> None:
    """Take the book files that are new. Raises BookFileError where one is faulty and there is no book yet."""
    for path in files:
        try:
            outcome = _taken(path, partial(_journalled, spine))
        except BookFileError as error:
            if not spine.state.entry:
                raise
            log.error("the book in force stays in force: %s", error)
            continue
        if outcome is not None:
            log.info("%s amended the book in entry %d", path.name, outcome.state.entry)


def _amended(book: Book, file: BookFile) -> Book:
    return book_module.amend(book, file.document)


def _journalled(spine: Spine, file: BookFile) -> Outcome | None:
    return spine.commit(amend_from_file, file.path.name, canonical.sha256(file.text.encode()), file.document)


def _taken(path: Path, take: Callable[[BookFile], Taken]) -> Taken:
    """What `take` makes of a book file. Raises BookFileError where that cannot be."""
    try:
        file = read_book_file(path)
    except OSError as error:
        raise BookFileError(f"{path} cannot be read: {error.strerror}") from None
    except DocumentError as error:
        raise BookFileError(str(error)) from None
    try:
        return take(file)
    except BookError as error:
        raise BookFileError("\n".join(file.explained(error.errors))) from None
