"""The tour: `make demo`."""
