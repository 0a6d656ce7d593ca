"""A store on its server: served, linted, hostile, slow, old; what of it grows."""
