"""The program of a registry that several banks share: members ask, each question is kept before it is answered."""
