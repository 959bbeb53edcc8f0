"""Opens the provider of a site. A new one needs a description in :mod:`pragmaspec.plugins`, and its package."""

from pragmaspec.plugins import find_plugin, load_class, reporting
from pragmaspec.providers.base import Provider
from pragmaspec.site import Site


def open_provider(site: Site) -> Provider:
    """Create the provider of ``site``, importing its module and library only now. Does not connect yet.

    Raises SiteError when the provider or its library is not installed, or cannot be used.
    """
    plugin = find_plugin(site.provider_name, site.name)
    kind = load_class(plugin, plugin.description.provider, site.name)
    with reporting(plugin.name, plugin.package, plugin.description, site.name):
        provider: Provider = kind(site)
    return provider
