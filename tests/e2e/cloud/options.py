"""The keys of a site in the spec."""

from typing import Annotated

from pydantic import Field

from pragmaspec.providers.options import SiteOptions, text


class CloudOptions(SiteOptions):
    """A storage pool of the hypervisor of this machine."""

    pool: Annotated[str, text()] = Field(description="Name of the pool.", examples=["default"])
