"""Recorded readings folded through any book: what would have been said, and what another book would say instead."""
