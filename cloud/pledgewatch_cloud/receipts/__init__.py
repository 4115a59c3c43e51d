"""Receipts as others can check them, offline and with programs of their own.

`issuer` is who signs and under which name, `credential` what is signed: what the register said of a receipt after an
act, as a W3C Verifiable Credential. `status_list` says which of them no longer hold, `sheet` is one for people, on
paper, and `verify` tells whether any of these can be believed.
"""
