"""Floor 3a, the steps of a PC: fetch, resolve, look, plan, apply, scripts, report."""
