"""Devices as bytes, voyages, faults, the sandbox bank and the demo: an independent witness of the whole system."""

__version__ = "0.1.0"
