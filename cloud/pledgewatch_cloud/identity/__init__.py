"""How devices come to certificates: the authority, what a technician scans, the broker's files (docs/DEVICES.md)."""
