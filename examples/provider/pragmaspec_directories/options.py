"""The keys of a site in the spec."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pragmaspec.providers.options import SiteOptions, integer, memory, path_field


class DirectoriesOptions(SiteOptions):
    """A directory of machines that are directories themselves."""

    root: Annotated[str, path_field("write the path of a directory")] = Field(
        description="Directory of the site, relative to this file.", examples=["./machines"]
    )
    cpus: Annotated[int, integer(1, 4096)] = Field(default=8, description="Number of CPUs.", examples=[8])
    memory_mib: Annotated[int, memory()] = Field(
        default=16384,
        alias="memory",
        json_schema_extra={"default": "16 GiB"},
        description="Amount of memory.",
        examples=["16 GiB"],
    )

    def plain_options(self, directory: Path) -> dict[str, object]:
        """Return the keys with an absolute path."""
        return {**super().plain_options(directory), "root": str((directory / self.root).absolute())}
