"""The trade around the goods: what carriers, customs and others say, in their forms and ours; docs/NOTICES.md tells."""
