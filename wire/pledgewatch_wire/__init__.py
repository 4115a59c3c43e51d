"""What an edge device and the cloud must agree on, bit for bit."""

__version__ = "0.1.0"
