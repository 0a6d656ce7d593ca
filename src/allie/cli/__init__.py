"""Floor 4: argv to one call to print to exit status; one file for each command."""
