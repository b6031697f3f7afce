"""The newest profile of every user, as a compacted topic for those who start late."""
