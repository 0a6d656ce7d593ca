"""The fleet as a static site: what is written, and what a real browser makes of it."""
