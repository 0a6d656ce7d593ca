"""Programs that are not trusted, in namespaces and without powers."""
