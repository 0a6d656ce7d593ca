"""Settings that are edited, and which of them are in force."""
