"""An overlay laid over a root: what is placed, kept, refused, withdrawn, and taken back."""
