"""What stood in the root before ALLiE, and what its ticks replaced."""
