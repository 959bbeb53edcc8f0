"""The interface for the options of providers of other packages: the base model of a site, and types of its keys.

Its version is that of :mod:`pragmaspec.providers.api`. It imports pydantic, which a plan without changes does not need: import it
in the module of the options only.
"""

from pragmaspec.spec.fields.scalars import boolean, disk, duration, integer, memory, number, text
from pragmaspec.spec.fields.url import path_field
from pragmaspec.spec.models.base import Model
from pragmaspec.spec.models.site import PublicNetworkModel, SiteOptions
from pragmaspec.spec.value_errors import value_error

__all__ = [
    "Model",
    "PublicNetworkModel",
    "SiteOptions",
    "boolean",
    "disk",
    "duration",
    "integer",
    "memory",
    "number",
    "path_field",
    "text",
    "value_error",
]
