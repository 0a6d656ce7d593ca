"""An overlay laid over a root: looked at, changed, looked at again, taken back."""
