"""The documentation held to the program: its examples run, and nothing is missing from it."""
