"""What is known before a plan: facts, settings, the PC's other systems and disks."""
