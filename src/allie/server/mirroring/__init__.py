"""A store that is kept equal to another one: asked for, fetched beside, judged, switched."""
