"""What the API answers, as types: one for each noun, and which path answers with which.

They are what the description says of answers (/openapi.json), and what the methods of the Python client return.
tests/test_answers.py holds them against real answers. Moments are Unix milliseconds where a name ends in `_ms`, else
ISO 8601; amounts are minor units, ratios basis points, quantities of stock thousandths. None: there is no such thing,
or it is not for who asks. Formats that are others' (EPCIS, DCSA) and documents that are read back as they are written
(the book, what it says of a lot) have their own descriptions.
"""
