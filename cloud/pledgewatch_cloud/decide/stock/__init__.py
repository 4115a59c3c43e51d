"""The stock: what a warehouse's own system says of its goods, read in the form that it comes in, and rolled forward."""
