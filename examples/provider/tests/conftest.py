"""Loads the contract of providers."""

pytest_plugins = ["pragmaspec.testing.plugin"]
