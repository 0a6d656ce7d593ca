"""What people do with a system: enter it, export a program, boot it, offer it."""
