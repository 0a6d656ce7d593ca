"""The store's images: import, capture, blandify, on real roots."""
