"""What of a root is the image, what is one machine's own, and what is not captured."""
