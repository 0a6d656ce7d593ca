"""Files and trees, each change of them whole or not at all."""
