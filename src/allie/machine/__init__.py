"""Floor 2, the only hands: programs, files, locks and namespaces of the machine we run on."""
