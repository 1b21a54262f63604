"""The embedded engine: the source face's texture and proportions, drawn with the target's pose and expression."""
