"""Floor 3b, the store on the central server. Never in the client archive."""
