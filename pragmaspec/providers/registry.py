"""The registry of providers. A new one needs a line here, its options in :mod:`pragmaspec.site`, and its package."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from pragmaspec.errors import SiteError
from pragmaspec.providers.base import Provider
from pragmaspec.site import Site

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "libvirt": "pragmaspec.providers.libvirt.provider:LibvirtProvider",
        "simulated": "pragmaspec.providers.simulated.provider:SimulatedProvider",
    }
)
"""``provider:`` in a spec → ``module:class``. Each class takes the site as its only required argument."""

_LIBRARIES: Mapping[str, str] = MappingProxyType({"libvirt": "libvirt-python>=9.0"})
"""Third-party module of a provider → the requirement that installs it, equal to that of the extra."""


def open_provider(site: Site) -> Provider:
    """Create the provider of ``site``, importing its module and library only now. Does not connect yet.

    Raises SiteError when the library is not installed.
    """
    module, _, name = PROVIDERS[provider_name(site)].partition(":")
    try:
        provider: Provider = getattr(import_module(module), name)(site)
    except ModuleNotFoundError as error:
        raise _not_installed(site, error) from error
    return provider


def provider_name(site: Site) -> str:
    """The value of ``provider:`` in the spec."""
    return str(site.__struct_config__.tag)


def _not_installed(site: Site, error: ModuleNotFoundError) -> Exception:
    library = _LIBRARIES.get(error.name or "")
    if library is None:
        return error
    return SiteError(
        "A provider's library is not installed",
        f"Site {site.name} uses the provider {provider_name(site)}, which needs the Python module {error.name}. "
        f"Install it with: pip install '{library}'",
    )
