"""rsync: its command lines, its daemon, and what it says."""
