"""Former names of the test harness, for tests that still use them."""

from tests.cli.harness import CommandLine as Workshop
from tests.cli.harness import CommandOutput as Said

__all__ = ["Said", "Workshop"]
