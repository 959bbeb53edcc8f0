"""Descriptions of providers: those of pragmaspec, and those of other packages, found by their entry points.

A description names classes as text, so that neither models nor libraries are imported before a site needs them.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pragmaspec.delivery import SEED_AND_FILES, Delivery
from pragmaspec.errors import PragmaspecError, SiteError
from pragmaspec.frozen import Frozen
from pragmaspec.networking import HYPERVISOR_NETWORKING, LateValue, Networking
from pragmaspec.text import did_you_mean, joined

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

API_VERSION = 1
"""Version of the interface for providers of other packages; incremented by a change that breaks them."""
ENTRY_POINT_GROUP = "pragmaspec.providers"
"""Entry points of this group map the value of ``provider:`` in a spec to a :class:`ProviderDescription`."""

_LISTED_MAX = 20


class ProviderDescription(Frozen, frozen=True):
    """A provider for pragmaspec: an instance of it is the object of an entry point.

    Classes are given as ``module:Class``. Keep the module of the description itself free of further imports, so that a plan
    without changes stays quick.
    """

    api: int
    """The :data:`API_VERSION` for which the provider was written."""
    options: str
    """A subclass of :class:`pragmaspec.spec.models.site.SiteOptions`, the keys of a site of this provider in the spec."""
    provider: str
    """A class that implements :class:`pragmaspec.providers.base.Provider`, and is created with the site as only argument."""
    abilities: tuple[str, ...] = ()
    """Names of the attributes of :class:`pragmaspec.providers.base.Abilities` that the provider may have, sorted."""
    libraries: tuple[tuple[str, str], ...] = ()
    """Optional Python modules with the requirement that installs each, such as ``("libvirt", "libvirt-python>=9.0")``."""
    completes_late: bool = False
    """True if the provider's ``window_s`` may exceed 0."""
    late_values: tuple[LateValue, ...] = ()
    """Values that only its sites can choose, which :meth:`pragmaspec.providers.base.Provider.boot` and ``allocate`` return."""
    delivery: Delivery = SEED_AND_FILES
    """The ways in which a site can tell a new node about itself and its cluster."""
    networking: Networking = HYPERVISOR_NETWORKING
    """How a site connects the nodes of a cluster. Options of a site can change it, as they can the two fields before."""


BUILT_IN: Mapping[str, ProviderDescription] = MappingProxyType(
    {
        "ec2": ProviderDescription(
            api=API_VERSION,
            options="pragmaspec.providers.ec2.options:Ec2SiteModel",
            provider="pragmaspec.providers.ec2.provider:Ec2Provider",
            abilities=("boot_check", "duplicate_removal", "image_listing", "site_images", "volume_storage"),
            libraries=(("botocore", "botocore>=1.35.70"),),
            completes_late=True,
            late_values=("macs", "public"),
            delivery=Delivery(user_data_limit=16 * 2**10),
            networking=Networking(vlans=False, frontend_offset=4, translated=True, dhcp=True),
        ),
        "libvirt": ProviderDescription(
            api=API_VERSION,
            options="pragmaspec.spec.models.site:LibvirtSiteModel",
            provider="pragmaspec.providers.libvirt.provider:LibvirtProvider",
            abilities=(
                "autostart",
                "boot_check",
                "image_listing",
                "network_use",
                "paused_boot",
                "peer_images",
                "site_images",
                "storage_refresh",
                "volume_storage",
            ),
            libraries=(("libvirt", "libvirt-python>=9.0"),),
        ),
        "openstack": ProviderDescription(
            api=API_VERSION,
            options="pragmaspec.providers.openstack.options:OpenStackSiteModel",
            provider="pragmaspec.providers.openstack.provider:OpenStackProvider",
            abilities=("boot_check", "duplicate_removal", "image_listing", "network_use", "site_images", "volume_storage"),
            libraries=(
                ("openstack", "openstacksdk>=4.0"),
                ("keystoneauth1", "openstacksdk>=4.0"),
                ("websockets", "websockets>=14"),
            ),
            completes_late=True,
            late_values=("public",),
            delivery=Delivery(user_data_limit=49149),
            networking=Networking(vlans=False, router=True, frontend_offset=4, translated=True, dhcp=True),
        ),
        "simulated": ProviderDescription(
            api=API_VERSION,
            options="pragmaspec.spec.models.simulated_site:SimulatedSiteModel",
            provider="pragmaspec.providers.simulated.provider:SimulatedProvider",
            abilities=(
                "autostart",
                "boot_check",
                "duplicate_removal",
                "guest_simulation",
                "image_listing",
                "site_images",
                "volume_storage",
            ),
            completes_late=True,
        ),
    }
)
"""The providers of pragmaspec itself. The requirements of their libraries equal those of the extras."""


class Plugin(NamedTuple):
    """An installed provider. ``package`` is the name and version of its distribution; empty for those of pragmaspec itself.

    ``files`` are the files that change when the package does.
    """

    name: str
    description: ProviderDescription
    package: str = ""
    files: tuple[str, ...] = ()


def installed_names() -> tuple[str, ...]:
    """Return the values of ``provider:`` that are valid here: those of pragmaspec first."""
    return (*BUILT_IN, *sorted({entry.name for entry in entry_points_in(tuple(sys.path))} - BUILT_IN.keys()))


def find_plugin(name: str, site: str = "") -> Plugin:
    """Return the provider called ``name``, which ``site`` uses.

    Raises SiteError if it is not installed, or its description cannot be used.
    """
    if name in BUILT_IN:
        return Plugin(name, BUILT_IN[name])
    entries = {(entry.value, _package(entry)): entry for entry in entry_points_in(tuple(sys.path)) if entry.name == name}
    if not entries:
        raise _unknown(name, site)
    if len(entries) > 1:
        packages = joined(sorted(package for _, package in entries), _LISTED_MAX)
        raise SiteError(
            "Two packages with one provider", f"The provider {name} is in the packages {packages}. Uninstall all but one of them."
        )
    (((_, package), entry),) = entries.items()
    with reporting(name, package):
        description = entry.load()
    if not isinstance(description, ProviderDescription):
        raise _unusable(name, package, f"{entry.value} is not a ProviderDescription")
    if description.api != API_VERSION:
        raise _other_api(name, package, description.api)
    return Plugin(name, description, package, _files(entry))


def load_class(plugin: Plugin, target: str, site: str) -> Any:  # noqa: ANN401 - the class of another package
    """Return the class ``module:Class`` of ``plugin``, for ``site``. Raises SiteError if it cannot be imported."""
    module, _, name = target.partition(":")
    with reporting(plugin.name, plugin.package, plugin.description, site):
        return getattr(import_module(module), name)


@contextmanager
def reporting(name: str, package: str, description: ProviderDescription | None = None, site: str = "") -> Iterator[None]:
    """Report errors of a provider's code as SiteError: a missing library, and any error in the code of another package."""
    try:
        yield
    except PragmaspecError:
        raise
    except Exception as error:
        libraries = dict(description.libraries) if description else {}
        if isinstance(error, ModuleNotFoundError) and error.name in libraries:
            raise _not_installed(name, site, error.name, libraries[error.name]) from error
        if not package:
            raise  # a bug of pragmaspec, which keeps its traceback
        raise _unusable(name, package, f"{type(error).__name__}: {error}") from error


@lru_cache(maxsize=1)
def entry_points_in(path: tuple[str, ...]) -> "tuple[EntryPoint, ...]":
    """Return the entry points of our group in ``path``, which is ``sys.path``: a search takes 15 ms, and sites are many."""
    del path
    from importlib.metadata import entry_points  # noqa: PLC0415 - costs 40 ms, needed for other packages only

    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def _package(entry: "EntryPoint") -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "of an unknown name"


def _files(entry: "EntryPoint") -> tuple[str, ...]:
    """Return the metadata files of the entry point's package, whose directory is named after its version."""
    names = {"METADATA", "entry_points.txt"}
    files = entry.dist.files if entry.dist else None
    return tuple(str(file.locate()) for file in files or () if file.name in names)


def _unknown(name: str, site: str) -> SiteError:
    known = installed_names()
    advice = did_you_mean(
        name,
        known,
        f"Installed are {joined([f'`{each}`' for each in known], _LISTED_MAX)}; others are Python packages with an entry point "
        f"in the group `{ENTRY_POINT_GROUP}`, to be installed beside pragmaspec.",
        quote="`",
    )
    subject = f"Site {site} uses the provider `{name}`, which" if site else f"The provider `{name}`"
    return SiteError("Unknown provider", f"{subject} is not installed. {advice}")


def _not_installed(name: str, site: str, module: str, requirement: str) -> SiteError:
    return SiteError(
        "A provider's library is not installed",
        f"Site {site} uses the provider {name}, which needs the Python module {module}. "
        f"Install it with: pip install '{requirement}'",
    )


def _unusable(name: str, package: str, reason: str) -> SiteError:
    return SiteError(
        "Provider cannot be used",
        f"The provider {name} of the package {package} failed: {reason}. Install another version of the package, or report this "
        "to its authors.",
    )


def _other_api(name: str, package: str, api: int) -> SiteError:
    newer = "pragmaspec" if api > API_VERSION else "the package"
    return SiteError(
        "Provider for another version of pragmaspec",
        f"The provider {name} of the package {package} was written for version {api} of the provider interface, and this "
        f"pragmaspec has version {API_VERSION}. Install a newer version of {newer}.",
    )
