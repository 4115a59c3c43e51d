"""Notices on their way in: who hands them in, how they are taken, and the folder that they may be dropped in."""
