"""Who may see what: users and their roles, pledges as they were, and a state as somebody may see it."""
