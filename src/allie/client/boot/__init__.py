"""The boot partition, its menu, and the loader that shows it."""
