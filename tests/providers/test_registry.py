"""Every kind of site has a provider that implements the protocol and imports its library only when needed."""

import inspect
import subprocess
import sys
from importlib import import_module
from typing import get_args, get_type_hints

import pytest

from pragmaspec.plugins import BUILT_IN
from pragmaspec.providers.base import Abilities, Provider
from pragmaspec.providers.registry import open_provider
from pragmaspec.providers.simulated.provider import SimulatedProvider
from pragmaspec.site import ExternalSite, LibvirtSite, SimulatedSite, Site

METHODS = [name for name, member in vars(Provider).items() if inspect.isfunction(member) and not name.startswith("_")]
ABILITIES = {name: get_args(hint)[0] for name, hint in get_type_hints(Abilities).items()}
STRUCTS = {kind.__struct_config__.tag: kind for kind in get_args(Site) if kind is not ExternalSite}


def provider_class(name):
    module, _, attribute = BUILT_IN[name].provider.partition(":")
    return getattr(import_module(module), attribute)


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_the_description_of_a_provider_names_its_abilities(name):
    provider = open_provider(STRUCTS[name](name="lab"))
    assert BUILT_IN[name].abilities == tuple(each for each in sorted(ABILITIES) if getattr(provider.abilities, each) is not None)


def test_every_kind_of_site_has_a_provider():
    assert STRUCTS.keys() <= BUILT_IN.keys()


def test_protocol_has_the_expected_methods():
    assert METHODS == [
        "identity",
        "inventory",
        "observe",
        "allocate",
        "stage",
        "boot",
        "shutdown",
        "clean",
        "diagnostics",
        "console_log",
        "console",
        "close",
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_provider_implements_every_method_with_the_same_signature(name, method):
    assert getattr(provider_class(name), method) is not getattr(Provider, method), "the stub of the protocol"
    assert signature(getattr(provider_class(name), method)) == signature(getattr(Provider, method))


@pytest.mark.parametrize("ability", sorted(ABILITIES))
@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_a_provider_names_exactly_the_abilities_that_it_implements(name, ability):
    protocol = ABILITIES[ability]
    provider = open_provider(STRUCTS[name](name="lab"))
    implementation = getattr(provider.abilities, ability)
    assert (implementation is provider) == (protocol in type(provider).__mro__)
    assert implementation is None or protocol in type(implementation).__mro__
    stubs = {method: stub for method, stub in vars(protocol).items() if inspect.isfunction(stub) and not method.startswith("_")}
    assert implementation is None or all(getattr(type(implementation), method) is not stub for method, stub in stubs.items())


def signature(function):
    """Names, kinds, defaults and types; types by name, since a provider may import them for type checking only."""
    found = inspect.signature(function)
    parameters = [(p.name, p.kind, p.default, named(p.annotation)) for p in found.parameters.values()]
    return parameters, named(found.return_annotation)


def named(annotation):
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_provider_requires_only_its_site(name):
    needed = [
        parameter.name
        for parameter in inspect.signature(provider_class(name)).parameters.values()
        if parameter.default is inspect.Parameter.empty
    ]
    assert needed == ["site"]


def test_open_provider_selects_by_kind_of_site():
    site = SimulatedSite(name="lab", file=":memory:")
    assert site.provider_name == "simulated"
    provider = open_provider(site)
    assert isinstance(provider, SimulatedProvider)
    provider.close()


def test_opening_a_simulated_site_loads_no_heavy_library():
    code = """
import sys
from pragmaspec.providers.registry import open_provider
from pragmaspec.site import SimulatedSite
open_provider(SimulatedSite(name="lab", file=":memory:")).inventory()
heavy = {"libvirt", "pydantic", "ruamel", "deepdiff", "requests", "rich", "cryptography", "pycdlib"}
print(sorted(heavy & set(sys.modules)))
"""
    assert run(code) == "[]\n"


def test_opening_a_libvirt_site_loads_no_library_that_few_commands_need():
    code = """
import sys
from pragmaspec.providers.registry import open_provider
from pragmaspec.site import LibvirtSite
open_provider(LibvirtSite(name="lab", uri="test:///default")).identity()
heavy = {"pydantic", "ruamel", "requests", "rich", "cryptography", "pycdlib"}
print(sorted(heavy & set(sys.modules)))
"""
    assert run(code) == "[]\n"


def test_a_missing_library_is_named_with_its_install_command():
    code = f"""
import sys
sys.modules["libvirt"] = None  # importing it raises ModuleNotFoundError
from pragmaspec.errors import SiteError
from pragmaspec.providers.registry import open_provider
from pragmaspec.site import LibvirtSite
try:
    open_provider({LibvirtSite.__name__}(name="lab"))
except SiteError as error:
    print(error)
"""
    assert run(code) == (
        "A provider's library is not installed: Site lab uses the provider libvirt, which needs the Python module libvirt. "
        "Install it with: pip install 'libvirt-python>=9.0'\n"
    )


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
