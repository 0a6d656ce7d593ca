"""Programs in namespaces of their own: those that are not trusted, and those of `allie enter`."""
