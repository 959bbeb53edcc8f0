"""The contract of the provider protocol, for every provider."""

from pragmaspec.testing.contract import *  # noqa: F403 - the tests of the contract
