"""Loads the fixtures of tests/support for every test."""

pytest_plugins = ["support.fixtures"]
