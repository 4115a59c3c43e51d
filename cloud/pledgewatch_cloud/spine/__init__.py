"""The one way into the journal: decide an entry, commit it, and only then is it true."""
