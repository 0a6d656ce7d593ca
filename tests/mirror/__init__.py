"""The copy of the overlays: fetched, judged, from another server, of a ring."""
