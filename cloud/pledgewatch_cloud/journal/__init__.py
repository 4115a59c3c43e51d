"""The journal: the only truth on disk, and what is committed with it."""
