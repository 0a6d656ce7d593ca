"""Entering another system, for real."""
