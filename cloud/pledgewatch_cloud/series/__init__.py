"""Time series for people: a projection of the journal, fed by cursor. It may be dropped and built again."""
