"""The store's two doors: rsync's for what everybody may read, ssh's for what is one host's own."""
