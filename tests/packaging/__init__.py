"""What is delivered: completion, man pages, and the packages."""
