"""Floor 3b, the store on the central server. Never part of the client archive."""
