"""Places inside a root, reached so that nothing leads out of it."""
