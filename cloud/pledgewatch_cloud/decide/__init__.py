"""Deciding what readings mean. Pure: no clock, no chance, no disk, no network, no logging; a test holds this."""
