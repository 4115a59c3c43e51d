"""Milestones: what lets money move, and what becomes of it when the ground changes."""
