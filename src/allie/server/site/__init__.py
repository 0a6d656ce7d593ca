"""The fleet as a static site: pages that open from a file, with data beside them."""
