"""Items of the book that every room may know, a module for each noun: what it is, how it is read and written."""
