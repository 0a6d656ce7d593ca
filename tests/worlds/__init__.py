"""Small real surroundings for ALLiE: roots, a served store, a PC. For tests, demo and bench."""
