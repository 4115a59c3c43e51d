"""The demo: a story of two minutes, told by real programs on simulated goods (docs/DEMO.md)."""
