"""The API: what the journal says, over HTTP; writes become journal entries."""
