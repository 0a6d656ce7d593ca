"""What is left when ALLiE is killed, at any of its steps, and what the next tick makes of it."""
