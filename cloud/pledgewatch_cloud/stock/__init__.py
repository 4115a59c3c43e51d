"""How stock systems hand in what they say: over the API, or as files in a folder; and how the stock book is shown."""
