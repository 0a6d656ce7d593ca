"""Tests of several systems on one PC: fetched, ticked, updated, rolled back."""
