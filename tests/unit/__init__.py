"""Tests that run no programs: tests/conftest.py sees to it."""
