"""allie.conf: what it says, how ALLiE writes it, and where the systems of a PC are by it."""
