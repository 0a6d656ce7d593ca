"""How a disk is divided, whose a partition is, and the boot menu's text."""
