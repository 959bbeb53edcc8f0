from tests.cli.conftest import cli, shop

__all__ = ["cli", "shop"]
