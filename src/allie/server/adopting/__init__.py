"""Adopting: what a PC offers is taken into an overlay, by a person who has seen it."""
