"""The store's images: made from a machine, a tree, an archive; made bland; listed."""
