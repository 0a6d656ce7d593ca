"""The doors at work: served in the foreground, set up for good, attended to, tried from outside."""
