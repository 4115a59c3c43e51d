"""Warehouses: what receipts, stock systems and sensors say of the same goods, held against each other."""
