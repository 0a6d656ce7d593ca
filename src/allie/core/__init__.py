"""Floor 1, pure nouns: text and values in, values out. No I/O, no clock, no environment."""
