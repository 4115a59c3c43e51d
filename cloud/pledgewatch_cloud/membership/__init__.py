"""The cloud as a member of a registry that several banks share: what it claims there, and how that is kept true."""
