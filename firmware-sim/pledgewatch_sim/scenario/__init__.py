"""Scenarios: what happens to one container, as a file; its devices as bytes, and the real programs beside them."""
