"""Borrowing-base certificates: one content in three forms, signed, and the same bytes whenever they are made again.

`model` is what a certificate says and the tables that all forms share; `csv_form`, `xlsx_form` and `pdf_form` write it
down; `signing` signs, verifies and puts the files into a folder.
"""
