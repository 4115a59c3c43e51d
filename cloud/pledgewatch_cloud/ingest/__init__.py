"""From the broker into the journal: received, decoded, committed, acknowledged, answered."""
