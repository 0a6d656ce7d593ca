"""Random histories of a store and a PC, against a model of a few lines."""
