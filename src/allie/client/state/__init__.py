"""What one system has on record of itself."""
