"""Reads answered by processes of their own, beside the one that takes in (docs/ARCHITECTURE.md, decision 0031)."""
