"""Loads the fixtures and the streams of tests/support for all tests."""

pytest_plugins = ["support.fixtures", "support.streams"]
