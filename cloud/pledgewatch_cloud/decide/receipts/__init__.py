"""Warehouse receipts: what one says, who may do what with it, and that no goods are claimed twice."""
