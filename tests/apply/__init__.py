"""Ticks of real roots by the real client archive: scripts, lock, kit, namespaces, join, views."""
