"""Packages with a provider, as an installer leaves them in a directory of ``sys.path``."""

from itertools import count
from pathlib import Path
from textwrap import dedent

from pragmaspec.plugins import entry_points_in

_numbers = count(1)

OPTIONS = """
    from typing import Annotated
    from pydantic import Field
    from pragmaspec.spec.fields.scalars import integer, text
    from pragmaspec.spec.models.site import SiteOptions

    class Options(SiteOptions):
        '''A site of machines that are made of paper.'''

        root: Annotated[str, text("^/.+$", "write an absolute path")] = Field(description="Directory.", examples=["/srv"])
        slots: Annotated[int, integer(1, 9)] = Field(default=4, description="Number of slots.", examples=[2])
        label: str = Field(default="", max_length=5, description="Any label.", examples=["a"])

        def plain_options(self, directory):
            return {**super().plain_options(directory), "directory": str(directory)}
"""
DESCRIPTION = """
    from pragmaspec.plugins import ProviderDescription

    description = ProviderDescription(api=1, options="{module}_options:Options", provider="{module}_provider:Provider")
"""
PROVIDER = """
    class Provider:
        def __init__(self, site):
            self.site = site
"""


def install(
    directory: Path,
    name: str = "paper",
    *,
    package: str = "paper-clusters",
    version: str = "1.2",
    description: str = DESCRIPTION,
    options: str = OPTIONS,
    provider: str = PROVIDER,
) -> str:
    """Install a package with the provider ``name``, and return the name of its module, which no other test uses."""
    module = f"paper_{next(_numbers)}"
    for suffix, text in (("", description), ("_options", options), ("_provider", provider)):
        (directory / f"{module}{suffix}.py").write_text(dedent(text).replace("{module}", module))
    _write_metadata(directory, package, version, f"{name} = {module}:description")
    return module


def install_example(directory: Path) -> Path:
    """Install the metadata of the provider in ``examples/provider``, and return the directory of its modules."""
    _write_metadata(directory, "pragmaspec-directories", "1.0.0", "directories = pragmaspec_directories:description")
    return Path(__file__).parents[1] / "examples" / "provider"


def install_cloud(directory: Path) -> None:
    """Install the metadata of the provider in ``tests/e2e/cloud``."""
    _write_metadata(directory, "pragmaspec-cloud", "1.0", "cloud = tests.e2e.cloud:description")


def _write_metadata(directory: Path, package: str, version: str, entry_point: str) -> None:
    entry_points_in.cache_clear()
    info = directory / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[pragmaspec.providers]\n{entry_point}\n")
    (info / "RECORD").write_text("".join(f"{info.name}/{file},,\n" for file in ("METADATA", "entry_points.txt", "RECORD")))
