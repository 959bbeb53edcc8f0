from tests.cli.conftest import shop

__all__ = ["shop"]
