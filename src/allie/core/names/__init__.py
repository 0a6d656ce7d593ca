"""Names in overlays: tags and what they match, and names that no overlay may hold."""
