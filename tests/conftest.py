"""Loads the fixtures of tests/support, and the streams, for every test."""

pytest_plugins = ["support.fixtures", "support.streams"]
