"""What stood there before, and what comes back; package managers; undo copies."""
