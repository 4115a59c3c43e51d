"""The cloud service: journal, decisions, messages to the bank."""

__version__ = "0.1.0"
