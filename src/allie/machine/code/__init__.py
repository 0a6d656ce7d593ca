"""The client archive: found, unpacked and compiled once, loaded from there."""
