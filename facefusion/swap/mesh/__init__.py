"""The embedded engine: the source's texture and proportions, the target's pose and expression."""
