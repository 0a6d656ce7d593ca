"""The PC's copy of its overlays: fetched, judged, in force by one rename."""
