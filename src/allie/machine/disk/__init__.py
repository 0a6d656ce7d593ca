"""Disks, file systems with a label, and copies of whole trees on them."""
