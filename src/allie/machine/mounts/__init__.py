"""What is mounted where, and mounts that this process alone sees."""
