"""One file for each rule that was found by experiment; each test fails without its rule."""
