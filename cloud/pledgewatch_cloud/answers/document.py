"""What is answered as it is written."""

from typing import Any

Document = dict[str, Any]
"""As a document of the book has it (docs/BOOK.md)."""
