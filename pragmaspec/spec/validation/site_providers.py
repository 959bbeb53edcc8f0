"""The providers of the sites in a document: models of other packages' options, loaded only for sites that use them."""

import sys
from collections.abc import Mapping
from typing import NamedTuple

from pragmaspec.errors import Problem, SiteError, SpecError
from pragmaspec.plugins import BUILT_IN, Plugin, find_plugin, installed_names, load_class
from pragmaspec.spec.findings import Finding
from pragmaspec.spec.models.cluster import ExternalModels
from pragmaspec.spec.models.site import SiteOptions
from pragmaspec.spec.yaml.tree import Document, Scalar
from pragmaspec.spec.yaml.tree import Mapping as TreeMapping


class SiteProviders(NamedTuple):
    """The providers of other packages that a document uses, by site, and findings for those that cannot be used."""

    plugins: Mapping[str, Plugin]
    models: ExternalModels
    findings: tuple[Finding, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Files that change when the models do."""
        modules = (sys.modules[model.__module__].__file__ for _, model in self.models)
        return (*(file for plugin in self.plugins.values() for file in plugin.files), *(file for file in modules if file))


def site_providers(document: Document) -> SiteProviders:
    """Return the providers of other packages that the sites in ``document`` use."""
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


def installed_models() -> ExternalModels:
    """Return the models of all installed providers of other packages. Raises SpecError with all that cannot be used."""
    models: list[tuple[str, type[SiteOptions]]] = []
    problems: list[Problem] = []
    for name in installed_names()[len(BUILT_IN) :]:
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
    """Return the providers of other packages by site, as they are written."""
    sites = document.root.items.get("sites")
    found: dict[str, str] = {}
    for name, site in sites.items.items() if isinstance(sites, TreeMapping) else ():
        provider = site.items.get("provider") if isinstance(site, TreeMapping) else None
        if isinstance(provider, Scalar) and provider.text and provider.text not in BUILT_IN:
            found[name] = str(provider.text)
    return found
