"""Who asks, what they may see of what is served, and what is noted of it."""
