"""The PC's other systems: brought, ticked, updated, rolled back, removed."""
