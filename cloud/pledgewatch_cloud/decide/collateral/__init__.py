"""The borrowing base: what a facility may draw against its goods. docs/BORROWING_BASE.md is its specification."""
