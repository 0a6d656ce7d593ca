"""The tick: the conf scripts that are due, the two parts, and the report."""
