"""The doors at work: served in the foreground, set up for good, tried from outside."""
