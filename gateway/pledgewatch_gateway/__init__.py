"""The gateway of a warehouse site."""
