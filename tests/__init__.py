"""The tests: unit/ runs no programs; the rest run the real ones in the worlds of worlds/."""
