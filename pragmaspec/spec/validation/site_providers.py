"""The providers of the sites in a document: models of options, loaded only for sites that use them."""

import sys
from collections.abc import Mapping
from typing import NamedTuple

from pragmaspec.errors import Problem, SiteError, SpecError
from pragmaspec.plugins import BUILT_IN, Plugin, find_plugin, installed_names, load_class
from pragmaspec.spec.findings import Finding
from pragmaspec.spec.models.cluster import ExternalModels, SiteModel
from pragmaspec.spec.models.site import SiteOptions
from pragmaspec.spec.validation.locations import providers_of
from pragmaspec.spec.yaml.tree import Document, Scalar
from pragmaspec.spec.yaml.tree import Mapping as TreeMapping

_CONTAINED = frozenset(providers_of(SiteModel))
"""Providers whose options are in the models of specs."""


class SiteProviders(NamedTuple):
    """The providers that a document uses beside those of the spec models, by site, and findings for those that cannot be used."""

    plugins: Mapping[str, Plugin]
    models: ExternalModels
    findings: tuple[Finding, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Files that change when the models do."""
        modules = (sys.modules[model.__module__].__file__ for _, model in self.models)
        return (*(file for plugin in self.plugins.values() for file in plugin.files), *(file for file in modules if file))


def site_providers(document: Document) -> SiteProviders:
    """Return the providers whose models the sites in ``document`` need beside those of the spec models."""
    plugins: dict[str, Plugin] = {}
    models: dict[str, type[SiteOptions]] = {}
    findings: list[Finding] = []
    for site, provider in _providers(document).items():
        try:
            plugins[site] = find_plugin(provider)
            models[provider] = options_model(plugins[site], site)
        except SiteError as error:
            findings += [Finding(("sites", site, "provider"), each.summary, each.detail) for each in error.problems]
    return SiteProviders(plugins, tuple(sorted(models.items())), tuple(findings))


def further_models(*, installed: bool) -> ExternalModels:
    """Return the models of our own providers that the models of specs do not contain, and of all ``installed`` ones.

    Raises SpecError with all that cannot be used.
    """
    models: list[tuple[str, type[SiteOptions]]] = []
    problems: list[Problem] = []
    for name in (name for name in (installed_names() if installed else BUILT_IN) if name not in _CONTAINED):
        try:
            models.append((name, options_model(find_plugin(name), name)))
        except SiteError as error:
            problems += error.problems
    if problems:
        raise SpecError.of(problems)
    return tuple(models)


def options_model(plugin: Plugin, site: str) -> type[SiteOptions]:
    """Return the model of a site's options. Raises SiteError if it cannot be imported or is none."""
    model = load_class(plugin, plugin.description.options, site)
    if isinstance(model, type) and issubclass(model, SiteOptions):
        return model
    raise SiteError(
        "Provider cannot be used",
        f"The provider {plugin.name} of the package {plugin.package} failed: {plugin.description.options} is not a subclass of "
        "SiteOptions. Install another version of the package, or report this to its authors.",
    )


def _providers(document: Document) -> dict[str, str]:
    """Return the providers by site, as they are written, except those of the spec models."""
    sites = document.root.items.get("sites")
    found: dict[str, str] = {}
    for name, site in sites.items.items() if isinstance(sites, TreeMapping) else ():
        provider = site.items.get("provider") if isinstance(site, TreeMapping) else None
        if isinstance(provider, Scalar) and provider.text and provider.text not in _CONTAINED:
            found[name] = str(provider.text)
    return found
